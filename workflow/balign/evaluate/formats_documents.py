"""Readers of documents with entities and relations: PubTator, BioC XML and JSON, DDI XML.

Each gives :class:`Passage`; :mod:`balign.evaluate.passages` makes tagged sentences and marked pairs
of them. XML is read without network, entities and DTDs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lxml import etree

from balign.errors import DataError
from balign.evaluate.formats_text import read_json_file, read_text

_TITLE_OR_ABSTRACT = re.compile(r"([^\s|]+)\|([ta])\|(.*)")
_DDI_SPAN = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True)
class Span:
    """An annotated entity: its key in the document, type, and code points ``[start, end)``.

    A discontinuous entity reaches from its first to its last character.
    """

    key: str
    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Relation:
    """A relation of two entities, or of all mentions of two concepts, by their keys."""

    head: str
    tail: str
    label: str


@dataclass
class Passage:
    """A text with its entities and relations.

    Attributes:
        id: name of the document, or of the sentence.
        text: the text.
        spans: entities, by code points of ``text``.
        relations: relations; a key of theirs is a span's key or one of ``concepts``.
        concepts: key of a span -> identifiers of its concept, for relations between concepts.
        is_sentence: whether the text is one sentence, not to be cut.
        pairs_given: whether ``relations`` lists all pairs that are examples.
    """

    id: str
    text: str
    spans: list[Span] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    concepts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    is_sentence: bool = False
    pairs_given: bool = False


def read_pubtator(path: Path) -> list[Passage]:
    """Return the documents of a PubTator file: text is title, line feed, abstract.

    Raises:
        DataError: for a line of another shape, or an entity that its text does not hold at its
            place; it names the line.
    """
    found: dict[str, Passage] = {}
    titles: dict[str, dict[str, str]] = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        line = line.rstrip("\r")
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        match = _TITLE_OR_ABSTRACT.fullmatch(line)
        if match:
            parts = titles.setdefault(match[1], {})
            parts[match[2]] = match[3]
            text = f"{parts.get('t', '')}\n{parts.get('a', '')}"
            found.setdefault(match[1], Passage(match[1], "")).text = text
            continue
        fields = line.split("\t")
        passage = found.get(fields[0])
        if passage is None or len(fields) < 4:
            raise DataError("not a PubTator line of a document begun before", where=where)
        if len(fields) == 4 and not fields[1].isdecimal():
            passage.relations.append(Relation(fields[2], fields[3], fields[1]))
            continue
        if len(fields) < 5 or not (fields[1].isdecimal() and fields[2].isdecimal()):
            raise DataError("expected PMID, start, end, mention, type and identifier", where=where)
        key = f"T{len(passage.spans) + 1}"
        span = Span(key, fields[4], int(fields[1]), int(fields[2]))
        _check(passage.text, span, fields[3], where)
        passage.spans.append(span)
        identifiers = fields[5] if len(fields) > 5 else ""
        passage.concepts[key] = tuple(part for part in identifiers.split("|") if part)
    return list(found.values())


def read_bioc_json(path: Path) -> list[Passage]:
    """Return the passages of a BioC JSON file.

    Raises:
        DataError: if it is no such file, or an entity is not where it says; it names the place.
    """
    values = read_json_file(path)
    values = values[0] if isinstance(values, list) and len(values) == 1 else values
    try:
        return [
            passage
            for place, document in enumerate(values["documents"])
            for passage in _bioc_passages(document, f"{path}, documents[{place}]")
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"not BioC JSON: {error!r}", where=str(path)) from None


def read_bioc_xml(path: Path) -> list[Passage]:
    """Return the passages of a BioC XML file.

    Raises:
        DataError: if it is no such file, or an entity is not where it says; it names the place.
    """
    found: list[Passage] = []
    for document in read_xml(path).iterfind("document"):
        where = f"{path}, line {document.sourceline}"
        try:
            found += _bioc_passages(_bioc_value(document), where)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"not BioC XML: {error!r}", where=where) from None
    return found


def _bioc_value(element: Any) -> dict[str, Any]:
    """Return a BioC element as BioC JSON has it."""
    value: dict[str, Any] = {
        "id": element.get("id") or element.findtext("id"),
        "text": element.findtext("text") or "",
        "infons": {one.get("key"): one.text or "" for one in element.iterfind("infon")},
        "locations": [dict(one.attrib) for one in element.iterfind("location")],
        "nodes": [dict(one.attrib) for one in element.iterfind("node")],
    }
    if element.find("offset") is not None:
        value["offset"] = int(element.findtext("offset"))
    for name in ("passage", "sentence", "annotation", "relation"):
        value[f"{name}s"] = [_bioc_value(one) for one in element.iterfind(name)]
    return value


def _bioc_passages(document: Mapping[str, Any], where: str) -> Iterator[Passage]:
    """Yield the sentences of a document where its passages have them, else its passages.

    Relations of the document go to every passage that has both ends.
    """
    number = 0
    for passage in document["passages"]:
        parts = passage.get("sentences") or [passage]
        for part in parts:
            text, offset = part.get("text") or "", int(part["offset"])
            if not text:
                continue
            one = Passage(f"{document['id']}:{number}", text, is_sentence=part is not passage)
            number += 1
            for annotation in part.get("annotations", []):
                places = annotation["locations"]
                start = min(int(place["offset"]) for place in places) - offset
                end = max(int(place["offset"]) + int(place["length"]) for place in places) - offset
                infons = annotation.get("infons", {})
                span = Span(str(annotation["id"]), str(infons.get("type", "entity")), start, end)
                mention = annotation.get("text") if len(places) == 1 else None
                _check(text, span, mention, f"{where}, annotation {span.key}")
                one.spans.append(span)
                one.concepts[span.key] = tuple(
                    str(infons[key]) for key in ("identifier", "MESH") if infons.get(key)
                )
            above = [] if part is passage else passage.get("relations", [])
            for relation in [*part.get("relations", []), *above, *document.get("relations", [])]:
                one.relations += _bioc_relation(relation)
            yield one


def _bioc_relation(value: Mapping[str, Any]) -> list[Relation]:
    infons = value.get("infons", {})
    label = str(infons.get("type") or infons.get("relation") or "relation")
    ends = [str(node["refid"]) for node in value.get("nodes", [])]
    if not ends:  # relations between concepts, as in BC5CDR: infons named after their types
        ends = [infons[key] for key in ("Chemical", "Disease") if key in infons]
        label = str(infons.get("relation", label))
    return [Relation(ends[0], ends[1], label)] if len(ends) == 2 else []


def read_ddi_xml(path: Path) -> list[Passage]:
    """Return the sentences of a DDIExtraction 2013 file, or of all ``*.xml`` files in a folder.

    Every pair of drugs is given, with the label ``false`` where they do not interact.

    Raises:
        DataError: if it is no such file, or an entity lies outside its sentence; names the line.
    """
    if path.is_dir():
        files = sorted(path.rglob("*.xml"))
        if not files:
            raise DataError("no XML file in this folder", where=str(path))
        return [passage for file in files for passage in read_ddi_xml(file)]
    found = []
    for sentence in read_xml(path).iterfind("sentence"):
        where = f"{path}, line {sentence.sourceline}"
        one = Passage(sentence.get("id", ""), sentence.get("text", ""), is_sentence=True)
        one.pairs_given = True
        for entity in sentence.iterfind("entity"):
            # Ends are inclusive; a discontinuous entity has several places.
            places = _DDI_SPAN.findall(entity.get("charOffset", ""))
            if not places:
                raise DataError("an entity without charOffset", where=where)
            start = min(int(first) for first, _ in places)
            end = max(int(last) for _, last in places) + 1
            span = Span(entity.get("id", ""), entity.get("type", ""), start, end)
            _check(one.text, span, None, where)
            one.spans.append(span)
        keys = {span.key for span in one.spans}
        for pair in sentence.iterfind("pair"):
            head, tail = pair.get("e1", ""), pair.get("e2", "")
            if not {head, tail} <= keys:
                raise DataError(f"a pair of unknown entities: {head}, {tail}", where=where)
            # A few pairs interact without a type; the corpus's own scorer takes them for "int".
            label = pair.get("type") or "int" if pair.get("ddi") == "true" else "false"
            one.relations.append(Relation(head, tail, label))
        found.append(one)
    return found


def read_xml(path: Path) -> Any:
    """Return the root of an XML file: no network, no entities, no DTD.

    Raises:
        DataError: if it is no XML (names the line).
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(path.read_bytes(), parser)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except etree.XMLSyntaxError as error:
        raise DataError(f"not XML: {error.msg}", where=f"{path}, line {error.lineno}") from None


def _check(text: str, span: Span, mention: str | None, where: str) -> None:
    """Refuse an entity outside its text, or with another text than its place has."""
    if not 0 <= span.start < span.end <= len(text):
        raise DataError(
            f"the entity at {span.start} to {span.end} lies outside its text of {len(text)}",
            where=where,
        )
    there = text[span.start : span.end]
    if mention is not None and there.replace("\n", " ") != mention.replace("\n", " "):
        raise DataError(
            f"'{mention}' is not what the text has at {span.start}: '{there}'", where=where
        )
