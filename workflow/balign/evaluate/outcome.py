"""What a task family gets and gives back.

A family is a module with ``run(task, run) -> Outcome``. It raises :class:`TaskSkipped` where its
files are not there, and other errors where something is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from balign.sources.manifest import SourceFolder

GOLD, PREDICTED = "gold:", "predicted:"  # columns of labels: gold:<label>, predicted:<label>


class TaskSkipped(Exception):
    """Raised by a family where a task cannot run and the others should; its text says why."""


@dataclass(frozen=True)
class Run:
    """One evaluation: a model folder, a seed, and the files that the family declares.

    Attributes:
        model: Hugging Face folder of the encoder.
        seed: seed of this run; only fine-tuning draws anything from it.
        database: kg.duckdb.
        abstracts: abstracts/*.parquet.
        source: the registry entry that the task names by ``source``, fetched.
        folder: where the task's files are: the folder of ``source``, or the one that the task names
            by ``path``.
        graph: folder of the graph.
        kge: folder of the graph embeddings that the task names by ``kge``.
    """

    model: Path
    seed: int
    database: Path | None = None
    abstracts: tuple[Path, ...] = ()
    source: SourceFolder | None = None
    folder: Path | None = None
    graph: Path | None = None
    kge: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """Predictions, and how they are scored.

    Attributes:
        predictions: one row an example, sorted by ``example`` (unique); the columns that the
            metrics read (:mod:`balign.evaluate.metrics`); ``subsets`` (list of strings),
            the named subsets that the example belongs to.
        metrics: names of metrics, the primary one first.
        subsets: names of subsets.
        counts: whatever a reader must know about the examples, such as how many were left out.
        training: how the model was fine-tuned: hyperparameters, figures on development, speed; or
            what else was learnt for the task.
    """

    predictions: pl.DataFrame
    metrics: tuple[str, ...]
    subsets: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


def subset_rows(predictions: pl.DataFrame, subset: str) -> pl.DataFrame:
    """Return the rows of a named subset."""
    return predictions.filter(pl.col("subsets").list.contains(subset))


def facts_path(predictions: Path) -> Path:
    """Return where the facts about ``seed<k>.parquet`` are: ``seed<k>.facts.json`` beside it."""
    return predictions.with_suffix(".facts.json")
