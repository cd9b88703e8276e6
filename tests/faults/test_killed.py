"""kill -9 of every stage in its work and of Snakemake; then the same command, the same bytes.

Kills at random moments are in tests/kg/test_crash.py, tests/corpus/test_runs.py,
tests/sources/test_fetch.py and tests/pretrain/test_train.py.
"""

import os
import re
import shutil
import signal
import time

# Where each stage dies: at which rename of one of its files, after what it has done already.
PLAN = {
    "sources_fetch": 1,
    "kg_build": 2,  # between the database and its counts
    "corpus_merge": 2,  # between live and fates
    "linking_link": 2,  # between mentions and their counts
    "graph_build": 1,
    "pretrain_train": 5,  # in the second checkpoint
    "evaluate_predict": 2,  # between predictions and facts
}
TARGETS = ["results/small/evaluation/names/aligned/seed1.json", "results/small/corpus/counts.json"]


def test_every_stage_is_killed_once_and_the_same_command_ends_with_the_same_bytes(
    fresh_run, finished_run, faulty, contents, tmp_path
):
    run = fresh_run.copied(tmp_path / "run")
    environment = faulty(run, PLAN)
    for _ in range(len(PLAN) + 1):
        status, output = run.ends("snakemake", "--cores", "2", *TARGETS, **environment)
        if status == 0:
            break
        assert re.search(r"Error in (rule|group) ", output), output
        assert re.search(r"died with <Signals.SIGKILL: 9>|exit status 137|Killed", output), output
    assert {mark.name for mark in faulty.marks.iterdir()} == PLAN.keys()
    assert status == 0, output
    log = (run.results / "logs/pretrain_train/aligned.log").read_text()
    assert "aligned: going on from step 2" in log
    made, wanted = contents(run), contents(finished_run)
    assert "models/aligned/model.safetensors" in made
    assert {name: made[name] for name in made if made[name] != wanted[name]} == {}
    left = [path for path in run.folder.rglob(".*.tmp*") if ".snakemake" not in path.parts]
    assert not left


def test_the_report_is_killed(small_run, faulty, contents):
    before = contents(small_run)
    shutil.rmtree(small_run.results / "report")
    environment = faulty(small_run, {"report_render": 1, "report_provenance": 1})
    for step in ("report_render", "report_provenance"):
        assert f"Error in rule {step}" in small_run.snakemake(status=1, **environment)
    small_run.snakemake(**environment)
    assert contents(small_run) == before
    assert "Nothing to be done" in small_run.snakemake("--dry-run")


def test_snakemake_is_killed_and_its_job_lives_on(small_run, faulty, contents):
    before = contents(small_run)
    (small_run.results / "linking" / "mentions" / "pubmed26n0001.parquet").unlink()
    environment = faulty(small_run, {"linking_link": 2})
    (faulty.marks / "wait").touch()
    command = ("--cores", "2", "linking")
    process = small_run.start("snakemake", *command, **environment)
    while not (faulty.marks / "linking_link").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    said = small_run.snakemake(*command, status=1, **environment)
    assert "cannot be locked" in said
    assert "--unlock" in said  # what to do about it
    small_run.snakemake("--unlock", *command)
    small_run.snakemake(*command)  # what was half made is made again
    assert contents(small_run) == before
    (faulty.marks / "wait").unlink()
    process.communicate()  # ends when the job that lived on has closed its output
    assert contents(small_run) == before
    assert process.returncode == -signal.SIGKILL
    assert "Nothing to be done" in small_run.snakemake("--dry-run", "linking")


def test_everything_is_killed_at_once(small_run, faulty, contents):
    before = contents(small_run)
    (small_run.results / "kg" / "kg.duckdb").unlink()
    environment = faulty(small_run, {"kg_build": 2})
    (faulty.marks / "wait").touch()
    process = small_run.start("snakemake", "--cores", "2", "kg", **environment)
    while not (faulty.marks / "kg_build").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    small_run.snakemake("--unlock")
    (faulty.marks / "wait").unlink()
    small_run.snakemake("kg")
    assert contents(small_run) == before
