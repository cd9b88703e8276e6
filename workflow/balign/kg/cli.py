"""``balign kg``: build the knowledge graph, look into it, and export what may be passed on."""

from enum import StrEnum
from pathlib import Path

import typer

from balign.options import ConfigOption

app = typer.Typer(help="Knowledge graph: build it and look into it.", no_args_is_help=True)

DATABASE = typer.Option(..., help="The knowledge graph, kg.duckdb.")


class Format(StrEnum):
    """Formats of an export."""

    parquet = "parquet"
    tsv = "tsv"


@app.command()
def build(
    source: list[Path] = typer.Option(
        [], help="MANIFEST.json of a fetched source; once for each of kg.sources."
    ),
    database: Path = DATABASE,
    counts: Path = typer.Option(..., help="JSON file of counts to write."),
    threads: int | None = typer.Option(None, min=1, help="Threads; all of the machine by default."),
    memory_mb: int | None = typer.Option(
        None, min=500, help="Memory to keep to, in MB; beyond that DuckDB works on disk."
    ),
    config: list[Path] = ConfigOption,
) -> None:
    """Merge the sources into one database."""
    from balign.config import load_config
    from balign.kg.build import kg_build

    kg_build(source, load_config(config).kg, database, counts, threads, memory_mb)


@app.command()
def query(
    text: str = typer.Argument(..., help="A name, words of it, or an identifier."),
    database: Path = DATABASE,
    limit: int = typer.Option(10, min=1, help="Number of concepts to print."),
) -> None:
    """Find concepts by name: exact, then prefix, then all words, then similar spelling."""
    from rich.console import Console

    from balign.kg.show import kg_query

    kg_query(text, database, Console(), limit)


@app.command()
def show(
    concept: str = typer.Argument(..., help="A CUI, another identifier or a name."),
    database: Path = DATABASE,
) -> None:
    """Print a concept: names, types, definitions, neighbours, identifiers and sources."""
    from rich.console import Console

    from balign.kg.show import kg_show

    kg_show(concept, database, Console())


@app.command()
def sql(
    statement: str = typer.Argument(..., help="A query in SQL (DuckDB), read-only."),
    database: Path = DATABASE,
) -> None:
    """Print the rows of a query in SQL."""
    from rich.console import Console

    from balign.kg.show import kg_sql

    kg_sql(statement, database, Console())


@app.command()
def coverage(
    corpora: list[Path] = typer.Argument(..., metavar="PUBTATOR...", help="PubTator files."),
    database: Path = DATABASE,
    prefix: str = typer.Option("MESH", help="Prefix of identifiers that have none."),
    output: Path | None = typer.Option(None, help="JSON file to write, with all that is missing."),
) -> None:
    """Count the identifiers of an annotated corpus that the graph knows."""
    from rich.console import Console

    from balign.kg.coverage import kg_coverage
    from balign.kg.show import print_coverage

    print_coverage(kg_coverage(database, corpora, prefix, output), Console())


@app.command()
def export(
    database: Path = DATABASE,
    folder: Path = typer.Option(..., help="Folder to write; it is replaced as a whole."),
    level: int = typer.Option(
        0, min=0, max=9, help="Highest restriction level of a source that may be written."
    ),
    form: Format = typer.Option(Format.parquet, "--format", help="Format of the tables."),
) -> None:
    """Write the part of the graph whose sources may be passed on."""
    from balign.kg.export import kg_export

    kg_export(database, folder, level, form.value)
