"""``balign report``."""

from __future__ import annotations

from pathlib import Path

import typer

from balign.options import ConfigOption

app = typer.Typer(help="Show what was built and how good it is.", no_args_is_help=True)


@app.callback()
def _stage() -> None:
    """Show what was built and how good it is."""


@app.command()
def render(
    manifest: list[Path] = typer.Option(
        [], exists=True, help="MANIFEST.json of a source; repeatable."
    ),
    kg: Path = typer.Option(..., exists=True, help="Folder with kg.duckdb and counts.json."),
    corpus: Path = typer.Option(
        ..., exists=True, help="Folder with live.parquet, abstracts/, sentences/, counts.json."
    ),
    linking: Path = typer.Option(..., exists=True, help="Folder with mentions/ and counts.json."),
    graph: Path = typer.Option(..., exists=True, help="Folder of the graph arrays."),
    tokens: list[Path] = typer.Option(
        [], exists=True, help="Folder of an encoder's tokens; repeatable."
    ),
    model: list[Path] = typer.Option([], exists=True, help="Model folder; repeatable."),
    leaderboard: Path = typer.Option(
        ..., exists=True, help="leaderboard.json, leaderboard.csv beside it."
    ),
    benchmarks: Path | None = typer.Option(
        None, help="Folder of Snakemake's benchmark files; may be missing."
    ),
    output: Path = typer.Option(..., help="Folder to write; replaced as a whole."),
    config: list[Path] = ConfigOption,
) -> None:
    """Write the report: index.html, its figures as SVG and PNG, leaderboard.csv."""
    import yaml

    from balign import __version__
    from balign.config import load_config
    from balign.digest import code_digest
    from balign.report.render import Inputs, Provenance, report_render
    from balign.steps import STEPS

    settings = load_config(config)
    code = {"balign": __version__}
    code |= {step: code_digest(one.module) for step, one in STEPS.items()}
    report_render(
        settings.report,
        Inputs(
            manifests=manifest,
            kg=kg,
            corpus=corpus,
            linking=linking,
            graph=graph,
            tokens=tokens,
            models=model,
            leaderboard=leaderboard,
            benchmarks=benchmarks if benchmarks is not None and benchmarks.is_dir() else None,
        ),
        Provenance(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), code),
        output,
    )


@app.command()
def provenance(
    manifest: list[Path] = typer.Option(
        [], exists=True, help="MANIFEST.json of a source; repeatable."
    ),
    results: Path = typer.Option(..., exists=True, help="Folder of the run (paths.results)."),
    records: Path = typer.Option(
        Path(".snakemake/metadata"), help="Snakemake's records of its outputs; may be missing."
    ),
    output: Path = typer.Option(..., help="results.json to write, runs.jsonl beside it."),
    threads: int = typer.Option(1, min=1, help="Files that are digested at once."),
    config: list[Path] = ConfigOption,
) -> None:
    """Write what made each result: results.json, and ro-crate-metadata.json in the folder."""
    from balign.config import load_config
    from balign.report.provenance import report_provenance

    title = load_config(config).report.title
    report_provenance(title, results, manifest, records, output, threads)
