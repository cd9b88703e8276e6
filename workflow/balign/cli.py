"""The command line: ``balign <stage> <verb>``, one verb for each rule of the workflow."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import typer

from balign import __version__
from balign.config_cli import app as config_app
from balign.corpus.cli import app as corpus_app
from balign.errors import BalignError, disk_error
from balign.evaluate.cli import app as evaluate_app
from balign.graph.cli import app as graph_app
from balign.kg.cli import app as kg_app
from balign.linking.cli import app as linking_app
from balign.options import ConfigOption
from balign.pretrain.cli import app as pretrain_app
from balign.progress import setup_logging
from balign.report.cli import app as report_app
from balign.sources.cli import app as sources_app

app = typer.Typer(
    name="balign",
    help="From a biomedical knowledge graph and PubMed to a language model aligned with the graph.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals may hold secrets
)
app.add_typer(config_app, name="config")
app.add_typer(sources_app, name="sources")
app.add_typer(kg_app, name="kg")
app.add_typer(corpus_app, name="corpus")
app.add_typer(linking_app, name="linking")
app.add_typer(graph_app, name="graph")
app.add_typer(pretrain_app, name="pretrain")
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(report_app, name="report")


@app.command()
def why(
    target: str = typer.Argument("all", help="A result's file or folder, or a rule's name."),
    config: list[Path] = ConfigOption,
) -> None:
    """Say why a result is stale, or when and by what it was made."""
    from balign.why import why

    for line in why(target, config):
        typer.echo(line)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"balign {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Also log details."),
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
) -> None:
    setup_logging(verbose)


def main() -> None:
    """Run the command line; an error that a user can mend is printed without a traceback."""
    try:
        app()
    except Exception as error:
        told = error if isinstance(error, BalignError) else disk_error(error)
        if told is None:
            raise
        logging.getLogger("balign").error("%s", told)
        sys.exit(1)
