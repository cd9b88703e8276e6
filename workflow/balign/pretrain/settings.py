"""Settings of the stage ``pretrain``."""

from __future__ import annotations

from typing import Any, Literal

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


class GraphEncoderSettings(Settings):
    """The graph neural network that encodes a concept's neighbourhood."""

    neighbours: int = Field(3, ge=0, description="Neighbours drawn for a concept at each visit.")
    layers: int = Field(2, ge=1, description="GATv2 layers.")
    heads: int = Field(2, ge=1, description="Attention heads of a layer.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout probability.")
    relations: bool = Field(True, description="Give the relation to the attention as a feature.")
    residual: bool = Field(True, description="Add a layer's input to its output.")


class ModelSettings(Settings):
    """One training run."""

    name: str = Field(..., pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name of the run.")
    objective: Literal["mlm", "bali"] = Field(
        ..., description="`mlm`: the control; `bali`: MLM and alignment with the graph."
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
    batch_sentences: int = Field(32, ge=1, description="Sentences in an optimiser step.")
    learning_rate: float = Field(2e-5, gt=0, description="Peak rate of the text encoder.")
    learning_rate_new: float = Field(1e-4, gt=0, description="Peak rate of all new parameters.")
    weight_decay: float = Field(0.01, ge=0, description="Not applied to biases and norms.")
    warmup_fraction: float = Field(0.1, ge=0, le=1, description="Share of steps of warm-up.")
    max_warmup_steps: int = Field(10000, ge=0, description="Upper bound of the warm-up.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    mlm_weight: float = Field(1.0, ge=0, description="Weight of the MLM loss.")
    mlm_probability: float = Field(0.15, gt=0, lt=1, description="Share of word pieces masked.")
    alignment_weight: float = Field(1.0, ge=0, description="Weight of the alignment loss.")
    temperature: float = Field(0.07, gt=0, description="Temperature of the alignment loss.")
    graph: GraphEncoderSettings = Field(
        GraphEncoderSettings(), description="Graph encoder (objective `bali`)."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="`auto`: bf16 on a GPU or a processor with bf16 instructions."
    )
    seed: int = Field(13, ge=0, description="Seed of initialisation, order, masking and drawing.")


# Minutes on two cores, from a sentence encoder without an MLM head.
_DEMO: dict[str, Any] = {
    "steps": 60,
    "warmup_encoder_frozen": 10,
    "learning_rate": 3e-5,
    "learning_rate_new": 1e-3,
}


class PretrainSettings(Settings):
    """The training runs."""

    data: PretrainDataSettings = Field(PretrainDataSettings(), description="Training examples.")
    models: tuple[ModelSettings, ...] = Field(
        (
            ModelSettings(name="mlm", objective="mlm", **_DEMO),
            # MLM pulls a sentence encoder off its course, so it weighs little here.
            ModelSettings(name="bali", objective="bali", mlm_weight=0.1, **_DEMO),
        ),
        description="The runs; each becomes `models/<name>/`.",
    )
    log_every: int = Field(10, ge=1, description="Steps between two lines of metrics.jsonl.")
    checkpoint_every: int = Field(100, ge=1, description="Steps between two checkpoints.")
    validate_every: int = Field(50, ge=1, description="Steps between two validations.")

    @model_validator(mode="after")
    def _names_differ(self) -> PretrainSettings:
        names = [model.name for model in self.models]
        if "base" in names or len(set(names)) < len(names):
            raise ValueError("the names of the models must differ, and none may be 'base'")
        return self
