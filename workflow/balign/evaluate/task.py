"""Rule ``evaluate_task``: one model, one task, one seed."""

from __future__ import annotations

import hashlib
import importlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from balign.errors import DataError
from balign.evaluate.families import FAMILIES
from balign.evaluate.metrics import METRICS
from balign.evaluate.outcome import Outcome, Run, subset_rows
from balign.evaluate.settings import Task
from balign.files import (
    atomic_path,
    canonical_json,
    sha256_file,
    text_digest,
    write_json,
)
from balign.sources.manifest import open_source

log = logging.getLogger(__name__)


def evaluate_task(
    task: Task,
    *,
    model_name: str,
    model: Path,
    seed: int,
    output: Path,
    database: Path | None = None,
    abstracts: Sequence[Path] = (),
    source: Path | None = None,
) -> None:
    """Evaluate a model and write ``output`` (JSON) and the predictions (Parquet) beside it.

    Args:
        task: settings of the task.
        model_name: name in the leaderboard; ``base`` for the untouched encoder.
        model: Hugging Face folder, or the ``MANIFEST.json`` in it.
        seed: seed of this run.
        output: ``.../seed<k>.json``, written last.
        database: kg.duckdb, where the family reads it.
        abstracts: abstracts/*.parquet, where the family reads them.
        source: MANIFEST.json of the task's registry entry. Where that entry was skipped the result
            has the status ``skipped`` and its reason, and no predictions.

    Raises:
        DataError: if an input of the family is missing or not what it should be.
        SourceError: if ``source`` is not the manifest of a source.
    """
    started = time.monotonic()
    family = FAMILIES[task.family]
    given = {"database": database, "abstracts": abstracts, "source": source}
    missing = [name for name in family.inputs if not given[name]]
    if missing:
        raise DataError(
            f"task {task.name} (family {task.family}) also reads: {', '.join(missing)}",
            hint="give it with " + " ".join(f"--{name}" for name in missing),
        )
    folder = model.parent if model.name == "MANIFEST.json" else model
    result: dict[str, Any] = {
        "task": task.name,
        "family": task.family,
        "model": model_name,
        "seed": seed,
        "status": "ok",
        "reason": None,
        "metrics": {},
        "primary": None,
        "n": 0,
        "subsets": {},
        "counts": {},
        "predictions": None,
    }
    fetched = open_source(source) if source else None
    if fetched is None or not fetched.skipped:
        run = Run(
            model=folder,
            seed=seed,
            database=database,
            abstracts=tuple(abstracts),
            source=fetched,
        )
        outcome: Outcome = importlib.import_module(family.module).run(task, run)
        predictions = output.with_suffix(".parquet")
        with atomic_path(predictions) as temporary:
            outcome.predictions.write_parquet(temporary)
        result |= _scored(outcome) | {"predictions": predictions.name}
        log.info("%s, %s, seed %d: %s", task.name, model_name, seed, result["metrics"])
    else:
        reason = f"source {fetched.name} was skipped: {fetched.reason}"
        result |= {"status": "skipped", "reason": reason}
        log.warning("%s skipped: %s", task.name, reason)
    result["digest"] = _digest(task, folder, seed)
    result["seconds"] = round(time.monotonic() - started, 1)
    write_json(output, result)


def _scored(outcome: Outcome) -> dict[str, Any]:
    """Return the parts of a result that follow from the predictions."""

    def score(predictions: pl.DataFrame) -> dict[str, float]:
        if predictions.is_empty():
            return {}
        return {name: METRICS[name].value(predictions) for name in outcome.metrics}

    subsets = {}
    for name in outcome.subsets:
        rows = subset_rows(outcome.predictions, name)
        subsets[name] = {"n": len(rows), "metrics": score(rows)}
    return {
        "metrics": score(outcome.predictions),
        "primary": outcome.metrics[0],
        "n": len(outcome.predictions),
        "subsets": subsets,
        "counts": dict(outcome.counts),
    }


def _digest(task: Task, model: Path, seed: int) -> str:
    """Return a digest of what the result depends on: settings, weights and seed."""
    weights = hashlib.sha256()
    for path in sorted(model.glob("*.safetensors")):
        weights.update(sha256_file(path).encode())
    settings = task.model_dump(mode="json")
    return text_digest(canonical_json([settings, weights.hexdigest(), seed]))
