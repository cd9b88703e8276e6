"""Spans of characters: which sentence holds them, and which of those that overlap stay."""

from __future__ import annotations

from collections import Counter

import polars as pl

CROSSES = "crosses the border of a sentence"
OVERLAPS = "overlaps a longer mention"


def place_spans(
    spans: pl.DataFrame, sentences: pl.DataFrame, dropped: Counter[str]
) -> pl.DataFrame:
    """Add the ``sentence`` that holds each span; a span that none holds whole is dropped.

    Args:
        spans: ``pmid``, ``start`` and ``end`` (code points in the document's text), and others.
        sentences: ``pmid``, ``sentence``, ``start`` and ``end``.
        dropped: the count of spans that are dropped is added to it.
    """
    ends = sentences.select("pmid", "sentence", "start", sentence_end="end").sort("pmid", "start")
    placed = (
        spans.sort("pmid", "start")
        .join_asof(ends, on="start", by="pmid", strategy="backward", check_sortedness=False)
        .filter(pl.col("end") <= pl.col("sentence_end"))
        .drop("sentence_end")
    )
    dropped[CROSSES] += len(spans) - len(placed)
    return placed


def without_overlaps(mentions: pl.DataFrame, dropped: Counter[str]) -> pl.DataFrame:
    """Keep the longest of mentions that overlap, of equal ones the first.

    Args:
        mentions: ``pmid``, ``start``, ``end`` and others.
        dropped: the count of mentions that are dropped is added to it.

    Returns:
        The mentions kept, sorted by (pmid, start).
    """
    ordered = mentions.sort("pmid", "start", maintain_order=True)
    latest = pl.col("end").cum_max().shift(1).over("pmid")
    # Most mentions touch no other; only groups of those that do are gone through one by one.
    group = (pl.col("start") >= latest).fill_null(True).cum_sum().alias("group")
    ordered = ordered.with_row_index("row").with_columns(group)
    crowded = ordered.filter(pl.len().over("group") > 1).select("row", "group", "start", "end")
    lost = []
    for (_,), some in crowded.group_by(["group"], maintain_order=True):
        taken: list[tuple[int, int]] = []
        longest = some.sort(pl.col("start") - pl.col("end"), "row")
        for row, start, end in longest.select("row", "start", "end").iter_rows():
            if all(end <= first or last <= start for first, last in taken):
                taken.append((start, end))
            else:
                lost.append(row)
    dropped[OVERLAPS] += len(lost)
    rows = pl.Series(lost, dtype=ordered["row"].dtype)
    return ordered.filter(~pl.col("row").is_in(rows.implode())).drop("row", "group")
