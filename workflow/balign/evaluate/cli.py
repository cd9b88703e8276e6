"""``balign evaluate``: one verb for each rule; `model` does without rules."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from balign.options import ConfigOption

app = typer.Typer(help="Try the models on tasks; compare them.", no_args_is_help=True)


@app.command()
def predict(
    name: str = typer.Argument(..., metavar="TASK", help="Name of a task of the configuration."),
    model_name: str = typer.Option(..., help="Model's name; `base` for the untouched encoder."),
    model: Path = typer.Option(..., exists=True, help="Model folder, or MANIFEST.json in it."),
    seed: int = typer.Option(1, help="Seed of this run."),
    output: Path = typer.Option(..., help="Predictions (Parquet); facts go beside them (JSON)."),
    database: Path | None = typer.Option(None, exists=True, help="kg.duckdb."),
    abstracts: list[Path] = typer.Option([], exists=True, help="Abstracts (Parquet); repeatable."),
    source: Path | None = typer.Option(
        None, exists=True, help="MANIFEST.json of the task's source."
    ),
    graph: Path | None = typer.Option(None, exists=True, help="Folder of the graph."),
    kge: Path | None = typer.Option(None, exists=True, help="Folder of graph embeddings."),
    config: list[Path] = ConfigOption,
) -> None:
    """Run one model on one task with one seed and keep its predictions."""
    from balign.config import load_config
    from balign.evaluate.families import FAMILIES, task_named
    from balign.evaluate.predict import evaluate_predict

    task = task_named(load_config(config).evaluate, name)
    evaluate_predict(
        task,
        FAMILIES[task.family],
        model_name=model_name,
        model=model,
        seed=seed,
        output=output,
        database=database,
        abstracts=abstracts,
        source=source,
        graph=graph,
        kge=kge,
    )


@app.command()
def score(
    predictions: Path = typer.Option(..., exists=True, help="Predictions, their facts beside."),
    output: Path = typer.Option(..., help="Result (JSON), in the same folder."),
    guard: Path | None = typer.Option(None, exists=True, help="guard/<task>.json of the corpus."),
    selection: Path | None = typer.Option(None, exists=True, help="selection.parquet."),
) -> None:
    """Score one model's predictions on one task with one seed."""
    from balign.evaluate.score import evaluate_score

    evaluate_score(predictions, output, guard, selection)


class Form(StrEnum):
    """How a leaderboard is printed."""

    terminal = "terminal"
    csv = "csv"
    markdown = "markdown"
    latex = "latex"


_FORM = typer.Option(Form.terminal, "--form", help="How to print it.")
_ALL = typer.Option(False, "--all", help="Print all metrics and subsets, not the first alone.")
_PUBLISHED = typer.Option(
    Path("resources/published.yaml"), exists=True, help="Figures of papers, shown beside ours."
)


@app.command()
def table(
    result: list[Path] = typer.Option(
        [], exists=True, help="Results (JSON); repeatable. None: those of the configured run."
    ),
    csv: Path | None = typer.Option(None, help="Write the leaderboard as CSV, and"),
    json: Path | None = typer.Option(None, help="as JSON, skipped tasks included."),
    published: Path = _PUBLISHED,
    form: Form = _FORM,
    everything: bool = _ALL,
    config: list[Path] = ConfigOption,
) -> None:
    """Make the leaderboard of all tasks, models and seeds: print it, or write it."""
    from balign.config import load_config
    from balign.errors import DataError
    from balign.evaluate.table import evaluate_table, leaderboard
    from balign.files import read_json

    settings = load_config(config)
    samples = settings.evaluate.bootstrap_samples
    if csv or json:
        if not (csv and json and result):
            raise typer.BadParameter("--csv, --json and --result go together")
        evaluate_table(result, samples, csv=csv, json=json, published=published)
        return
    if result:
        board = leaderboard(result, samples, published)
    else:
        made = Path(settings.paths.results) / "evaluation/leaderboard.json"
        if not made.is_file():
            raise DataError(
                "there is no leaderboard yet",
                where=str(made),
                hint="run `snakemake --cores 2 evaluate`, or give --result or --config",
            )
        board = read_json(made)
    _print(board, form, everything)


def _print(board: Mapping[str, Any], form: Form, everything: bool) -> None:
    from balign.evaluate.show import FORMS, leaderboard, notes, shown_rows

    rows = shown_rows(board, everything)
    if form is Form.terminal:
        from rich.console import Console

        console = Console()
        console.print(leaderboard(rows, console.width))
        for line in notes(board, rows):
            typer.echo(line)
        return
    typer.echo(FORMS[form.value](rows), nl=False)
    for line in notes(board, rows):  # apart, so that the table can go to a file
        typer.echo(line, err=True)


@app.command()
def model(
    path: Path = typer.Argument(
        ..., exists=True, help="Hugging Face folder, or MANIFEST.json of a fetched one."
    ),
    task: list[str] = typer.Option(
        ..., help="Task of the configuration or of resources/tasks.yaml; repeatable."
    ),
    output: Path = typer.Option(..., help="Folder of predictions and results."),
    name: str | None = typer.Option(None, help="Name in the leaderboard; the folder's if absent."),
    seed: list[int] = typer.Option([], help="Seed; repeatable. None: those of each task."),
    database: Path | None = typer.Option(
        None, exists=True, help="kg.duckdb, for tasks that read the graph."
    ),
    abstracts: list[Path] = typer.Option([], exists=True, help="Abstracts (Parquet); repeatable."),
    graph: Path | None = typer.Option(
        None, exists=True, help="Folder of the graph, for tasks that complete it."
    ),
    kge: Path | None = typer.Option(
        None, exists=True, help="Folder of graph embeddings, for tasks that rank with them too."
    ),
    published: Path = _PUBLISHED,
    form: Form = _FORM,
    everything: bool = _ALL,
    config: list[Path] = ConfigOption,
) -> None:
    """Run any model on tasks, without the pipeline, and print the leaderboard."""
    from balign.config import load_config
    from balign.evaluate.families import task_named
    from balign.evaluate.model import evaluate_model
    from balign.evaluate.predict import model_folder
    from balign.sources.registry import load_registry

    settings = load_config(config)
    board = evaluate_model(
        path,
        [task_named(settings.evaluate, one, shipped=True) for one in task],
        name=name or model_folder(path).resolve().name,
        seeds=seed,
        output=output,
        registry=load_registry(Path(settings.sources.registry)),
        sources=settings.sources,
        data=Path(settings.paths.data),
        samples=settings.evaluate.bootstrap_samples,
        published=published,
        database=database,
        abstracts=abstracts,
        graph=graph,
        kge=kge,
    )
    _print(board, form, everything)


@app.command()
def linking_gold(
    database: Path = typer.Option(..., exists=True, help="kg.duckdb."),
    source: Path = typer.Option(..., exists=True, help="MANIFEST.json of an annotated corpus."),
    index: Path = typer.Option(..., exists=True, help="Folder of the linker's index."),
    output: Path = typer.Option(..., help="Scores (JSON)."),
    part: list[str] = typer.Option(["dev"], help="train, dev or test; repeatable."),
    abstracts: list[Path] = typer.Option(
        [], exists=True, help="Abstracts (Parquet), for the recall of MeSH headings; repeatable."
    ),
    mentions: list[Path] = typer.Option(
        [], exists=True, help="The mentions found in them, in the same order; repeatable."
    ),
    config: list[Path] = ConfigOption,
) -> None:
    """Score the configured linker on annotated abstracts and by the citations' MeSH headings."""
    from rich.console import Console

    from balign.config import load_config
    from balign.evaluate.linking_gold import evaluate_linking_gold, gold_table, headings_line

    if len(abstracts) != len(mentions):
        raise typer.BadParameter("give --mentions once for each --abstracts")
    files = list(zip(abstracts, mentions, strict=True))
    settings = load_config(config).linking
    result = evaluate_linking_gold(database, source, index, settings, part, output, files)
    console = Console()
    console.print(gold_table(result))
    if files:
        console.print(headings_line(result["headings"]))
