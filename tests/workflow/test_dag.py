"""The workflow as Snakemake sees it: dry runs of the shipped configurations, names, documents."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from balign.steps import STEPS

STAGES = ["sources", "kg", "corpus", "linking", "graph", "pretrain", "evaluate", "report"]


@pytest.fixture
def snakemake(root, tmp_path):
    """Run Snakemake on the repository with results and data in a temporary folder."""

    def run(*arguments):
        folders = {"data": str(tmp_path / "data"), "results": str(tmp_path / "results")}
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments, "--config", f"paths={folders}"],
            cwd=root,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("name", ["config", "open", "umls", "results", "compare", "ablation"])
def test_shipped_configurations_dry_run(snakemake, name):
    done = snakemake("--cores", "2", "--dry-run", "--configfile", f"config/{name}.yaml")
    assert done.returncode == 0, done.stdout
    for rule in ("kg_build", "linking_link", "pretrain_train", "evaluate_predict", "report_render"):
        # All of PubMed: its files are known only after its listing.
        rule = "corpus_list" if (name, rule) == ("umls", "linking_link") else rule
        assert rule in done.stdout


def test_a_wrong_key_is_explained_before_the_dag_is_built(snakemake, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("pretrain:\n  log_evry: 3\n")
    done = snakemake("--cores", "2", "--dry-run", "--configfile", str(wrong))
    assert done.returncode != 0
    for part in ("unknown configuration key 'pretrain.log_evry'", f"{wrong}, line 2", "log_every"):
        assert part in done.stdout
    assert "Building DAG" not in done.stdout


def test_every_stage_is_a_target_with_a_docstring(snakemake):
    done = snakemake("--list")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    for target in ["all", *STAGES]:
        assert any(re.match(rf"{target} \(.+\)$", line) for line in lines), target


def test_every_step_has_its_rule_its_verb_and_its_environment(root, balign):
    for step, (stage, _, verb) in ((step, step.partition("_")) for step in STEPS):
        rules = (root / f"rules/{stage}.smk").read_text()
        body = rules.split(f"rule {step}:")[1].split("\nrule ")[0]
        assert re.search(rf'stamp\("{step}"\)|={step.split("_")[0]}_stamp,', body)
        assert f"python -m balign {stage} {verb}" in body
        assert re.search(rf"../envs/{stage}({{VARIANT}})?.yaml", body)
    for stage in STAGES:
        helped = balign(stage, "--help").stdout
        for step in STEPS:
            if step.startswith(f"{stage}_"):
                assert re.search(rf"│ {step.removeprefix(stage + '_')}\s", helped), (step, helped)


def test_the_command_line_starts_without_heavy_libraries(root):
    heavy = {"torch", "transformers", "duckdb", "polars", "numpy"}
    code = f"import sys, balign.cli; print(*(set(sys.modules) & {heavy}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(root / "workflow")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
