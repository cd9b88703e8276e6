"""The provenance of a small run: what it tells of each result, as JSON, as RO-Crate, as report."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from rocrate.rocrate import ROCrate

from balign.files import sha256_file
from balign.provenance import git_state, read_runs, record_run, run_of
from balign.report.provenance import recorded


@pytest.fixture(scope="session")
def told(finished_run):
    return json.loads((finished_run.results / "provenance" / "results.json").read_text())


def test_every_result_has_its_rule_command_settings_code_and_run(finished_run, told):
    commit = subprocess.check_output(
        ["git", "rev-parse", "HEAD"], cwd=finished_run.folder, text=True
    ).strip()
    (run,) = told["runs"]
    assert run["git"] == {"commit": commit, "changed": []}
    assert run["libraries"].keys() >= {"duckdb", "torch", "snakemake"}
    resolved = yaml.safe_load((finished_run.results / "config.yaml").read_text())
    assert run["configuration"] == resolved
    results = {one["path"]: one for one in told["results"]}
    model = results["results/small/models/aligned"]
    assert model["rule"] == "pretrain_train"
    assert "balign pretrain train aligned" in model["command"]
    assert model["stamp"]["pretrain.models[aligned]"]["steps"] == 6
    assert "balign.pretrain.train" in told["code"][model["stamp"]["code"]]
    assert "results/small/graph" in model["inputs"]
    assert (model["run"], model["started"] < model["ended"]) == (0, True)
    # All that lies in the folders of the stages is told of, with its digest.
    files = {name: file for one in told["results"] for name, file in one["files"].items()}
    stages = ("kg", "corpus", "linking", "graph", "pretrain", "models", "evaluation", "report")
    there = [path for stage in stages for path in (finished_run.results / stage).rglob("*")]
    there = [path for path in there if path.is_file() and not path.name.startswith(".")]
    assert {str(path.relative_to(finished_run.results)) for path in there} <= files.keys()
    for path in there:
        assert files[str(path.relative_to(finished_run.results))]["sha256"] == sha256_file(path)
    # What Snakemake was told of as an output has an origin; figures lie beside the report's page.
    unknown = {one["path"] for one in told["results"] if one["rule"] is None}
    assert all("/report/" in path or path.endswith("config.yaml") for path in unknown), unknown
    assert [source["name"] for source in told["sources"]] == ["mine"]


def test_the_crate_is_read_by_its_library_and_has_what_the_profile_asks_for(finished_run):
    crate = ROCrate(str(finished_run.results))
    root = crate.root_dataset
    assert root["conformsTo"].id == "https://w3id.org/ro/wfrun/process/0.5"
    for key in ("name", "description", "datePublished", "license"):
        assert root[key]
    assert "mine 1: CC0" in root["license"]["description"]
    actions = crate.get_by_type("CreateAction")
    assert {action["name"] for action in actions} >= {"kg_build", "pretrain_train", "report_render"}
    assert {action.id for action in root["mentions"]} == {action.id for action in actions}
    for action in actions:
        assert action["instrument"]["name"] == "balign"
        assert action["startTime"] < action["endTime"]
        assert action["result"]
    (build,) = [action for action in actions if action["name"] == "kg_build"]
    assert build["object"].id == "#source-mine"
    assert {made.id for made in build["result"]} == {"kg/kg.duckdb", "kg/counts.json"}
    needs = {need["name"] for need in build["instrument"]["softwareRequirements"]}
    assert needs >= {"Python", "torch", "duckdb"}
    files = crate.get_by_type("File")
    assert len(files) > 40
    for file in files:
        path = finished_run.results / file.id
        if file.id != "ro-crate-metadata.json":
            assert int(file["contentSize"]) == path.stat().st_size
            assert file["sha256"] == sha256_file(path)


def test_snakemakes_report_needs_no_network(small_run):
    closed = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    said = small_run.snakemake("--report", "report.html", **closed)
    assert "Report created" in said
    page = (small_run.folder / "report.html").read_text()
    for caption in ("knowledge graph in counts", "Every model on every task", "sha256 of every"):
        assert caption in page
    assert "<script src=" not in page


def test_a_result_that_no_run_made_is_told_as_such(small_run):
    shutil.rmtree(small_run.folder / ".snakemake")
    (small_run.results / "kg" / "mine.txt").write_text("by hand\n")
    small_run.balign(
        "report", "provenance", "--results", "results/small",
        "--output", "results/small/provenance/results.json",
    )  # fmt: skip
    told = json.loads((small_run.results / "provenance" / "results.json").read_text())
    assert {one["rule"] for one in told["results"]} == {None}
    assert "results/small/kg/mine.txt" in {one["path"] for one in told["results"]}
    assert not ROCrate(str(small_run.results)).get_by_type("CreateAction")


def test_records_of_long_paths(tmp_path):
    from snakemake.persistence.file import FilePersistence

    name = "results/" + "a" * 400
    persistence = object.__new__(FilePersistence)
    persistence._max_len = None
    path = Path(persistence._record_path(str(tmp_path), name))
    path.parent.mkdir(parents=True)
    path.write_text('{"rule": "x"}')
    assert recorded(tmp_path) == {name: {"rule": "x"}}


def test_runs_and_their_moments(tmp_path):
    for hour in (1, 2):
        record_run(tmp_path, {"started": f"2026-01-01T0{hour}:00:00+00:00"}, {"a": {"m": "1"}})
    with (tmp_path / "runs.jsonl").open("a") as handle:
        handle.write('{"started": "2026-01-01T0')  # of a process that was killed
    runs = read_runs(tmp_path)
    assert len(runs) == 2
    moment = 1767229200.0  # 01:00 UTC
    assert run_of(runs, moment - 1) is None
    assert run_of(runs, moment + 1) == runs[0]
    assert run_of(runs, moment + 9999) == runs[1]


def test_git_states(tmp_path):
    assert git_state(tmp_path) is None
    for command in ("init", "-c user.name=t -c user.email=t@t commit --allow-empty -m first"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    assert git_state(tmp_path)["changed"] == []
    (tmp_path / "inner").mkdir()
    assert git_state(tmp_path / "inner") is None  # not its repository
