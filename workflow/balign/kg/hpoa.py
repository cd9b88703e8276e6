"""Reader of HPO's disease annotations (phenotype.hpoa; obophenotype.github.io, "Annotations").

A disease becomes a term under its own identifier (``OMIM:``, ``ORPHA:``, ``DECIPHER:``); merging
joins it to MONDO's or DOID's term through their xrefs, and it stays on its own where none has it.
"""

from __future__ import annotations

import csv
from pathlib import Path

from balign.errors import DataError
from balign.kg.ontology import Ontology, curie

_COLUMNS = ("database_id", "disease_name", "qualifier", "hpo_id", "aspect")
RELATION = "has_phenotype"


def read_hpoa(path: Path, ontology: Ontology) -> None:
    """Add diseases and their edges ``has_phenotype`` to the ontology of the phenotypes.

    Only aspect P counts; a row with the qualifier NOT says that the phenotype is absent.

    Raises:
        DataError: for a missing column, a row of another width or a disease without a good
            identifier; it names the file and the line.
    """
    seen: dict[str, str] = {}
    with path.open(encoding="utf-8", newline="") as handle:
        rows = csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
        header: list[str] | None = None
        try:
            for row in rows:
                if not row or row[0].startswith("#") and header is None:
                    continue
                if header is None:
                    header = row
                    missing = [name for name in _COLUMNS if name not in header]
                    if missing:
                        raise ValueError(f"no column {', '.join(missing)}")
                    place = [header.index(name) for name in _COLUMNS]
                    continue
                if len(row) != len(header):
                    raise ValueError(f"{len(row)} columns instead of {len(header)}")
                _add_row(ontology, seen, *(row[column] for column in place))
        except (ValueError, csv.Error) as error:
            raise DataError(f"not an HPO annotation: {error}", where=_where(path, rows.line_num))
    for disease, name in seen.items():
        ontology.add_name(disease, name, "disease_name")


def _where(path: Path, line: int) -> str:
    return f"{path}, line {line}"


def _add_row(
    ontology: Ontology,
    seen: dict[str, str],
    database_id: str,
    name: str,
    qualifier: str,
    phenotype: str,
    aspect: str,
) -> None:
    if aspect != "P":
        ontology.dropped[f"annotations of aspect {aspect}"] += 1
        return
    if qualifier == "NOT":
        ontology.dropped["annotations with the qualifier NOT"] += 1
        return
    disease = curie(database_id)
    if disease is None:
        raise ValueError(f"'{database_id}' is no identifier")
    seen.setdefault(disease, name)
    ontology.edges.append((disease, RELATION, phenotype))
