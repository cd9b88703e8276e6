"""Documents of corpora other than PubMed: definitions, plain text, JSONL and PubTator files.

Each reader yields :class:`Document` in an order that the input alone fixes, and holds one document
(of a graph's definitions: one fetch of rows) in memory.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import duckdb

from balign.errors import DataError

_FETCH = 10_000  # rows
_PUBTATOR = re.compile(r"(\d+)\|([ta])\|(.*)")


class Document(NamedTuple):
    """A text with its name.

    Attributes:
        name: unique in its corpus, such as ``HP:0000118``, ``notes.txt:3`` or ``pmid:123``.
        title: one sentence, or empty.
        sections: paragraphs of the abstract; no sentence reaches over their borders.
        pmid: the PMID of a PubMed citation, None for anything else.
    """

    name: str
    title: str
    sections: tuple[str, ...]
    pmid: int | None = None


def read_definitions(database: Path) -> Iterator[Document]:
    """Yield a document for each concept of a graph that has a definition, sorted by concept.

    The title is the preferred name; each of the concept's definitions is a section.
    """
    query = """
        SELECT concept, preferred_name, definition
        FROM definition JOIN concept USING (concept)
        ORDER BY concept, definition.source, definition
    """
    try:
        with duckdb.connect(str(database), read_only=True) as graph:
            cursor = graph.execute(query)
            fetches = iter(lambda: cursor.fetchmany(_FETCH), [])
            rows = itertools.chain.from_iterable(fetches)
            for (concept, title), found in itertools.groupby(rows, key=lambda row: row[:2]):
                texts = dict.fromkeys(flat(definition) for *_, definition in found)
                yield Document(concept, flat(title or ""), tuple(filter(None, texts)))
    except duckdb.Error as error:
        raise DataError(f"not a graph of `balign kg build`: {error}", where=str(database)) from None


def read_text(path: Path) -> Iterator[Document]:
    """Yield a document for each paragraph of a text file, or of the ``*.txt`` below a folder.

    Paragraphs are separated by lines without text; their names count them from 1 in each file.
    """
    for file, name in _files(path, ".txt"):
        number = 0
        for filled, lines in itertools.groupby(
            _lines(file), key=lambda line: bool(line[1].strip())
        ):
            if filled:
                number += 1
                yield Document(f"{name}:{number}", "", (flat(" ".join(t for _, t in lines)),))


def read_jsonl(path: Path) -> Iterator[Document]:
    """Yield a document for each line of a JSONL file, or of the ``*.jsonl`` below a folder.

    A line is an object with ``text``, or with ``title`` or ``abstract`` or both, and may have an
    ``id``; without one the document is called by file and line. Line feeds in ``text`` or
    ``abstract`` separate sections. Other keys are not read.

    Raises:
        DataError: names the file and the line.
    """
    for file, name in _files(path, ".jsonl"):
        for number, line in _lines(file):
            if line.strip():
                try:
                    yield _from_json(json.loads(line), f"{name}:{number}")
                except ValueError as error:
                    raise DataError(
                        f"not a document in JSON: {error}", where=f"{file}, line {number}"
                    ) from None


def _from_json(value: object, name: str) -> Document:
    if not isinstance(value, dict):
        raise ValueError("the line is no object")
    parts = {key: value[key] for key in ("text", "title", "abstract") if value.get(key) is not None}
    for key, part in parts.items():
        if not isinstance(part, str):
            raise ValueError(f"`{key}` is no text")
    if not any(part.strip() for part in parts.values()):
        raise ValueError("it has neither `text` nor `title` nor `abstract`")
    if "text" in parts and "abstract" in parts:
        raise ValueError("it has both `text` and `abstract`")
    identifier = value.get("id", name)
    if isinstance(identifier, bool) or not isinstance(identifier, str | int) or identifier == "":
        raise ValueError("`id` is neither text nor a whole number")
    sections = map(flat, parts.get("text", parts.get("abstract", "")).split("\n"))
    return Document(str(identifier), flat(parts.get("title", "")), tuple(filter(None, sections)))


def read_pubtator(path: Path) -> Iterator[Document]:
    """Yield the citations of a PubTator file, or of the ``*.txt`` and ``*.pubtator`` of a folder.

    Only the lines ``pmid|t|title`` and ``pmid|a|abstract`` are read; annotations are not.

    Raises:
        DataError: names the file and the line.
    """
    for file, _ in _files(path, ".txt", ".pubtator"):
        for pmid, found in itertools.groupby(_pubtator_lines(file), key=lambda line: line[0]):
            texts: dict[str, str] = {}
            for _, number, kind, text in found:
                if kind in texts:
                    raise DataError(
                        f"PMID {pmid} has a second line |{kind}|", where=f"{file}, line {number}"
                    )
                texts[kind] = flat(text)
            sections = tuple(filter(None, (texts.get("a", ""),)))
            yield Document(f"pmid:{pmid}", texts.get("t", ""), sections, pmid)


def _pubtator_lines(file: Path) -> Iterator[tuple[int, int, str, str]]:
    for number, line in _lines(file):
        found = _PUBTATOR.fullmatch(line.rstrip("\r\n"))
        if found:
            yield int(found[1]), number, found[2], found[3]
        elif line.strip() and not re.match(r"\d+\t", line):
            raise DataError(
                "not a line of PubTator's: expected pmid|t|title, pmid|a|abstract or an annotation",
                where=f"{file}, line {number}",
            )


def flat(text: str) -> str:
    """Return a text in one line, each run of white space one space."""
    return " ".join(text.split())


def _files(path: Path, *endings: str) -> list[tuple[Path, str]]:
    """Return a file, or the files of a folder, each with its path from there, sorted by it."""
    if path.is_file():
        return [(path, path.name)]
    found = [file for file in path.rglob("*") if file.suffix in endings and file.is_file()]
    if not found:
        raise DataError(
            f"no file {' or '.join('*' + ending for ending in endings)} is there", where=str(path)
        )
    return sorted(((file, file.relative_to(path).as_posix()) for file in found), key=lambda f: f[1])


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file in UTF-8 with their numbers from 1."""
    number = 0
    try:
        with file.open(encoding="utf-8-sig", newline="\n") as handle:
            for number, line in enumerate(handle, 1):
                yield number, line
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(file)) from None
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: {error}", where=f"{file}, after line {number}") from None


READERS: Mapping[str, Callable[[Path], Iterator[Document]]] = {
    "definitions": read_definitions,
    "text": read_text,
    "jsonl": read_jsonl,
    "pubtator": read_pubtator,
}
