"""Rule ``corpus_split``: the sentences of a file's selected citations."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from balign.corpus.sentences import Sections, Span, citation_spans
from balign.errors import DataError
from balign.files import atomic_path
from balign.progress import track

_log = logging.getLogger(__name__)

SENTENCES_SCHEMA = pa.schema(
    [
        ("pmid", pa.int64()),
        ("sentence", pa.int32()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("section", pa.string()),
    ]
)

_STEP = 1_000  # citations in memory at once


def corpus_split(abstracts: Path, selection: Path, output: Path) -> None:
    """Write the sentences of the selected citations of a file, :data:`SENTENCES_SCHEMA`.

    A citation that is not selected has no sentences, not even its title's.

    Args:
        abstracts: a file of :func:`balign.corpus.abstracts.corpus_abstracts`.
        selection: the file of :func:`balign.corpus.select.corpus_select`.
        output: the table, sorted by PMID and place.

    Raises:
        DataError: if ``selection`` was not made from ``abstracts``.
    """
    chosen = _chosen(abstracts, selection)
    count = 0
    with (
        atomic_path(output) as temporary,
        pq.ParquetWriter(temporary, SENTENCES_SCHEMA, compression="zstd") as writer,
        pq.ParquetFile(abstracts) as source,
    ):
        columns = ["pmid", "title", "text", "sections"]
        start = 0
        batches = source.iter_batches(_STEP, columns=columns)
        for batch in track(batches, f"thousands of {abstracts.stem} split"):
            kept = batch.filter(chosen.slice(start, len(batch)))
            table = sentence_table((row["pmid"], _spans(row)) for row in kept.to_pylist())
            writer.write_table(table)
            start += len(batch)
            count += len(table)
    _log.info("%s: %s sentences", abstracts.stem, f"{count:,}")


def _chosen(abstracts: Path, selection: Path) -> pa.BooleanArray:
    name = abstracts.stem
    pmids = pq.read_table(abstracts, columns=["pmid"])["pmid"]
    rows = pq.read_table(selection, filters=[("file", "=", name)], columns=["pmid", "reason"])
    if not rows["pmid"].equals(pmids):
        raise DataError(
            f"{name} is not the file that the selection was made from",
            where=str(selection),
            hint="run `balign corpus select` over all files of citations, this one included",
        )
    return pc.is_null(rows["reason"]).combine_chunks()


def _spans(row: Mapping[str, Any]) -> Sequence[Span]:
    text = row["text"]
    sections: Sections = [(s["name"], text[s["start"] : s["end"]]) for s in row["sections"]]
    return citation_spans(row["title"], sections)


def sentence_table(spans: Iterable[tuple[int, Sequence[Span]]]) -> pa.Table:
    """Return the sentences of each (PMID, spans) as a table of :data:`SENTENCES_SCHEMA`."""
    rows = [(pmid, number, *span) for pmid, found in spans for number, span in enumerate(found)]
    columns = zip(*rows, strict=True) if rows else [()] * len(SENTENCES_SCHEMA)
    arrays = [pa.array(c, field.type) for c, field in zip(columns, SENTENCES_SCHEMA, strict=True)]
    return pa.table(arrays, schema=SENTENCES_SCHEMA)
