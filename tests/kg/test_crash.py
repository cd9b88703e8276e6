"""A build that is killed, that finds no space, or that meets another build."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time

import duckdb
import pytest
import yaml

TABLES = ("concept", "atom", "edge", "relation", "semantic_type", "definition", "xref", "source")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A release whose build takes about two seconds."""
    folder = tmp_path_factory.mktemp("META")
    draw = random.Random(5)
    words = [f"{draw.choice('bcdfglmnprst')}{draw.choice('aeiou')}{n}" for n in range(900)]
    conso, rel, sty = [], [], []
    for number in range(40_000):
        cui, name = f"C{number // 3:07d}", " ".join(draw.choices(words, k=4))
        best = "P||PF||Y" if number % 3 == 0 else "S||VO||N"
        conso.append(f"{cui}|ENG|{best}|A{number}||||S{number % 7}|PT|{number}|{name}|0|N||\n")
    for number in range(60_000):
        left, right = (f"C{int(13_000 * draw.random() ** 2):07d}" for _ in range(2))
        rel.append(f"{left}|||RO|{right}|||rel{number % 9}|||S{number % 7}|||N|N||\n")
    sty = [f"C{number:07d}|T047|||||\n" for number in range(13_000)]
    for name, rows in (("MRCONSO", conso), ("MRREL", rel), ("MRSTY", sty)):
        (folder / f"{name}.RRF").write_text("".join(rows))
    return folder


@pytest.fixture
def start(release, tmp_path, root):
    config = tmp_path / "config.yaml"
    settings = {"sources": [], "rrf": {"path": str(release)}, "held_out": {"count": 50}}
    config.write_text(yaml.safe_dump({"kg": settings}))

    def run(folder="out", threads=2, limit=None, **environment):
        command = (
            f"-m balign kg build --threads {threads} --database kg.duckdb --counts counts.json"
        )
        (tmp_path / folder).mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, *command.split(), "--config", str(config)],
            cwd=tmp_path / folder,
            env={**os.environ, "PYTHONPATH": str(root / "workflow"), **environment},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=limit,
        )

    return run


def dump(folder):
    with duckdb.connect(str(folder / "kg.duckdb"), read_only=True) as connection:
        return {table: connection.execute(f"FROM {table}").fetchall() for table in TABLES}


def finish(process):
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def test_the_same_input_gives_the_same_rows_in_the_same_order(start, tmp_path):
    finish(start("one", threads=1, PYTHONHASHSEED="1"))
    finish(start("two", threads=4, PYTHONHASHSEED="2"))
    assert dump(tmp_path / "one") == dump(tmp_path / "two")
    counts = [(tmp_path / name / "counts.json").read_bytes() for name in ("one", "two")]
    assert counts[0] == counts[1]


def test_killed_at_any_moment_the_old_graph_stays_and_the_next_build_succeeds(start, tmp_path):
    folder = tmp_path / "out"
    began = time.monotonic()
    finish(start())
    seconds = time.monotonic() - began
    before, content = dump(folder), (folder / "kg.duckdb").read_bytes()
    for share in (0.35, 0.5, 0.65, 0.8, 0.95):
        process = start()
        time.sleep(seconds * share)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        # Either the old file, to the byte, or, if the kill came late, the new one, whole.
        assert (folder / "kg.duckdb").read_bytes() == content or dump(folder) == before
        content = (folder / "kg.duckdb").read_bytes()
    finish(start())
    assert dump(folder) == before
    left = {path.name for path in folder.iterdir()}
    assert left == {"kg.duckdb", "counts.json"}  # what the killed ones left is gone


def test_two_builders_at_once_both_succeed(start, tmp_path):
    finish(start())
    before = dump(tmp_path / "out")
    for process in [start(), start()]:
        finish(process)
    assert dump(tmp_path / "out") == before
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"kg.duckdb", "counts.json"}


def test_without_space_the_old_graph_stays_and_the_message_helps(start, tmp_path):
    finish(start())
    content = (tmp_path / "out" / "kg.duckdb").read_bytes()

    def limit():  # a write beyond fails as one on a full disk does
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    process = start(limit=limit)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "the database cannot be built" in errors
    assert "free space" in errors
    assert "Traceback" not in errors
    assert (tmp_path / "out" / "kg.duckdb").read_bytes() == content
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"kg.duckdb", "counts.json"}
