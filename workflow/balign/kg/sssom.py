"""Reader of mapping sets in SSSOM/TSV (https://mapping-commons.github.io/sssom)."""

from __future__ import annotations

from pathlib import Path

from balign.kg.ontology import Ontology, curie
from balign.kg.tsv import read_columns

_COLUMNS = ("subject_id", "predicate_id", "object_id")


def read_sssom(path: Path, source: str) -> Ontology:
    """Read the exact matches of a mapping set; other predicates are counted and left out.

    Raises:
        DataError: as :func:`balign.kg.tsv.read_columns`.
    """
    ontology = Ontology(source)
    for _, (subject, predicate, target) in read_columns(path, _COLUMNS):
        code, other = curie(subject), curie(target)
        if predicate != "skos:exactMatch":
            ontology.dropped[f"mappings {predicate}"] += 1
        elif code is None or other is None:
            ontology.dropped["xrefs that are no identifiers"] += 1
        else:
            ontology.exact.append((code, other))
    return ontology
