"""``balign sources``: what the registry offers, and fetching it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from balign.options import ConfigOption

app = typer.Typer(help="Fetch data sources by the registry, and look after them.")


class UmlsKind(StrEnum):
    """The archives of a UMLS release (`balign.sources.umls.KINDS`)."""

    subset = "metathesaurus-full-subset"
    level_0 = "level-0"
    mrconso = "mrconso"
    full = "full-release"


@app.command("list")
def list_(config: list[Path] = ConfigOption) -> None:
    """Show every source of the registry and whether it is on this machine."""
    from rich.console import Console
    from rich.filesize import decimal
    from rich.table import Table

    from balign.config import load_config
    from balign.sources.registry import load_registry
    from balign.sources.upkeep import sources_list

    settings = load_config(config)
    registry = load_registry(Path(settings.sources.registry))
    table = Table("name", "version", "licence", "state")
    table.add_column("size", justify="right")
    for entry, state in sources_list(registry, Path(settings.paths.data)):
        shown = f"{state} (optional)" if entry.optional else state
        table.add_row(entry.name, entry.version, entry.licence, shown, decimal(entry.bytes))
    Console().print(table)


@app.command()
def fetch(
    names: list[str] = typer.Argument(None, metavar="NAME...", help="Sources of the registry."),
    everything: bool = typer.Option(False, "--all", help="Fetch the whole registry."),
    config: list[Path] = ConfigOption,
) -> None:
    """Fetch sources by name; files that are already there and right are kept."""
    from balign.config import load_config
    from balign.errors import SourceError
    from balign.sources.fetch import sources_fetch
    from balign.sources.registry import load_registry, manifest_path

    if everything == bool(names):
        raise typer.BadParameter("give the names of sources, or --all")
    settings = load_config(config)
    registry = load_registry(Path(settings.sources.registry))
    entries = registry.sources if everything else [registry.entry(name) for name in names]
    errors = []
    for entry in entries:
        folder = manifest_path(Path(settings.paths.data), entry).parent
        try:
            sources_fetch(entry, settings.sources, folder)
        except SourceError as error:  # the others are worth having all the same
            errors.append(error)
    if len(errors) > 1:
        raise SourceError("\n".join(str(error) for error in errors))
    if errors:
        raise errors[0]


@app.command()
def retry(config: list[Path] = ConfigOption) -> None:
    """Forget that optional sources were skipped: the next run tries them again."""
    from balign.config import load_config
    from balign.sources.registry import load_registry
    from balign.sources.upkeep import sources_retry

    settings = load_config(config)
    registry = load_registry(Path(settings.sources.registry))
    names = sources_retry(registry, Path(settings.paths.data))
    typer.echo(f"to be tried again: {', '.join(names) or 'none'}")


@app.command()
def verify(config: list[Path] = ConfigOption) -> None:
    """Hash every fetched file again and compare with the registry."""
    from balign.config import load_config
    from balign.sources.registry import load_registry
    from balign.sources.upkeep import sources_verify

    settings = load_config(config)
    registry = load_registry(Path(settings.sources.registry))
    count = sources_verify(registry, Path(settings.paths.data))
    typer.echo(f"files right: {count}")


@app.command()
def encoder(
    name: str = typer.Argument(..., help="hub:ORGANISATION/NAME, or with @REVISION."),
    folder: Path = typer.Option(..., help="Folder to write."),
) -> None:
    """Fetch an encoder from the Hugging Face hub (safetensors only)."""
    from balign.sources.hub import sources_encoder

    sources_encoder(name, folder)


@app.command()
def umls(
    output: Path = typer.Option(..., help="Archive to write, such as umls.zip."),
    release: str = typer.Option("current", help="Release such as 2026AA."),
    kind: UmlsKind = typer.Option(UmlsKind.subset, help="Which archive of the release."),
    md5: str | None = typer.Option(None, help="What the archive must meet, from NLM's page."),
    config: list[Path] = ConfigOption,
) -> None:
    """Download a UMLS release with your key, taken from the variable UMLS_API_KEY alone."""
    from balign.config import load_config
    from balign.sources.umls import sources_umls

    sources_umls(output, release, kind.value, md5, load_config(config).sources)


@app.command()
def entry(
    file: Path = typer.Argument(..., help="A file of your own, such as my.obo."),
    name: str = typer.Option(..., help="Name of the source, for kg.sources."),
    form: str = typer.Option(..., "--format", help="Format, as docs/sources.md lists them."),
    version: str = typer.Option("1", help="Version of the source."),
    licence: str = typer.Option("not stated", help="Licence, in words."),
    homepage: str = typer.Option("https://example.org", help="Page of the publisher."),
    url: list[str] = typer.Option([], help="Further places of the file, tried after it."),
) -> None:
    """Print the registry's entry for a file of your own, to be appended to the registry."""
    from balign.sources.upkeep import sources_entry

    made = sources_entry(file, name, form, version, licence, homepage, url)
    typer.echo(made, nl=False)
