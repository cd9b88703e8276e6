"""Semantic groups of concepts: from the types of UMLS, else from the branch of an ontology.

The 15 groups are those of UMLS (:mod:`balign.kg.semantic_groups`). A concept that has a UMLS type
has that type's group; any other the group of the first line below that one of its types fits, where
most concepts of that branch would be in UMLS. The branches are those of this project's open
sources.
"""

from __future__ import annotations

from balign.kg.semantic_groups import GROUP_NAMES, GROUP_OF_TYPE

OTHER = "Not known"

# Source of the semantic type, its beginning, group.
_BRANCHES = (
    ("mesh", "MESH_TREE:F03", "DISO"),
    ("mesh", "MESH_TREE:C", "DISO"),
    ("mesh", "MESH_TREE:D", "CHEM"),
    ("mesh", "MESH_TREE:G05.360", "GENE"),
    ("mesh", "MESH_TREE:A", "ANAT"),
    ("mesh", "MESH_TREE:B", "LIVB"),
    ("mesh", "MESH_TREE:M", "LIVB"),
    ("mesh", "MESH_TREE:E07", "DEVI"),
    ("mesh", "MESH_TREE:E", "PROC"),
    ("mesh", "MESH_TREE:F01", "ACTI"),
    ("mesh", "MESH_TREE:F02", "PHYS"),
    ("mesh", "MESH_TREE:F04", "OCCU"),
    ("mesh", "MESH_TREE:G01", "PHEN"),
    ("mesh", "MESH_TREE:G02", "PHEN"),
    ("mesh", "MESH_TREE:G", "PHYS"),
    ("mesh", "MESH_TREE:H", "OCCU"),
    ("mesh", "MESH_TREE:I", "ACTI"),
    ("mesh", "MESH_TREE:J", "OBJC"),
    ("mesh", "MESH_TREE:K", "CONC"),
    ("mesh", "MESH_TREE:L", "CONC"),
    ("mesh", "MESH_TREE:N", "CONC"),
    ("mesh", "MESH_TREE:V", "CONC"),
    ("mesh", "MESH_TREE:Z", "GEOG"),
    ("mesh-supplementary", "", "CHEM"),
    ("hpo", "Clinical modifier", "CONC"),
    ("hpo", "Mode of inheritance", "CONC"),
    ("hpo", "Frequency", "CONC"),
    ("hpo", "", "DISO"),
    ("mondo", "", "DISO"),
    ("doid", "", "DISO"),
    ("chebi", "", "CHEM"),
    ("go", "cellular", "ANAT"),
    ("go", "", "PHYS"),
    ("uberon", "", "ANAT"),
    ("cl", "", "ANAT"),
)


def group_rules() -> list[tuple[int, str | None, str, bool, str]]:
    """Return rows of priority, source (None: any), type, whether it is a beginning, and group."""
    rules: list[tuple[int, str | None, str, bool, str]] = [
        (0, None, name, False, GROUP_NAMES[group]) for name, group in sorted(GROUP_OF_TYPE.items())
    ]
    for number, (source, beginning, group) in enumerate(_BRANCHES, 1):
        rules.append((number, source, beginning, True, GROUP_NAMES[group]))
    return rules
