"""``balign graph``: the arrays that training reads."""

from __future__ import annotations

from pathlib import Path

import typer

from balign.options import ConfigOption

app = typer.Typer(help="Turn the knowledge graph into the arrays that training reads.")


@app.callback()
def _stage() -> None:
    """Turn the knowledge graph into the arrays that training reads."""


@app.command()
def build(
    database: Path = typer.Option(..., help="kg.duckdb."),
    mentions: list[Path] = typer.Option(..., help="Parquet of mentions; repeat for more files."),
    output: Path = typer.Option(..., help="Folder of the graph."),
    config: list[Path] = ConfigOption,
) -> None:
    """Build the graph's arrays from the knowledge graph and the mentions."""
    from balign.config import load_config
    from balign.graph.build import graph_build

    graph_build(database, mentions, load_config(config).graph, output)
