"""Rule ``corpus_read``: a corpus other than PubMed, as a file like a parsed PubMed file."""

from __future__ import annotations

import itertools
import logging
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from balign.corpus.parse import write_rows
from balign.corpus.schema import Row, empty_row
from balign.corpus.texts import READERS, Document
from balign.errors import DataError
from balign.files import atomic_path
from balign.progress import track
from balign.sources.manifest import open_source

_log = logging.getLogger(__name__)

_BITS = 62


def corpus_read(name: str, form: str, path: Path, language: str, output: Path) -> None:
    """Write the documents of a corpus in the form of a parsed PubMed file.

    Args:
        name: what the corpus is called.
        form: a key of :data:`balign.corpus.texts.READERS`.
        path: a graph (definitions), a file, a folder, or the manifest of a source.
        language: MARC code of the documents' language.
        output: the table, :data:`balign.corpus.schema.PARSED_SCHEMA`, in the order of the corpus.

    Raises:
        DataError: if the input breaks its format, or two documents have one name or one number.
    """
    documents = itertools.chain.from_iterable(map(READERS[form], _inputs(path, form)))
    rows = (document_row(document, name, language) for document in documents)
    with atomic_path(output) as temporary:
        count = write_rows(track(rows, f"documents of {name} read"), temporary)
        _check_apart(temporary, path)
    _log.info("%s: %s documents", name, f"{count:,}")


def _inputs(path: Path, form: str) -> list[Path]:
    """Return the files of a source by its manifest; anything else is itself the input."""
    if path.name != "MANIFEST.json":
        return [path]
    source = open_source(path)
    if source.skipped:
        _log.warning("source %s was skipped: %s; it gives no documents", source.name, source.reason)
        return []
    if source.format != form:
        raise DataError(
            f"source '{source.name}' has the format {source.format}, not {form}",
            where=str(path),
            hint="`balign sources list` shows the formats",
        )
    return [source.path(file) for file in sorted(source.files)]


def document_row(document: Document, corpus: str, language: str) -> Row:
    """Return a document as a row of the table of parsed documents.

    A citation has version 0, so that PubMed's own row lives where the corpus has both.
    """
    row = empty_row()
    row["document"] = document.name
    row["pmid"] = document.pmid
    row["version"] = 0
    if document.pmid is None:
        row["pmid"] = document_number(corpus, document.name)
        row["version"] = 1
    row["title"] = document.title
    sections = document.sections
    row["abstract"] = [{"label": None, "category": None, "text": text} for text in sections]
    row["languages"] = [language]
    return row


def document_number(corpus: str, name: str) -> int:
    """Return the number that stands for a PMID: negative, from the two names alone."""
    digest = blake2b(f"{corpus}\0{name}".encode(), digest_size=8).digest()
    return -1 - (int.from_bytes(digest) >> (64 - _BITS))


def _check_apart(table: Path, path: Path) -> None:
    """Check that all numbers differ.

    Chance makes two numbers equal in one of 90,000 corpora of ten million documents.
    """
    numbers = pq.read_table(table, columns=["pmid"])["pmid"].to_numpy()
    order = np.argsort(numbers, kind="stable")
    same = np.flatnonzero(np.diff(numbers[order]) == 0)
    if len(same):
        documents = pq.read_table(table, columns=["document"])["document"]
        first, second = (documents[int(order[place])].as_py() for place in (same[0], same[0] + 1))
        what = f"two documents are called {first}"
        if first != second:
            what = f"the documents {first} and {second} have the same number"
        raise DataError(what, where=str(path), hint="rename one of them")
