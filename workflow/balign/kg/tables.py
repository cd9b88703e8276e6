"""From staging tables to the tables of the contract, in SQL.

Staging: ``stage_name`` (concept, name, source, code, term_type, class, precedence, position,
restriction), ``stage_edge`` (head, relation, tail, source, precedence), ``stage_type`` (concept,
semantic_type, source, precedence), ``stage_definition`` (concept, definition, source),
``stage_xref`` (concept, identifier), ``stage_source``. The class is the first rank of a name (0: a
term's own name), the precedence that of its source (0: the Metathesaurus), the position its place
in there. ``release_name``, ``release_type`` and ``release_xref`` are a release's, in their final
order: without an ontology they are written as they are, with one they are sorted in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

from balign.kg.lines import Reject
from balign.kg.merge import Merged
from balign.kg.ontology import TERM_CLASS, Ontology

# Text that hardly repeats: DuckDB's compression makes less than half of it, and costs four times as
# much as writing it.
UNCOMPRESSED = "USING COMPRESSION uncompressed"

STAGING = """
CREATE TABLE stage_name (concept VARCHAR, name VARCHAR, source VARCHAR, code VARCHAR,
    term_type VARCHAR, class INTEGER, precedence INTEGER, position BIGINT, restriction INTEGER);
CREATE TABLE stage_edge (head VARCHAR, relation VARCHAR, tail VARCHAR, source VARCHAR,
    precedence INTEGER);
CREATE TABLE stage_type (concept VARCHAR, semantic_type VARCHAR, source VARCHAR,
    precedence INTEGER);
CREATE TABLE stage_definition (concept VARCHAR, definition VARCHAR, source VARCHAR);
CREATE TABLE stage_xref (concept VARCHAR, identifier VARCHAR);
CREATE TABLE stage_source (source VARCHAR, version VARCHAR, licence VARCHAR, restriction INTEGER,
    precedence INTEGER);
"""

# What is left out of the edges, and why; an edge of an ontology joins its terms.
_MAPPED = """
CREATE OR REPLACE TEMP TABLE mapped AS
    SELECT h.concept AS head, e.relation, t.concept AS tail
    FROM edges e LEFT JOIN concept_of h ON h.code = e.head LEFT JOIN concept_of t ON t.code = e.tail
"""

# A Metathesaurus's best name of a concept is its own name, as an ontology's is. The names of its
# concepts that no ontology shares are distinct and ranked already: nine in ten of UMLS.
_MIXED_NAMES = """
CREATE TABLE mixed AS SELECT DISTINCT concept FROM stage_name;
INSERT INTO stage_name
    SELECT concept, name, source, code, term_type, 1, 0, position, restriction
    FROM release_name SEMI JOIN mixed USING (concept);
CREATE TABLE final_name AS
    WITH best AS (
        SELECT concept, min((position, name)) AS first
        FROM stage_name WHERE precedence = 0 GROUP BY concept),
    classed AS (
        SELECT s.* REPLACE (CASE WHEN precedence = 0 AND (position, name) = first THEN 0
            ELSE class END AS class)
        FROM stage_name s LEFT JOIN best USING (concept)),
    single AS (
        SELECT * FROM classed QUALIFY row_number() OVER (PARTITION BY concept, name
            ORDER BY class, precedence, position, source, code, term_type) = 1)
    SELECT concept, name, source, code, term_type, class, restriction,
        (row_number() OVER (PARTITION BY concept
            ORDER BY class, precedence, position, name) - 1)::INTEGER AS rank, false AS held_out
    FROM single
    UNION ALL
    SELECT concept, name, source, code, term_type, 1, restriction, rank, false
    FROM release_name ANTI JOIN mixed USING (concept)
    ORDER BY concept, rank;
"""
_RELEASE_NAMES = """
CREATE OR REPLACE TEMP VIEW final_name AS SELECT *, 1 AS class FROM release_name;
"""

# The order is that of final_name: a join with the held-out names would not keep it.
_WRITE_NAMES = f"""
CREATE TABLE kg.concept (concept VARCHAR, preferred_name VARCHAR {UNCOMPRESSED}, source VARCHAR);
INSERT INTO kg.concept SELECT concept, name, source FROM final_name WHERE rank = 0;
CREATE TABLE kg.atom (concept VARCHAR, name VARCHAR {UNCOMPRESSED}, source VARCHAR,
    code VARCHAR {UNCOMPRESSED}, term_type VARCHAR, preferred BOOLEAN, rank INTEGER,
    held_out BOOLEAN, restriction INTEGER);
INSERT INTO kg.atom
    SELECT concept, name, source, code, term_type, rank = 0 AS preferred, rank, held_out,
        restriction
    FROM final_name;
"""

_XREF = f"CREATE TABLE kg.xref (concept VARCHAR, identifier VARCHAR {UNCOMPRESSED});"
_MIXED_REST = f"""{_XREF}
CREATE TABLE kg.semantic_type AS
    SELECT concept, semantic_type, first(source ORDER BY precedence) AS source
    FROM (FROM stage_type UNION ALL SELECT *, 'UMLS', 0 FROM release_type)
    GROUP BY concept, semantic_type ORDER BY concept, semantic_type;
INSERT INTO kg.xref
    SELECT DISTINCT concept, identifier FROM (FROM stage_xref UNION ALL FROM release_xref)
    ORDER BY concept, identifier;
"""
_RELEASE_REST = f"""{_XREF}
CREATE TABLE kg.semantic_type AS SELECT concept, semantic_type, 'UMLS' AS source FROM release_type;
INSERT INTO kg.xref FROM release_xref;
"""
_WRITE_REST = """
CREATE TABLE kg.definition AS
    SELECT concept, definition, min(source) AS source FROM stage_definition
    GROUP BY concept, definition ORDER BY concept, source, definition;
CREATE TABLE kg.source AS
    SELECT source, version, licence, restriction, coalesce(atoms, 0)::INTEGER AS atoms
    FROM stage_source
    LEFT JOIN (SELECT source, count(*) AS atoms FROM kg.atom GROUP BY source) USING (source)
    WHERE precedence > 0 OR atoms > 0 OR source = 'UMLS'
        OR source IN (SELECT source FROM kg.edge UNION SELECT source FROM kg.definition)
    ORDER BY source;
CREATE TABLE kg.reject AS SELECT * FROM stage_reject ORDER BY file, line;
CREATE TABLE kg.provenance AS SELECT key, value FROM stage_provenance ORDER BY key;
"""

TABLES = (
    "concept",
    "atom",
    "edge",
    "relation",
    "semantic_type",
    "definition",
    "xref",
    "source",
    "reject",
    "provenance",
)


def insert_frame(
    connection: duckdb.DuckDBPyConnection, query: str, **frames: pl.DataFrame
) -> duckdb.DuckDBPyConnection:
    """Run a query that reads the given frames by name."""
    for name, frame in frames.items():
        connection.register(name, frame.to_arrow())
    try:
        return connection.execute(query)
    finally:
        for name in frames:
            connection.unregister(name)


def frame(rows: Iterable[tuple[str, ...]], *columns: str) -> pl.DataFrame:
    """Return rows of strings as a frame."""
    return pl.DataFrame(list(rows), schema=dict.fromkeys(columns, pl.String), orient="row")


def insert_merged(
    connection: duckdb.DuckDBPyConnection, merged: Merged, aliases: Mapping[str, str]
) -> None:
    """Insert the identifiers of the merged concepts; make ``concept_of`` (code, concept).

    ``aliases`` are former codes; one that is also a code of its own is no alias.
    """
    concepts = dict(merged.concept_of)
    for alias, code in aliases.items():
        if code in merged.concept_of:
            concepts.setdefault(alias, merged.concept_of[code])
    insert_frame(
        connection,
        "CREATE TABLE concept_of AS SELECT * FROM rows",
        rows=frame(concepts.items(), "code", "concept"),
    )
    insert_frame(
        connection,
        "INSERT INTO stage_xref SELECT * FROM rows",
        rows=frame(merged.identifiers, "concept", "identifier"),
    )


def insert_ontology(
    connection: duckdb.DuckDBPyConnection,
    ontology: Ontology,
    types: Iterable[tuple[str, str]],
    precedence: int,
) -> dict[str, int]:
    """Insert one ontology's rows under their concepts.

    Returns:
        edges left out by reason.
    """
    source = ontology.source
    classes = pl.DataFrame(list(TERM_CLASS.items()), schema=["kind", "class"], orient="row")
    insert_frame(
        connection,
        f"""INSERT INTO stage_name
        SELECT concept, name, '{source}', code, kind, class, {precedence}, position, 0
        FROM names JOIN classes USING (kind) JOIN concept_of USING (code) ORDER BY position""",
        names=frame(ontology.names, "code", "name", "kind").with_row_index("position"),
        classes=classes,
    )
    insert_frame(
        connection,
        f"""INSERT INTO stage_type SELECT DISTINCT concept, type, '{source}', {precedence}
        FROM types JOIN concept_of USING (code)""",
        types=frame(types, "code", "type"),
    )
    insert_frame(
        connection,
        f"""INSERT INTO stage_definition SELECT DISTINCT concept, definition, '{source}'
        FROM definitions JOIN concept_of USING (code)""",
        definitions=frame(ontology.definitions, "code", "definition"),
    )
    insert_frame(connection, _MAPPED, edges=frame(ontology.edges, "head", "relation", "tail"))
    connection.execute(
        f"""INSERT INTO stage_edge SELECT DISTINCT head, relation, tail, '{source}', {precedence}
        FROM mapped WHERE head <> tail"""
    )
    unknown, loops = connection.execute(
        "SELECT count(*) FILTER (head IS NULL OR tail IS NULL), count(*) FILTER (head = tail) "
        "FROM mapped"
    ).fetchall()[0]
    return {"edges to an unknown term": unknown, "self loops": loops}


def make_final(connection: duckdb.DuckDBPyConnection, mixed: bool) -> None:
    """Make ``final_name``: distinct, ranked, by (concept, rank).

    Args:
        connection: with the names in ``stage_name`` and ``release_name``.
        mixed: whether there are ontologies.
    """
    connection.execute(_MIXED_NAMES if mixed else _RELEASE_NAMES)


def write_names(connection: duckdb.DuckDBPyConnection, names: pa.Table, mixed: bool) -> None:
    """Write ``kg.concept`` and ``kg.atom`` from ``final_name`` and ``held_out``.

    Args:
        connection: after :func:`make_final` and the draw.
        names: those of ``release_name``.
        mixed: whether there are ontologies.
    """
    if mixed:
        connection.execute(
            "UPDATE final_name SET held_out = true FROM held_out h WHERE final_name.rowid = place"
        )
    else:
        places = connection.sql("SELECT place FROM held_out").fetchnumpy()["place"]
        held_out = np.zeros(len(names), bool)
        held_out[places] = True
        names = names.append_column("held_out", pa.array(held_out))
        connection.register("release_name", names)
        connection.execute(_RELEASE_NAMES)
    connection.execute(_WRITE_NAMES)


def write_rest(
    connection: duckdb.DuckDBPyConnection,
    rejects: Iterable[Reject],
    provenance: Mapping[str, str],
    mixed: bool,
) -> None:
    """Write the tables that are neither names nor edges, each in one order."""
    schema = {"file": pl.String, "line": pl.Int64, "problem": pl.String, "content": pl.String}
    insert_frame(
        connection,
        "CREATE TABLE stage_reject AS SELECT * FROM rows",
        rows=pl.DataFrame(list(rejects), schema=schema, orient="row"),
    )
    insert_frame(
        connection,
        "CREATE TABLE stage_provenance AS SELECT * FROM rows",
        rows=frame(provenance.items(), "key", "value"),
    )
    connection.execute((_MIXED_REST if mixed else _RELEASE_REST) + _WRITE_REST)
