"""Rule ``corpus_count``: what became of every citation that was read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from balign.corpus.select import DROP_REASONS
from balign.errors import DataError
from balign.files import read_json, write_json

_log = logging.getLogger(__name__)

_KEPT = "split"


def corpus_count(
    fates: Path, selection: Path, guards: Sequence[Path], sentences: Sequence[Path], output: Path
) -> None:
    """Count citations and sentences, of each file and of all, and hold the sums against each other.

    Args:
        fates: the file of :func:`balign.corpus.merge.corpus_merge`.
        selection: the file of :func:`balign.corpus.select.corpus_select`.
        guards: files of :func:`balign.corpus.guard.corpus_guard`.
        sentences: all files of :func:`balign.corpus.split.corpus_split`.
        output: JSON: ``read`` (citations) = ``live`` + ``superseded`` (a later row or a higher
            version replaces it) + ``deleted`` (its PMID no longer lives); ``deletions`` (rows of
            ``DeleteCitation``); ``live`` = ``split`` + the sum of ``dropped`` (by the first reason,
            :data:`balign.corpus.select.DROP_REASONS`); ``sentences``; the same for each file under
            ``files``; and under ``guard`` for each task ``status``, ``test_pmids`` and
            ``in_corpus``, the live citations among them.

    Raises:
        DataError: if the counts do not add up, as they do where all files are of one run.
    """
    fate = _by_file(pl.scan_parquet(fates), "fate")
    choice = _by_file(
        pl.scan_parquet(selection).with_columns(pl.col("reason").fill_null(_KEPT)), "reason"
    )
    rows = {path.stem: pq.read_metadata(path).num_rows for path in sentences}
    names = sorted({*fate, *rows})
    files = {
        name: _file_counts(fate.get(name, {}), choice.get(name, {}), rows.get(name, 0))
        for name in names
    }
    for name, counts in files.items():
        kept = counts[_KEPT] + sum(counts["dropped"].values())
        if counts["live"] != kept:
            raise DataError(
                f"{name} has {counts['live']:,} live citations, but {kept:,} were selected or "
                "dropped",
                where=f"{fates}, {selection}",
                hint="the files are of different runs: delete them and repeat the run",
            )
    total = add_counts(list(files.values()) or [_file_counts({}, {}, 0)])
    guard = _guard_counts(guards, selection)
    write_json(output, {**total, "guard": guard, "files": files})
    _log.info("%s files: %s", len(files), total)


def _by_file(rows: pl.LazyFrame, column: str) -> dict[str, dict[str, int]]:
    """Count the rows of each file by a column's values."""
    counted = rows.group_by("file", column).agg(pl.len()).collect(engine="streaming")
    found: dict[str, dict[str, int]] = {}
    for file, value, count in counted.iter_rows():
        found.setdefault(file, {})[value] = count
    return found


def _file_counts(fate: dict[str, int], choice: dict[str, int], sentences: int) -> dict[str, Any]:
    live, superseded, deleted, deletions = (
        fate.get(name, 0) for name in ("live", "superseded", "deleted", "deletion")
    )
    return {
        "read": live + superseded + deleted,
        "deletions": deletions,
        "live": live,
        "superseded": superseded,
        "deleted": deleted,
        "dropped": {reason: choice.get(reason, 0) for reason in DROP_REASONS},
        _KEPT: choice.get(_KEPT, 0),
        "sentences": sentences,
    }


def _guard_counts(guards: Sequence[Path], selection: Path) -> dict[str, dict[str, Any]]:
    found = {}
    pmids = pl.scan_parquet(selection).select("pmid")
    for path in sorted(guards):
        guard = read_json(path)
        among = pl.Series(guard["pmids"], dtype=pl.Int64).implode()
        present = pmids.filter(pl.col("pmid").is_in(among)).select(pl.len())
        found[guard["task"]] = {
            "status": guard["status"],
            "test_pmids": len(guard["pmids"]),
            "in_corpus": int(present.collect(engine="streaming").item()),
        }
    return found


def add_counts(counts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the sums of counts that have the same keys; nested counts are added likewise."""
    total: dict[str, Any] = {}
    for key in counts[0] if counts else ():
        values = [item[key] for item in counts]
        total[key] = add_counts(values) if isinstance(values[0], dict) else sum(values)
    return total
