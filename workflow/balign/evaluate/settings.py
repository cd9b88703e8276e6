"""Settings of the stage ``evaluate``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from balign.evaluate.task_settings import (
    ChoiceTask,
    LabelsTask,
    NamedTask,
    RelationTask,
    ScoreTask,
    TextTask,
    TokenTask,
)
from balign.evaluate.zero_shot_settings import (
    CompletionTask,
    HeldOutLinkingTask,
    LinkPredictionTask,
    MentionLinkingTask,
    ProbingTask,
    SimilarityTask,
    TripleClassificationTask,
)
from balign.settings import Settings


class CheckTagTask(NamedTask):
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
    HeldOutLinkingTask
    | MentionLinkingTask
    | SimilarityTask
    | LinkPredictionTask
    | CompletionTask
    | TripleClassificationTask
    | ProbingTask
    | CheckTagTask
    | TokenTask
    | RelationTask
    | TextTask
    | LabelsTask
    | ChoiceTask
    | ScoreTask,
    Field(discriminator="family"),
]


def _or_entry(schema: dict[str, Any]) -> None:
    """Let the JSON schema take an item without ``family``: an entry of the shipped list."""
    entry = {
        "type": "object",
        "description": "An entry of resources/tasks.yaml, by `name` or `entry`, and what differs.",
        "required": ["name"],
        "not": {"required": ["family"]},
    }
    schema["items"] = {"anyOf": [entry, schema["items"]]}


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
            SimilarityTask(
                name="umnsrs-similarity",
                family="similarity",
                source="umnsrs",
                file="UMNSRS_similarity.csv",
            ),
            CheckTagTask(
                name="check-tags",
                family="check_tags",
                train_citations=480,
                development_citations=200,
                test_citations=500,
            ),
        ),
        description="The tasks; each is run on the untouched encoder (`base`) and on every model. "
        "An item without `family` is the entry of its name (or of `entry`) in "
        "resources/tasks.yaml, and its other keys replace that entry's.",
        json_schema_extra=_or_entry,
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
