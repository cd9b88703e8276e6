"""Readers of annotations that other programs made: PubTator3 and BERN2.

PubTator3 gives the PubTator text format (``pmid|t|``, ``pmid|a|``, then pmid, start, end, mention,
type and identifiers separated by tabs; offsets count in title + one character + abstract) and
BioC-JSON (passages with an offset, annotations with locations). BERN2 gives JSON with ``pmid``,
``text`` and ``annotations`` of ``id``, ``span``, ``mention``, ``obj`` and ``prob``; a ``prob`` of
null is an entity that a rule found, and counts as certain. A JSON file is one document, a list of
them, an object that holds such a list, or one document a line.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from balign.errors import DataError
from balign.kg.ontology import identifier

_TEXT = re.compile(r"(\d+)\|([ta])\|(.*)")
_SEPARATORS = re.compile(r"[|;,\t]")
_NONE = {"", "-", "-1", "CUI-less", "CUILESS", "None"}
_CUI = re.compile(r"C\d{7}")
_MESH = re.compile(r"[CD](\d{6}|\d{9})")
_PREFIXES = {
    "MIM": "OMIM",
    **dict.fromkeys(["ENTREZGENE", "GENE", "NCBI_GENE"], "NCBIGENE"),
    **dict.fromkeys(["TAXONOMY", "SPECIES", "NCBITAXID", "NCBI_TAXONOMY"], "NCBITAXON"),
}
_NUMBERS = {"gene": "NCBIGENE", "species": "NCBITAXON"}  # what a bare number is, by type of entity


class Annotation(NamedTuple):
    """One mention: half-open code points in the document's own text.

    ``identifiers`` are as :func:`normalised` makes them, empty where the program found none.
    """

    start: int
    end: int
    surface: str
    entity_type: str
    identifiers: tuple[str, ...]
    score: float


class Document(NamedTuple):
    """A document as the other program saw it."""

    pmid: int
    text: str
    annotations: list[Annotation]


def read_pubtator(path: Path) -> Iterator[Document]:
    """Yield the documents of a file of PubTator3: ``.json`` is BioC, any other is PubTator text.

    Raises:
        DataError: for a file that cannot be read, or a line or object of another shape.
    """
    if ".json" in path.suffixes:
        yield from _read_json(path, _bioc_document)
    else:
        yield from _read_pubtator_text(path)


def read_bern2(path: Path) -> Iterator[Document]:
    """Yield the documents of a JSON file of BERN2.

    Raises:
        DataError: for a file that cannot be read, or an object of another shape.
    """
    yield from _read_json(path, _bern2_document)


def normalised(text: str, entity_type: str) -> str | None:
    """Return an identifier as the graph writes it (``PREFIX:ID``), None for no identifier.

    A number alone is a gene of NCBI or a taxon, by the type of the entity; ``C`` with seven digits
    is a CUI, ``C`` or ``D`` with six or nine a MeSH id. What has no known form keeps the
    type of the entity as its prefix, so that it can be counted.
    """
    text = text.strip()
    if text in _NONE:
        return None
    prefix, colon, local = text.partition(":")
    if not colon:
        kind = entity_type.lower().replace(" ", "")
        if text.isdigit() and kind in _NUMBERS:
            return f"{_NUMBERS[kind]}:{text}"
        if _CUI.fullmatch(text):
            return f"UMLS:{text}"
        if _MESH.fullmatch(text):
            return f"MESH:{text}"
        if text.startswith("CVCL_"):
            return f"CELLOSAURUS:{text}"
        return f"{entity_type}:{text}"
    prefix = prefix.strip().upper()
    if prefix == "NCBI" and local.lower().startswith("txid"):
        prefix, local = "NCBITAXON", local[4:]
    if prefix in ("CVCL", "CELLOSAURUS"):
        prefix, local = "CELLOSAURUS", f"CVCL_{local.removeprefix('CVCL_')}"
    found = identifier(_PREFIXES.get(prefix, prefix), local)
    return found or f"{prefix}:{local}"


def _identifiers(parts: Iterable[str], entity_type: str) -> tuple[str, ...]:
    found = (normalised(part, entity_type) for part in parts)
    return tuple(dict.fromkeys(one for one in found if one))


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="\n")
    return path.open(encoding="utf-8", newline="\n")


def _read_pubtator_text(path: Path) -> Iterator[Document]:
    pmid: int | None = None
    parts: dict[str, str] = {}
    found: list[Annotation] = []
    number = 0

    def document() -> Document:
        assert pmid is not None
        return Document(pmid, f"{parts.get('t', '')}\n{parts.get('a', '')}", found)

    try:
        with _open(path) as file:
            for number, whole in enumerate(file, 1):  # noqa: B007 (the error names it)
                line = whole.rstrip("\r\n")
                if match := _TEXT.fullmatch(line):
                    if pmid is not None and pmid != int(match[1]):
                        yield document()
                        parts, found = {}, []
                    pmid = int(match[1])
                    parts[match[2]] = match[3]
                elif line.strip() and (one := _pubtator_line(line.split("\t"), pmid)):
                    found.append(one)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(
            f"not a file in PubTator format: {error}", where=f"{path}, line {number}"
        ) from None
    if pmid is not None:
        yield document()


def _pubtator_line(fields: list[str], pmid: int | None) -> Annotation | None:
    """Return the annotation of a line, None for a relation."""
    if len(fields) in (4, 5) and not fields[1].isdigit():
        return None
    if len(fields) < 5 or not (fields[1].isdigit() and fields[2].isdigit()):
        raise ValueError("expected pmid, start, end, mention, type, identifier")
    if not fields[0].isdigit() or int(fields[0]) != pmid:
        raise ValueError(f"an annotation of {fields[0]} below the text of {pmid}")
    entity_type, given = fields[4], fields[5] if len(fields) > 5 else ""
    identifiers = _identifiers(_SEPARATORS.split(given), entity_type)
    return Annotation(int(fields[1]), int(fields[2]), fields[3], entity_type, identifiers, 1.0)


def _read_json(path: Path, make: Any) -> Iterator[Document]:
    where = f"{path}"
    try:
        with _open(path) as file:
            first = file.readline()
            try:
                value = json.loads(first)
            except ValueError:  # one value over several lines
                value = json.loads(first + file.read())
            yield from map(make, _values(value))
            for number, line in enumerate(file, 2):
                where = f"{path}, line {number}"
                if line.strip():
                    yield from map(make, _values(json.loads(line)))
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"not annotations in JSON of the expected form: {type(error).__name__} {error}",
            where=where,
        ) from None


def _values(value: Any) -> list[Any]:
    """Return the documents in a JSON value."""
    if isinstance(value, list):
        return value
    for key in ("PubTator3", "documents"):
        if key in value:
            return _values(value[key])
    return [value]


def _bioc_document(value: dict[str, Any]) -> Document:
    text = ""
    found = []
    for passage in value["passages"]:
        # Passages say where they begin; between them is whatever joins them, one character or more.
        text = text.ljust(int(passage["offset"])) + passage.get("text", "")
        for annotation in passage.get("annotations", ()):
            infons = annotation["infons"]
            kind = str(infons.get("type", ""))
            given = str(infons.get("identifier") or "")
            for location in annotation["locations"]:
                start = int(location["offset"])
                end = start + int(location["length"])
                identifiers = _identifiers(_SEPARATORS.split(given), kind)
                found.append(Annotation(start, end, annotation["text"], kind, identifiers, 1.0))
    return Document(int(value.get("pmid") or value["id"]), text, found)


def _bern2_document(value: dict[str, Any]) -> Document:
    found = []
    for one in value["annotations"]:
        kind = str(one["obj"])
        ids = [one["id"]] if isinstance(one["id"], str) else one["id"]
        parts = [part for text in ids for part in _SEPARATORS.split(str(text))]
        score = 1.0 if one.get("prob") is None else float(one["prob"])
        begin, end = int(one["span"]["begin"]), int(one["span"]["end"])
        surface = one.get("mention", value["text"][begin:end])
        found.append(Annotation(begin, end, surface, kind, _identifiers(parts, kind), score))
    return Document(int(value["pmid"]), value["text"], found)
