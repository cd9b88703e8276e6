"""The table of mentions that every linker returns (docs/contracts.md)."""

from __future__ import annotations

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
