"""Reader of the ontologies in cellxgene-ontology-guide: JSON packed with Zstandard.

A term has ``label``, perhaps ``description`` and ``synonyms`` (exact ones), ``deprecated``,
``replaced_by``, and ``ancestors``: term → distance, counted along ``is_a`` and ``part_of`` together
(the package's own script, ``_get_ancestors``). Only distance 1 is a statement of the ontology.
MONDO and ChEBI put no term of their own under another by ``part_of``, so theirs are ``is_a``; for
the others the file does not tell, and the relation is called what it is, "is a or part of".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from balign.errors import DataError
from balign.kg.ontology import IS_A, IS_A_OR_PART_OF, Ontology, curie, prefix_of

_PURE = {"MONDO", "CHEBI"}


def read_cellxgene(path: Path, source: str) -> Ontology:
    """Read one ontology.

    Raises:
        DataError: if it is not such a file; it names the file and the term.
    """
    try:
        with pa.input_stream(str(path), compression="zstd") as stream:
            text = stream.read()
    except OSError as error:
        raise DataError(
            f"not packed with Zstandard, or cut off: {error}",
            where=str(path),
            hint="fetch the source again",
        ) from None
    try:
        terms = json.loads(text, object_pairs_hook=_without_far_ancestors)
    except ValueError as error:
        raise DataError(f"not JSON in UTF-8: {error}", where=str(path)) from None
    if not isinstance(terms, dict) or not terms:
        raise DataError("not a table of terms", where=str(path))
    ontology = Ontology(source)
    for key, term in terms.items():
        try:
            _add_term(ontology, key, term)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            what = f"not a term: {type(error).__name__} {error}"
            raise DataError(what, where=f"{path}, term {key}") from None
    return ontology


def _without_far_ancestors(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dictionary, of a table of ancestors only the nearest: a ninth of the memory."""
    return {key: value for key, value in pairs if value.__class__ is not int or value == 1}


def _add_term(ontology: Ontology, key: str, term: dict[str, Any]) -> None:
    code = curie(key)
    if code is None:
        raise ValueError(f"'{key}' is no identifier")
    name, obsolete = str(term["label"] or ""), bool(term["deprecated"])
    if obsolete:
        ontology.retired.add(code)
        heir = curie(str(term.get("replaced_by") or ""))
        if heir is not None:
            ontology.aliases[code] = heir
    if not ontology.keeps_term(name, obsolete=obsolete):
        return
    ontology.add_name(code, name, "name")
    for synonym in term.get("synonyms") or ():
        ontology.add_name(code, synonym, "exact")
    definition = " ".join(str(term.get("description") or "").split())
    if definition:
        ontology.definitions.append((code, definition))
    relation = IS_A if prefix_of(code) in _PURE else IS_A_OR_PART_OF
    for parent in term["ancestors"]:
        tail = curie(parent)
        if tail is not None:
            ontology.edges.append((code, relation, tail))
