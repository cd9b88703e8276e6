"""What an edit makes stale, and what `balign why` says: on copies of a finished small run."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

ALL = ("base", "plain", "aligned")
REPORTED = {
    "evaluate: leaderboard",
    "report: render results/small/report/index.html",
    "report: provenance of results/small",
}


def scored(models=ALL, tasks=("names", "others")):
    done = {f"evaluate: score {model} on {task}, seed 1" for model in models for task in tasks}
    return REPORTED | done


def evaluated(models=ALL, tasks=("names", "others")):
    done = {f"evaluate: {model} on {task}, seed 1" for model in models for task in tasks}
    return scored(models, tasks) | done


LINKED = {
    "linking: link pubmed26n0001",
    "linking: link pubmed26n0002",
    "linking: count the mentions",
    "graph: build results/small/graph",
    "pretrain: tokenise for encoder",
    "pretrain: train plain",
    "pretrain: train aligned",
    *evaluated(("plain", "aligned")),
}
MODULE = ("from __future__", "ADDED = 1\nfrom __future__")  # read, never run, in a dry run


@pytest.mark.parametrize(
    ("file", "old", "new", "jobs"),
    [
        ("workflow/balign/evaluate/metrics.py", *MODULE, scored()),
        ("config/config.yaml", "seed: 1", "seed: 2", evaluated(tasks=["others"])),
        (
            "config/config.yaml",
            "name: aligned",
            "name: aligned\n    learning_rate: 1.0e-04",
            {"pretrain: train aligned", *evaluated(["aligned"])},
        ),
        (
            "workflow/balign/linking/dictionary_linker.py",
            *MODULE,
            {"linking: index the names", *LINKED},
        ),
        ("rules/linking.smk", "linking link --config", "linking link  --config", LINKED),
        ("config/config.yaml", "examples: 2", "examples: 3", REPORTED - {"evaluate: leaderboard"}),
    ],
    ids=["metric", "task", "learning rate", "linker", "command of a rule", "report"],
)
def test_what_an_edit_makes_stale(small_run, file, old, new, jobs):
    small_run.replace(file, old, new)
    assert small_run.planned() == jobs


def test_a_second_run_has_nothing_to_do(small_run):
    assert "Nothing to be done" in small_run.snakemake()


def test_what_changes_no_result_makes_nothing_stale(small_run):
    small_run.replace("workflow/balign/kg/obo.py", '"""', '"""Another docstring. ')
    small_run.replace("workflow/balign/evaluate/metrics.py", MODULE[0], f"# A word.\n{MODULE[0]}")
    small_run.replace("rules/linking.smk", "rule linking_link:", "# A word.\nrule linking_link:")
    small_run.replace("rules/linking.smk", "mem_mb=4000", "mem_mb=4001")
    small_run.replace("config/config.yaml", "paths:", "# A word.\npaths:")
    small_run.replace("envs/linking.yaml", "python=3.11", "python=3.12")
    assert "Nothing to be done" in small_run.snakemake("--dry-run")


def test_environments_switched_on_make_nothing_stale(small_run):
    conda = small_run.folder / "conda"  # asked where it is, no more: a dry run creates nothing
    told = json.dumps({"conda_prefix": str(small_run.folder), "platform": "linux-64"})
    priority = json.dumps({"get": {"channel_priority": "strict"}})
    conda.write_text(
        f"#!/bin/sh\ncase $1 in\ninfo) echo '{told}' ;;\nconfig) echo '{priority}' ;;\n"
        "*) echo conda 26.5.3 ;;\nesac\n"
    )
    conda.chmod(0o755)
    path = f"{small_run.folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    shown = small_run.snakemake("--dry-run", "--use-conda", PATH=path)
    assert "Nothing to be done" in shown


def test_why_a_result_is_fresh(small_run):
    model = "results/small/models/aligned"
    lines = small_run.balign("why", model).splitlines()
    assert lines[0] == f"{model} is up to date"
    made = r"  made on \d{4}-\d\d-\d\d [\d:]+ by pretrain_train, balign [\d.]+ \([0-9a-f]{10}\)"
    assert re.fullmatch(made, lines[1])
    assert "python -m balign pretrain train aligned" in lines[2]
    small_run.replace("envs/pretrain.yaml", "python=3.11", "python=3.12")
    lines = small_run.balign("why", model).splitlines()
    assert lines[0] == f"{model} is up to date"
    assert lines[3].startswith("  envs/pretrain.yaml has changed since, which by itself makes")
    assert lines[3].endswith("-- python=3.11 +- python=3.12")


def test_why_a_result_is_stale(small_run):
    small_run.replace("workflow/balign/kg/obo.py", MODULE[0], f"import csv\n{MODULE[0]}")
    lines = small_run.balign("why", "results/small/models/plain").splitlines()
    assert lines[:3] == [
        "results/small/models/plain is stale, by what it is made from",
        "  kg_build has to run for results/small/kg/counts.json, results/small/kg/kg.duckdb",
        "    code changed: balign.kg.obo",
    ]
    assert lines[3].startswith("  what hangs on that, ")


def test_why_a_setting_makes_a_result_stale(small_run):
    old, new = "name: aligned", "name: aligned\n    learning_rate: 1.0e-04"
    small_run.replace("config/config.yaml", old, new)
    lines = small_run.balign("why", "results/small/models/aligned").splitlines()
    setting = "    setting pretrain.models[aligned].learning_rate: was 2e-05, is 0.0001"
    assert lines == [
        "results/small/models/aligned is stale",
        "  pretrain_train has to run for results/small/models/aligned",
        setting,
    ]
    assert setting in small_run.balign("why").splitlines()


def test_why_tells_of_files(small_run):
    words = small_run.folder / "resources" / "stop_words.txt"
    words.write_text(f"{words.read_text()}asthma\n")
    shutil.rmtree(small_run.results / "graph")
    lines = small_run.balign("why", "graph").splitlines()
    assert "    newer than the result: resources/stop_words.txt" in lines
    assert "    missing: results/small/graph" in lines


def test_why_of_no_result_and_with_a_wrong_configuration(small_run):
    said = small_run.balign("why", "results/small/modles", status=1)
    assert "no rule makes results/small/modles" in said
    assert "snakemake --list" in said
    small_run.replace("config/config.yaml", "bootstrap_samples", "bootstrap_smaples")
    said = small_run.balign("why", status=1)
    assert "config/config.yaml, line 6" in said
    assert "did you mean 'evaluate.bootstrap_samples'?" in said
