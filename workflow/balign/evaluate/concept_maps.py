"""What links a graph's concepts to an annotated corpus: their MeSH ids, and what they are.

A corpus annotates one type of entity, a linker all concepts; so a linker's mentions count only
where the concept is of that type. ``Disease``: MeSH's branches C (diseases) and F03 (mental
disorders), whatever HPO, MONDO or DOID has, and UMLS's disorders. ``Chemical``: MeSH's branch D
but for proteins, nucleic acids and what is named by its action, the same for supplementary records
by the headings they are mapped to, whatever ChEBI has unless MeSH says otherwise, and UMLS's drugs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import polars as pl


@dataclass(frozen=True)
class EntityType:
    """Which concepts are of a type.

    Attributes:
        types: beginnings of semantic types.
        prefixes: prefixes of identifiers.
        against: beginnings of semantic types that rule a concept of those prefixes out.
    """

    types: tuple[str, ...]
    prefixes: tuple[str, ...]
    against: tuple[str, ...] = ()


_CHEMICAL_BRANCHES = (
    "MESH_TREE:D01",
    "MESH_TREE:D02",
    "MESH_TREE:D03",
    "MESH_TREE:D04",
    "MESH_TREE:D06",
    "MESH_TREE:D09",
    "MESH_TREE:D10",
    "MESH_TREE:D12.125",
    "MESH_TREE:D12.644",
    "MESH_TREE:D20",
)

ENTITY_TYPES: Mapping[str, EntityType] = {
    "Disease": EntityType(
        types=(
            "MESH_TREE:C",
            "MESH_TREE:F03",
            "Disease or Syndrome",
            "Neoplastic Process",
            "Mental or Behavioral Dysfunction",
            "Sign or Symptom",
            "Injury or Poisoning",
            "Pathologic Function",
            "Congenital Abnormality",
            "Acquired Abnormality",
            "Anatomical Abnormality",
        ),
        prefixes=("HP", "MONDO", "DOID"),
        # HPO's branches that hold no phenotype.
        against=("Clinical modifier", "Clinical course", "Frequency", "Mode of inheritance"),
    ),
    "Chemical": EntityType(
        types=(*_CHEMICAL_BRANCHES, "Organic Chemical", "Inorganic Chemical", "Pharmacologic"),
        prefixes=("CHEBI",),
        against=("MESH_TREE", "application", "biological role", "chemical role"),
    ),
}


def mesh_ids(graph: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Return ``concept`` and ``mesh``, the MeSH ids that each concept carries."""
    found: pl.DataFrame = graph.sql(
        "SELECT DISTINCT concept, substr(identifier, 6) AS mesh FROM ("
        "SELECT concept, identifier FROM xref UNION ALL SELECT concept, concept FROM concept"
        ") WHERE starts_with(identifier, 'MESH:') ORDER BY ALL"
    ).pl()
    return found


def concepts_of_type(graph: duckdb.DuckDBPyConnection, kind: EntityType) -> pl.Series:
    """Return the concepts of a type, sorted.

    A supplementary record of MeSH has the tree numbers of the headings that it is mapped to.
    """
    found: pl.DataFrame = graph.sql(
        """
        WITH typed AS (
            SELECT concept, semantic_type FROM semantic_type
            UNION ALL
            SELECT head, semantic_type FROM edge JOIN semantic_type ON tail = concept
            WHERE relation = 'mapped_to'
        ), identified AS (
            SELECT concept, identifier FROM xref UNION ALL SELECT concept, concept FROM concept
        )
        SELECT concept FROM typed, unnest($types) AS wanted(prefix)
        WHERE starts_with(semantic_type, prefix)
        UNION
        SELECT concept FROM identified
        WHERE split_part(identifier, ':', 1) IN (SELECT unnest($prefixes)) AND concept NOT IN (
            SELECT concept FROM typed, unnest($against) AS other(prefix)
            WHERE starts_with(semantic_type, prefix)
        )
        ORDER BY concept
        """,
        params={
            "types": list(kind.types),
            "prefixes": list(kind.prefixes),
            "against": list(kind.against),
        },
    ).pl()
    return found["concept"]
