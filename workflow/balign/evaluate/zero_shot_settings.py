"""Settings of the tasks that only embed names and sentences, or fill masks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from balign.evaluate.task_settings import NamedTask, TaskFiles

Pooling = Literal["mean", "cls", "first_last"]
_POOLING = (
    "A vector is the `mean` of the word pieces, the first state (`cls`), or the mean of the states "
    "after the first and the last layer (`first_last`)."
)


class _DataTask(NamedTask):
    source: str | None = Field(None, description="Its data in the source registry, by name.")
    path: str | None = Field(
        None, description="Or a folder that you put the files in; the task is skipped without it."
    )
    obtain: str | None = Field(None, description="How to come by the files, for people.")

    @model_validator(mode="after")
    def _one_place(self) -> _DataTask:
        if (self.source is None) == (self.path is None):
            raise ValueError("give either source, a name of the registry, or path, a folder")
        return self


class HeldOutLinkingTask(NamedTask):
    """Zero-shot linking of synonyms that were held out of the graph."""

    family: Literal["linking_held_out"]
    queries: int | None = Field(
        None, ge=1, description="Evaluate at most so many held-out synonyms; null for all."
    )
    candidates: int | None = Field(
        20000,
        ge=1,
        description="Names to choose from, variants in word order aside: every name of the "
        "queries' concepts, filled up to this number with names of other concepts; null for all.",
    )
    pooling: Pooling = Field("mean", description=_POOLING)
    seed: int = Field(13, description="Seed of the draw of candidates.")


class MentionLinkingTask(_DataTask):
    """Zero-shot linking of the annotated mentions of a PubTator corpus."""

    family: Literal["linking_mentions"]
    files: TaskFiles | None = Field(
        None, description="File names; null: those that begin with train, dev and test."
    )
    entity_type: str | None = Field(
        ..., description="Annotation type, such as `Disease`; null for all."
    )
    tree_prefixes: tuple[str, ...] = Field(
        ("C", "F03"),
        description="Branches of MeSH whose concepts are the candidates (C: diseases, F03: mental "
        "disorders, D: chemicals), supplementary records by the headings they are mapped to.",
    )
    candidates: int | None = Field(
        None,
        ge=1,
        description="Names to choose from: every name of the mentions' concepts, filled up to this "
        "number with names of the branches' other concepts; null for all.",
    )
    pooling: Pooling = Field("mean", description=_POOLING)
    seed: int = Field(13, description="Seed of the draw of candidates.")


class SimilarityTask(_DataTask):
    """Zero-shot: cosine of the vectors of two texts against people's judgement. Spearman."""

    family: Literal["similarity"]
    file: str = Field(..., description="Table of pairs, with a header; `.tsv` has tabs.")
    columns: tuple[str, str, str] = Field(
        ("Term1", "Term2", "Mean"), description="Its columns: both texts, and the judgement."
    )
    pooling: Pooling = Field("mean", description=_POOLING)
    max_tokens: int = Field(32, ge=4, description="Word pieces of a text.")


class ScoredEdgesTask(NamedTask):
    """What tasks on the graph's edges share: names as what stands for concepts, and a scorer."""

    train_edges: int = Field(20000, ge=1, description="Edges that the scorer learns from.")
    dev_edges: int = Field(1000, ge=1, description="Edges to choose by.")
    scorer: Literal["text", "bilinear"] = Field(
        "bilinear",
        description="`text`: the vector of `head relation` against that of the tail's name, "
        "nothing is learnt; `bilinear`: a DistMult of small rank learnt on frozen vectors of "
        "names.",
    )
    pooling: Pooling = Field("mean", description=_POOLING)
    seed: int = Field(13, description="Seed of the draw of edges.")
    seeds: tuple[int, ...] = Field((1,), min_length=1, description="One run for each seed.")


class _EdgeTask(ScoredEdgesTask):
    test_edges: int = Field(1000, ge=1, description="Edges to score.")


class LinkPredictionTask(_EdgeTask):
    """Predict the head or the tail of an edge by the names of concepts. Filtered MRR, Hits@k."""

    family: Literal["link_prediction"]
    candidates: int | None = Field(
        10000,
        ge=1,
        description="Concepts to choose from: those of the drawn edges, filled up to this number; "
        "null for all concepts with an edge.",
    )


class CompletionTask(ScoredEdgesTask):
    """Complete the edges that `graph.held_out_edges` keeps out of the graph: by the names of
    concepts, by graph embeddings, and by a router between the two. Filtered MRR, Hits@k."""

    family: Literal["completion"]
    kge: str | None = Field(
        None,
        description="Graph embeddings to rank with too, by name in `pretrain.kge`; null for names "
        "alone, without a router.",
    )
    candidates: int | None = Field(
        10000,
        ge=1,
        description="Concepts to choose from: those of the held-out and the drawn edges, filled up "
        "to this number; null for all of the graph.",
    )


class TripleClassificationTask(_EdgeTask):
    """Tell edges from corrupted ones by the names of concepts. AUC, accuracy."""

    family: Literal["triple_classification"]


class ProbingTask(NamedTask):
    """Fill-in probing: predict the name of one end of an edge at masked word pieces. Recall."""

    family: Literal["probing"]
    triples: int = Field(500, ge=1, description="Edges probed; each is two queries.")
    per_relation: int | None = Field(
        100, ge=1, description="At most so many of a relation; null for any number."
    )
    max_masks: int = Field(10, ge=1, description="Masks tried: 1 to this number.")
    beam: int = Field(
        5,
        ge=1,
        description="Fillings kept while masks are filled; answers of each number of masks.",
    )
    max_name_tokens: int = Field(
        24, ge=1, description="Longest given name in word pieces; longer ones are cut."
    )
    seed: int = Field(13, description="Seed of the draw of edges.")
