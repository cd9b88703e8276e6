"""Which row of which file is the living one of each PMID."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from balign.corpus.spill import Spill, spill_beside
from balign.errors import DataError
from balign.files import atomic_path
from balign.progress import track

_log = logging.getLogger(__name__)

LIVE_SCHEMA = pa.schema(
    [("pmid", pa.int64()), ("version", pa.int32()), ("file", pa.string()), ("row", pa.int64())]
)
FATES = ("live", "superseded", "deleted", "deletion")
"""What became of a row: it lives; a later row or a higher version of its PMID lives; its PMID no
longer lives; it is itself a deletion."""
FATES_SCHEMA = pa.schema([("file", pa.string()), ("row", pa.int64()), ("fate", pa.string())])

_NUMBERED = re.compile(r"pubmed(\d\d)n(\d+)")
_EVENT = np.dtype([("pmid", "i8"), ("version", "i4"), ("deleted", "?"), ("place", "i8")])
_PMIDS_A_BUCKET = 1 << 18
_BUCKETS = 1 << 12  # PMIDs have at most nine digits
_EVERY_VERSION = -1


def corpus_merge(parsed: Sequence[Path], live: Path, fates: Path) -> None:
    """Write one row a live PMID, and the fate of every row of every file.

    The files' order is :func:`file_order`. The names of the files merged are in the schema's
    metadata of both tables under ``files``, as a JSON list, so that a reader can tell a file
    without a live citation from one that was not merged. Memory holds the events of 262,144 PMIDs
    and one byte a row of all files.

    Args:
        parsed: files of :func:`balign.corpus.parse.corpus_parse`, in any order.
        live: the table of live rows, :data:`LIVE_SCHEMA`, sorted by PMID.
        fates: the table of all rows, :data:`FATES_SCHEMA`, in the files' order; ``fate`` is one of
            :data:`FATES`. One row group a file, so that a file's rows are found at once.

    Raises:
        DataError: if two files have one name.
    """
    files = sorted((path.stem for path in parsed), key=file_order)
    twice = sorted({name for name in files if files.count(name) > 1})
    if twice:
        raise DataError(f"two files are called {twice[0]}", hint="give each its own name")
    paths = {path.stem: path for path in parsed}
    metadata = {"files": json.dumps(files)}
    with spill_beside(live, _EVENT) as spill:
        starts = _read_events([paths[name] for name in files], spill)
        fate = np.zeros(starts[-1], dtype=np.uint8)
        names = pa.array(files, pa.string())
        count = 0
        schema = LIVE_SCHEMA.with_metadata(metadata)
        with (
            atomic_path(live) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            for events in spill.buckets():
                rows = _settle(events, fate)
                rank = np.searchsorted(starts, rows["place"], side="right") - 1
                columns = [
                    *(rows["pmid"].to_numpy(), rows["version"].to_numpy()),
                    *(names.take(pa.array(rank)), rows["place"].to_numpy() - starts[rank]),
                ]
                writer.write_table(pa.table(columns, schema=schema))
                count += len(rows)
    _write_fates(files, starts, fate, fates, FATES_SCHEMA.with_metadata(metadata))
    _log.info("%s live citations in %s files", f"{count:,}", f"{len(files):,}")


def _read_events(paths: Sequence[Path], spill: Spill) -> npt.NDArray[np.int64]:
    """Spill all files' rows by ranges of PMIDs; return each file's first place, and the end."""
    starts = [0]
    for path in track(paths, "files merged"):
        table = pq.read_table(path, columns=["kind", "pmid", "version"])
        pmid = table["pmid"].to_numpy()
        columns = {
            "pmid": pmid,
            "version": pc.fill_null(table["version"], _EVERY_VERSION).to_numpy(),
            "deleted": pc.equal(table["kind"], "deletion").to_numpy(),
            "place": np.arange(starts[-1], starts[-1] + len(table)),
        }
        # Negative numbers, which are documents that PubMed does not have, share one bucket.
        spill.add(np.clip(pmid // _PMIDS_A_BUCKET, -1, _BUCKETS), columns)
        starts.append(starts[-1] + len(table))
    return np.array(starts, dtype=np.int64)


def _settle(events: npt.NDArray[np.void], fate: npt.NDArray[np.uint8]) -> pl.DataFrame:
    """Return the live rows among all events of some PMIDs, and note each event's fate."""
    frame = pl.DataFrame({name: events[name] for name in _EVENT.names or ()}).with_columns(
        pl.col("version").replace(_EVERY_VERSION, None)
    )
    rows = live_rows(frame)
    lives = np.isin(events["pmid"], rows["pmid"].to_numpy())
    fate[events["place"]] = np.where(events["deleted"], 3, np.where(lives, 1, 2))
    fate[rows["place"].to_numpy()] = 0
    return rows


def _write_fates(
    files: Sequence[str],
    starts: npt.NDArray[np.int64],
    fate: npt.NDArray[np.uint8],
    output: Path,
    schema: pa.Schema,
) -> None:
    words = pa.array(FATES, pa.string())
    with (
        atomic_path(output) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for name, start, end in zip(files, starts[:-1], starts[1:], strict=True):
            size = int(end - start)
            columns = [pa.repeat(name, size), pa.array(range(size), pa.int64())]
            columns.append(words.take(pa.array(fate[start:end])))
            writer.write_table(pa.table(columns, schema=schema))


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
