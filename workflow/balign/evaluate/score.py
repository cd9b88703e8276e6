"""Rule ``evaluate_score``: the metrics of one model's predictions on one task with one seed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import polars as pl

from balign.errors import DataError
from balign.evaluate.metrics import METRICS
from balign.evaluate.outcome import facts_path, subset_rows
from balign.files import read_json, write_json

log = logging.getLogger(__name__)


def evaluate_score(
    predictions: Path, output: Path, guard: Path | None = None, selection: Path | None = None
) -> None:
    """Score predictions and write the result.

    Args:
        predictions: ``.../seed<k>.parquet``, ``seed<k>.facts.json`` beside it.
        output: ``seed<k>.json`` in the same folder, for the leaderboard reads both.
        guard: guard/<task>.json of the corpus: the PMIDs of the task's test set.
        selection: selection.parquet of the corpus: with it ``counts`` tells how many of those PMIDs
            the text of pre-training holds.

    Raises:
        DataError: if the predictions cannot be read, lack the columns of a metric, or name a metric
            that there is not.
    """
    try:
        facts = read_json(facts_path(predictions))
        frame = pl.read_parquet(predictions)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"the predictions cannot be read: {error}",
            where=str(predictions),
            hint="`balign evaluate predict` writes them, and their facts beside",
        ) from None
    counts = dict(facts["counts"])
    if guard is not None and selection is not None:
        counts |= pretraining_overlap(guard, selection)
    names = facts["metrics"]
    try:
        subsets = {}
        for name in facts["subsets"]:
            rows = subset_rows(frame, name)
            subsets[name] = {"n": len(rows), "metrics": _scores(names, rows)}
        metrics = _scores(names, frame)
    except (KeyError, pl.exceptions.ColumnNotFoundError) as error:
        raise DataError(
            f"the predictions lack what their metrics read: {error}", where=str(predictions)
        ) from None
    result: dict[str, Any] = facts | {
        "metrics": metrics,
        "primary": names[0] if names else None,
        "n": len(frame),
        "subsets": subsets,
        "counts": counts,
        "predictions": predictions.name if facts["status"] == "ok" else None,
    }
    write_json(output, result)
    log.info("%s, %s, seed %d: %s", *(facts[key] for key in ("task", "model", "seed")), metrics)


def _scores(names: list[str], predictions: pl.DataFrame) -> dict[str, float]:
    if predictions.is_empty():
        return {}
    return {name: METRICS[name].value(predictions) for name in names}


def pretraining_overlap(guard: Path, selection: Path) -> dict[str, int]:
    """Return ``test_pmids`` and ``test_pmids_in_pretraining``; nothing where no PMID is known.

    The guard of the corpus (:mod:`balign.corpus.guard`) leaves the test citations out, so that the
    second number is 0 unless ``corpus.select.guard`` is off.
    """
    pmids = read_json(guard)["pmids"]
    if not pmids:
        return {}
    read = (
        pl.scan_parquet(selection)
        .filter(pl.col("reason").is_null(), pl.col("pmid").is_in(pmids))
        .select(pl.col("pmid").n_unique())
        .collect()
    )
    return {"test_pmids": len(pmids), "test_pmids_in_pretraining": int(read.item())}
