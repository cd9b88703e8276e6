"""Reader of mapping sets in SSSOM/TSV (https://mapping-commons.github.io/sssom)."""

from __future__ import annotations

from pathlib import Path

from balign.errors import DataError
from balign.kg.ontology import Ontology, curie
from balign.kg.settings import MappingSettings
from balign.kg.tsv import read_columns

_COLUMNS = ("subject_id", "predicate_id", "object_id")
_OPTIONAL = ("predicate_modifier", "confidence")
_EXACT = {"skos:exactMatch", "owl:equivalentClass", "owl:sameAs"}
_ADDRESSES = {
    "http://www.w3.org/2004/02/skos/core#": "skos:",
    "http://www.w3.org/2002/07/owl#": "owl:",
    "https://w3id.org/semapv/vocab/": "semapv:",
    "http://www.geneontology.org/formats/oboInOwl#": "oboInOwl:",
}


def read_sssom(path: Path, source: str, settings: MappingSettings | None = None) -> Ontology:
    """Read the mappings with the wanted predicates; the others are counted and left out.

    An exact match or equivalence counts as a curator's word, any other predicate as an xref.

    Args:
        path: the file.
        source: name in the registry.
        settings: predicates and least confidence, exact matches by default; a mapping without
            confidence is taken.

    Raises:
        DataError: for a confidence that is no number from 0 to 1, or as
            :func:`balign.kg.tsv.read_columns`.
    """
    settings = settings or MappingSettings()
    ontology = Ontology(source)
    for where, (subject, predicate, target, modifier, confidence) in read_columns(
        path, _COLUMNS, _OPTIONAL
    ):
        predicate = _short(predicate)
        code, other = curie(subject), curie(target)
        if modifier:
            ontology.dropped[f"mappings {modifier} {predicate}"] += 1
        elif predicate not in settings.predicates:
            ontology.dropped[f"mappings {predicate}"] += 1
        elif confidence and _number(confidence, where) < settings.min_confidence:
            ontology.dropped["mappings of less confidence"] += 1
        elif code is None or other is None:
            ontology.dropped["xrefs that are no identifiers"] += 1
        else:
            (ontology.exact if predicate in _EXACT else ontology.xrefs).append((code, other))
    return ontology


def _short(predicate: str) -> str:
    for address, prefix in _ADDRESSES.items():
        if predicate.startswith(address):
            return prefix + predicate.removeprefix(address)
    return predicate


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise DataError(f"the confidence '{text}' is no number from 0 to 1", where=where)
    return value
