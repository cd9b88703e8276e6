"""Settings of the stage ``evaluate``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from balign.settings import Settings


class _Task(Settings):
    name: str = Field(..., pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name of the task.")


class HeldOutLinkingTask(_Task):
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
    seed: int = Field(13, description="Seed of the draw of candidates.")


class MentionLinkingTask(_Task):
    """Zero-shot linking of the annotated mentions of a PubTator corpus."""

    family: Literal["linking_mentions"]
    source: str = Field(..., description="PubTator corpus in the source registry, by name.")
    entity_type: str = Field(..., description="Annotation type, such as `Disease`.")
    tree_prefixes: tuple[str, ...] = Field(
        ("C", "F03"),
        description="Branches of MeSH whose concepts are the candidates (C: diseases, F03: mental "
        "disorders).",
    )
    candidates: int | None = Field(
        None,
        ge=1,
        description="Names to choose from: every name of the mentions' concepts, filled up to this "
        "number with names of the branches' other concepts; null for all.",
    )
    seed: int = Field(13, description="Seed of the draw of candidates.")


class CheckTagTask(_Task):
    """Fine-tuning: predict the MeSH check tags of a citation from title and abstract."""

    family: Literal["check_tags"]
    train_citations: int = Field(640, ge=1, description="Citations to fine-tune on.")
    development_citations: int = Field(300, ge=1, description="Citations to set the thresholds on.")
    test_citations: int = Field(600, ge=1, description="Citations to score.")
    max_tokens: int = Field(96, ge=8, description="Word pieces of title and abstract.")
    epochs: int = Field(1, ge=1, description="Passes over the training citations.")
    batch_size: int = Field(8, ge=1, description="Citations in a step.")
    learning_rate: float = Field(
        2e-4, gt=0, description="Peak rate of the encoder; the new head has ten times this rate."
    )
    seeds: tuple[int, ...] = Field((1,), min_length=1, description="One run for each seed.")
    split_seed: int = Field(13, description="Seed of the split, the same for every model.")


Task = Annotated[
    HeldOutLinkingTask | MentionLinkingTask | CheckTagTask, Field(discriminator="family")
]


class EvaluateSettings(Settings):
    """What the models are tried on."""

    tasks: tuple[Task, ...] = Field(
        (
            HeldOutLinkingTask(
                name="held-out-synonyms", family="linking_held_out", queries=1000, candidates=10000
            ),
            MentionLinkingTask(
                name="bc5cdr-disease-linking",
                family="linking_mentions",
                source="bc5cdr",
                entity_type="Disease",
                candidates=15000,
            ),
            CheckTagTask(
                name="check-tags",
                family="check_tags",
                train_citations=480,
                development_citations=200,
                test_citations=500,
            ),
        ),
        description="The tasks; each is run on the untouched encoder (`base`) and on every model.",
    )
    bootstrap_samples: int = Field(
        1000, ge=100, description="Resamplings behind an interval or a paired test."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> EvaluateSettings:
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError("the names of the tasks must differ")
        return self
