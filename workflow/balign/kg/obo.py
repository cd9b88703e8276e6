r"""Reader of OBO files, formats 1.0 to 1.4 (https://owlcollab.github.io/oboformat/doc/obo-syntax.html).

The file is read line by line and only the stanza at hand is kept, so a file of 300 MB needs no more
memory than the rows that come out of it. What a stanza gives:

- names: ``name`` and ``synonym`` (``exact_synonym`` and the like of format 1.0) with their scopes;
  formulas and structure strings of ChEBI are no names, synonyms marked obsolete are left out;
- identifiers: ``xref`` and ``equivalent_to``, ``skos:exactMatch`` and the CUI of NCIt (P207) in
  ``property_value``. MONDO says in a trailing ``{source="MONDO:equivalentTo"}`` which xrefs are
  the same disease and which are only related: the former are exact, the latter are left out;
- definitions, ``alt_id``, ``replaced_by`` of an obsolete term, NCIt's semantic types (P106);
- edges: ``is_a`` and ``relationship``; a relation that is a number has the name of its ``Typedef``.

``intersection_of``, ``union_of`` and ``disjoint_from`` are definitions in logic and are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from balign.errors import DataError
from balign.kg.ontology import Ontology, curie, relation_name
from balign.kg.packed import open_packed

_ESCAPES = {"n": "\n", "W": " ", "t": "\t"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"')
_MODIFIERS = re.compile(r'\s\{\s*[\w:.-]+\s*=\s*".*"\s*\}\s*$')
_SCOPE = re.compile(r"\s*(EXACT|NARROW|BROAD|RELATED)?(?:\s+([^\s\[]+))?")
_MONDO_SOURCE = re.compile(r'source="MONDO:(\w+)"')
_NUMBERED = re.compile(r"[A-Za-z]+[:_]\d+|https?:.*")

_SCOPES = {  # of format 1.0, by the tag
    "exact_synonym": "exact",
    "narrow_synonym": "narrow",
    "broad_synonym": "broad",
    "related_synonym": "related",
}
_OBSOLETE_KINDS = {"OBSOLETE_SYNONYM", "DEPRECATED", "EXCLUDE"}
_STRUCTURE_KINDS = {"FORMULA", "INCHI", "INCHIKEY", "SMILES", "MASS", "CHARGE"}
_TAGS = {
    tag.encode(): tag
    for tag in (
        *("id", "name", "synonym", "def", "xref", "xref_analog", "equivalent_to", "alt_id"),
        *("is_a", "relationship", "is_obsolete", "is_anonymous", "replaced_by", "property_value"),
        *_SCOPES,
    )
}
_PROPERTY = re.compile(r'(\S+)\s+(?:"([^"\\]*(?:\\.[^"\\]*)*)"|(\S+))')
# Which properties are read, and as what.
_PROPERTIES = {
    "cui": re.compile(r"(.*[/#])?(NCIT[:_]|ncicp:)?(P207|UMLS_CUI)", re.IGNORECASE),
    "type": re.compile(r"(.*[/#])?(NCIT[:_]|ncicp:)?(P106|Semantic_Type)", re.IGNORECASE),
    "exact": re.compile(r"(.*[/#]|skos:)?exactMatch"),
}

Lines = dict[str, list[tuple[int, str]]]


@dataclass
class _Stanza:
    kind: bytes
    line: int
    values: Lines = field(default_factory=dict)

    def first(self, tag: str) -> str | None:
        found = self.values.get(tag)
        return found[0][1] if found else None


def unescape(text: str) -> str:
    r"""Undo OBO's escapes: ``\n``, ``\W`` (a space), ``\t``, and ``\x`` for any other ``x``."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), text)


def parse_quoted(value: str) -> tuple[str, str]:
    """Split a value that opens with a quoted string into that string, unescaped, and the rest.

    Raises:
        ValueError: if it does not open with a closed quoted string.
    """
    match = _QUOTED.match(value)
    if match is None:
        raise ValueError("no closed quoted string at the start")
    return unescape(match[1]), value[match.end() :]


def parse_synonym(value: str) -> tuple[str, str, str]:
    """Return text, scope in lower case (``related`` where none is given, as the format says), type.

    Raises:
        ValueError: as :func:`parse_quoted`.
    """
    text, rest = parse_quoted(value)
    match = _SCOPE.match(rest)
    scope, kind = (match[1], match[2]) if match else (None, None)
    return text, (scope or "RELATED").lower(), kind or ""


def read_obo(path: Path, source: str) -> Ontology:
    """Read the live terms of an OBO file (``.obo`` or ``.obo.gz``).

    Raises:
        DataError: for text that is not UTF-8, a damaged archive, a term without id, an id given
            twice or a value that cannot be parsed; it names the file and the line.
    """
    ontology = Ontology(source)
    seen: set[str] = set()
    relations: dict[str, str] = {}
    for stanza in _stanzas(path):
        try:
            if stanza.kind == b"[Term]":
                _add_term(ontology, stanza, seen)
            else:
                _add_relation(relations, stanza)
        except _Broken as error:
            raise DataError(str(error), where=f"{path}, line {error.line}") from None
    if not seen:
        raise DataError("no term in the OBO file", where=str(path), hint="fetch the source again")
    if relations:
        edges, ontology.edges = ontology.edges, []
        for head, relation, tail in edges:
            ontology.add_edge(head, relations.get(relation, relation), tail)
    return ontology


class _Broken(Exception):
    """A value that cannot be read, and its line."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


def _stanzas(path: Path) -> Iterator[_Stanza]:
    """Yield terms and relations one by one, with the values that are read and their lines."""
    stanza: _Stanza | None = None
    number = 0
    before = b""
    try:
        with open_packed(path) as handle:
            for number, raw in enumerate(handle, 1):
                raw = before + raw.strip()
                before = b""
                if raw.endswith(b"\\") and (len(raw) - len(raw.rstrip(b"\\"))) % 2:
                    before = raw[:-1]  # an escaped line end
                    continue
                if raw.startswith(b"["):
                    if stanza:
                        yield stanza
                    known = raw in (b"[Term]", b"[Typedef]")
                    stanza = _Stanza(raw, number) if known else None
                elif stanza:
                    tag, _, value = raw.partition(b":")
                    if tag in _TAGS:
                        row = (number, value.decode().strip())
                        stanza.values.setdefault(_TAGS[tag], []).append(row)
    except UnicodeDecodeError as error:
        what = f"not UTF-8: {error.reason} at byte {error.start} of the value"
        raise DataError(what, where=f"{path}, line {number}") from None
    if stanza:
        yield stanza


def _references(value: str) -> list[str]:
    """Return a value's words up to its modifiers and its comment."""
    words = []
    for word in value.split():
        if word[0] in "!{":
            break
        words.append(unescape(word))
    return words


def _reference(value: str, line: int) -> str:
    words = _references(value)
    if not words:
        raise _Broken("an identifier is missing", line)
    return words[0]


def _quoted(value: str, line: int) -> str:
    try:
        return parse_quoted(value)[0]
    except ValueError as error:
        raise _Broken(f"cannot be parsed: {error}", line) from None


def _is_true(stanza: _Stanza, tag: str) -> bool:
    return (stanza.first(tag) or "").startswith("true")


def _add_relation(relations: dict[str, str], stanza: _Stanza) -> None:
    """Note the readable name of a relation whose id is a number or an address."""
    code, name = stanza.first("id"), unescape(stanza.first("name") or "")
    if code and name and _NUMBERED.fullmatch(code) and relation_name(code) == code:
        relations[code] = "_".join(name.split())


def _add_term(ontology: Ontology, stanza: _Stanza, seen: set[str]) -> None:
    raw = stanza.first("id")
    if raw is None:
        raise _Broken("a term without id", stanza.line)
    code = _reference(raw, stanza.line)
    if code in seen:
        raise _Broken(f"the id {code} is given twice", stanza.line)
    seen.add(code)
    if _is_true(stanza, "is_anonymous"):
        ontology.dropped["terms without a name"] += 1
        return
    name = unescape(_MODIFIERS.sub("", stanza.first("name") or ""))
    obsolete = _is_true(stanza, "is_obsolete")
    for number, value in stanza.values.get("alt_id", ()):
        ontology.aliases[_reference(value, number)] = code
    if obsolete:
        ontology.retired.add(code)
        heirs = stanza.values.get("replaced_by", ())
        if len(heirs) == 1:
            ontology.aliases[code] = _reference(heirs[0][1], heirs[0][0])
    if not ontology.keeps_term(name, obsolete=obsolete):
        return
    ontology.add_name(code, name, "name")
    _add_synonyms(ontology, code, stanza)
    for number, value in stanza.values.get("def", ()):
        definition = " ".join(_quoted(value, number).split())
        if definition:
            ontology.definitions.append((code, definition))
    _add_identifiers(ontology, code, stanza)
    for number, value in stanza.values.get("property_value", ()):
        _add_property(ontology, code, value, number)
    for number, value in stanza.values.get("is_a", ()):
        ontology.edges.append((code, "is_a", _reference(value, number)))
    for number, value in stanza.values.get("relationship", ()):
        words = _references(value)
        if len(words) != 2:
            raise _Broken("a relationship is a relation and an id", number)
        ontology.add_edge(code, words[0], words[1])


def _add_synonyms(ontology: Ontology, code: str, stanza: _Stanza) -> None:
    for number, value in stanza.values.get("synonym", ()):
        try:
            synonym, scope, kind = parse_synonym(value)
        except ValueError as error:
            raise _Broken(f"cannot be parsed: {error}", number) from None
        kind = kind.rpartition(":")[2].upper()
        if kind in _OBSOLETE_KINDS:
            ontology.dropped["obsolete names"] += 1
        elif kind in _STRUCTURE_KINDS:
            ontology.dropped["formulas and structures"] += 1
        else:
            ontology.add_name(code, synonym, scope)
    for tag, scope in _SCOPES.items():
        for number, value in stanza.values.get(tag, ()):
            ontology.add_name(code, _quoted(value, number), scope)


def _add_identifiers(ontology: Ontology, code: str, stanza: _Stanza) -> None:
    for tag in ("xref", "xref_analog"):
        for _, value in stanza.values.get(tag, ()):
            words = _references(value)
            other = curie(words[0]) if words else None
            grounds = _MONDO_SOURCE.findall(value)
            if other is None or not grounds:
                ontology.add_xref(code, other)
            elif "equivalentTo" in grounds:
                ontology.exact.append((code, other))
            else:
                ontology.dropped["xrefs that are no equivalents"] += 1
    for number, value in stanza.values.get("equivalent_to", ()):
        ontology.add_xref(code, curie(_reference(value, number)))


@cache
def _property_kind(name: str) -> str | None:
    return next((kind for kind, form in _PROPERTIES.items() if form.fullmatch(name)), None)


def _add_property(ontology: Ontology, code: str, value: str, line: int) -> None:
    match = _PROPERTY.match(value)
    if match is None:
        raise _Broken("a property_value is a property and a value", line)
    kind = _property_kind(match[1])
    if kind is None:
        return
    given = unescape(match[2] if match[2] is not None else match[3])
    if kind == "cui":
        ontology.add_xref(code, curie(f"UMLS:{given}"))
    elif kind == "type":
        ontology.types.append((code, given))
    else:
        other = None if given.startswith("http") else curie(given)
        if other is None:
            ontology.dropped["xrefs that are no identifiers"] += 1
        else:
            ontology.exact.append((code, other))
