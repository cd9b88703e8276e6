"""Reader of HPO's disease annotations (phenotype.hpoa; obophenotype.github.io, "Annotations").

A disease becomes a term under its own identifier (``OMIM:``, ``ORPHA:``, ``DECIPHER:``); merging
joins it to MONDO's or DOID's term through their xrefs, and it stays on its own where none has it.
"""

from __future__ import annotations

from pathlib import Path

from balign.errors import DataError
from balign.kg.ontology import Ontology, curie
from balign.kg.tsv import read_columns

_COLUMNS = ("database_id", "disease_name", "qualifier", "hpo_id", "aspect")
RELATION = "has_phenotype"


def read_hpoa(path: Path, ontology: Ontology) -> None:
    """Add diseases and their edges ``has_phenotype`` to the ontology of the phenotypes.

    Only aspect P counts; a row with the qualifier NOT says that the phenotype is absent.

    Raises:
        DataError: for a missing column, a row of another width or a disease without a good
            identifier; it names the file and the line.
    """
    names: dict[str, str] = {}
    for where, (disease_id, name, qualifier, phenotype, aspect) in read_columns(path, _COLUMNS):
        if aspect != "P":
            ontology.dropped[f"annotations of aspect {aspect}"] += 1
        elif qualifier == "NOT":
            ontology.dropped["annotations with the qualifier NOT"] += 1
        else:
            disease = curie(disease_id)
            if disease is None:
                raise DataError(f"'{disease_id}' is no identifier of a disease", where=where)
            names.setdefault(disease, name.strip() or disease)
            ontology.edges.append((disease, RELATION, phenotype))
    for disease, name in names.items():
        ontology.add_name(disease, name, "disease_name")
