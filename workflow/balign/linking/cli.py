"""``balign linking``: find mentions of concepts in the text."""

from __future__ import annotations

from pathlib import Path

import typer

from balign.options import ConfigOption

app = typer.Typer(help="Find mentions of the graph's concepts in the text.", no_args_is_help=True)


@app.command()
def index(
    database: Path = typer.Option(..., help="kg.duckdb."),
    output: Path = typer.Option(..., help="Folder of the index."),
    config: list[Path] = ConfigOption,
) -> None:
    """Build the dictionary from the names of the graph."""
    from balign.config import load_config
    from balign.linking.index import linking_index

    linking_index(database, load_config(config).linking, output)


@app.command()
def link(
    index: Path = typer.Option(..., help="Folder of the index."),
    abstracts: Path = typer.Option(..., help="Parquet of abstracts."),
    sentences: Path = typer.Option(..., help="Parquet of their sentences."),
    output: Path = typer.Option(..., help="Parquet of mentions."),
    counts: Path = typer.Option(..., help="JSON of counts."),
) -> None:
    """Link the sentences of one file of the corpus."""
    from balign.linking.link import linking_link

    linking_link(index, abstracts, sentences, output, counts)
