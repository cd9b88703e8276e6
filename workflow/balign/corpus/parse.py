"""From a PubMed XML file to a table, as the XML has it."""

from __future__ import annotations

import gzip
import itertools
import logging
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from lxml import etree

from balign.corpus.citation import PARSED_SCHEMA, Row, citation_row, deletion_rows
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
        output: the table, :data:`balign.corpus.citation.PARSED_SCHEMA`.

    Raises:
        DataError: if the file is cut short, is not PubMed's XML or declares entities.
    """
    citations = deletions = 0
    rows = track(read_rows(source), f"citations of {source.name} parsed")
    with (
        atomic_path(output) as temporary,
        pq.ParquetWriter(temporary, PARSED_SCHEMA, compression="zstd") as writer,
    ):
        while batch := list(itertools.islice(rows, _ROW_GROUP)):
            count = sum(row["kind"] == "citation" for row in batch)
            citations += count
            deletions += len(batch) - count
            writer.write_table(pa.Table.from_pylist(batch, schema=PARSED_SCHEMA))
    _log.info("%s: %s citations, %s deletions", source.name, f"{citations:,}", f"{deletions:,}")


def read_rows(source: Path) -> Iterator[Row]:
    """Yield the rows of a PubMed XML file in its order, in flat memory.

    Nothing outside the file is read: no DTD, no network, no external entity. PubMed's files declare
    no entity of their own, so that a file that does (a "billion laughs", an inclusion of a local
    file) is refused before its first citation.

    Raises:
        DataError: names the file and the line or the byte.
    """
    try:
        raw = source.open("rb")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(source)) from None
    with raw:
        handle = gzip.GzipFile(fileobj=raw) if source.suffix == ".gz" else raw
        try:
            yield from _read_rows(handle, source)
        except etree.XMLSyntaxError as error:
            raise DataError(
                f"not well-formed XML: {error.msg}",
                where=f"{source}, line {error.lineno}",
                hint="fetch the file again and compare its checksum with the publisher's",
            ) from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"not a whole gzip file: {error}",
                where=f"{source}, near byte {raw.tell()}",
                hint="fetch the file again and compare its checksum with the publisher's",
            ) from None


def _read_rows(handle: BufferedIOBase, source: Path) -> Iterator[Row]:
    context = etree.iterparse(
        handle,
        events=("start", "end"),
        tag=(*_ROOTS, *_CITATIONS, _DELETIONS),
        no_network=True,
        load_dtd=False,
        remove_comments=True,  # itertext() would give their text
        remove_pis=True,
    )
    root = None
    for event, element in context:
        if root is None:
            root = element.getroottree().getroot()
            _check_root(root, source)
        if event == "start" or element.getparent() is not root:
            continue
        try:
            if element.tag == _DELETIONS:
                yield from deletion_rows(element)
            else:
                yield citation_row(element)
        except ValueError as error:
            pmid = element.findtext(".//PMID") or "unknown"
            raise DataError(
                f"a {element.tag} breaks PubMed's format: {error}",
                where=f"{source}, line {element.sourceline}, PMID {pmid}",
            ) from None
        root.remove(element)
    if root is None:
        _check_root(context.root, source)
    elif len(root):
        raise DataError(
            f"unknown element <{root[0].tag}>", where=f"{source}, line {root[0].sourceline}"
        )


def _check_root(root: etree._Element, source: Path) -> None:
    if root.tag not in _ROOTS:
        raise DataError(
            f"not PubMed's XML: the outermost element is <{root.tag}>",
            where=f"{source}, line {root.sourceline}",
            hint=f"expected <{'> or <'.join(_ROOTS)}>",
        )
    dtd: Any = root.getroottree().docinfo.internalDTD
    declared = [entity.name for entity in dtd.iterentities()] if dtd is not None else []
    if declared:
        raise DataError(
            f"the file declares entities ({', '.join(declared[:3])}), which PubMed never does",
            where=str(source),
            hint="take the file from PubMed itself",
        )
