"""Which terms of the ontologies are one concept.

A *claim* is a statement by a term that an identifier (a CUI, a MeSH id or another ontology's term)
is its own. Many terms claim several CUIs (1,027 of HPO's, 412 of DOID's, 237 of MONDO's), and many
identifiers are claimed by several terms of one ontology; following all of them would chain
different diseases into one. So claims are taken one by one, best first, and a claim holds only if
the concept that it would make has **at most one identifier of each prefix**: one CUI, one MeSH id,
one term of HPO, of MONDO, ... Best first means, in this order:

1. a Metathesaurus lists the term's identifier under that CUI (this alone may break the rule above,
   for the Metathesaurus itself has put two terms of one source into one concept);
2. a curated mapping calls it an exact match;
3. the term shares a name, up to case, punctuation and word order, with the identifier or with
   another ontology's term that claims it too;
4. more other ontologies claim the identifier;
5. fewer alternatives: claims by the term on that prefix, and of that identifier by terms of the
   term's ontology;
6. CUIs before others; then the smaller identifier and the smaller term.

Last come claims by name alone: one term each of two ontologies has the same own name, up to case
and MeSH's inversion ("Urticaria, Solar"). HPO gives no MeSH ids, and without these claims its
"Headache" and MeSH's would be two concepts of one name.

A claim on another ontology's term that has neither 1 to 3 nor is one to one is left: a MeSH heading
is often claimed by several narrower diseases of MONDO. A lost CUI stays as an xref unless it is
another concept's.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from balign.kg.ontology import Ontology, prefix_of

_HUBS = {"UMLS", "MESH"}  # identifiers that join terms even where they are no terms themselves
_TOKEN = re.compile(r"[^\W_]+")


class Claim(NamedTuple):
    """A claim and its grounds; see the module's text."""

    term: str
    target: str
    authority: bool
    exact: bool
    agrees: bool
    votes: int
    alternatives: int
    by_name: bool = False

    def order(self) -> tuple[bool, bool, bool, bool, int, int, bool, str, str]:
        """Return the sort key: best first."""
        return (
            not self.authority,
            self.by_name,
            not self.exact,
            not self.agrees,
            -self.votes,
            self.alternatives,
            prefix_of(self.target) != "UMLS",
            self.target,
            self.term,
        )


@dataclass
class Merged:
    """The outcome of a merge.

    Attributes:
        concept_of: term (``PREFIX:ID``) → concept id.
        identifiers: rows (concept, identifier): all other identifiers of each concept, sorted.
        counts: what was merged, refused and ambiguous.
    """

    concept_of: dict[str, str]
    identifiers: list[tuple[str, str]]
    counts: dict[str, int] = field(default_factory=dict)


def name_key(name: str) -> str:
    """Return a name's words, case folded and sorted: equal for names that differ in form only."""
    return " ".join(sorted(_TOKEN.findall(name.casefold())))


def own_name_key(name: str) -> str:
    """Return a name case folded, an inverted one set right: "Urticaria, Solar" → "solar urticaria".

    Punctuation stays: it tells (+)-catechin from (-)-catechin.
    """
    name = name.casefold()
    parts = name.split(", ")
    return " ".join(reversed(parts)) if len(parts) == 2 else name


def merge_terms(
    ontologies: Sequence[Ontology],
    cui_of: Callable[[set[str]], Mapping[str, str]] = lambda _: {},
    names_of: Callable[[set[str]], Mapping[str, list[str]]] = lambda _: {},
) -> Merged:
    """Join the terms of several ontologies into concepts.

    Args:
        ontologies: in the order of precedence: without a CUI, the first one's term gives the
            concept its id, and a disease known by annotations alone does so last.
        cui_of: a Metathesaurus' ``UMLS:`` CUI for those of the identifiers that it lists.
        names_of: a Metathesaurus' names for those of the ``UMLS:`` CUIs that it has.
    """
    names: dict[str, list[str]] = defaultdict(list)
    aliases: dict[str, str] = {}
    for ontology in ontologies:
        for code, name, _ in ontology.names:
            names[code].append(name)
    for ontology in ontologies:
        aliases.update((old, new) for old, new in ontology.aliases.items() if old not in names)
    claimed, exact = _claimed(ontologies, names, aliases)
    targets = {target for group in claimed.values() for target in group}
    authority = cui_of({*names, *targets})
    known = names_of({target for target in targets if prefix_of(target) == "UMLS"})
    claims = weigh_claims(claimed, exact, authority, {**names, **known})
    groups, counts = join(claims + claims_by_name({term: names[term][0] for term in names}))
    described = {
        code for ontology in ontologies for code, _, kind in ontology.names if kind == "name"
    }
    terms = sorted(names, key=lambda term: term not in described)  # annotated diseases last
    owner = {cui: cui.partition(":")[2] for cui in (*known, *authority.values())}
    owner.update((name, cui.partition(":")[2]) for name, cui in authority.items())
    return _outcome(ontologies, terms, aliases, groups, counts, owner)


def _claimed(
    ontologies: Sequence[Ontology], terms: Mapping[str, object], aliases: Mapping[str, str]
) -> tuple[dict[str, set[str]], set[tuple[str, str]]]:
    """Return term → identifiers it claims, and the pairs that are curated exact matches."""
    claimed: dict[str, set[str]] = defaultdict(set)
    exact: set[tuple[str, str]] = set()
    for ontology in ontologies:
        for rows, is_exact in ((ontology.xrefs, False), (ontology.exact, True)):
            for code, target in rows:
                code, target = aliases.get(code, code), aliases.get(target, target)
                hub = prefix_of(target) in _HUBS
                if code not in terms or prefix_of(code) == prefix_of(target):
                    continue
                if hub or target in terms:
                    claimed[code].add(target)
                    if is_exact:
                        exact.add((code, target))
    return claimed, exact


def weigh_claims(
    claimed: Mapping[str, set[str]],
    exact: set[tuple[str, str]],
    authority: Mapping[str, str],
    names: Mapping[str, Sequence[str]],
) -> list[Claim]:
    """Return all claims with their grounds, best first."""
    claimants: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for term, targets in claimed.items():
        for target in targets:
            claimants[target][prefix_of(term)].add(term)
    keys: dict[str, set[str]] = {}

    def keys_of(term: str) -> set[str]:
        if term not in keys:
            keys[term] = {name_key(name) for name in names.get(term, ())}
        return keys[term]

    claims = [Claim(term, cui, True, False, True, 0, 1) for term, cui in authority.items()]
    for term, targets in claimed.items():
        if term in authority:
            targets = {target for target in targets if prefix_of(target) != "UMLS"}
        of_prefix = Counter(prefix_of(target) for target in targets)
        for target in targets:
            own = prefix_of(term)
            others = [group for prefix, group in claimants[target].items() if prefix != own]
            agrees = not keys_of(term).isdisjoint(keys_of(target)) or any(
                not keys_of(term).isdisjoint(keys_of(other)) for group in others for other in group
            )
            alternatives = of_prefix[prefix_of(target)] * len(claimants[target][own])
            is_exact = (term, target) in exact
            claims.append(Claim(term, target, False, is_exact, agrees, len(others), alternatives))
    return sorted(claims, key=Claim.order)


def claims_by_name(own_names: Mapping[str, str]) -> list[Claim]:
    """Return a claim for each two ontologies of which one term each has the same own name."""
    same: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for term, name in own_names.items():
        same[own_name_key(name)][prefix_of(term)].append(term)
    claims = []
    for by_prefix in same.values():
        single = sorted(group[0] for group in by_prefix.values() if len(group) == 1)
        for term, target in itertools.combinations(single, 2):
            claims.append(Claim(term, target, False, False, True, 0, 1, by_name=True))
    return sorted(claims, key=Claim.order)


def join(claims: Iterable[Claim]) -> tuple[dict[str, tuple[str, ...]], Counter[str]]:
    """Take the claims in order.

    Returns:
        identifier → the sorted identifiers of its concept, for all that a claim names; and the
        number of claims taken and refused.
    """
    group: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    for claim in claims:
        left = group.setdefault(claim.term, [claim.term])
        right = group.setdefault(claim.target, [claim.target])
        if left is right:
            continue
        shared = {prefix_of(name) for name in left} & {prefix_of(name) for name in right}
        kind = "claims by name" if claim.by_name else "claims"
        sure = claim.authority or claim.exact or claim.agrees or claim.alternatives == 1
        if shared and not claim.authority:
            counts[f"{kind} refused: the concept has another identifier of that prefix"] += 1
        elif not sure and prefix_of(claim.target) != "UMLS":
            counts[f"{kind} refused: neither one to one nor a common name"] += 1
        else:
            counts[f"{kind} taken"] += 1
            counts["claims taken among alternatives, no common name"] += not sure
            left.extend(right)
            for name in right:
                group[name] = left
    sealed = {id(members): tuple(sorted(members)) for members in group.values()}
    return {name: sealed[id(members)] for name, members in group.items()}, counts


def _outcome(
    ontologies: Sequence[Ontology],
    terms: Sequence[str],
    aliases: Mapping[str, str],
    groups: Mapping[str, tuple[str, ...]],
    join_counts: Counter[str],
    owner: dict[str, str],
) -> Merged:
    place = {term: position for position, term in enumerate(terms)}
    concept_of: dict[str, str] = {}
    several = same_source = 0
    for term in terms:
        if term in concept_of:
            continue
        members = groups.get(term, (term,))
        own = [member for member in members if member in place]
        cuis = [member for member in members if prefix_of(member) == "UMLS"]
        concept = cuis[0].partition(":")[2] if cuis else min(own, key=place.__getitem__)
        concept_of.update(dict.fromkeys(own, concept))
        several += len(own) > 1
        same_source += len({prefix_of(member) for member in own}) < len(own)
    rows: set[tuple[str, str]] = set()
    for term, concept in concept_of.items():
        for member in groups.get(term, (term,)):
            owner[member] = concept
            rows.add((concept, member))
    lost = 0
    for ontology in ontologies:
        former = [(code, alias) for alias, code in ontology.aliases.items()]
        for code, other in (*ontology.xrefs, *ontology.exact, *former):
            found = concept_of.get(aliases.get(code, code))
            if found is not None:
                if owner.get(aliases.get(other, other), found) == found:
                    rows.add((found, other))
                else:
                    lost += 1
    several_cuis = Counter(concept for concept, other in rows if other.startswith("UMLS:"))
    counts = {
        "concepts of terms": len(set(concept_of.values())),
        "concepts with terms of several ontologies": several,
        "concepts with several terms of one ontology": same_source,
        "concepts with a further CUI as xref": sum(n > 1 for n in several_cuis.values()),
        "xrefs left out: the identifier is another concept's": lost,
        **join_counts,
    }
    identifiers = sorted(row for row in rows if row[0] != row[1])
    return Merged(concept_of, identifiers, counts)
