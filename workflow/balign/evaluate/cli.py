"""``balign evaluate``: one verb for each rule, and one to look at the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from balign.options import ConfigOption

app = typer.Typer(help="Try the models on tasks; compare them.", no_args_is_help=True)


@app.command()
def task(
    name: str = typer.Argument(..., metavar="TASK", help="Name of a task of the configuration."),
    model_name: str = typer.Option(..., help="Model's name; `base` for the untouched encoder."),
    model: Path = typer.Option(..., exists=True, help="Model folder, or MANIFEST.json in it."),
    seed: int = typer.Option(1, help="Seed of this run."),
    output: Path = typer.Option(..., help="Result (JSON); predictions go beside it (Parquet)."),
    database: Path | None = typer.Option(None, exists=True, help="kg.duckdb."),
    abstracts: list[Path] = typer.Option([], exists=True, help="Abstracts (Parquet); repeatable."),
    source: Path | None = typer.Option(
        None, exists=True, help="MANIFEST.json of the task's source."
    ),
    config: list[Path] = ConfigOption,
) -> None:
    """Evaluate one model on one task with one seed."""
    from balign.config import load_config
    from balign.errors import ConfigError
    from balign.evaluate.task import evaluate_task

    tasks = {one.name: one for one in load_config(config).evaluate.tasks}
    if name not in tasks:
        raise ConfigError(
            f"no task is called '{name}'", hint=f"tasks: {', '.join(tasks) or 'none'}"
        )
    evaluate_task(
        tasks[name],
        model_name=model_name,
        model=model,
        seed=seed,
        output=output,
        database=database,
        abstracts=abstracts,
        source=source,
    )


@app.command()
def table(
    result: list[Path] = typer.Option(..., exists=True, help="Results (JSON); repeatable."),
    csv: Path = typer.Option(..., help="Leaderboard as CSV."),
    json: Path = typer.Option(..., help="Leaderboard as JSON, skipped tasks included."),
    config: list[Path] = ConfigOption,
) -> None:
    """Make the leaderboard from the results of all tasks, models and seeds."""
    from balign.config import load_config
    from balign.evaluate.table import evaluate_table

    settings = load_config(config).evaluate
    evaluate_table(result, settings.bootstrap_samples, csv=csv, json=json)


def _is_headline(row: Mapping[str, Any]) -> bool:
    return bool(row["primary"]) and row["subset"] in ("all", "refined")


@app.command()
def show(
    leaderboard: Path = typer.Option(..., exists=True, help="leaderboard.json."),
    everything: bool = typer.Option(False, "--all", help="Also other metrics and subsets."),
) -> None:
    """Print a leaderboard as a table: each task's first metric, or all of it."""
    from rich.console import Console

    from balign.evaluate.show import leaderboard_table, skipped_lines
    from balign.files import read_json

    values = read_json(leaderboard)
    console = Console()
    rows = [row for row in values["rows"] if everything or _is_headline(row)]
    console.print(leaderboard_table(rows))
    for line in skipped_lines(values["skipped"]):
        console.print(line, markup=False)


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
