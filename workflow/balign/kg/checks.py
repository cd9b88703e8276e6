"""Checks of a finished database: each query selects the rows that break the contract.

They run where the graph was built: the last one uses what :mod:`balign.kg.held_out` left there.
"""

from __future__ import annotations

import duckdb

from balign.errors import DataError

CHECKS = {
    "concepts given twice": "SELECT concept FROM kg.concept GROUP BY ALL HAVING count(*) > 1",
    "names given twice in a concept": "SELECT concept, name FROM kg.atom GROUP BY ALL "
    "HAVING count(*) > 1",
    "empty names": "SELECT concept, code FROM kg.atom WHERE trim(name) = ''",
    "names of no concept": "SELECT concept, name FROM kg.atom ANTI JOIN kg.concept USING (concept)",
    "concepts without one preferred name of rank 0, or with gaps in the ranks": """
        SELECT concept FROM kg.atom GROUP BY concept
        HAVING count(*) FILTER (preferred) <> 1 OR bool_or(preferred <> (rank = 0))
            OR min(rank) <> 0 OR max(rank) <> count(*) - 1 OR count(DISTINCT rank) <> count(*)""",
    "concepts whose name is not the preferred one": """
        SELECT concept FROM kg.concept c
        FULL JOIN (SELECT concept, name FROM kg.atom WHERE preferred) USING (concept)
        WHERE preferred_name IS DISTINCT FROM name""",
    "edges of no concept": """
        SELECT head, relation, tail FROM kg.edge
        WHERE head NOT IN (SELECT concept FROM kg.concept)
            OR tail NOT IN (SELECT concept FROM kg.concept)""",
    "self loops": "SELECT head, relation FROM kg.edge WHERE head = tail",
    "edges given twice": "SELECT head, relation, tail FROM kg.edge GROUP BY ALL "
    "HAVING count(*) > 1",
    "relations with a wrong count": """
        SELECT relation FROM kg.relation r
        FULL JOIN (SELECT relation, count(*) AS found FROM kg.edge GROUP BY relation) e
        USING (relation) WHERE r.edges IS DISTINCT FROM e.found""",
    "rows of no concept": " UNION ALL ".join(
        f"SELECT '{table}' AS place, concept FROM kg.{table} ANTI JOIN kg.concept USING (concept)"
        for table in ("semantic_type", "definition", "xref")
    ),
    "rows of an unknown source": " UNION ALL ".join(
        f"SELECT '{table}' AS place, source FROM kg.{table} ANTI JOIN kg.source USING (source)"
        for table in ("concept", "atom", "edge", "semantic_type", "definition")
    ),
    "concepts with two held-out names or a preferred one": """
        SELECT concept FROM kg.atom WHERE held_out GROUP BY concept
        HAVING count(*) > 1 OR bool_or(preferred)""",
    # The forms of all names are those that the draw made: working them out again takes as long as
    # all other checks together.
    "held-out names that occur": """
        SELECT a.name FROM kg.atom a JOIN formed f ON f.form = hash(form(a.name))
        WHERE a.held_out AND (f.concept <> a.concept OR f.name <> a.name)""",
}


def check_database(connection: duckdb.DuckDBPyConnection) -> None:
    """Run all checks on the attached database ``kg``.

    Raises:
        DataError: for the first check that selects a row; it shows up to three of them.
    """
    for what, query in CHECKS.items():
        rows = connection.execute(f"SELECT * FROM ({query}) LIMIT 3").fetchall()
        if rows:
            raise DataError(
                f"the knowledge graph fails a check: {what}",
                where="; ".join(" ".join(map(str, row)) for row in rows),
                hint="this is a defect of balign or of a source: please report it",
            )
