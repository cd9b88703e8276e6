"""Rule ``report_provenance``: of each result, what made it, when, from what and with what.

Snakemake records for each output its rule, command, parameters, inputs and times;
``provenance/runs.jsonl`` holds the commit, the libraries and the configuration of each run. Both
are brought together here, with the sha256 of every file, in one JSON file and as an RO-Crate.
"""

from __future__ import annotations

import ast
import base64
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from balign.files import read_json, sha256_file, write_json
from balign.provenance import read_code, read_runs, run_of
from balign.report.crate import crate_metadata
from balign.sources.manifest import SourceFolder, open_source

log = logging.getLogger(__name__)

CRATE = "ro-crate-metadata.json"
# What is in the results folder and is no result.
_APART = {"logs", "benchmarks", "checkpoints", "provenance", CRATE}


def report_provenance(
    title: str,
    results: Path,
    manifests: Sequence[Path],
    records: Path,
    output: Path,
    threads: int = 1,
) -> None:
    """Write ``results.json`` and, in the results folder, ``ro-crate-metadata.json``.

    Args:
        title: the report's title, for people.
        results: folder of the run, as the workflow names it.
        manifests: MANIFEST.json of each source.
        records: Snakemake's folder of metadata; without it no result is told how it was made.
        output: file to write; its folder holds ``runs.jsonl`` and ``code.json``.
        threads: files that are digested at once.
    """
    made = recorded(records)
    runs = read_runs(output.parent)
    files = sorted(_result_files(results))
    with ThreadPoolExecutor(threads) as pool:
        digests = list(pool.map(sha256_file, files))
    found: dict[str, dict[str, Any]] = {}
    for path, digest in zip(files, digests, strict=True):
        owner = next((str(one) for one in (path, *path.parents) if str(one) in made), str(path))
        result = found.setdefault(owner, {"path": owner, **_origin(made.get(owner), runs)})
        result.setdefault("files", {})[path.relative_to(results).as_posix()] = {
            "sha256": digest,
            "bytes": path.stat().st_size,
        }
    sources = [_source(open_source(manifest)) for manifest in manifests]
    told = {
        "title": title,
        "results": [found[key] for key in sorted(found)],
        "sources": sources,
        "runs": runs,
        "code": read_code(output.parent),
    }
    write_json(output, told)
    write_json(results / CRATE, crate_metadata(told, results))
    unknown = sum(one["rule"] is None for one in found.values())
    log.info(
        "%s: %d results, %d files, %d of unknown origin", output, len(found), len(files), unknown
    )


def recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """Return Snakemake's record of each output, by the output's path.

    A record lies under the path's base64, cut into folders that begin with ``@`` where it is longer
    than a file name may be (snakemake/persistence/file.py).
    """
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            name = "".join(part.removeprefix("@") for part in path.relative_to(folder).parts)
            found[base64.urlsafe_b64decode(name).decode()] = read_json(path)
    return found


def _result_files(results: Path) -> Iterator[Path]:
    for path in results.rglob("*"):
        parts = path.relative_to(results).parts
        if path.is_file() and parts[0] not in _APART and not any(p.startswith(".") for p in parts):
            yield path


def _origin(record: Mapping[str, Any] | None, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is known of how a result was made; ``run`` is its place among the runs."""
    if record is None or not record.get("endtime"):
        return {"rule": None}
    run = run_of(runs, record["starttime"])
    return {
        "rule": record["rule"],
        "command": record["shellcmd"],
        "started": _moment(record["starttime"]),
        "ended": _moment(record["endtime"]),
        "run": None if run is None else runs.index(run),
        "inputs": record["input"],
        "stamp": next((v for v in map(_value, record["params"]) if isinstance(v, dict)), None),
    }


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _source(source: SourceFolder) -> dict[str, Any]:
    return {
        "manifest": str(source.folder / "MANIFEST.json"),
        "name": source.name,
        "version": source.version,
        "licence": source.licence,
        "homepage": source.homepage,
        "status": source.status,
        "files": {name: {"sha256": f.sha256, "bytes": f.bytes} for name, f in source.files.items()},
    }
