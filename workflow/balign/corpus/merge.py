"""Which row of which file is the living one of each PMID."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from balign.errors import DataError
from balign.files import atomic_path

_log = logging.getLogger(__name__)

LIVE_SCHEMA = pa.schema(
    [("pmid", pa.int64()), ("version", pa.int32()), ("file", pa.string()), ("row", pa.int64())]
)

_NUMBERED = re.compile(r"pubmed(\d\d)n(\d+)")
_ROWS_A_FILE = 1 << 32


def corpus_merge(parsed: Sequence[Path], output: Path) -> None:
    """Write one row a live PMID, sorted by PMID.

    The files' order is :func:`file_order`. The names of the files merged are in the schema's
    metadata under ``files``, as a JSON list, so that a reader can tell a file without a live
    citation from one that was not merged.

    Args:
        parsed: files of :func:`balign.corpus.parse.corpus_parse`, in any order.
        output: the table, :data:`LIVE_SCHEMA`.

    Raises:
        DataError: if two files have one name.
    """
    files = sorted((path.stem for path in parsed), key=file_order)
    twice = sorted({name for name in files if files.count(name) > 1})
    if twice:
        raise DataError(f"two files are called {twice[0]}", hint="give each its own name")
    paths = {path.stem: path for path in parsed}
    events = pl.concat(
        [
            pl.scan_parquet(paths[name])
            .select("pmid", "version", pl.col("kind") == "deletion")
            .with_row_index("row")
            .with_columns(place=pl.lit(rank, pl.Int64) * _ROWS_A_FILE + pl.col("row"))
            .drop("row")
            for rank, name in enumerate(files)
        ]
    ).rename({"kind": "deleted"})
    live = live_rows(events.collect())
    table = pa.table(
        {
            "pmid": live["pmid"].to_numpy(),
            "version": live["version"].to_numpy(),
            "file": pa.array(files, pa.string()).take((live["place"] // _ROWS_A_FILE).to_arrow()),
            "row": (live["place"] % _ROWS_A_FILE).to_numpy(),
        },
        schema=LIVE_SCHEMA.with_metadata({"files": json.dumps(files)}),
    )
    with atomic_path(output) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    _log.info("%s live citations in %s files", f"{len(live):,}", f"{len(files):,}")


def live_rows(events: pl.DataFrame) -> pl.DataFrame:
    """Return ``pmid``, ``version`` and ``place`` of the live citations, sorted by PMID.

    ``PMID.version`` names a record and a deletion takes away that record alone (NLM Technical
    Bulletin 2012, no. 384, e6); one without version takes away all of the PMID. Of a record the
    last row counts: a revision replaces what came before it, and a record that comes again after
    its deletion lives. Of a PMID the highest living version counts, whichever file it is in, as in
    PubMed's own search: an old version may be revised after a new one came out.

    Args:
        events: ``pmid``, ``version`` (null only in a deletion), ``deleted`` (bool) and ``place``
            (int, unique, in the order of the events); one row a citation or deletion.
    """
    last = pl.col("place").max()
    records = events.filter(~pl.col("deleted")).group_by("pmid", "version").agg(last)
    gone = events.filter("deleted").group_by("pmid", "version").agg(gone=last)
    all_gone = gone.filter(pl.col("version").is_null()).select("pmid", all_gone="gone")
    never = pl.lit(-1, pl.Int64)
    return (
        records.join(gone, on=["pmid", "version"], how="left")
        .join(all_gone, on="pmid", how="left")
        .filter(
            pl.col("place")
            > pl.max_horizontal(
                pl.col("gone").fill_null(never), pl.col("all_gone").fill_null(never)
            )
        )
        .sort("pmid", "version")
        .group_by("pmid", maintain_order=True)
        .last()
        .select("pmid", "version", "place")
    )


def file_order(name: str) -> tuple[int, int, int, str]:
    """Return the key that sorts files as PubMed issues them.

    ``pubmedYYnNNNN``: by year, then by number, since the updates go on counting where the year's
    baseline ends. Files of several years are one row of them; a baseline of a later year holds all
    that lived then but lists no deletions, so that a citation deleted between two baselines stays
    if only its old file is there. Other names come after all of these, sorted by name.
    """
    found = _NUMBERED.fullmatch(name)
    if found:
        return (0, int(found[1]), int(found[2]), name)
    return (1, 0, 0, name)
