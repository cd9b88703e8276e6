"""The table of mentions that every linker returns (docs/contracts.md)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

SCHEMA = pl.Schema(
    {
        "pmid": pl.Int64,
        "sentence": pl.Int32,
        "start": pl.Int32,
        "end": pl.Int32,
        "surface": pl.String,
        "concept": pl.String,
        "score": pl.Float32,
        "linker": pl.String,
    }
)


def answered(
    spans: pl.DataFrame, answers: Sequence[tuple[str | None, float]], linker: str
) -> pl.DataFrame:
    """Return spans as mentions.

    Args:
        spans: the table, of which concept, score and linker do not count.
        answers: concept and score of each span.
        linker: who gave them.
    """
    return (
        spans.with_columns(
            concept=pl.Series([concept for concept, _ in answers], dtype=pl.String),
            score=pl.Series([score for _, score in answers], dtype=pl.Float32),
            linker=pl.lit(linker),
        )
        .select(SCHEMA.names())
        .cast(SCHEMA)
    )
