"""``balign evaluate model``: tasks on any Hugging Face folder, without the pipeline."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from balign.evaluate.families import FAMILIES, seeds_of
from balign.evaluate.outcome import facts_path
from balign.evaluate.predict import evaluate_predict, model_folder, run_digest
from balign.evaluate.score import evaluate_score
from balign.evaluate.settings import Task
from balign.evaluate.table import leaderboard
from balign.files import read_json
from balign.sources.fetch import sources_fetch
from balign.sources.registry import Registry, manifest_path
from balign.sources.settings import SourcesSettings

log = logging.getLogger(__name__)


def evaluate_model(
    model: Path,
    tasks: Sequence[Task],
    *,
    name: str,
    seeds: Sequence[int],
    output: Path,
    registry: Registry,
    sources: SourcesSettings,
    data: Path,
    samples: int,
    published: Path | None = None,
    database: Path | None = None,
    abstracts: Sequence[Path] = (),
    graph: Path | None = None,
    kge: Path | None = None,
) -> dict[str, Any]:
    """Run a model on tasks and return the leaderboard of all that ``output`` holds of them.

    Predictions that are there of the same model, task and seed are kept and scored again, so that a
    broken run goes on. Sources are fetched into the configuration's data folder where they are not.

    Args:
        model: Hugging Face folder, or the ``MANIFEST.json`` in it.
        tasks: the tasks.
        name: what the model is called in the leaderboard.
        seeds: the seeds of tasks that draw; none: those of each task.
        output: folder, gets ``<task>/<name>/seed<k>.*`` as the pipeline's has them.
        registry: registry of sources.
        sources: how to download.
        data: folder of downloads.
        samples: bootstrap samples.
        published: figures of papers.
        database: kg.duckdb, for the tasks that read the graph.
        abstracts: abstracts/*.parquet, for the tasks that read them.
        graph: folder of the graph, for the tasks that read it.
        kge: folder of graph embeddings, for the tasks that rank with them too.

    Raises:
        DataError: if a task lacks an input, or an input is not what it should be.
        SourceError: if a source that is not optional cannot be had.
    """
    results = []
    for task in tasks:
        source = getattr(task, "source", None)
        manifest = _fetched(registry, source, sources, data) if source else None
        given: dict[str, Path | Sequence[Path] | None] = {
            "database": database, "abstracts": abstracts, "source": manifest,
            "graph": graph, "kge": kge,
        }  # fmt: skip
        family, own = FAMILIES[task.family], seeds_of(task)
        for seed in seeds if seeds and hasattr(task, "seeds") else own:
            predictions = output / task.name / name / f"seed{seed}.parquet"
            digest = run_digest(task, family, model_folder(model), seed, given)
            if _is_there(predictions, digest):
                log.info("%s, seed %d: the predictions are there", task.name, seed)
            else:
                evaluate_predict(
                    task,
                    family,
                    model_name=name,
                    model=model,
                    seed=seed,
                    output=predictions,
                    database=database,
                    abstracts=abstracts,
                    source=manifest,
                    graph=graph,
                    kge=kge,
                    digest=digest,
                )
            evaluate_score(predictions, predictions.with_suffix(".json"))
        # Other models and seeds that were tried before are compared with.
        results += sorted((output / task.name).glob("*/seed*[0-9].json"))
    return leaderboard(results, samples, published)


def _fetched(registry: Registry, name: str, settings: SourcesSettings, data: Path) -> Path:
    """Return the manifest of a source, fetched where it was not or was skipped."""
    entry = registry.entry(name)
    manifest = manifest_path(data, entry)
    # One that is there is left alone: a new manifest would make the pipeline's results stale.
    if not manifest.is_file() or read_json(manifest)["status"] != "ok":
        sources_fetch(entry, settings, manifest.parent)
    return manifest


def _is_there(predictions: Path, digest: str) -> bool:
    facts = facts_path(predictions)
    if not predictions.is_file() or not facts.is_file():
        return False
    known = read_json(facts)
    return bool(known["status"] == "ok" and known["digest"] == digest)
