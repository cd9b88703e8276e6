"""``balign corpus``: PubMed's XML to citations and sentences."""

from __future__ import annotations

from pathlib import Path

import typer

from balign.options import ConfigOption

app = typer.Typer(help="Parse PubMed files, merge their revisions, split abstracts to sentences.")


@app.command()
def parse(
    source: Path = typer.Option(..., help="PubMed XML file, *.xml.gz or *.xml."),
    output: Path = typer.Option(..., help="Parquet file to write."),
) -> None:
    """Parse one PubMed XML file."""
    from balign.corpus.parse import corpus_parse

    corpus_parse(source, output)


@app.command()
def merge(
    parsed: list[Path] = typer.Argument(..., help="Parsed files, in any order."),
    output: Path = typer.Option(..., help="Parquet file to write."),
) -> None:
    """Find the living row of each PMID over all files, revisions and deletions applied."""
    from balign.corpus.merge import corpus_merge

    corpus_merge(parsed, output)


@app.command()
def split(
    parsed: Path = typer.Option(..., help="Parsed file."),
    live: Path = typer.Option(..., help="Output of `balign corpus merge`."),
    abstracts: Path = typer.Option(..., help="Parquet file of citations to write."),
    sentences: Path = typer.Option(..., help="Parquet file of sentences to write."),
    counts: Path = typer.Option(..., help="JSON file of counts to write."),
    config: list[Path] = ConfigOption,
) -> None:
    """Write a file's live citations and the sentences of their abstracts."""
    from balign.config import load_config
    from balign.corpus.split import corpus_split

    settings = load_config(config).corpus
    corpus_split(
        parsed,
        live,
        settings.languages,
        settings.min_characters,
        abstracts,
        sentences,
        counts,
    )


@app.command()
def count(
    counts: list[Path] = typer.Argument(..., help="Counts of each file."),
    output: Path = typer.Option(..., help="JSON file to write."),
) -> None:
    """Add up the counts of all files."""
    from balign.corpus.count import corpus_count

    corpus_count(counts, output)


@app.command()
def download(
    url: str = typer.Option(
        ..., help="Address of a PubMed file; its md5 is at the same with .md5."
    ),
    output: Path = typer.Option(..., help="File to write."),
    config: list[Path] = ConfigOption,
) -> None:
    """Download one file of PubMed's baseline, held to the publisher's md5."""
    from balign.config import load_config
    from balign.corpus.download import corpus_download

    corpus_download(url, output, load_config(config).sources)
