"""Semantic types where a source has none: the branches of its ``is_a`` hierarchy.

No open source carries UMLS semantic types. A term's types are the names of the branches it is
under: the children of the roots. A branch that holds more than half of the terms tells nothing
("Phenotypic abnormality"), so its own children stand in its place, again and again.
"""

from __future__ import annotations

from balign.kg.ontology import IS_A, IS_A_OR_PART_OF, Ontology


def branch_types(ontology: Ontology) -> list[tuple[str, str]]:
    """Return rows (code, name of a branch) for every term below a root of ``is_a``.

    A term above the branches has the name of its nearest branch-to-be: itself, or none if a root.
    """
    own_name = {code: name for code, name, kind in ontology.names if kind == "name"}
    children: dict[str, list[str]] = {code: [] for code in own_name}
    parents: dict[str, int] = dict.fromkeys(own_name, 0)
    for head, relation, tail in ontology.edges:
        kind = relation in (IS_A, IS_A_OR_PART_OF)
        if kind and head in children and tail in children and head != tail:
            children[tail].append(head)
            parents[head] += 1
    roots = [code for code in own_name if parents[code] == 0 and children[code]]
    waiting = [child for root in roots for child in children[root]]
    branches: dict[str, set[str]] = {}
    split: list[str] = []
    while waiting:
        branch = waiting.pop()
        if branch in branches or branch in split:
            continue
        below = _below(branch, children)
        if 2 * len(below) > len(own_name) and children[branch]:
            split.append(branch)
            waiting.extend(children[branch])
        else:
            branches[branch] = below
    rows = {(code, own_name[branch]) for branch, below in branches.items() for code in below}
    rows |= {(branch, own_name[branch]) for branch in split}
    return sorted(rows)


def _below(top: str, children: dict[str, list[str]]) -> set[str]:
    """Return a term and all terms below it; a cycle is walked once."""
    found = {top}
    waiting = [top]
    while waiting:
        for child in children[waiting.pop()]:
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found
