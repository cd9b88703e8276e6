"""Rule ``evaluate_predict``: one model, one task, one seed; what is predicted, not how good it is.

Neither this module nor a family imports :mod:`balign.evaluate.metrics`: a changed metric leaves
predictions as they are.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from balign.errors import DataError
from balign.evaluate.family import Family, InputName
from balign.evaluate.outcome import Outcome, Run, TaskSkipped, facts_path
from balign.files import (
    atomic_path,
    canonical_json,
    sha256_file,
    text_digest,
    write_json,
)
from balign.settings import Settings
from balign.sources.manifest import open_source

log = logging.getLogger(__name__)


def evaluate_predict(
    task: Settings,
    family: Family,
    *,
    model_name: str,
    model: Path,
    seed: int,
    output: Path,
    database: Path | None = None,
    abstracts: Sequence[Path] = (),
    source: Path | None = None,
    graph: Path | None = None,
    kge: Path | None = None,
    digest: str | None = None,
) -> None:
    """Run a model on a task; write its predictions, and facts about them beside.

    Args:
        task: settings of the task, with ``name`` and ``family``.
        family: the task's family.
        model_name: name in the leaderboard; ``base`` for the untouched encoder.
        model: Hugging Face folder, or the ``MANIFEST.json`` in it.
        seed: seed of this run.
        output: ``.../seed<k>.parquet``; ``seed<k>.facts.json`` beside it is written last.
        database: kg.duckdb, where the family reads it.
        abstracts: abstracts/*.parquet, where the family reads them.
        source: MANIFEST.json of the task's registry entry; a task with ``path`` needs none. Where
            that entry was skipped, or the folder is not there, the facts have the status
            ``skipped`` and the reason, and there is no row of predictions.
        graph: folder of the graph, where the family reads it.
        kge: folder of the graph embeddings that the task names, if it names any.
        digest: of :func:`run_digest`, for the facts; None for one without the inputs' files.

    Raises:
        DataError: if an input of the family is missing or not what it should be.
        SourceError: if ``source`` is not the manifest of a source.
    """
    started = time.monotonic()
    settings = task.model_dump(mode="json")
    name = settings["name"]
    given: dict[str, Path | Sequence[Path] | None] = {
        "database": database, "abstracts": abstracts, "source": source, "graph": graph, "kge": kge
    }  # fmt: skip
    own = settings.get("path")  # a folder of the user's in place of a source
    read = inputs_read(settings, family)
    missing = [one for one in read if not given[one]]
    if missing:
        raise DataError(
            f"task {name} (family {settings['family']}) also reads: {', '.join(missing)}",
            hint="give it with " + " ".join(f"--{one}" for one in missing),
        )
    folder = model_folder(model)
    facts: dict[str, Any] = {
        "task": name,
        "family": settings["family"],
        "model": model_name,
        "seed": seed,
        "status": "ok",
        "reason": None,
        "metrics": [],
        "subsets": [],
        "counts": {},
        "training": {},
    }
    fetched = open_source(source) if source else None
    try:
        if fetched is not None and fetched.skipped:
            raise TaskSkipped(f"source {fetched.name} was skipped: {fetched.reason}")
        if fetched is None and own and not Path(own).is_dir():
            raise TaskSkipped(f"no folder {own}: {settings.get('obtain') or 'put its files there'}")
        run = Run(
            model=folder,
            seed=seed,
            database=database,
            abstracts=tuple(abstracts),
            source=fetched,
            folder=fetched.folder if fetched else Path(own) if own else None,
            graph=graph,
            kge=kge if "kge" in read else None,
        )
        outcome: Outcome = importlib.import_module(family.module).run(task, run)
        predictions = outcome.predictions
        facts |= {
            "metrics": list(outcome.metrics),
            "subsets": list(outcome.subsets),
            "counts": dict(outcome.counts),
            "training": dict(outcome.training),
        }
        log.info("%s, %s, seed %d: %d predictions", name, model_name, seed, len(predictions))
    except TaskSkipped as skipped:
        predictions = pl.DataFrame(schema={"example": pl.Int64})
        facts |= {"status": "skipped", "reason": str(skipped)}
        log.warning("%s skipped: %s", name, skipped)
    with atomic_path(output) as temporary:
        predictions.write_parquet(temporary)
    facts["digest"] = digest or run_digest(task, family, folder, seed, {})
    facts["seconds"] = round(time.monotonic() - started, 1)
    write_json(facts_path(output), facts)


def model_folder(model: Path) -> Path:
    """Return the folder of a model that is given by it or by the ``MANIFEST.json`` in it."""
    return model.parent if model.name == "MANIFEST.json" else model


def inputs_read(settings: Mapping[str, Any], family: Family) -> list[InputName]:
    """Return which of a family's inputs a task reads: its own folder stands for a source."""
    spared = {"source": bool(settings.get("path")), "kge": settings.get("kge") is None}
    return [name for name in family.inputs if not spared.get(name)]


def run_digest(
    task: Settings,
    family: Family,
    model: Path,
    seed: int,
    given: Mapping[str, Path | Sequence[Path] | None],
) -> str:
    """Return a digest of what predictions depend on: settings, seed, weights, the inputs read.

    Args:
        task: settings of the task.
        family: the task's family, which says what of ``given`` it reads.
        model: the model's folder.
        seed: seed of the run.
        given: files and folders by the names of :attr:`Family.inputs`; what is not there does not
            count.
    """
    settings = task.model_dump(mode="json", exclude={"seeds"})
    files = sorted(model.glob("*.safetensors"))
    for value in map(given.get, inputs_read(settings, family)):
        for path in [value] if isinstance(value, Path) else value or ():
            files += sorted(path.glob("*")) if path.is_dir() else [path]
    return text_digest(canonical_json([settings, [sha256_file(path) for path in files], seed]))
