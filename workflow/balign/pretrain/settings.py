"""Settings of the stage ``pretrain``."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from balign.settings import Settings


class PretrainDataSettings(Settings):
    """How sentences become training examples."""

    max_tokens: int = Field(
        128, ge=8, description="Longest sentence in word pieces; longer ones are cut."
    )
    max_name_tokens: int = Field(
        32, ge=4, description="Longest concept name in word pieces; longer ones are cut."
    )
    sentences_per_concept: int | None = Field(
        40,
        ge=1,
        description="Balancing: a concept keeps its mentions in at most so many sentences; null "
        "for all.",
    )
    validation_sentences: int = Field(
        256,
        ge=0,
        description="Sentences held out of training, by citation, for the validation figures; at "
        "most a tenth of all.",
    )
    seed: int = Field(13, ge=0, description="Seed of balancing and of the validation split.")


class NeighbourSettings(Settings):
    """What every encoder of a concept's neighbourhood has."""

    type: str
    neighbours: int = Field(3, ge=0, description="Neighbours drawn for a concept at each visit.")


class GnnSettings(NeighbourSettings):
    """A graph neural network over names that the text encoder has encoded."""

    hops: Literal[1, 2] = Field(
        1, description="2: as many neighbours are drawn for each drawn neighbour."
    )
    layers: int = Field(2, ge=1, description="Layers; at least as many as hops.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout probability.")
    residual: bool = Field(True, description="Add a layer's input to its output.")
    stop_gradient_names: Literal["none", "neighbours", "centres", "all"] = Field(
        "none", description="Whose names are encoded without gradient: faster, and less memory."
    )

    @model_validator(mode="after")
    def _deep_enough(self) -> GnnSettings:
        if self.layers < self.hops:
            raise ValueError(f"{self.layers} layers do not reach over {self.hops} hops")
        return self


class Gatv2Settings(GnnSettings):
    """GATv2: attention over the neighbours (Brody et al., ICLR 2022)."""

    type: Literal["gatv2"]
    heads: int = Field(2, ge=1, description="Attention heads of a layer.")
    relations: bool = Field(True, description="Give the relation to the attention as a feature.")


class RgcnSettings(GnnSettings):
    """R-GCN: a matrix for each relation (Schlichtkrull et al., ESWC 2018)."""

    type: Literal["rgcn"]
    bases: int = Field(8, ge=1, description="Matrices that each relation's matrix is a sum of.")


class SageSettings(GnnSettings):
    """GraphSAGE: the mean of the neighbours (Hamilton et al., NeurIPS 2017)."""

    type: Literal["sage"]
    relations: bool = Field(True, description="Add a vector of the relation to each neighbour.")


class LinearSettings(NeighbourSettings):
    """No network: names and relations as one text, whose [CLS] state is the concept's vector."""

    type: Literal["linear"]
    max_tokens: int = Field(
        128, ge=8, description="Longest text in word pieces; triples that do not fit are left out."
    )


GraphEncoderSettings = Annotated[
    Gatv2Settings | RgcnSettings | SageSettings | LinearSettings, Field(discriminator="type")
]


class KgeSettings(Settings):
    """Vectors of concepts and relations from the graph's edges alone."""

    name: str = Field(..., pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name of the tables.")
    model: Literal["transe", "distmult", "rotate"] = Field("transe", description="The model.")
    size: int = Field(100, ge=1, description="Width of a concept's vector.")
    epochs: int = Field(20, ge=1, description="Passes over the edges.")
    batch_edges: int = Field(16384, ge=1, description="Edges in a step.")
    learning_rate: float = Field(0.01, gt=0, description="Rate of Adam.")
    seed: int = Field(13, ge=0, description="Seed of initial values, order and corrupted edges.")


class ObjectiveSettings(Settings):
    """What every objective has."""

    # Where its class is, as `module:Class`: named, not imported, because it needs PyTorch.
    code: ClassVar[str]

    type: str
    weight: float = Field(1.0, ge=0, description="Weight of its loss in the sum.")


class MlmSettings(ObjectiveSettings):
    """Masked language modelling; alone it is the control."""

    code = "balign.pretrain.objectives.mlm:MlmObjective"
    type: Literal["mlm"]
    probability: float = Field(0.15, gt=0, lt=1, description="Share of word pieces masked.")
    reproduce_original_head: bool = Field(
        False,
        description="For the ablation alone: a new head, random and not tied to the embeddings, "
        "whatever the checkpoint has.",
    )


class AlignmentSettings(ObjectiveSettings):
    """Alignment of mentions in text with nodes of the graph; with `mlm` it is BALI."""

    code = "balign.pretrain.objectives.alignment:AlignmentObjective"
    type: Literal["alignment"]
    temperature: float = Field(0.07, gt=0, description="Temperature of the contrastive loss.")
    graph: GraphEncoderSettings = Field(
        Gatv2Settings(type="gatv2"), description="Encoder of a concept's neighbourhood."
    )
    reproduce_original_pooling: bool = Field(
        False,
        description="For the ablation alone: the fault of the original, which zeroes the states of "
        "about half of the mentions' word pieces.",
    )


class SapbertSettings(ObjectiveSettings):
    """Synonyms of one concept near, those of others far (SapBERT)."""

    code = "balign.pretrain.objectives.sapbert:SapbertObjective"
    type: Literal["sapbert"]
    pairs: int = Field(64, ge=2, description="Concepts in a step, two names of each.")
    pooling: Literal["cls", "mean"] = Field(
        "mean", description="A name's vector: its first state, or the mean over its tokens."
    )
    alpha: float = Field(2.0, gt=0, description="Multi-Similarity loss: pull of positives.")
    beta: float = Field(50.0, gt=0, description="Multi-Similarity loss: push of negatives.")
    base: float = Field(0.5, description="Multi-Similarity loss: similarity that is neutral.")
    margin: float = Field(0.2, ge=0, description="Margin of the triplets that count as hard.")


class DefinitionSettings(ObjectiveSettings):
    """A concept's name near its definition, other definitions far."""

    code = "balign.pretrain.objectives.definitions:DefinitionObjective"
    type: Literal["definitions"]
    pairs: int = Field(32, ge=2, description="Definitions in a step, a name for each.")
    max_tokens: int = Field(96, ge=8, description="Longest definition; longer ones are cut.")
    pooling: Literal["cls", "mean"] = Field(
        "mean", description="A text's vector: its first state, or the mean over its tokens."
    )
    temperature: float = Field(0.07, gt=0, description="Temperature of the contrastive loss.")


class KgiSettings(ObjectiveSettings):
    """Triples of the graph as text: entities, relations and truth to predict (UMLS-KGI-BERT)."""

    code = "balign.pretrain.objectives.kgi:KgiObjective"
    type: Literal["kgi"]
    triples: int = Field(96, ge=3, description="Triples in a step, a third for each task.")


class AdapterSettings(ObjectiveSettings):
    """The tasks of `kgi` by adapters on parts of the graph, the encoder itself frozen."""

    code = "balign.pretrain.objectives.adapter:AdapterObjective"
    type: Literal["adapter"]
    triples: int = Field(96, ge=3, description="Triples in a step, a third for each task.")
    parts: int = Field(4, ge=1, description="Parts of the graph, by relation; an adapter for each.")
    rank: int = Field(16, ge=1, description="Rank of the adapters (LoRA).")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout before the adapters.")


class KebiolmSettings(ObjectiveSettings):
    """Mentions found, linked to a table of entities, and read by MLM with it (KeBioLM)."""

    code = "balign.pretrain.objectives.kebiolm:KebiolmObjective"
    type: Literal["kebiolm"]
    kge: str | None = Field(
        None,
        description="Name in pretrain.kge of the vectors that the table of entities starts from; "
        "null for random ones.",
    )
    entity_size: int = Field(100, ge=1, description="Width of the table where kge is null.")
    text_layers: int | None = Field(
        None,
        ge=1,
        description="Lower layers, which see text alone; null for two thirds of all.",
    )
    top_entities: int = Field(
        100, ge=1, description="Entities of which a mention reads the weighted mean."
    )
    probability: float = Field(
        0.15, gt=0, lt=1, description="Share of mentions and of other word pieces masked."
    )
    softmax_entities: int = Field(
        131072,
        ge=1,
        description="The softmax of linking is over all entities where there are at most so many, "
        "otherwise over a sample of this size, drawn at each step.",
    )
    mlm_weight: float = Field(1.0, ge=0, description="Weight of MLM in its loss.")
    detection_weight: float = Field(1.0, ge=0, description="Weight of detection in its loss.")
    linking_weight: float = Field(1.0, ge=0, description="Weight of linking in its loss.")


Objective = Annotated[
    MlmSettings
    | AlignmentSettings
    | SapbertSettings
    | DefinitionSettings
    | KgiSettings
    | AdapterSettings
    | KebiolmSettings,
    Field(discriminator="type"),
]


class ModelSettings(Settings):
    """One training run."""

    name: str = Field(..., pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name of the run.")
    objectives: tuple[Objective, ...] = Field(
        ..., min_length=1, description="What the run learns: a weighted sum of losses."
    )
    encoder: str = Field(
        "minilm", description="Pretrained encoder: a registry name, or a Hugging Face folder or id."
    )
    steps: int = Field(100, ge=1, description="Optimiser steps.")
    warmup_encoder_frozen: int = Field(
        0,
        ge=0,
        description="First steps in which the text encoder stays as it is, so that new "
        "heads do not drag it away.",
    )
    batch_sentences: int = Field(
        32, ge=1, description="Sentences in an optimiser step, over all processes."
    )
    batch_tokens: int | None = Field(
        None,
        ge=1,
        description="Instead of batch_sentences: about so many word pieces in a step.",
    )
    accumulate: int = Field(
        1,
        ge=1,
        description="Parts into which each process cuts its share of a step, to save memory; a "
        "contrastive loss sees the negatives of its part.",
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute the encoder's activations twice instead of keeping them."
    )
    learning_rate: float = Field(2e-5, gt=0, description="Peak rate of the text encoder.")
    learning_rate_new: float = Field(1e-4, gt=0, description="Peak rate of all new parameters.")
    weight_decay: float = Field(0.01, ge=0, description="Not applied to biases and norms.")
    warmup_fraction: float = Field(0.1, ge=0, le=1, description="Share of steps of warm-up.")
    max_warmup_steps: int = Field(10000, ge=0, description="Upper bound of the warm-up.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    patience: int | None = Field(
        None,
        ge=1,
        description="Early stopping: so many validations in a row without a lower loss end the "
        "run with the best weights; null trains all steps and keeps the last.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="`auto`: bf16 on a GPU or a processor with bf16 instructions."
    )
    seed: int = Field(13, ge=0, description="Seed of initialisation, order, masking and drawing.")

    @model_validator(mode="after")
    def _types_differ(self) -> ModelSettings:
        types = [objective.type for objective in self.objectives]
        if len(set(types)) < len(types):
            raise ValueError("the types of the objectives of a run must differ")
        if {"adapter", "kebiolm"} <= set(types):
            raise ValueError("adapter freezes the encoder that kebiolm changes: use one of them")
        return self

    @property
    def kge(self) -> str | None:
        """The name in pretrain.kge of the vectors that the run reads, if any."""
        found = (one.kge for one in self.objectives if isinstance(one, KebiolmSettings))
        return next(found, None)


# Minutes on two cores, from a sentence encoder without an MLM head.
_DEMO: dict[str, Any] = {
    "steps": 60,
    "warmup_encoder_frozen": 10,
    "learning_rate": 3e-5,
    "learning_rate_new": 1e-3,
}


class LaunchSettings(Settings):
    """The processes that share a run. They change its speed alone and make no model stale."""

    nodes: int = Field(1, ge=1, description="Machines of a run; more than one needs Slurm.")
    processes_per_node: int = Field(
        1, ge=1, description="Processes on each machine: its GPUs, or 1 without any."
    )


class PretrainSettings(Settings):
    """The training runs."""

    data: PretrainDataSettings = Field(PretrainDataSettings(), description="Training examples.")
    models: tuple[ModelSettings, ...] = Field(
        (
            ModelSettings(name="mlm", objectives=(MlmSettings(type="mlm"),), **_DEMO),
            # MLM pulls a sentence encoder off its course, so it weighs little here.
            ModelSettings(
                name="bali",
                objectives=(
                    MlmSettings(type="mlm", weight=0.1),
                    AlignmentSettings(type="alignment"),
                ),
                **_DEMO,
            ),
        ),
        description="The runs; each becomes `models/<name>/`.",
    )
    trackers: tuple[Literal["tensorboard"], ...] = Field(
        ("tensorboard",), description="Where metrics go besides metrics.jsonl, while training."
    )
    max_skipped_steps: int = Field(
        10,
        ge=1,
        description="Steps in a row whose loss or gradient is not finite before the run stops.",
    )
    keep_checkpoints: int = Field(2, ge=1, description="Newest checkpoints kept of a run.")
    kge: tuple[KgeSettings, ...] = Field(
        (), description="Knowledge graph embeddings; each becomes `pretrain/kge/<name>/`."
    )
    log_every: int = Field(10, ge=1, description="Steps between two lines of metrics.jsonl.")
    checkpoint_every: int = Field(100, ge=1, description="Steps between two checkpoints.")
    validate_every: int = Field(50, ge=1, description="Steps between two validations.")
    launch: LaunchSettings = Field(
        LaunchSettings(), description="Processes that share a run; results do not hang on them."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> PretrainSettings:
        names = [model.name for model in self.models]
        if "base" in names or len(set(names)) < len(names):
            raise ValueError("the names of the models must differ, and none may be 'base'")
        tables = [one.name for one in self.kge]
        if len(set(tables)) < len(tables):
            raise ValueError("the names of pretrain.kge must differ")
        for model in self.models:
            if model.kge is not None and model.kge not in tables:
                known = ", ".join(tables) or "none"
                raise ValueError(
                    f"{model.name}: no '{model.kge}' in pretrain.kge; there are: {known}"
                )
        return self
