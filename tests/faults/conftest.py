"""Faults, laid into a copy of the small project, and what is compared after them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Read by every Python that starts with the copy's modules in its path. A step of the plan dies, as
# by kill -9, at its n-th rename, when what it made is about to get its name; or waits there.
CUSTOMIZE = """
import json, os, signal, sys, time
from pathlib import Path

PLAN, MARKS = json.loads(os.environ["FAULTS"]), Path(os.environ["MARKS"])
STEP = "_".join(sys.orig_argv[3:5]) if sys.orig_argv[1:3] == ["-m", "balign"] else None
seen = 0

def fault(event, arguments):
    global seen
    if event != "os.rename" or STEP not in PLAN or (MARKS / STEP).exists():
        return
    seen += 1
    if seen == PLAN[STEP]:
        (MARKS / STEP).touch()
        if not (MARKS / "wait").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        while (MARKS / "wait").exists():
            time.sleep(0.02)

sys.addaudithook(fault)
"""
# Not results, or with times in them.
_APART = ("logs", "benchmarks", "checkpoints", "provenance", "ro-crate-metadata.json")
_TIMES = {
    "seconds", "pieces_per_second", "sentences_per_second", "data_wait_share", "mfu", "memory_mib",
}  # fmt: skip


@pytest.fixture
def faulty(tmp_path):
    """Lay faults into a run: return the environment that sets them off, each once."""
    marks = tmp_path / "marks"
    marks.mkdir()

    def lay(run, plan):
        (run.folder / "workflow" / "sitecustomize.py").write_text(CUSTOMIZE)
        return {"FAULTS": json.dumps(plan), "MARKS": str(marks)}

    lay.marks = marks
    return lay


@pytest.fixture
def contents():
    """Read results: path to bytes, times left out; of a database its rows."""

    def read(run, *stages):
        found = {}
        for path in sorted(run.results.rglob("*")):
            name = path.relative_to(run.results)
            hidden = any(part.startswith(".") for part in name.parts)
            if path.is_dir() or hidden or name.parts[0] not in (stages or name.parts):
                continue
            if name.parts[0] not in _APART and name.suffix != ".html":
                found[str(name)] = _content(path)
        return found

    return read


def _content(path):
    if path.suffix == ".duckdb":
        import duckdb

        with duckdb.connect(str(path), read_only=True) as connection:
            tables = [name for (name,) in connection.execute("SHOW TABLES").fetchall()]
            return {name: connection.execute(f"FROM {name}").fetchall() for name in tables}
    if path.suffix == ".json":
        return _timeless(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return [_timeless(json.loads(line)) for line in path.read_text().splitlines()]
    if path.name == "README.md":  # a model card
        return [line for line in path.read_text().splitlines() if not line.startswith("| time ")]
    return path.read_bytes()


def _timeless(value):
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in value.items() if key not in _TIMES}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture
def in_mounts():
    """Run a shell script in a run's folder, in a mount namespace of its own that ends with it."""
    how = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    tried = [*how, "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    if shutil.which("unshare") is None or subprocess.run(tried, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here: neither root nor user namespaces")

    def run(at, script):
        own = {"PYTHONPATH": str(at.folder / "workflow"), "OMP_NUM_THREADS": "1"}
        own["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            [*how, "bash", "-c", script],
            cwd=at.folder,
            env={**os.environ, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        ).stdout

    return run
