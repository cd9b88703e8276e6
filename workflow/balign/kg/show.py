"""Look into a finished knowledge graph: print concepts and the rows of queries."""

from __future__ import annotations

from pathlib import Path

import duckdb
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from balign.errors import BalignError
from balign.kg.coverage import Coverage
from balign.kg.database import open_database
from balign.kg.search import concepts_of, plain, search

MANY = 30  # rows shown of each part
_NEIGHBOURS = 8  # names shown of the neighbours by one relation
_TREE = "MESH_TREE:"

_SOURCES = """
    SELECT s.source, version, licence, restriction AS level FROM source s WHERE source IN (
        SELECT source FROM atom WHERE concept = $1 UNION SELECT source FROM definition
        WHERE concept = $1 UNION SELECT source FROM semantic_type WHERE concept = $1
        UNION SELECT source FROM edge WHERE head = $1 OR tail = $1)
    ORDER BY source"""
_EDGES = """
    SELECT relation, forward, count(*), list(c.preferred_name || ' [' || neighbour || ']'
        ORDER BY c.preferred_name, neighbour)[:$2]
    FROM (SELECT relation, true AS forward, tail AS neighbour FROM edge WHERE head = $1
        UNION ALL SELECT relation, false, head FROM edge WHERE tail = $1)
    JOIN concept c ON c.concept = neighbour
    GROUP BY relation, forward"""


def find_concept(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """Return the concept that a concept id, another identifier or a name means.

    Raises:
        BalignError: if there is none, or a name or identifier has several; the hint lists them, or
            those of the nearest names.
    """
    found = concepts_of(connection, text)
    if not found:
        # A cheap look for names that differ in case alone comes before the search.
        rows = connection.execute(
            "SELECT DISTINCT concept FROM atom WHERE lower(name) = lower($1) ORDER BY concept",
            [" ".join(text.split())],
        ).fetchall()
        found = [str(row[0]) for row in rows]
    hits = []
    if not found:
        hits = search(connection, text, MANY)
        found = [hit.concept for hit in hits if hit.kind == "exact"]
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(f"{_name(connection, one)} [{one}]" for one in found[:MANY])
        raise BalignError(f"'{text}' means several concepts", hint=f"give the id of one: {shown}")
    near = ", ".join(f"{hit.name} [{hit.concept}]" for hit in hits[:5])
    raise BalignError(
        f"no concept '{text}'",
        hint=f"did you mean {near}?"
        if near
        else "give a CUI, an identifier such as MESH:D003920, or a name",
    )


def _name(connection: duckdb.DuckDBPyConnection, concept: str) -> str:
    query = "SELECT preferred_name FROM concept WHERE concept = $1"
    return str(connection.execute(query, [concept]).fetchall()[0][0])


def kg_show(concept: str, database: Path, console: Console) -> None:
    """Print a concept: names, types, definitions, neighbours, identifiers and sources.

    Args:
        concept: a concept id, another identifier or a name.
        database: a file of ``kg_build``.
        console: where to print.

    Raises:
        BalignError: as :func:`find_concept` and :func:`balign.kg.database.open_database`.
    """
    with open_database(database) as connection:
        found = find_concept(connection, concept)
        console.print(f"[bold]{escape(_name(connection, found))}[/bold]  {escape(found)}")
        _print_types(connection, found, console)
        for text, source in connection.execute(
            "SELECT definition, source FROM definition WHERE concept = $1 ORDER BY ALL", [found]
        ).fetchall():
            console.print(Padding(f"{escape(text)} [dim]({escape(source)})[/dim]", (1, 0, 0, 2)))
        console.print()
        query = """SELECT name, term_type AS type, source, code, restriction AS level,
            CASE WHEN held_out THEN 'held out' ELSE '' END AS note
            FROM atom WHERE concept = $1 ORDER BY rank"""
        _print_rows(connection, "names", query, [found], console)
        _print_neighbours(connection, found, console)
        others = connection.execute(
            "SELECT identifier FROM xref WHERE concept = $1 ORDER BY identifier", [found]
        ).fetchall()
        if others:
            console.print("identifiers", style="italic")
            text = "  ".join(escape(str(row[0])) for row in others)
            console.print(Padding(text, (0, 0, 1, 2)))
        _print_rows(connection, "sources", _SOURCES, [found], console)


def _print_types(connection: duckdb.DuckDBPyConnection, concept: str, console: Console) -> None:
    rows = connection.execute(
        "SELECT semantic_type, source FROM semantic_type WHERE concept = $1 ORDER BY ALL", [concept]
    ).fetchall()
    types = [
        f"{escape(kind)} [dim]({escape(source)})[/dim]"
        for kind, source in rows
        if not kind.startswith(_TREE)
    ]
    trees = [kind.removeprefix(_TREE) for kind, _ in rows if kind.startswith(_TREE)]
    if types:
        console.print("  " + ", ".join(types))
    if trees:
        console.print(f"  MeSH tree: {', '.join(trees)}")


def _print_neighbours(
    connection: duckdb.DuckDBPyConnection, concept: str, console: Console
) -> None:
    """Print the neighbours by relation: "is a ..." leads away, "... is a" leads here."""
    rows = connection.execute(
        f"""SELECT label, forward, e.* EXCLUDE (relation, forward)
        FROM ({_EDGES}) e JOIN relation USING (relation) ORDER BY NOT forward, label""",
        [concept, _NEIGHBOURS],
    ).fetchall()
    if not rows:
        return
    table = Table("relation", title="neighbours", title_justify="left")
    table.add_column("number", justify="right")
    table.add_column("neighbours")
    for label, forward, count, names in rows:
        more = [f"and {count - len(names):,} more"] if count > len(names) else []
        read = f"{label} ..." if forward else f"... {label}"
        table.add_row(escape(read), f"{count:,}", escape("; ".join([*names, *more])))
    console.print(table)


def kg_query(text: str, database: Path, console: Console, limit: int = 10) -> None:
    """Print the concepts that a name, part of a name or an identifier may mean.

    Raises:
        BalignError: if the text holds no letter and no digit, or as
            :func:`balign.kg.database.open_database`.
    """
    if not plain(text):
        raise BalignError("nothing to look for", hint="give a name, or words of it")
    with open_database(database) as connection:
        hits = search(connection, text, limit)
        if not hits:
            console.print(f"no concept for '{escape(text)}'")
            return
        types = dict(
            connection.execute(
                f"""SELECT concept, string_agg(semantic_type, ', ' ORDER BY semantic_type)
                FROM (SELECT DISTINCT concept, semantic_type FROM semantic_type
                    WHERE concept IN (SELECT unnest($1))
                        AND NOT starts_with(semantic_type, '{_TREE}'))
                GROUP BY concept""",
                [[hit.concept for hit in hits]],
            ).fetchall()
        )
    table = Table("concept", "preferred name", "name found", "match", "types")
    for hit in hits:
        cells = (hit.concept, hit.preferred_name, hit.name, hit.kind, types.get(hit.concept, ""))
        table.add_row(*map(escape, cells))
    console.print(table)


def kg_sql(sql: str, database: Path, console: Console) -> None:
    """Print the rows of a query over the read-only database.

    Raises:
        BalignError: if DuckDB refuses the query.
    """
    with open_database(database) as connection:
        try:
            _print_rows(connection, "", sql, [], console)
        except duckdb.Error as error:
            raise BalignError(f"the query fails: {error}", where=sql) from None


def print_coverage(found: dict[str, Coverage], console: Console) -> None:
    """Print what :func:`balign.kg.coverage.kg_coverage` counted."""
    table = Table("type", title="in the graph, as a concept or an xref", title_justify="left")
    for column in ("ids", "covered", "%", "mentions", "covered", "%", "without id"):
        table.add_column(column, justify="right")
    table.add_column("missing, most mentioned first")
    for kind, row in found.items():
        missing = ", ".join(f"{one} ({count})" for one, count in row.missing[:5])
        table.add_row(
            escape(kind),
            f"{row.ids:,}",
            f"{row.ids_covered:,}",
            f"{100 * row.ids_covered / max(row.ids, 1):.1f}",
            f"{row.mentions:,}",
            f"{row.mentions_covered:,}",
            f"{100 * row.mentions_covered / row.mentions:.1f}",
            f"{row.without_id:,}",
            escape(missing),
        )
    console.print(table)


def _print_rows(
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
