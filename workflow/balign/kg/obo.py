"""Reader of OBO 1.4 files (https://owlcollab.github.io/oboformat/doc/obo-syntax.html)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from balign.errors import DataError
from balign.kg.ontology import Ontology, curie

T = TypeVar("T")

_ESCAPES = {"n": "\n", "W": " ", "t": "\t"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_COMMENT = re.compile(r"\s!\s.*$|\s!$")
_MODIFIERS = re.compile(r'\s\{\s*[\w:.-]+\s*=\s*".*"\s*\}\s*$')
_SCOPE = re.compile(r"\s*(EXACT|NARROW|BROAD|RELATED)?(?:\s+([^\s\[]+))?")


@dataclass
class _Term:
    line: int
    values: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def first(self, tag: str) -> str | None:
        found = self.values.get(tag)
        return found[0][1] if found else None


def unescape(text: str) -> str:
    r"""Undo OBO's escapes: ``\n``, ``\W`` (a space), ``\t``, and ``\x`` for any other ``x``."""
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
    """Read the live terms of an OBO file.

    Raises:
        DataError: for text that is not UTF-8, a term without id, an id given twice or a value that
            cannot be parsed; it names the file and the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: {error.reason}", where=f"{path}, byte {error.start}") from None
    ontology = Ontology(source)
    seen: set[str] = set()
    for term in _terms(text.split("\n")):
        _add_term(ontology, term, seen, path)
    if not seen:
        raise DataError("no term in the OBO file", where=str(path), hint="fetch the source again")
    return ontology


def _terms(lines: Iterable[str]) -> Iterator[_Term]:
    term: _Term | None = None
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if line.startswith("["):
            if term:
                yield term
            term = _Term(number) if line == "[Term]" else None
        elif term and line and not line.startswith("!"):
            tag, _, value = line.partition(":")
            term.values.setdefault(tag, []).append((number, value.strip()))
    if term:
        yield term


def _reference(value: str) -> str:
    """Return an id, or a relation and an id, without what may follow."""
    return _MODIFIERS.sub("", _COMMENT.sub("", value)).strip()


def _parsed(parser: Callable[[str], T], value: str, path: Path, line: int) -> T:
    try:
        return parser(value)
    except ValueError as error:
        raise DataError(f"cannot be parsed: {error}", where=f"{path}, line {line}") from None


def _add_term(ontology: Ontology, term: _Term, seen: set[str], path: Path) -> None:
    raw = term.first("id")
    if raw is None:
        raise DataError("a term without id", where=f"{path}, line {term.line}")
    code = _reference(raw)
    if code in seen:
        raise DataError(f"the id {code} is given twice", where=f"{path}, line {term.line}")
    seen.add(code)
    name = unescape(_MODIFIERS.sub("", term.first("name") or ""))
    if not ontology.keeps_term(name, obsolete=term.first("is_obsolete") == "true"):
        return
    ontology.add_name(code, name, "name")
    for number, value in term.values.get("synonym", ()):
        synonym, scope, kind = _parsed(parse_synonym, value, path, number)
        if kind == "obsolete_synonym":
            ontology.dropped["obsolete names"] += 1
        else:
            ontology.add_name(code, synonym, scope)
    for number, value in term.values.get("def", ()):
        definition = " ".join(_parsed(parse_quoted, value, path, number)[0].split())
        if definition:
            ontology.definitions.append((code, definition))
    for _, value in term.values.get("xref", ()):
        ontology.add_xref(code, curie(unescape(value.split(' "')[0].split(" ")[0])))
    for _, value in term.values.get("alt_id", ()):
        ontology.aliases[_reference(value)] = code
    for _, value in term.values.get("is_a", ()):
        ontology.edges.append((code, "is_a", _reference(value)))
    for number, value in term.values.get("relationship", ()):
        parts = _reference(value).split()
        if len(parts) != 2:
            raise DataError(
                "a relationship is a relation and an id", where=f"{path}, line {number}"
            )
        ontology.add_edge(code, parts[0], parts[1])
