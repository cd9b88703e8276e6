"""Real runs of Snakemake from a small publisher: what comes out, and what a killed run leaves."""

import gzip
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml

from balign.files import read_json

TEXT = "The {0} was enlarged in each of the {1} mice. Nothing {2} was found in any of them."


@pytest.fixture
def publish(publisher, citation):
    """Publish a PubMed file of citations and deletions: (PMID, version, abstract) or a PMID."""

    def run(path, *events):
        body = "".join(
            citation(event[0], event[1], abstract=event[2], title=f"Title of {event[0]}.")
            if isinstance(event, tuple)
            else f"<DeleteCitation><PMID Version='1'>{event}</PMID></DeleteCitation>"
            for event in events
        )
        text = f"<PubmedArticleSet>{body}</PubmedArticleSet>"
        return publisher.publish(path, gzip.compress(text.encode(), mtime=0))

    return run


@pytest.fixture
def small_pubmed(publish):
    """A baseline file and two updates: 2 is revised, 3 deleted, 4 deleted and added again."""
    publish(
        "baseline/pubmed26n0001.xml.gz",
        *((pmid, 1, TEXT.format("liver", pmid, "else")) for pmid in (1, 2, 3, 4)),
        (5, 1, TEXT.format("LIVER", 1, "else")),
        (6, 1, None),
    )
    publish("updatefiles/pubmed26n0002.xml.gz", (2, 1, TEXT.format("spleen", 2, "new")), 3, 4)
    publish(
        "updatefiles/pubmed26n0003.xml.gz",
        (4, 1, TEXT.format("heart", 4, "here")),
        (7, 1, TEXT.format("lung", 7, "here")),
    )


@pytest.fixture
def workflow(root, publisher, tmp_path):
    """Start Snakemake on the stage corpus in a folder of its own; ``at`` names the folder."""
    processes = []

    def start(at, *arguments, **pubmed):
        folder = tmp_path / at
        folder.mkdir(exist_ok=True)
        for name in ("config", "resources"):
            if not (folder / name).exists():
                (folder / name).symlink_to(root / name)
        settings = {
            "paths": {"data": "data", "results": "results"},
            "sources": {"backoff_seconds": 0.01, "timeout_seconds": 5},
            "corpus": {
                "sources": [],
                "pubmed": {"url": publisher.url, "baseline": "all", "updates": "all", **pubmed},
            },
            "evaluate": {"tasks": [{"name": "held", "family": "linking_held_out"}]},
        }
        (folder / "my.yaml").write_text(yaml.safe_dump(settings))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile")]
        command += [*(arguments or ("corpus",)), "--cores", "2", "--directory", str(folder)]
        environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
        environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        process = subprocess.Popen(
            [*command, "--configfile", "my.yaml"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    def run(at, *arguments, **pubmed):
        process = start(at, *arguments, **pubmed)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return output

    run.start = start
    yield run
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def digests(folder):
    """Return the sha256 of everything that the stage wrote."""
    roots = [folder / "data" / "pubmed", folder / "results" / "corpus"]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for top in roots
        for path in sorted(top.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_a_run_from_listing_to_sentences(small_pubmed, workflow, publisher, tmp_path):
    dry = workflow("run", "corpus", "--dry-run")
    assert "corpus_list" in dry
    assert not publisher.asked
    first, second = "baseline/pubmed26n0001.xml.gz", "updatefiles/pubmed26n0003.xml.gz"
    publisher.fault(first, "drop", after=200)
    publisher.fault("baseline/", "status", status=503)
    publisher.fault(second, "spoil")
    publisher.fault(f"{second}.md5", "status", status=429, retry_after="1")
    workflow("run")
    results = tmp_path / "run" / "results" / "corpus"
    live = pl.read_parquet(results / "live.parquet")
    assert dict(live.select("pmid", "file").rows()) == {
        1: "pubmed26n0001",
        2: "pubmed26n0002",
        4: "pubmed26n0003",
        5: "pubmed26n0001",
        6: "pubmed26n0001",
        7: "pubmed26n0003",
    }
    text = pl.read_parquet(results / "sentences" / "*.parquet", include_file_paths="path")
    assert set(text["pmid"]) == {1, 2, 4, 7}  # 5 is a copy of 1, 6 has no abstract
    counts = read_json(results / "counts.json")
    fates = ("read", "live", "superseded", "deleted", "deletions", "split")
    assert [counts[key] for key in fates] == [9, 6, 2, 1, 2, 4]
    assert {reason: n for reason, n in counts["dropped"].items() if n} == {
        "no_abstract": 1,
        "duplicate": 1,
    }
    before = digests(tmp_path / "run")
    publisher.asked.clear()
    assert "Nothing to be done" in workflow("run")
    assert not publisher.asked
    assert digests(tmp_path / "run") == before


@pytest.mark.slow
def test_a_new_update_fetches_and_parses_no_other_file(
    small_pubmed, publish, workflow, publisher, tmp_path
):
    workflow("run")
    publish("updatefiles/pubmed26n0004.xml.gz", (1, 1, TEXT.format("liver", 1, "last")), 7)
    assert "Nothing to be done" in workflow("run")  # the listing stays as it is
    publisher.asked.clear()
    workflow("run", "corpus", "--forcerun", "corpus_list")
    asked = {path for path, _ in publisher.asked}
    assert asked == {
        *("baseline/", "updatefiles/"),
        *("updatefiles/pubmed26n0004.xml.gz", "updatefiles/pubmed26n0004.xml.gz.md5"),
    }
    live = pl.read_parquet(tmp_path / "run" / "results" / "corpus" / "live.parquet")
    assert live["pmid"].to_list() == [1, 2, 4, 5, 6]
    workflow("fresh")
    assert digests(tmp_path / "run") == digests(tmp_path / "fresh")
    assert "Nothing to be done" in workflow("run")


def kill_and_repeat(workflow, folder, wait, **pubmed):
    """Start a run, kill it with all its jobs when ``wait`` returns, and repeat the command."""
    process = workflow.start(folder.name, **pubmed)
    wait(process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    if (folder / ".snakemake" / "locks").exists():
        workflow(folder.name, "--unlock", **pubmed)  # Snakemake asks for it after a kill -9
    workflow(folder.name, **pubmed)


def test_a_run_killed_in_a_download_goes_on_and_ends_with_the_same_bytes(
    small_pubmed, workflow, tmp_path, publisher
):
    one = {"baseline": "1", "updates": "none"}
    path, killed = "baseline/pubmed26n0001.xml.gz", tmp_path / "killed"
    publisher.fault(path, "trickle", pause=0.1, bytes_sent=100)

    def wait(process):
        while not [
            part for part in killed.glob("data/pubmed/baseline/.*.part") if part.stat().st_size
        ]:
            assert process.poll() is None
            time.sleep(0.01)

    kill_and_repeat(workflow, killed, wait, **one)
    assert publisher.asked[-1][0] == path
    assert publisher.asked[-1][1]["If-Range"]
    workflow("whole", **one)
    assert digests(killed) == digests(tmp_path / "whole")


@pytest.mark.slow
def test_runs_killed_at_any_moment_end_with_the_same_bytes(small_pubmed, workflow, tmp_path):
    began = time.monotonic()
    workflow("whole")
    length = time.monotonic() - began
    whole = digests(tmp_path / "whole")
    rng = random.Random(13)
    for number in range(8):
        moment = length * (number + rng.random()) / 8
        folder = tmp_path / f"killed{number}"

        def wait(process, moment=moment):
            time.sleep(moment)

        kill_and_repeat(workflow, folder, wait)
        assert digests(folder) == whole, f"killed after {moment:.2f} s"
        assert "Nothing to be done" in workflow(folder.name)
        shutil.rmtree(folder)
