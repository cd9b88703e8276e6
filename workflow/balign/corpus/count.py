"""The counts of all files together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from balign.files import read_json, write_json

_log = logging.getLogger(__name__)

_SUFFIX = ".counts.json"


def corpus_count(counts: Sequence[Path], output: Path) -> None:
    """Add up the counts of :func:`balign.corpus.split.corpus_split`.

    Args:
        counts: ``<file>.counts.json`` of each file.
        output: JSON: the sums under the same keys, and each file's own counts under ``files``.
    """
    files = {path.name.removesuffix(_SUFFIX): read_json(path) for path in sorted(counts)}
    total = add_counts(list(files.values()))
    write_json(output, {**total, "files": files})
    _log.info("%s files: %s", len(files), total)


def add_counts(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums of counts that have the same keys; nested counts are added likewise."""
    total: dict[str, Any] = {}
    for key in counts[0] if counts else ():
        values = [item[key] for item in counts]
        total[key] = add_counts(values) if isinstance(values[0], Mapping) else sum(values)
    return total
