"""Rule ``evaluate_table``: all results in one leaderboard, with intervals and paired tests."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from balign.errors import DataError
from balign.evaluate.leakage import PAIRS
from balign.evaluate.metrics import METRICS, FloatArray, bootstrap, interval, paired_p
from balign.evaluate.outcome import subset_rows
from balign.evaluate.published import read_published
from balign.files import atomic_path, read_json, write_json

log = logging.getLogger(__name__)

ALL = "all"
REFERENCES = ("base", "mlm")  # every model is compared with these where they were tried

SCHEMA: Mapping[str, Any] = {
    "task": pl.String,
    "family": pl.String,
    "subset": pl.String,
    "metric": pl.String,
    "primary": pl.Boolean,
    "model": pl.String,
    "mean": pl.Float64,
    "deviation": pl.Float64,
    "seeds": pl.Int64,
    "n": pl.Int64,
    "low": pl.Float64,
    "high": pl.Float64,
    "difference_base": pl.Float64,
    "p_base": pl.Float64,
    "difference_mlm": pl.Float64,
    "p_mlm": pl.Float64,
}


@dataclass(frozen=True)
class _Entry:
    """One model on one task: its results and predictions, a pair for each seed."""

    results: list[dict[str, Any]]
    predictions: list[pl.DataFrame]


@dataclass(frozen=True)
class _Score:
    values: list[float]  # one a seed
    samples: FloatArray  # one a bootstrap sample


def evaluate_table(
    results: Sequence[Path],
    bootstrap_samples: int,
    *,
    csv: Path,
    json: Path,
    published: Path | None = None,
) -> None:
    """Write the leaderboard.

    Each row is a (task, subset, metric, model): mean and standard deviation over seeds (null for
    one seed), examples, 95 % bootstrap interval over examples, and difference from each of
    ``base`` and ``mlm`` with the p of a paired bootstrap. The JSON also lists what was skipped,
    what is known of leakage, and apart from the rows what papers report.

    Args:
        results: ``seed<k>.json`` of all tasks, models and seeds, predictions beside them.
        bootstrap_samples: number of samples.
        csv: leaderboard.csv.
        json: leaderboard.json.
        published: figures of papers (:mod:`balign.evaluate.published`).

    Raises:
        DataError: if a result cannot be read, two results are of the same run, or the models of
            one task were not tried on the same examples.
    """
    board = leaderboard(results, bootstrap_samples, published)
    with atomic_path(csv) as temporary:
        pl.DataFrame(board["rows"], schema=dict(SCHEMA), orient="row").write_csv(temporary)
    write_json(json, board)


def leaderboard(
    results: Sequence[Path], bootstrap_samples: int, published: Path | None = None
) -> dict[str, Any]:
    """Return what :func:`evaluate_table` writes as JSON."""
    entries: dict[str, dict[str, _Entry]] = defaultdict(dict)
    skipped = []
    seen: dict[tuple[str, str, int], Path] = {}
    for path in results:
        try:
            result = read_json(path)
            run = (result["task"], result["model"], result["seed"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"not a result: {error}", where=str(path)) from None
        if run in seen:
            raise DataError(
                "two results of task {}, model {}, seed {}".format(*run),
                where=f"{seen[run]} and {path}",
            )
        seen[run] = path
        if result["status"] == "skipped":
            skipped.append({key: result[key] for key in ("task", "model", "seed", "reason")})
            continue
        entry = entries[result["task"]].setdefault(result["model"], _Entry([], []))
        predictions = pl.read_parquet(path.parent / result["predictions"]).sort("example")
        entry.results.append(result)
        entry.predictions.append(predictions)
    rows = []
    for task, models in entries.items():
        _check_examples(task, models)
        rows += _task_rows(models, bootstrap_samples)
    frame = pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")
    log.info("%d rows of %d tasks, %d runs skipped", len(rows), len(entries), len(skipped))
    return {
        "bootstrap_samples": bootstrap_samples,
        "rows": frame.to_dicts(),
        "skipped": skipped,
        "leakage": _leakage(entries),
        "published": [one.model_dump() for one in read_published(published)] if published else [],
    }


def _leakage(entries: Mapping[str, Mapping[str, _Entry]]) -> list[dict[str, Any]]:
    """Return for each task the most that any of its runs tells of leakage; null: not known."""
    found = []
    for task, models in entries.items():
        counts = [result["counts"] for entry in models.values() for result in entry.results]
        row: dict[str, Any] = {"task": task}
        for name in (name for pair in PAIRS for name in pair):
            row[name] = max((one[name] for one in counts if name in one), default=None)
        found.append(row)
    return found


def _check_examples(task: str, models: Mapping[str, _Entry]) -> None:
    """Refuse to compare models that were not tried on the same examples."""
    first = next(iter(models.values())).predictions[0]
    for model, entry in models.items():
        for result, predictions in zip(entry.results, entry.predictions, strict=True):
            if not predictions["example"].equals(first["example"]):
                raise DataError(
                    f"the models of task {task} were tried on different examples",
                    where=f"model {model}, seed {result['seed']}",
                    hint="delete the results of this task and evaluate all models again",
                )


def _order(model: str) -> tuple[int, str]:
    """Sort key of models: the references first."""
    return (REFERENCES.index(model) if model in REFERENCES else len(REFERENCES), model)


def _task_rows(models: Mapping[str, _Entry], samples: int) -> list[dict[str, Any]]:
    """Return the rows of one task: subsets, then metrics, then models."""
    names = sorted(models, key=_order)
    result = models[names[0]].results[0]
    metrics = [result["primary"], *sorted(set(result["metrics"]) - {result["primary"]})]
    rows = []
    for subset in (ALL, *result["subsets"]):
        chosen = {name: _subset(models[name], subset) for name in names}
        n = len(chosen[names[0]][0])
        if n == 0:
            continue
        for metric in metrics:
            scores = {name: _score(metric, chosen[name], samples) for name in names}
            for name in names:
                row = {
                    "task": result["task"],
                    "family": result["family"],
                    "subset": subset,
                    "metric": metric,
                    "primary": metric == result["primary"],
                    "model": name,
                    "n": n,
                }
                rows.append(row | _figures(scores, name))
    return rows


def _subset(entry: _Entry, subset: str) -> list[pl.DataFrame]:
    if subset == ALL:
        return entry.predictions
    return [subset_rows(one, subset) for one in entry.predictions]


def _score(metric: str, runs: list[pl.DataFrame], samples: int) -> _Score:
    one = METRICS[metric]
    return _Score([one.value(run) for run in runs], bootstrap(one, runs, samples))


def _figures(scores: Mapping[str, _Score], name: str) -> dict[str, Any]:
    """Return the numbers of a row; nulls for a difference from itself or from a missing model."""
    score = scores[name]
    low, high = interval(score.samples)
    figures: dict[str, Any] = {
        "mean": float(np.mean(score.values)),
        "deviation": float(np.std(score.values, ddof=1)) if len(score.values) > 1 else None,
        "seeds": len(score.values),
        "low": low,
        "high": high,
    }
    for reference in REFERENCES:
        if reference == name or reference not in scores:
            continue
        other = scores[reference]
        difference = float(np.mean(score.values) - np.mean(other.values))
        figures[f"difference_{reference}"] = difference
        figures[f"p_{reference}"] = paired_p(difference, score.samples - other.samples)
    return figures
