"""What a task family gets and gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from balign.sources.manifest import SourceFolder


@dataclass(frozen=True)
class Run:
    """One evaluation: a model folder, a seed, and the files that the family declares.

    Attributes:
        model: Hugging Face folder of the encoder.
        seed: seed of this run; only fine-tuning draws anything from it.
        database: kg.duckdb.
        abstracts: abstracts/*.parquet.
        source: the registry entry that the task names, fetched.
    """

    model: Path
    seed: int
    database: Path | None = None
    abstracts: tuple[Path, ...] = ()
    source: SourceFolder | None = None


@dataclass(frozen=True)
class Outcome:
    """Predictions, and how they are scored.

    Attributes:
        predictions: one row an example, sorted by ``example`` (unique); the columns that the
            metrics read (:data:`balign.evaluate.metrics.METRICS`); ``subsets`` (list of strings),
            the named subsets that the example belongs to.
        metrics: names of metrics, the primary one first.
        subsets: names of subsets.
        counts: whatever a reader must know about the examples, such as how many were left out.
    """

    predictions: pl.DataFrame
    metrics: tuple[str, ...]
    subsets: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


def subset_rows(predictions: pl.DataFrame, subset: str) -> pl.DataFrame:
    """Return the rows of a named subset."""
    return predictions.filter(pl.col("subsets").list.contains(subset))
