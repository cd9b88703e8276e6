"""``balign kg``: build the knowledge graph and look into it."""

from pathlib import Path

import typer

from balign.options import ConfigOption

app = typer.Typer(help="Knowledge graph: build it and look into it.", no_args_is_help=True)

DATABASE = typer.Option(..., help="The knowledge graph, kg.duckdb.")


@app.command()
def build(
    source: list[Path] = typer.Option(
        [], help="MANIFEST.json of a fetched source; once for each of kg.sources."
    ),
    database: Path = DATABASE,
    counts: Path = typer.Option(..., help="JSON file of counts to write."),
    config: list[Path] = ConfigOption,
) -> None:
    """Merge the sources into one database."""
    from balign.config import load_config
    from balign.kg.build import kg_build

    kg_build(source, load_config(config).kg, database, counts)


@app.command()
def show(
    concept: str = typer.Argument(..., help="A CUI, another identifier or a name."),
    database: Path = DATABASE,
) -> None:
    """Print a concept: names, types, definition, identifiers and neighbours."""
    from rich.console import Console

    from balign.kg.show import kg_show

    kg_show(concept, database, Console())


@app.command()
def query(
    sql: str = typer.Argument(..., help="A query in SQL (DuckDB), read-only."),
    database: Path = DATABASE,
) -> None:
    """Print the rows of a query."""
    from rich.console import Console

    from balign.kg.show import kg_query

    kg_query(sql, database, Console())
