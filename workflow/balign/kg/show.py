"""Look into a finished knowledge graph."""

from __future__ import annotations

from pathlib import Path

import duckdb
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from balign.errors import BalignError, DataError

MANY = 30  # rows shown of each part


def open_database(database: Path) -> duckdb.DuckDBPyConnection:
    """Open a knowledge graph read-only.

    Raises:
        DataError: if there is none.
    """
    try:
        return duckdb.connect(str(database), read_only=True)
    except (duckdb.IOException, duckdb.CatalogException) as error:
        reason = str(error).splitlines()[0]
        hint = "`balign kg build` writes it"
        raise DataError(
            f"not a knowledge graph: {reason}", where=str(database), hint=hint
        ) from None


def find_concept(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """Return the concept that a concept id, another identifier or a name means.

    Raises:
        BalignError: if there is none, or a name or identifier has several.
    """
    queries = (
        "SELECT concept FROM concept WHERE concept = $1",
        "SELECT concept FROM xref WHERE upper(identifier) = upper($1) ORDER BY concept",
        "SELECT DISTINCT concept FROM atom WHERE lower(name) = lower($1) ORDER BY concept",
    )
    for query in queries:
        found = [concept for (concept,) in connection.execute(query, [text]).fetchall()]
        if len(found) == 1:
            return str(found[0])
        if found:
            raise BalignError(f"'{text}' means several concepts", hint=", ".join(found[:MANY]))
    raise BalignError(
        f"no concept '{text}'", hint="give a CUI, an identifier such as MESH:D003920, or a name"
    )


def kg_show(concept: str, database: Path, console: Console) -> None:
    """Print a concept: names, types, definition, identifiers and neighbours.

    Args:
        concept: a concept id, another identifier or a name.
        database: a file of ``kg_build``.
        console: where to print.

    Raises:
        BalignError: as :func:`find_concept`.
    """
    with open_database(database) as connection:
        found = find_concept(connection, concept)
        name = connection.execute(
            "SELECT preferred_name FROM concept WHERE concept = $1", [found]
        ).fetchall()[0][0]
        console.print(f"[bold]{escape(name)}[/bold]  {escape(found)}")
        parts = {
            "definition": "SELECT definition, source FROM definition WHERE concept = $1 "
            "ORDER BY source, definition",
            "names": "SELECT name, term_type AS type, source, code, "
            "CASE WHEN held_out THEN 'held out' ELSE '' END AS note "
            "FROM atom WHERE concept = $1 ORDER BY rank",
            "types": "SELECT semantic_type AS type, source FROM semantic_type WHERE concept = $1 "
            "ORDER BY type",
            "identifiers": "SELECT identifier FROM xref WHERE concept = $1 ORDER BY identifier",
            "it": "SELECT label AS relation, preferred_name AS neighbour, tail AS concept, "
            "e.source FROM edge e JOIN relation USING (relation) "
            "JOIN concept c ON c.concept = tail WHERE head = $1 ORDER BY relation, neighbour",
            "to it": "SELECT preferred_name AS neighbour, label AS relation, head AS concept, "
            "e.source FROM edge e JOIN relation USING (relation) "
            "JOIN concept c ON c.concept = head WHERE tail = $1 ORDER BY relation, neighbour",
        }
        for title, query in parts.items():
            _print(connection, title, query, [found], console)


def kg_query(sql: str, database: Path, console: Console) -> None:
    """Print the rows of a query over the read-only database.

    Raises:
        BalignError: if DuckDB refuses the query.
    """
    with open_database(database) as connection:
        try:
            _print(connection, "", sql, [], console)
        except duckdb.Error as error:
            raise BalignError(f"the query fails: {error}", where=sql) from None


def _print(
    connection: duckdb.DuckDBPyConnection,
    title: str,
    query: str,
    values: list[str],
    console: Console,
) -> None:
    result = connection.execute(query, values)
    columns = [column[0] for column in result.description or ()]
    rows = result.fetchmany(MANY + 1)
    if not rows:
        return
    more = len(rows) > MANY and len(result.fetchall()) + 1
    table = Table(*columns, title=title or None, title_justify="left")
    for row in rows[:MANY]:
        table.add_row(*("" if value is None else escape(str(value)) for value in row))
    console.print(table)
    if more:
        console.print(f"... and {more:,} more")
