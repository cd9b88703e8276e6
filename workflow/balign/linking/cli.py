"""``balign linking``: find mentions of concepts in the text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from balign.options import ConfigOption

if TYPE_CHECKING:
    from balign.linking.settings import LinkingSettings

ModelOption = typer.Option(
    None, help="Text encoder in place of linking.dense.model: a folder, or the MANIFEST.json in it."
)

app = typer.Typer(help="Find mentions of the graph's concepts in the text.", no_args_is_help=True)


@app.command()
def index(
    database: Path = typer.Option(..., help="kg.duckdb."),
    output: Path = typer.Option(..., help="Folder of the index."),
    model: Path | None = ModelOption,
    config: list[Path] = ConfigOption,
) -> None:
    """Build the index of the configured backend from the names of the graph."""
    from balign.linking.backends import linking_index

    linking_index(database, _settings(config, model), output)


@app.command()
def link(
    index: Path = typer.Option(..., help="Folder of the index."),
    abstracts: Path = typer.Option(..., help="Parquet of abstracts."),
    sentences: Path = typer.Option(..., help="Parquet of their sentences."),
    output: Path = typer.Option(..., help="Parquet of mentions."),
    counts: Path = typer.Option(..., help="JSON of counts."),
    model: Path | None = ModelOption,
    config: list[Path] = ConfigOption,
) -> None:
    """Link the sentences of one file of the corpus."""
    from balign.linking.link import linking_link

    linking_link(index, abstracts, sentences, _settings(config, model), output, counts)


@app.command()
def count(
    database: Path = typer.Option(..., help="kg.duckdb."),
    abstracts: list[Path] = typer.Option(..., help="Parquet of abstracts; one for each file."),
    mentions: list[Path] = typer.Option(..., help="Parquet of mentions; one for each file."),
    counts: list[Path] = typer.Option(..., help="JSON of counts; one for each file."),
    output: Path = typer.Option(..., help="JSON of all counts."),
) -> None:
    """Count the mentions of the whole corpus by concept, semantic group and source."""
    from balign.linking.count import linking_count

    linking_count(database, abstracts, mentions, counts, output)


def _settings(config: list[Path], model: Path | None) -> LinkingSettings:
    """Return the stage's settings, with another text encoder where one is given."""
    from balign.config import load_config

    settings = load_config(config).linking
    if model is None:
        return settings
    dense = settings.dense.model_copy(update={"model": str(model)})
    return settings.model_copy(update={"dense": dense})


@app.command()
def stop_words(
    database: Path = typer.Option(..., exists=True, help="kg.duckdb, with MeSH."),
    abstracts: list[Path] = typer.Option(..., exists=True, help="Abstracts (Parquet); repeatable."),
    output: Path = typer.Option(..., help="The list, one word a line."),
) -> None:
    """Derive the dictionary's everyday words from a corpus that is indexed with MeSH."""
    from balign.linking.stop_words import linking_stop_words

    linking_stop_words(database, abstracts, output)
