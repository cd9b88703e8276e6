"""Relations: which are each other's inverse, which direction is kept, and what a person reads.

Of an inverse pair one direction is kept; of a symmetric relation the one whose head is smaller.
Pairs come from MRDOC.RRF where a Metathesaurus has it, from the table here, and from two habits of
naming: ``inverse_x`` with ``x``, and ``has_x`` with ``x_of``, where both occur.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

INVERSES = (
    ("is_a", "inverse_isa"),
    ("CHD", "PAR"),
    ("RN", "RB"),
    ("QB", "AQ"),
    ("part_of", "has_part"),
    ("is_conjugate_acid_of", "is_conjugate_base_of"),
)
SYMMETRIC = ("RO", "RL", "RQ", "RU", "SY", "XR", "is_enantiomer_of", "is_tautomer_of")
_SPELLINGS = {"isa": "is_a"}
_PREFERRED = {"is_a", "CHD", "RN", "part_of", "has_phenotype", "has_characteristic"}
# REL, UMLS Reference Manual, appendix B.3. Read "head label tail".
_LABELS = {
    "CHD": "child of",
    "PAR": "parent of",
    "RN": "narrower than",
    "RB": "broader than",
    "RO": "related to",
    "RL": "similar to",
    "RQ": "possibly synonym of",
    "RU": "related to",
    "SY": "synonym of",
}
REL = tuple(_LABELS)
"""The classes of relations of MRREL, but for those that are no facts."""


class Fold(NamedTuple):
    """How an edge with ``relation`` is stored: under ``canonical``, turned round if ``swap``."""

    relation: str
    canonical: str
    swap: bool
    symmetric: bool


def label(relation: str, expanded: Mapping[str, str]) -> str:
    """Return what a person reads between head and tail.

    Args:
        relation: its name.
        expanded: relation → expanded form, of MRDOC.
    """
    if relation in _LABELS:
        return _LABELS[relation]
    words = expanded.get(relation, relation.rpartition("/")[2].replace("_", " ")).strip()
    # "Has finding site" stands inside a sentence here; "DNA binding of" stays.
    return words[:1].lower() + words[1:] if words[1:2].islower() else words


def fold_relations(relations: Iterable[str], pairs: Iterable[tuple[str, str]] = ()) -> list[Fold]:
    """Decide for each relation how its edges are stored.

    Args:
        relations: the relations that occur.
        pairs: inverses by a Metathesaurus; a symmetric relation is its own inverse.
    """
    found = sorted(set(relations))
    present = sorted({_SPELLINGS.get(name, name) for name in found})
    inverse: dict[str, str] = {name: name for name in SYMMETRIC}
    for left, right in (*_named_pairs(present), *pairs, *INVERSES):
        left, right = _SPELLINGS.get(left, left), _SPELLINGS.get(right, right)
        inverse[left], inverse[right] = right, left
    folds = []
    for relation in found:
        name = _SPELLINGS.get(relation, relation)
        other = inverse.get(name, name)
        canonical = min((name, other), key=_order)
        folds.append(Fold(relation, canonical, canonical != name, inverse.get(name) == name))
    return folds


def _named_pairs(present: list[str]) -> list[tuple[str, str]]:
    known = set(present)
    pairs = []
    for name in present:
        if f"inverse_{name}" in known:
            pairs.append((name, f"inverse_{name}"))
        if name.startswith("has_") and f"{name[4:]}_of" in known:
            pairs.append((f"{name[4:]}_of", name))
    return pairs


def _order(name: str) -> tuple[bool, bool, bool, bool, str]:
    return (
        name not in _PREFERRED,
        name.startswith("inverse_"),
        name.startswith("has_"),
        name.endswith("_by"),
        name,
    )
