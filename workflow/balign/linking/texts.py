"""Sentences and the documents that hold them."""

from __future__ import annotations

import polars as pl

from balign.errors import DataError


def check_sentences(documents: pl.DataFrame, sentences: pl.DataFrame) -> None:
    """Check that every sentence lies within the text of its document.

    Raises:
        DataError: if a sentence has no document or ends beyond its text.
    """
    lengths = documents.select("pmid", length=pl.col("text").str.len_chars())
    joined = sentences.join(lengths, on="pmid", how="left", maintain_order="left")
    wrong = joined.filter(pl.col("length").is_null() | (pl.col("end") > pl.col("length")))
    if len(wrong):
        row = wrong.row(0, named=True)
        problem = "has no citation" if row["length"] is None else "ends beyond its text"
        raise DataError(
            f"sentence {row['sentence']} of PMID {row['pmid']} {problem}",
            hint="abstracts and sentences must come from one run of `balign corpus split`",
        )
