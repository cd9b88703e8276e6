"""Reader of MeSH in XML: ``desc2026.xml`` and ``supp2026.xml``, plain or ``.gz``.

The elements are those of NLM's DTDs (nlm.nih.gov/mesh, "XML Data Elements"). A record has concepts,
one of them preferred, and each concept terms. The record's name is its own; other terms of the
preferred concept are exact synonyms, a permuted one ("Headaches, Tension") a synonym, and terms of
another concept have the scope of that concept: narrower, broader or related. The preferred
concept's scope note is the definition. Edges: a descriptor ``is_a`` its parents in the tree (parts
stand under wholes there too, as in :mod:`balign.kg.mesh_table`), ``has_pharmacological_action``,
and a supplementary record's ``mapped_to``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from balign.errors import DataError
from balign.kg.mesh_table import CATEGORIES, add_tree_number, tree_parent
from balign.kg.ontology import Ontology, identifier
from balign.kg.packed import open_packed

_RECORDS = {
    "DescriptorRecordSet": ("DescriptorRecord", "DescriptorUI", "DescriptorName"),
    "SupplementalRecordSet": (
        "SupplementalRecord",
        "SupplementalRecordUI",
        "SupplementalRecordName",
    ),
}
_TAGS = (*_RECORDS, "QualifierRecordSet", *(names[0] for names in _RECORDS.values()))
_SCOPES = {"NRW": "narrow", "BRD": "broad", "REL": "related"}
# SCRClass; 2 and 5 to 7 (protocols, populations, ancestries) are in no category of the tree.
_CLASSES = {"1": CATEGORIES["D"], "3": CATEGORIES["C"], "4": CATEGORIES["B"]}
ACTION = "has_pharmacological_action"


def read_mesh_xml(path: Path, source: str) -> Ontology:
    """Read a file of descriptors or of supplementary records, record by record.

    Nothing is fetched for the file, and one that declares entities of its own, as no file of NLM
    does, is refused: they could make it grow without bound or read other files.

    Raises:
        DataError: for XML that is broken or declares entities, another root, a record without id
            or name, an id given twice; it names the file and the line.
    """
    ontology = Ontology(source)
    trees: dict[str, str] = {}
    seen: set[str] = set()
    for names, record in _records(path):
        where = f"{path}, line {record.sourceline}"
        try:
            code = _code(record.findtext(names[1]))
            if code in seen:
                raise ValueError(f"the id {code} is given twice")
            seen.add(code)
            name = record.findtext(f"{names[2]}/String") or ""
            if ontology.keeps_term(name):
                _add_record(ontology, code, name, record, trees)
        except ValueError as error:
            raise DataError(f"not a MeSH record: {error}", where=where) from None
    if not seen:
        raise DataError("no record in the MeSH file", where=str(path), hint="fetch it again")
    for number, code in trees.items():
        parent = tree_parent(number, trees)
        if parent is not None:
            ontology.edges.append((code, "is_a", trees[parent]))
    return ontology


def _records(path: Path) -> Iterator[tuple[tuple[str, str, str], etree._Element]]:
    """Yield each record with the names of its elements; it is cleared afterwards."""
    names: tuple[str, str, str] | None = None
    try:
        with open_packed(path) as handle:
            context = etree.iterparse(
                handle,
                events=("start", "end"),
                tag=_TAGS,
                no_network=True,
                load_dtd=False,
                resolve_entities=False,
                huge_tree=False,
                remove_comments=True,
                remove_pis=True,
            )
            for event, element in context:
                if names is None:
                    names = _check_root(element, path)
                elif event == "end" and element.tag == names[0]:
                    yield names, element
                    element.clear()
                    while (before := element.getprevious()) is not None:
                        parent = element.getparent()
                        assert parent is not None
                        parent.remove(before)
    except etree.XMLSyntaxError as error:
        line = error.position[0] if error.position else 0
        raise DataError(
            f"not well-formed XML: {error.msg}",
            where=f"{path}, line {line}",
            hint="fetch the file again",
        ) from None
    if names is None:
        raise DataError(
            "not a file of MeSH descriptors or supplementary records",
            where=str(path),
            hint="give desc<year>.xml or supp<year>.xml",
        )


def _check_root(root: etree._Element, path: Path) -> tuple[str, str, str]:
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and list(dtd.entities()):  # type: ignore[attr-defined]  # not in the stubs
        raise DataError(
            "the file declares entities of its own",
            where=str(path),
            hint="no file of NLM does; fetch it from the publisher",
        )
    if root.tag not in _RECORDS:
        raise DataError(
            f"a file with the root {root.tag} holds no concepts of the graph",
            where=f"{path}, line {root.sourceline}",
            hint="give desc<year>.xml or supp<year>.xml",
        )
    return _RECORDS[str(root.tag)]


def _code(text: str | None) -> str:
    code = identifier("MESH", text or "")
    if code is None:
        raise ValueError(f"'{text or ''}' is no MeSH id")
    return code


def _add_record(
    ontology: Ontology, code: str, name: str, record: etree._Element, trees: dict[str, str]
) -> None:
    ontology.add_name(code, name, "name")
    concepts = record.findall("ConceptList/Concept")
    scopes: dict[str | None, str] = {}
    for relation in record.iterfind("ConceptList/Concept/ConceptRelationList/ConceptRelation"):
        scope = _SCOPES.get(relation.get("RelationName") or "", "related")
        scopes.setdefault(relation.findtext("Concept2UI"), scope)
    for concept in concepts:
        preferred = concept.get("PreferredConceptYN") == "Y"
        # Concept2 is the one described: "Concept1 NRW Concept2" calls Concept2 narrower.
        scope = "exact" if preferred else scopes.get(concept.findtext("ConceptUI"), "related")
        _add_terms(ontology, code, name, concept, scope)
        note = " ".join((concept.findtext("ScopeNote") or "").split())
        if preferred and note:
            ontology.definitions.append((code, note))
        if preferred:
            _add_numbers(ontology, code, concept)
    for element in record.iterfind("TreeNumberList/TreeNumber"):
        add_tree_number(ontology, code, element.text or " ", trees)
    category = _CLASSES.get(record.get("SCRClass") or "")
    if category:
        ontology.types.append((code, category))
    for path, relation_name in (
        ("PharmacologicalActionList/PharmacologicalAction/DescriptorReferredTo", ACTION),
        ("HeadingMappedToList/HeadingMappedTo/DescriptorReferredTo", "mapped_to"),
    ):
        for heading in record.iterfind(f"{path}/DescriptorUI"):
            tail = _code((heading.text or "").lstrip("*"))
            ontology.edges.append((code, relation_name, tail))


def _add_terms(
    ontology: Ontology, code: str, name: str, concept: etree._Element, scope: str
) -> None:
    for term in concept.iterfind("TermList/Term"):
        text = term.findtext("String") or ""
        permuted = term.get("IsPermutedTermYN") == "Y"
        if text != name:
            ontology.add_name(code, text, "synonym" if permuted and scope == "exact" else scope)


def _add_numbers(ontology: Ontology, code: str, concept: etree._Element) -> None:
    """Add the registry numbers of a substance or organism; 0 stands for none."""
    numbers = [concept.findtext("RegistryNumber") or ""]
    numbers += [one.text or "" for one in concept.iterfind("RegistryNumberList/RegistryNumber")]
    for number in filter(None, map(str.strip, numbers)):
        if number == "0":
            continue
        if number.startswith("EC "):
            other = identifier("EC", number.removeprefix("EC "))
        elif number.startswith("txid"):
            other = identifier("NCBITaxon", number.removeprefix("txid"))
        elif number.replace("-", "").isdigit():
            other = identifier("CAS", number)
        else:
            other = identifier("UNII", number)
        ontology.add_xref(code, other)
