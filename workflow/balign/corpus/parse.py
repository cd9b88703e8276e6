"""From a PubMed XML file to a table, as the XML has it."""

from __future__ import annotations

import gc
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from balign.corpus.citation import citation_row, deletion_rows
from balign.corpus.elements import Piece, read_pieces
from balign.corpus.plain import END, is_plain, plain_row
from balign.corpus.schema import PARSED_SCHEMA, Row, rows_table
from balign.errors import DataError
from balign.files import atomic_path
from balign.progress import track

_log = logging.getLogger(__name__)

_ROOTS = ("PubmedArticleSet", "PubmedBookArticleSet")
_CITATIONS = ("PubmedArticle", "PubmedBookArticle")
_DELETIONS = "DeleteCitation"
_ROW_GROUP = 2_000  # rows held in memory at once: about 10 MB


def corpus_parse(source: Path, output: Path) -> None:
    """Write the citations and deletions of a PubMed XML file as Parquet.

    Args:
        source: ``*.xml.gz`` or ``*.xml`` as PubMed publishes them.
        output: the table, :data:`balign.corpus.schema.PARSED_SCHEMA`.

    Raises:
        DataError: if the file is cut short, is not PubMed's XML or declares entities.
    """
    rows = track(read_rows(source), f"citations of {source.name} parsed")
    gc.disable()  # rows hold no cycles, and going through them takes a tenth of the time
    try:
        citations, deletions = write_rows(rows, output)
    finally:
        gc.enable()
    _log.info("%s: %s citations, %s deletions", source.name, f"{citations:,}", f"{deletions:,}")


def write_rows(rows: Iterator[Row], output: Path) -> tuple[int, int]:
    """Write rows as a table of parsed documents, in flat memory.

    Returns:
        The numbers of citations and of deletions.
    """
    citations = deletions = 0
    with (
        atomic_path(output) as temporary,
        pq.ParquetWriter(temporary, PARSED_SCHEMA, compression="zstd") as writer,
    ):
        while batch := list(itertools.islice(rows, _ROW_GROUP)):
            count = sum(row["kind"] == "citation" for row in batch)
            citations += count
            deletions += len(batch) - count
            writer.write_table(rows_table(batch))
    return citations, deletions


def read_rows(source: Path) -> Iterator[Row]:
    """Yield the rows of a PubMed XML file in its order, in flat memory.

    Raises:
        DataError: names the file and the line or the byte.
    """
    compressed = source.suffix == ".gz"
    for piece in read_pieces(source, _ROOTS, (*_CITATIONS, _DELETIONS)):
        # What plain_row() leaves unread is covered by gzip's checksum alone.
        if compressed and is_plain(piece.data) and b"xmlns" not in piece.root:
            yield from _plain_rows(piece, source)
        else:
            yield from _rows(piece, source)


def _plain_rows(piece: Piece, source: Path) -> Iterator[Row]:
    begin = 0
    *citations, _ = piece.data.split(END)
    for data in citations:
        end = begin + len(data) + len(END)
        row = plain_row(data)
        if row is None:
            yield from _rows(piece, source, begin, end)
        else:
            yield row
        begin = end
    if begin < len(piece.data):
        yield from _rows(piece, source, begin)


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
