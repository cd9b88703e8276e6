"""Rule ``corpus_guard``: the PMIDs that a task is scored on, which no model may read before."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from balign.draw import draw
from balign.errors import DataError
from balign.files import read_json, write_json
from balign.sources.manifest import SourceFolder, open_source

_log = logging.getLogger(__name__)

_PUBTATOR_TITLE = re.compile(r"^(\d+)\|t\|", re.MULTILINE)


def corpus_guard(
    task: str,
    manifest: Path | None,
    abstracts: Sequence[Path],
    seed: int,
    count: int,
    output: Path,
) -> None:
    """Write the PMIDs of a task's test set.

    Args:
        task: name of the task.
        manifest: ``MANIFEST.json`` of the task's source: its test part counts; None for a test set
            that is drawn from the corpus: the first by :func:`balign.draw.draw` among the citations
            with an abstract and MeSH headings, as in :mod:`balign.evaluate.check_tags`.
        abstracts: all files of :func:`balign.corpus.abstracts.corpus_abstracts`, to draw from.
        seed: of the draw.
        count: citations drawn.
        output: JSON: ``task``, ``status`` (``ok``, or ``skipped`` where the source is missing or
            its test part has no PMIDs), ``reason`` (null, or why skipped), ``pmids`` (sorted).

    Raises:
        DataError: if a test file cannot be read.
    """
    reason = None
    if manifest is None:
        pmids = sorted(draw(seed, _indexed(abstracts), count))
    else:
        source = open_source(manifest)
        pmids = [] if source.skipped else sorted(set(test_pmids(source)))
        if source.skipped:
            reason = f"the source is missing: {source.reason}"
        elif not pmids:
            reason = f"the test part of {source.name} has no PMIDs"
    status = "skipped" if reason else "ok"
    write_json(output, {"task": task, "status": status, "reason": reason, "pmids": pmids})
    if reason:
        _log.warning("task %s is not guarded: %s", task, reason)
    else:
        _log.info("task %s: %s test citations", task, f"{len(pmids):,}")


def test_pmids(source: SourceFolder) -> Iterator[int]:
    """Yield the PMIDs in the files of a source whose names begin with ``test``.

    Known are PubTator (``PMID|t|title``) and a JSON object whose keys are PMIDs, as PubMedQA has.
    Files of other shapes, such as tagged words, name no citation.

    Raises:
        DataError: if a file cannot be read.
    """
    for name in sorted(source.files):
        if not name.startswith("test"):
            continue
        path = source.path(name)
        try:
            if path.suffix == ".json":
                keys = read_json(path)
                found = [key for key in keys if key.isdecimal()] if isinstance(keys, dict) else []
            else:
                found = _PUBTATOR_TITLE.findall(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"the test set cannot be read: {error}", where=str(path)) from None
        yield from map(int, found)


def _indexed(abstracts: Sequence[Path]) -> Iterator[int]:
    for path in abstracts:
        frame = pl.read_parquet(path, columns=["pmid", "mesh", "characters"])
        wanted = frame.filter(pl.col("mesh").list.len() > 0, pl.col("characters") > 0)
        yield from wanted["pmid"].to_list()
