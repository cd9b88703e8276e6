"""From a PubMed XML file to a table, as the XML has it."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from lxml import etree

from balign.corpus.citation import citation_row, deletion_rows
from balign.corpus.elements import Piece, read_pieces
from balign.corpus.schema import PARSED_SCHEMA, Row
from balign.errors import DataError
from balign.files import atomic_path
from balign.progress import track

_log = logging.getLogger(__name__)

_ROOTS = ("PubmedArticleSet", "PubmedBookArticleSet")
_CITATIONS = ("PubmedArticle", "PubmedBookArticle")
_DELETIONS = "DeleteCitation"
_UNREAD = ("AuthorList", "ReferenceList", "History")  # a quarter to two thirds of a file
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
    citations, deletions = write_rows(rows, output)
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
            writer.write_table(pa.Table.from_pylist(batch, schema=PARSED_SCHEMA))
    return citations, deletions


def read_rows(source: Path) -> Iterator[Row]:
    """Yield the rows of a PubMed XML file in its order, in flat memory.

    Raises:
        DataError: names the file and the line or the byte.
    """
    for piece in read_pieces(source, _ROOTS, (*_CITATIONS, _DELETIONS), _UNREAD):
        for element in piece.elements:
            try:
                if element.tag in _CITATIONS:
                    yield citation_row(element)
                elif element.tag == _DELETIONS:
                    yield from deletion_rows(element)
                else:
                    raise ValueError("no such element is known here")
            except ValueError as error:
                pmid = element.findtext(".//PMID") or "unknown"
                raise DataError(
                    f"<{element.tag}> breaks PubMed's format: {error}",
                    where=f"{source}, line {_line(element, piece)}, PMID {pmid}",
                ) from None


def _line(element: etree._Element, piece: Piece) -> int:
    first: Any = element.sourceline  # its stub has the type of an ellipsis
    return int(first) + piece.line
