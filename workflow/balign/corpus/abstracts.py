"""Rule ``corpus_abstracts``: the live citations of a file, sorted, with their text."""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from balign.corpus.schema import PARSED_SCHEMA
from balign.corpus.sentences import Sections, citation_text
from balign.errors import DataError
from balign.files import atomic_path
from balign.progress import track

_log = logging.getLogger(__name__)

ROW_GROUP = 4_000
"""Citations that a table of citations has in one row group, and a step in memory."""

SECTIONS = pa.list_(pa.struct([("name", pa.string()), ("start", pa.int32()), ("end", pa.int32())]))

_KEPT = (
    *("document", "pmid", "version", "title", "year", "published", "languages", "journal"),
    *("publication_types", "mesh", "chemicals", "keywords", "doi", "pmcid", "status"),
)
_MADE = [
    pa.field("abstract", pa.string()),
    pa.field("text", pa.string()),
    pa.field("sections", SECTIONS),
    pa.field("language", pa.string()),
    pa.field("characters", pa.int32()),
    pa.field("digest", pa.int64()),
]
ABSTRACTS_SCHEMA = pa.schema([*(PARSED_SCHEMA.field(name) for name in _KEPT), *_MADE])
"""A part of the parsed file's columns, and what is made of them: see docs/contracts.md."""

_NOT_TEXT = re.compile(r"[\W_]+")


def corpus_abstracts(parsed: Path, fates: Path, output: Path) -> None:
    """Write the live citations of a parsed file, sorted by PMID, :data:`ABSTRACTS_SCHEMA`.

    Memory holds the citations of one row group; PubMed's files are sorted but for few citations, so
    that few row groups of the parsed file are read for one of these.

    Args:
        parsed: a file of :func:`balign.corpus.parse.corpus_parse`.
        fates: the file of :func:`balign.corpus.merge.corpus_merge`.
        output: the table.

    Raises:
        DataError: if ``fates`` was not made from ``parsed``.
    """
    rows = _live_rows(parsed, fates)
    with (
        atomic_path(output) as temporary,
        pq.ParquetWriter(temporary, ABSTRACTS_SCHEMA, compression="zstd") as writer,
        pq.ParquetFile(parsed) as source,
    ):
        for table in track(_batches(source, rows), f"row groups of {parsed.stem} written"):
            writer.write_table(_with_text(table), row_group_size=ROW_GROUP)
    _log.info("%s: %s live citations", parsed.stem, f"{len(rows):,}")


def _live_rows(parsed: Path, fates: Path) -> npt.NDArray[np.int64]:
    """Return the positions of the live citations of a file in the order of their PMIDs."""
    metadata = pq.read_schema(fates).metadata or {}
    name = parsed.stem
    pmids = pq.read_table(parsed, columns=["pmid"])["pmid"].to_numpy()
    if name in json.loads(metadata.get(b"files", b"[]")):
        table = pq.read_table(fates, columns=["fate"], filters=[("file", "=", name)])
        if len(table) == len(pmids):
            rows = np.flatnonzero(pc.equal(table["fate"], "live").to_numpy())
            order: npt.NDArray[np.int64] = rows[np.argsort(pmids[rows], kind="stable")]
            return order
    raise DataError(
        f"{name} is not among the files merged",
        where=str(fates),
        hint="run `balign corpus merge` over all parsed files, this one included",
    )


def _batches(source: pq.ParquetFile, rows: npt.NDArray[np.int64]) -> Iterator[pa.Table]:
    """Yield the given rows of a file in their order, :data:`ROW_GROUP` at a time."""
    sizes = [source.metadata.row_group(i).num_rows for i in range(source.num_row_groups)]
    starts = np.cumsum([0, *sizes])
    for begin in range(0, len(rows), ROW_GROUP):
        wanted = rows[begin : begin + ROW_GROUP]
        group = np.searchsorted(starts, wanted, side="right") - 1
        groups, first = np.unique(group), np.zeros(len(starts), dtype=np.int64)
        first[groups] = np.cumsum([0, *(sizes[i] for i in groups[:-1])])
        table = source.read_row_groups(groups.tolist(), columns=[*_KEPT, "abstract"])
        yield table.take(pa.array(first[group] + wanted - starts[group]))


def _with_text(citations: pa.Table) -> pa.Table:
    titles = citations["title"].to_pylist()
    sections = [_named(parts) for parts in citations["abstract"].to_pylist()]
    texts = [citation_text(*pair) for pair in zip(titles, sections, strict=True)]
    abstracts = [abstract for abstract, _ in texts]
    made: dict[str, list[Any]] = {
        "abstract": abstracts,
        "text": [text for _, text in texts],
        "sections": [_spans(len(title) + 1, s) for title, s in zip(titles, sections, strict=True)],
        "language": [
            next(iter(spoken or ()), None) for spoken in citations["languages"].to_pylist()
        ],
        "characters": [len(abstract) for abstract in abstracts],
        "digest": [text_digest(abstract) for abstract in abstracts],
    }
    columns = [citations[name] for name in _KEPT]
    columns += [pa.array(made[field.name], field.type) for field in _MADE]
    return pa.table(columns, schema=ABSTRACTS_SCHEMA)


def _named(parts: Sequence[Mapping[str, str | None]]) -> Sections:
    return [(part["label"] or "abstract", part["text"] or "") for part in parts]


def _spans(start: int, sections: Sections) -> list[dict[str, str | int]]:
    """Return where each section is in a citation's text, by :func:`citation_text`."""
    found: list[dict[str, str | int]] = []
    for name, text in sections:
        found.append({"name": name, "start": start, "end": start + len(text)})
        start += len(text) + 1
    return found


def text_digest(text: str) -> int | None:
    """Return 64 bits over the letters and digits of a text, case and form aside; None without any.

    Among 40 million different abstracts two share a digest by chance with a probability of 1 in
    20,000.
    """
    plain = _NOT_TEXT.sub("", unicodedata.normalize("NFKC", text).casefold())
    if not plain:
        return None
    return int.from_bytes(blake2b(plain.encode(), digest_size=8).digest(), "big", signed=True)
