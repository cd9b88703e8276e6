"""What a run of the workflow was made with: kept in files of their own, ``<results>/provenance/``.

Results hold no versions of libraries and no times, so that equal runs have equal bytes. Instead,
each start of Snakemake appends one line to ``runs.jsonl``, and ``code.json`` keeps what each digest
of code is made of; with the times that Snakemake records for every output, that tells of each
result which run, which commit and which libraries made it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from balign import __version__
from balign.files import read_json, write_json

LIBRARIES = (
    "duckdb",
    "lxml",
    "numpy",
    "polars",
    "pyarrow",
    "safetensors",
    "scikit-learn",
    "scispacy",
    "sentencex",
    "snakemake",
    "torch",
    "torch-geometric",
    "transformers",
)


def run_facts(
    root: Path, configuration: Mapping[str, Any], command: Sequence[str], conda: bool
) -> dict[str, Any]:
    """Return what is to be known of a run that starts now.

    Args:
        root: the repository.
        configuration: the resolved configuration, as plain values.
        command: the command line.
        conda: whether jobs run in conda environments; the libraries' versions are then those of
            ``envs/``, not of this interpreter.
    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "command": list(command),
        "balign": __version__,
        "git": git_state(root),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "conda": conda,
        "libraries": library_versions(),
        "configuration": dict(configuration),
    }


def library_versions() -> dict[str, str]:
    """Return the installed versions of the libraries that results may depend on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an environment of one stage has only what that stage needs
    return found


def git_state(root: Path) -> dict[str, Any] | None:
    """Return ``commit``, and ``changed``: tracked files that differ from it; None without git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    try:
        if Path(git("rev-parse", "--show-toplevel").strip()).resolve() != root.resolve():
            return None  # the repository that holds an unpacked archive of this one
        commit = git("rev-parse", "HEAD").strip()
        changed = git("diff", "--name-only", "HEAD").splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "changed": changed}


def record_run(
    folder: Path, facts: Mapping[str, Any], code: Mapping[str, Mapping[str, str]]
) -> None:
    """Append a run to ``runs.jsonl`` and its code to ``code.json``.

    Args:
        folder: ``<results>/provenance``.
        facts: what :func:`run_facts` returns.
        code: digest of code -> module -> digest of its syntax tree.
    """
    folder.mkdir(parents=True, exist_ok=True)
    line = json.dumps(facts, ensure_ascii=False) + "\n"
    with (folder / "runs.jsonl").open("a", encoding="utf-8") as handle:
        handle.write(line)
    known = read_code(folder)
    if code.keys() - known.keys():
        write_json(folder / "code.json", {**known, **code})


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """Return the recorded runs, oldest first; a line that a killed process left half is skipped."""
    try:
        lines = (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    runs = []
    for line in lines:
        try:
            runs.append(json.loads(line))
        except ValueError:
            continue
    return sorted(runs, key=lambda run: str(run["started"]))


def read_code(folder: Path) -> dict[str, dict[str, str]]:
    """Return what each recorded digest of code is made of."""
    try:
        found: dict[str, dict[str, str]] = read_json(folder / "code.json")
    except FileNotFoundError:
        return {}
    return found


def run_of(runs: Sequence[Mapping[str, Any]], moment: float) -> Mapping[str, Any] | None:
    """Return the last run that had started at a moment (seconds since 1970)."""
    before = [run for run in runs if datetime.fromisoformat(run["started"]).timestamp() <= moment]
    return before[-1] if before else None


def command_line() -> list[str]:
    """Return the command of this process, as a person would type it."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
