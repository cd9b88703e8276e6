"""Checks of a finished database: each query selects the rows that break the contract.

They run where the graph was built: the last one uses what :mod:`balign.kg.held_out` left there.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb

from balign.errors import DataError

CHECKS = {
    # Sorted tables: a row that is not behind the one before it is there twice, or out of place.
    "concepts given twice, or not in order": """
        SELECT concept FROM (SELECT concept, lag(concept) OVER () AS before FROM kg.concept)
        WHERE concept <= before""",
    # Numbers are sorted in a third of the time that pairs of strings are grouped in.
    "names given twice in a concept": """
        SELECT concept, name FROM kg.atom SEMI JOIN (
            SELECT pair FROM (
                SELECT pair, lag(pair) OVER (ORDER BY pair) AS before
                FROM (SELECT hash(concept, name) AS pair FROM kg.atom))
            WHERE pair = before
        ) ON hash(concept, name) = pair
        GROUP BY ALL HAVING count(*) > 1""",
    "empty names": "SELECT concept, code FROM kg.atom WHERE name < '!' AND trim(name) = ''",
    "concepts without one preferred name of rank 0, or with gaps in the ranks, or not in order": """
        SELECT concept FROM (
            SELECT concept, rank, preferred, lag(concept) OVER () AS before,
                lag(rank) OVER () AS above
            FROM kg.atom)
        WHERE preferred <> (rank = 0) OR concept < before
            OR rank <> CASE WHEN concept = before THEN above + 1 ELSE 0 END""",
    "names of no concept, or concepts whose name is not the preferred one": """
        SELECT coalesce(c.concept, p.concept) AS concept, preferred_name, name
        FROM kg.concept c
        POSITIONAL JOIN (SELECT concept, name FROM kg.atom WHERE preferred) p
        WHERE c.concept IS DISTINCT FROM p.concept OR preferred_name IS DISTINCT FROM name""",
    "rows of no concept": "SELECT * FROM ("
    + " UNION ALL ".join(
        f"SELECT '{table}' AS place, {column} AS concept FROM kg.{table}"
        for table, column in (
            *(("edge", "head"), ("edge", "tail")),
            *(("semantic_type", "concept"), ("definition", "concept"), ("xref", "concept")),
        )
    )
    + ") ANTI JOIN kg.concept USING (concept)",
    "self loops": "SELECT head, relation FROM kg.edge WHERE head = tail",
    "edges given twice, or not in order": """
        SELECT head, relation, tail FROM (
            SELECT head, relation, tail, lag(head) OVER () AS head_before,
                lag(relation) OVER () AS relation_before, lag(tail) OVER () AS tail_before
            FROM kg.edge)
        WHERE head < head_before OR (head = head_before AND (relation < relation_before
            OR (relation = relation_before AND tail <= tail_before)))""",
    "relations with a wrong count": """
        SELECT relation FROM kg.relation r
        FULL JOIN (SELECT relation, count(*) AS found FROM kg.edge GROUP BY relation) e
        USING (relation) WHERE r.edges IS DISTINCT FROM e.found""",
    "rows of an unknown source": " UNION ALL ".join(
        f"SELECT '{table}' AS place, source FROM kg.{table} ANTI JOIN kg.source USING (source)"
        for table in ("concept", "atom", "edge", "semantic_type", "definition")
    ),
    "concepts with two held-out names or a preferred one": """
        SELECT concept FROM kg.atom WHERE held_out GROUP BY concept
        HAVING count(*) > 1 OR bool_or(preferred)""",
}
# The forms of all names are those that the draw made: working them out again takes as long as all
# other checks together.
HELD_OUT = """
    SELECT a.name FROM kg.atom a JOIN formed f ON f.form = hash(form(a.name))
    WHERE a.held_out AND (f.concept <> a.concept OR f.name <> a.name)"""


def check_database(connection: duckdb.DuckDBPyConnection) -> None:
    """Run all checks on the attached database ``kg``.

    Two at a time: DuckDB gives some of them one thread only.

    Raises:
        DataError: for the first check that selects a row; it shows up to three of them.
    """

    def select(query: str) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            return cursor.execute(f"SELECT * FROM ({query}) LIMIT 3").fetchall()

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(CHECKS, pool.map(select, CHECKS.values()), strict=True))
    # ``formed`` and ``form`` are known to this connection alone.
    found["held-out names that occur"] = connection.execute(f"{HELD_OUT} LIMIT 3").fetchall()
    for what, rows in found.items():
        if rows:
            raise DataError(
                f"the knowledge graph fails a check: {what}",
                where="; ".join(" ".join(map(str, row)) for row in rows),
                hint="this is a defect of balign or of a source: please report it",
            )
