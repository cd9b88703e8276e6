"""From a PubMed XML file to a table, as the XML has it."""

from __future__ import annotations

import gc
import itertools
import logging
from collections.abc import Collection, Iterable, Iterator, Set
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from balign.corpus.citation import citation_row, deletion_rows
from balign.corpus.columns import PlainRows
from balign.corpus.elements import Piece, read_pieces
from balign.corpus.plain import END, is_plain, plain_parts
from balign.corpus.schema import ALL_COLUMNS, NEEDED_COLUMNS, PARSED_SCHEMA, Row, rows_table
from balign.errors import ConfigError, DataError
from balign.files import atomic_path
from balign.progress import track

_log = logging.getLogger(__name__)

_ROOTS = ("PubmedArticleSet", "PubmedBookArticleSet")
_CITATIONS = ("PubmedArticle", "PubmedBookArticle")
_DELETIONS = "DeleteCitation"
_ROW_GROUP = 2_000  # rows held in memory at once, and those of the last piece: about 10 MB


def corpus_parse(source: Path, output: Path, columns: Collection[str] | None = None) -> None:
    """Write the citations and deletions of a PubMed XML file as Parquet.

    Args:
        source: ``*.xml.gz`` or ``*.xml`` as PubMed publishes them.
        output: the table, :data:`balign.corpus.schema.PARSED_SCHEMA`.
        columns: what is read of a citation beside :data:`balign.corpus.schema.NEEDED_COLUMNS`, the
            other columns are null; None for all.

    Raises:
        ConfigError: if there is no such column.
        DataError: if the file is cut short, is not PubMed's XML or declares entities.
    """
    wanted = ALL_COLUMNS if columns is None else NEEDED_COLUMNS.union(columns)
    if unknown := sorted(wanted - ALL_COLUMNS):
        raise ConfigError(
            f"a citation has no column {unknown[0]!r}",
            where="--columns",
            hint=f"one of {', '.join(sorted(ALL_COLUMNS - NEEDED_COLUMNS))}",
        )
    tables = track(read_tables(source, wanted), f"row groups of {source.name} parsed")
    gc.disable()  # rows hold no cycles, and going through them takes a tenth of the time
    try:
        citations, deletions = _write(tables, output)
    finally:
        gc.enable()
    _log.info("%s: %s citations, %s deletions", source.name, f"{citations:,}", f"{deletions:,}")


def write_rows(rows: Iterator[Row], output: Path) -> int:
    """Write rows as a table of parsed documents, in flat memory; return how many."""
    batches = iter(lambda: list(itertools.islice(rows, _ROW_GROUP)), [])
    count, _ = _write((rows_table(batch) for batch in batches), output)
    return count


def _write(tables: Iterable[pa.Table], output: Path) -> tuple[int, int]:
    """Write tables as row groups; return the numbers of citations and of deletions."""
    citations = deletions = 0
    with (
        atomic_path(output) as temporary,
        pq.ParquetWriter(temporary, PARSED_SCHEMA, compression="zstd") as writer,
    ):
        for table in tables:
            count = table["kind"].to_pylist().count("citation")
            citations += count
            deletions += len(table) - count
            writer.write_table(table)
    return citations, deletions


def read_tables(source: Path, columns: Set[str] = ALL_COLUMNS) -> Iterator[pa.Table]:
    """Yield the rows of a PubMed XML file in its order, in flat memory.

    Args:
        source: the file.
        columns: what is read of a citation; the other columns are null.

    Raises:
        DataError: names the file and the line or the byte.
    """
    batch = _Batch(source, columns)
    for piece in read_pieces(source, _ROOTS, (*_CITATIONS, _DELETIONS)):
        batch.add(piece)
        if len(batch) >= _ROW_GROUP:
            yield batch.table()
    if len(batch):
        yield batch.table()


class _Batch:
    """Rows that are gathered, of which a table is made: those read without the XML parser, and
    those of it, with their places."""

    def __init__(self, source: Path, columns: Set[str]) -> None:
        self._source = source
        self._columns = columns
        self._compressed = source.suffix == ".gz"
        self._plain = PlainRows(columns)
        self._parsed: list[Row] = []
        self._places: list[int] = []

    def __len__(self) -> int:
        return len(self._plain) + len(self._parsed)

    def add(self, piece: Piece) -> None:
        begin = 0
        # What plain_parts() leaves unread is covered by gzip's checksum alone.
        if self._compressed and b"xmlns" not in piece.root and is_plain(piece.data, piece.lines):
            while (end := piece.data.find(END, begin)) >= 0:
                parts = plain_parts(piece.data, begin, end)
                end += len(END)
                if parts is None or not self._plain.add(parts):
                    self._parse(piece, begin, end)
                begin = end
        if begin < len(piece.data):
            self._parse(piece, begin)

    def _parse(self, piece: Piece, begin: int, end: int | None = None) -> None:
        for row in _rows(piece, self._source, begin, end):
            self._places.append(len(self))
            self._parsed.append(row)

    def table(self) -> pa.Table:
        """Return the rows added since the last call, in their order."""
        count, plain = len(self), self._plain.table()
        if not self._parsed:
            return plain
        order = np.zeros(count, np.int64)
        order[self._places] = np.arange(len(plain), count)
        is_plain_row = np.ones(count, bool)
        is_plain_row[self._places] = False
        order[is_plain_row] = np.arange(len(plain))
        both = pa.concat_tables([plain, rows_table(self._parsed, self._columns)])
        self._parsed, self._places = [], []
        return both.take(pa.array(order))


def _rows(piece: Piece, source: Path, begin: int = 0, end: int | None = None) -> Iterator[Row]:
    elements, before = piece.parse(begin, end)
    for element in elements:
        try:
            if element.tag in _CITATIONS:
                yield citation_row(element)
            elif element.tag == _DELETIONS:
                yield from deletion_rows(element)
            else:
                raise ValueError("no such element is known here")
        except ValueError as error:
            pmid = element.findtext(".//PMID") or "unknown"
            first: Any = element.sourceline  # its stub has the type of an ellipsis
            raise DataError(
                f"<{element.tag}> breaks PubMed's format: {error}",
                where=f"{source}, line {first + before}, PMID {pmid}",
            ) from None
