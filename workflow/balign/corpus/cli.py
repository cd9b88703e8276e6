"""``balign corpus``: PubMed's XML to citations and sentences."""

from __future__ import annotations

from pathlib import Path

import typer

from balign.options import ConfigOption

app = typer.Typer(help="Download, parse and merge PubMed; select and split citations.")


@app.command()
def parse(
    source: Path = typer.Option(..., help="PubMed XML file, *.xml.gz or *.xml."),
    output: Path = typer.Option(..., help="Parquet file to write."),
    columns: str = typer.Option(
        "all",
        help="Columns to read beside those that later stages need, with commas between; or `all`.",
    ),
) -> None:
    """Parse one PubMed XML file."""
    from balign.corpus.parse import corpus_parse

    corpus_parse(source, output, None if columns == "all" else columns.replace(",", " ").split())


@app.command("list")
def list_(
    output: Path = typer.Option(..., help="JSON file to write."), config: list[Path] = ConfigOption
) -> None:
    """Fetch the publisher's listing, which settles what `all` files and a sample of them are."""
    from balign.config import load_config
    from balign.corpus.listing import corpus_list
    from balign.corpus.settings import PubmedSettings

    settings = load_config(config)
    corpus_list(settings.corpus.pubmed or PubmedSettings(), settings.sources, output)


@app.command()
def download(
    file: str = typer.Argument(..., help="Such as baseline/pubmed26n0001.xml.gz."),
    output: Path = typer.Option(..., help="File to write."),
    config: list[Path] = ConfigOption,
) -> None:
    """Download one file of PubMed, held to the publisher's md5; goes on where it was stopped."""
    from balign.config import load_config
    from balign.corpus.download import corpus_download
    from balign.corpus.settings import PubmedSettings

    settings = load_config(config)
    url = (settings.corpus.pubmed or PubmedSettings()).url.rstrip("/")
    corpus_download(f"{url}/{file}", output, settings.sources)


@app.command()
def merge(
    parsed: list[Path] = typer.Argument(..., help="Parsed files, in any order."),
    live: Path = typer.Option(..., help="Parquet file of live citations to write."),
    fates: Path = typer.Option(..., help="Parquet file of all rows' fates to write."),
) -> None:
    """Find the living row of each PMID over all files, revisions and deletions applied."""
    from balign.corpus.merge import corpus_merge

    corpus_merge(parsed, live, fates)


@app.command()
def abstracts(
    parsed: Path = typer.Option(..., help="Parsed file."),
    fates: Path = typer.Option(..., help="Fates, from `balign corpus merge`."),
    output: Path = typer.Option(..., help="Parquet file of citations to write."),
) -> None:
    """Write a file's live citations with their text."""
    from balign.corpus.abstracts import corpus_abstracts

    corpus_abstracts(parsed, fates, output)


@app.command()
def guard(
    task: str = typer.Argument(..., help="Name of the task."),
    output: Path = typer.Option(..., help="JSON file to write."),
    manifest: Path = typer.Option(None, help="MANIFEST.json of the task's source."),
    abstracts: list[Path] = typer.Option([], help="Instead: citations that the task draws from."),
    seed: int = typer.Option(13, help="Seed of the task's draw."),
    count: int = typer.Option(0, help="Citations that the task draws for its test set."),
) -> None:
    """Write the PMIDs of a task's test set, for the leakage guard."""
    from balign.corpus.guard import corpus_guard

    if (manifest is None) == (not abstracts):
        raise typer.BadParameter("give --manifest, or --abstracts")
    corpus_guard(task, manifest, abstracts, seed, count, output)


@app.command()
def select(
    abstracts: list[Path] = typer.Argument(..., help="Files of `balign corpus abstracts`."),
    guard: list[Path] = typer.Option([], help="Files of `balign corpus guard`."),
    output: Path = typer.Option(..., help="Parquet file to write."),
    config: list[Path] = ConfigOption,
) -> None:
    """Choose the citations that are used as text: filters, leakage guard, duplicates."""
    from balign.config import load_config
    from balign.corpus.select import corpus_select

    corpus_select(abstracts, guard, load_config(config).corpus.select, output)


@app.command()
def split(
    abstracts: Path = typer.Option(..., help="File of `balign corpus abstracts`."),
    selection: Path = typer.Option(..., help="Output of `balign corpus select`."),
    output: Path = typer.Option(..., help="Parquet file of sentences to write."),
) -> None:
    """Write the sentences of a file's selected citations."""
    from balign.corpus.split import corpus_split

    corpus_split(abstracts, selection, output)


@app.command()
def count(
    sentences: list[Path] = typer.Argument(..., help="Files of `balign corpus split`."),
    fates: Path = typer.Option(..., help="Fates, from `balign corpus merge`."),
    selection: Path = typer.Option(..., help="Output of `balign corpus select`."),
    guard: list[Path] = typer.Option([], help="Files of `balign corpus guard`."),
    output: Path = typer.Option(..., help="JSON file to write."),
) -> None:
    """Count what became of every citation, and check that none is lost."""
    from balign.corpus.count import corpus_count

    corpus_count(fates, selection, guard, sentences, output)


@app.command()
def read(
    name: str = typer.Argument(..., help="Name of the corpus."),
    source: Path = typer.Option(..., help="Graph, file, folder, or MANIFEST.json of a source."),
    form: str = typer.Option(..., "--format", help="definitions, text, jsonl or pubtator."),
    language: str = typer.Option("eng", help="MARC code of the documents' language."),
    output: Path = typer.Option(..., help="Parquet file to write."),
) -> None:
    """Read a corpus other than PubMed into the form of a parsed PubMed file."""
    from balign.corpus.read import corpus_read

    corpus_read(name, form, source, language, output)
