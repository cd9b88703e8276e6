"""What every reader of an ontology returns, and how identifiers are written.

Identifiers are ``PREFIX:ID`` with one spelling of each prefix (:func:`identifier`). Term types of
names are ``name`` (a term's own), ``exact``, ``synonym`` (scope unknown), ``disease_name`` (of an
annotation file), ``related``, ``narrow`` and ``broad``; a Metathesaurus brings its own (TTY).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

# Rank of a name in its concept: own names first, then true synonyms, then near ones.
TERM_CLASS = {
    "name": 0,
    "exact": 1,
    "synonym": 1,
    "disease_name": 2,
    "related": 3,
    "narrow": 3,
    "broad": 4,
}

_PREFIXES = {
    "UMLS_CUI": "UMLS",
    "MSH": "MESH",
    "ORPHANET": "ORPHA",
    "ORDO": "ORPHA",
    "NCI": "NCIT",
    "SCTID": "SNOMEDCT",
    "SNOMED_CT": "SNOMEDCT",
    "SNOMEDCT_US": "SNOMEDCT",
    "ICD-10": "ICD10",
    "ICD-9": "ICD9",
    "ICD-O": "ICDO",
}
_DATED_SNOMED = re.compile(r"SNOMEDCT_US_\d{4}_\d{2}_\d{2}")
# Axioms that a class is *not* below another, pointers and constraints: no facts of the graph.
NOT_FACTS = {"excluded_subClassOf", "seeAlso", "never_in_taxon", "should_conform_to"}
# What a term is part of, or a kind of: the relations that make an ontology's tree. The second is of
# files that do not tell the two apart (:mod:`balign.kg.cellxgene`).
IS_A = "is_a"
IS_A_OR_PART_OF = "is_a_or_part_of"
# Names of relations that some files give by number: Relation Ontology, BFO, IAO, OBI, EFO.
_RELATIONS = {
    "BFO:0000050": "part_of",
    "BFO:0000051": "has_part",
    "BFO:0000066": "occurs_in",
    "EFO:0000784": "has_disease_location",
    "IAO:0000136": "is_about",
    "OBI:0000293": "has_specified_input",
    "OBI:0000295": "is_specified_input_of",
    "OBI:0000299": "has_specified_output",
    "OBI:0000312": "is_specified_output_of",
    "RO:0000052": "characteristic_of",
    "RO:0000053": "has_characteristic",
    "RO:0000056": "participates_in",
    "RO:0000057": "has_participant",
    "RO:0000081": "role_of",
    "RO:0000086": "has_quality",
    "RO:0000087": "has_role",
    "RO:0001000": "derives_from",
    "RO:0001025": "located_in",
    "RO:0002160": "only_in_taxon",
    "RO:0002161": "never_in_taxon",
    "RO:0002162": "in_taxon",
    "RO:0002200": "has_phenotype",
    "RO:0002201": "phenotype_of",
    "RO:0002202": "develops_from",
    "RO:0002211": "regulates",
    "RO:0002212": "negatively_regulates",
    "RO:0002213": "positively_regulates",
    "RO:0002314": "characteristic_of_part_of",
}
# Literature, addresses and encyclopaedias are references of a term, not other names of it.
_REFERENCES = {"PMID", "HTTP", "HTTPS", "WIKIPEDIA", "ISBN", "DOI", "URL", "GC_ID", "ORCID"}
_SHAPES = {
    "UMLS": re.compile(r"C\d{7}"),
    "MESH": re.compile(r"[CD](\d{6}|\d{9})"),
}


def identifier(prefix: str, local: str) -> str | None:
    """Return ``PREFIX:ID``, or None for a reference or an ill-formed CUI or MeSH id.

    MONDO carries 600 identifiers such as ``UMLS:CN228161``, which are MedGen's and no CUIs.
    """
    prefix = prefix.strip().upper().replace(" ", "_")
    local = local.strip()
    if _DATED_SNOMED.fullmatch(prefix):
        prefix = "SNOMEDCT"
    prefix = _PREFIXES.get(prefix, prefix)
    if not prefix or not local or prefix in _REFERENCES:
        return None
    shape = _SHAPES.get(prefix)
    if shape and not shape.fullmatch(local):
        return None
    return f"{prefix}:{local}"


def curie(text: str) -> str | None:
    """Return the :func:`identifier` in ``PREFIX:ID``; None without a prefix."""
    prefix, colon, local = text.partition(":")
    return identifier(prefix, local) if colon else None


def relation_name(relation: str) -> str:
    """Return a relation's name in words where it is given by a known number or by an address."""
    name = relation.rpartition("/")[2] if relation.startswith(("http:", "https:")) else relation
    return _RELATIONS.get(name.replace("_", ":", 1), name)


def prefix_of(name: str) -> str:
    """Return the prefix of an identifier."""
    return name.partition(":")[0]


def is_obsolete_name(name: str) -> bool:
    """Say whether a name marks an obsolete term."""
    return name.casefold().startswith(("obsolete ", "obsolete_"))


@dataclass
class Ontology:
    """The rows of one source; codes are identifiers of the source's own terms.

    Attributes:
        source: name in the registry.
        names: rows (code, name, term type), in the order of the file; a term's own name first.
        xrefs: rows (code, identifier).
        exact: the xrefs that a curator called exact matches.
        aliases: former code → code.
        retired: codes that the source calls obsolete; some are aliases too.
        edges: rows (head, relation, tail) of codes or aliases.
        types: rows (code, semantic type).
        definitions: rows (code, definition).
        dropped: reason → rows left out.
    """

    source: str
    names: list[tuple[str, str, str]] = field(default_factory=list)
    xrefs: list[tuple[str, str]] = field(default_factory=list)
    exact: list[tuple[str, str]] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    retired: set[str] = field(default_factory=set)
    edges: list[tuple[str, str, str]] = field(default_factory=list)
    types: list[tuple[str, str]] = field(default_factory=list)
    definitions: list[tuple[str, str]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def keeps_term(self, name: str, *, obsolete: bool = False) -> bool:
        """Tell whether a term is to be read; one that is obsolete or has no name is counted."""
        if obsolete or is_obsolete_name(name):
            self.dropped["obsolete terms"] += 1
            return False
        if not name.strip():
            self.dropped["terms without a name"] += 1
            return False
        return True

    def add_name(self, code: str, name: str, term_type: str) -> None:
        """Add a name of a term, white space normalised; an empty or obsolete one is counted."""
        name = " ".join(name.split())
        if not name:
            self.dropped["empty names"] += 1
        elif is_obsolete_name(name):
            self.dropped["obsolete names"] += 1
        else:
            self.names.append((code, name, term_type))

    def add_xref(self, code: str, other: str | None) -> None:
        """Add an identifier of a term; None (see :func:`identifier`) is counted."""
        if other is None:
            self.dropped["xrefs that are no identifiers"] += 1
        elif other != code:
            self.xrefs.append((code, other))

    def add_edge(self, head: str, relation: str, tail: str) -> None:
        """Add an edge; a statement that is no fact about the two is counted."""
        relation = relation_name(relation)
        if relation in NOT_FACTS:
            self.dropped[f"edges {relation}"] += 1
        else:
            self.edges.append((head, relation, tail))
