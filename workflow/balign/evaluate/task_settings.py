"""Settings of the tasks that fine-tune: where the data are, what they look like, how to train.

A new task needs no code when its format is known; docs/evaluation.md shows how.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from balign.settings import Settings


class NamedTask(Settings):
    """What every task has."""

    name: str = Field(..., pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name of the task.")


class TaskFiles(Settings):
    """File names of a task's parts; several are read one after the other."""

    train: tuple[str, ...] = Field(..., min_length=1, description="To train on.")
    dev: tuple[str, ...] = Field(
        (), description="To choose by; where there is none, a share of the training examples."
    )
    test: tuple[str, ...] = Field(..., min_length=1, description="To score.")


class Columns(Settings):
    """Columns of a table by name, or by number from 0 where it has no header; keys of JSONL."""

    id: str | int | None = Field(None, description="Name of the example; null: its line.")
    text: str | int = Field("text", description="The text.")
    second: str | int | None = Field(None, description="Second text of a pair.")
    label: str | int = Field("label", description="Label, labels or number.")
    options: str | None = Field(None, description="List of answers (JSONL, multiple choice).")


class Grid(Settings):
    """Values to try; the best on the development examples is taken, and no other part is seen."""

    learning_rate: tuple[float, ...] = Field((), description="Peak rates.")
    batch_size: tuple[int, ...] = Field((), description="Examples in a step.")
    epochs: tuple[int, ...] = Field((), description="Passes over the training examples.")


class FineTuning(Settings):
    """How a model is fine-tuned: AdamW, linear warm-up and decay."""

    learning_rate: float = Field(3e-5, gt=0, description="Peak rate.")
    head_rate: float = Field(
        1.0, gt=0, description="The new head learns at so many times that rate."
    )
    batch_size: int = Field(32, ge=1, description="Examples in an optimiser step.")
    accumulation: int = Field(
        1, ge=1, description="Cut a step into so many parts to save memory; they add up to it."
    )
    epochs: int = Field(10, ge=1, description="Passes over the training examples.")
    patience: int | None = Field(
        None,
        ge=1,
        description="Stop after so many passes without a better figure on development; null: no.",
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps of warm-up.")
    weight_decay: float = Field(0.01, ge=0, description="Not applied to biases and norms.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Before the head.")
    max_tokens: int = Field(512, ge=8, description="Word pieces of an example.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="`auto`: bf16 on a GPU or a processor with bf16 instructions."
    )
    grid: Grid = Field(Grid(), description="Values to try instead, chosen on development.")


class FineTunedTask(NamedTask):
    """A task that fine-tunes the encoder on files."""

    source: str | None = Field(None, description="Its data in the source registry, by name.")
    path: str | None = Field(
        None, description="Or a folder that you put the files in; the task is skipped without them."
    )
    obtain: str | None = Field(None, description="How to come by the files, for people.")
    files: TaskFiles = Field(..., description="File names in it.")
    max_train: int | None = Field(None, ge=1, description="Train on so many, drawn; null: all.")
    max_dev: int | None = Field(None, ge=1, description="Choose by so many, drawn; null: all.")
    max_test: int | None = Field(None, ge=1, description="Score so many, drawn; null: all.")
    dev_share: float = Field(
        0.1, gt=0, lt=1, description="Training examples held out where there is no dev file."
    )
    draw_seed: int = Field(13, description="Seed of these draws, the same for every model.")
    seeds: tuple[int, ...] = Field((1, 2, 3), min_length=1, description="One run for each seed.")
    fine_tuning: FineTuning = Field(FineTuning(), description="How the model is fine-tuned.")

    @model_validator(mode="after")
    def _one_place(self) -> FineTunedTask:
        if (self.source is None) == (self.path is None):
            raise ValueError("give either source, a name of the registry, or path, a folder")
        return self


class TokenTask(FineTunedTask):
    """Fine-tuning: named entities. Entity F1 as seqeval's strict IOB2."""

    family: Literal["token_classification"]
    format: Literal["iob", "jsonl", "pubtator", "bioc_xml", "bioc_json"] = Field(
        ..., description="Format of the files."
    )
    word_column: int = Field(0, ge=0, description="Column of the word (`iob`).")
    tag_column: int = Field(-1, description="Column of the tag, -1 for the last (`iob`).")
    columns: Columns = Field(
        Columns(text="tokens", label="tags"), description="Keys of the lists (`jsonl`)."
    )
    entity_types: tuple[str, ...] = Field((), description="Types to find; empty for all.")
    as_type: str | None = Field(None, description="Take all of them for one type of this name.")


class PairMarkers(Settings):
    """How the two arguments of a relation are marked in the text."""

    markers: tuple[str, ...] = Field(
        ("<<", ">>", "[[", "]]"),
        description="Four strings around the two arguments, or two that stand for them "
        "(`@GENE$`); each becomes one word piece. A format with places gets the four inserted.",
    )
    pooling: Literal["markers", "cls", "mean"] = Field(
        "markers",
        description="What the head reads: the states of the two arguments' first markers, of the "
        "first word piece, or the mean of all.",
    )

    @model_validator(mode="after")
    def _two_or_four(self) -> PairMarkers:
        if len(self.markers) not in (2, 4):
            raise ValueError("two or four markers")
        return self


class RelationTask(FineTunedTask):
    """Fine-tuning: the relation of two marked entities. Micro F1 over the positive classes."""

    family: Literal["relation_classification"]
    format: Literal["jsonl", "tsv", "csv", "ddi_xml", "bioc_xml", "bioc_json", "pubtator"] = Field(
        ..., description="Format of the files."
    )
    columns: Columns = Field(Columns(), description="Where the parts are (`jsonl`, `tsv`, `csv`).")
    header: bool = Field(True, description="Whether the first line names columns (`tsv`, `csv`).")
    arguments: tuple[str, ...] = Field(
        (),
        description="Types of head and tail; every such pair in a sentence is an example "
        "(`bioc_xml`, `bioc_json`, `pubtator`).",
    )
    negative: tuple[str, ...] = Field(
        (), description="Labels that mean that there is no relation; they do not count in F1."
    )
    pair: PairMarkers = Field(PairMarkers(), description="How the arguments are marked.")


class TextTask(FineTunedTask):
    """Fine-tuning: one label for a text or a pair of texts. Accuracy."""

    family: Literal["sequence_classification"]
    format: Literal["jsonl", "tsv", "csv", "pubmedqa", "bioasq"] = Field(
        ..., description="Format of the files."
    )
    columns: Columns = Field(Columns(), description="Where the parts are (`jsonl`, `tsv`, `csv`).")
    header: bool = Field(True, description="Whether the first line names columns (`tsv`, `csv`).")
    folds: int | None = Field(
        None,
        ge=2,
        description="Cut the training examples into so many folds; seed k develops on fold k and "
        "trains on the others.",
    )
    pooling: Literal["cls", "mean"] = Field("cls", description="What the head reads.")


class LabelsTask(FineTunedTask):
    """Fine-tuning: any number of labels for a text. Micro F1 over documents."""

    family: Literal["multi_label"]
    format: Literal["jsonl", "tsv", "csv"] = Field(..., description="Format of the files.")
    columns: Columns = Field(Columns(), description="Where the parts are.")
    header: bool = Field(True, description="Whether the first line names columns (`tsv`, `csv`).")
    separator: str = Field(
        ",",
        min_length=1,
        description="Between the labels of a cell. Cells such as `0_1,1_0`, a flag for each label, "
        "are known.",
    )
    document_separator: str | None = Field(
        None,
        description="Where set, `id` is a document's name, this, and a sentence's; a document has "
        "the labels of its sentences.",
    )
    threshold: Literal["half", "dev"] = Field(
        "half", description="A label is given from probability 0.5, or the best on development."
    )
    pooling: Literal["cls", "mean"] = Field("cls", description="What the head reads.")


class ChoiceTask(FineTunedTask):
    """Fine-tuning: one right answer among several. Accuracy."""

    family: Literal["multiple_choice"]
    format: Literal["medqa", "medmcqa", "jsonl"] = Field(..., description="Format of the files.")
    columns: Columns = Field(
        Columns(text="question", label="answer", options="options"),
        description="Keys; the label is the position of the right answer, from 0 (`jsonl`).",
    )
    pooling: Literal["cls", "mean"] = Field("cls", description="What the head reads.")


class ScoreTask(FineTunedTask):
    """Fine-tuning: a number for a pair of texts. Pearson's and Spearman's correlation."""

    family: Literal["regression"]
    format: Literal["csv", "tsv", "jsonl"] = Field(..., description="Format of the files.")
    columns: Columns = Field(
        Columns(text="sentence1", second="sentence2", label="score"),
        description="Where the parts are.",
    )
    header: bool = Field(True, description="Whether the first line names columns (`tsv`, `csv`).")
    pooling: Literal["cls", "mean"] = Field("cls", description="What the head reads.")


TableTask = RelationTask | TextTask | LabelsTask | ScoreTask
