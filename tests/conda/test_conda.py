"""`--use-conda`, run for real; README.md beside this file says what that proves."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.conda

PROBE = "import sys, polars, balign.cli; print(polars.__file__, balign.cli.__file__)"


@pytest.fixture(scope="module")
def conda(root, tmp_path_factory):
    """The variables of a shell that has a `conda`; the environments are removed at the end."""
    folder = tmp_path_factory.mktemp("conda")
    script = [root / "tests/conda/tool/setup.sh", folder]
    subprocess.run(script, check=True, env={**os.environ, "PYTHON": sys.executable})
    path = f"{folder}/bin:{os.environ['PATH']}"
    # An index that cannot be reached is asked twice for each package, not six times.
    patience = {"PIP_RETRIES": "1", "PIP_DEFAULT_TIMEOUT": "5"}
    yield {"CONDARC": str(folder / "condarc"), "PATH": path, "PIP_NO_COMPILE": "1", **patience}
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def demo(root, project):
    """The copy of the project with the demo's own configuration and downloads."""
    shutil.copy(root / "config/config.yaml", project.folder / "config/config.yaml")
    (root / "data").mkdir(exist_ok=True)
    (project.folder / "data").symlink_to(root / "data")
    yield project
    shutil.rmtree(project.folder)


SNAKEMAKE = ("snakemake", "--cores", "2")
# Rules that a run of the target `linking` has jobs of, besides downloads and targets.
STAGES = ("kg", "corpus", "linking")


@pytest.fixture(scope="module")
def linked(demo, conda):
    """The demo up to the linked text, each rule in its environment."""
    return demo.run(*SNAKEMAKE, "--use-conda", "linking", **conda)


def environments(project):
    """Return the prefix of each environment by its stage."""
    found = {}
    for file in (project.folder / ".snakemake/conda").glob("*.yaml"):
        stage = re.search(r"of the stage (\w+)", file.read_text())
        found[stage.group(1)] = file.with_suffix("")
    return found


def test_rules_of_the_demo_run_inside_their_environments(demo, linked):
    assert (demo.folder / "results/demo/linking/counts.json").exists()
    ran = re.findall(rf"^ *Job \d+: ({'|'.join(STAGES)}): ", linked, re.MULTILINE)
    assert len(ran) >= 16 and set(ran) == set(STAGES)
    assert linked.count("Activating conda environment: ") >= len(ran)
    prefixes = environments(demo)
    assert prefixes.keys() >= set(STAGES)
    for stage in STAGES:
        found = subprocess.check_output(
            [prefixes[stage] / "bin/python", "-c", PROBE],
            env={"PYTHONPATH": str(demo.folder / "workflow")},
            text=True,
        ).split()
        assert Path(found[0]).is_relative_to(prefixes[stage])
        assert Path(found[1]).is_relative_to(demo.folder)


def test_switching_use_conda_makes_nothing_stale(demo, linked, conda):
    for switch in ([], ["--use-conda"]):
        told = demo.run(*SNAKEMAKE, *switch, "linking", "--dry-run", **conda)
        assert "Nothing to be done" in told
    # The other way about: made without, looked at with.
    (demo.folder / "results/demo/linking/counts.json").unlink()
    told = demo.run(*SNAKEMAKE, "linking", **conda)
    assert "1 of 2 steps" in told and "Activating conda" not in told
    told = demo.run(*SNAKEMAKE, "--use-conda", "linking", "--dry-run", **conda)
    assert "Nothing to be done" in told


def test_the_report_is_rendered_inside_its_environment(root, demo, linked, conda):
    made = root / "results/demo"
    if not (made / "report/index.html").exists():
        pytest.skip("results/demo has no report: make demo")
    shutil.rmtree(demo.folder / "results/demo")
    shutil.copytree(made, demo.folder / "results/demo", copy_function=shutil.copy2)
    page = demo.folder / "results/demo/report/index.html"
    before = page.read_bytes()
    page.unlink()
    told = demo.run(
        *SNAKEMAKE, "--use-conda", "--allowed-rules", "report_render", "--force",
        "results/demo/report/index.html", **conda,
    )  # fmt: skip
    assert "Activating conda environment: " in told
    assert len(page.read_bytes()) > len(before) / 2


@pytest.mark.slow
@pytest.mark.parametrize("torch", ["gpu", "cpu"])
def test_training_and_evaluation_run_inside_their_environments(project, conda, torch):
    """Two steps on the small world, with both variants of the environments."""
    task = {"name": "names", "family": "linking_held_out"}
    model = {"objectives": [{"type": "mlm"}, {"type": "alignment"}], "steps": 2}
    project.configure(environments={"torch": torch}, tasks=[task], **{f"on-{torch}": model})
    project.run(*SNAKEMAKE, "graph")
    told = project.run(*SNAKEMAKE, "--use-conda", "evaluate", **conda)
    assert told.count("Activating conda environment: ") >= 4
    assert (project.folder / f"results/small/models/on-{torch}/model.safetensors").exists()
    result = json.loads(project.text(f"results/small/evaluation/names/on-{torch}/seed1.json"))
    assert result["status"] == "ok"
    # Snakemake makes those of all rules of the DAG, run or not.
    assert environments(project).keys() >= {"pretrain", "evaluate"}
    wheels = subprocess.check_output(
        [environments(project)["pretrain"] / "bin/python", "-m", "pip", "freeze"], text=True
    )
    assert re.search(
        r"^torch==2.13.0" + (r"\+cpu$" if torch == "cpu" else ""), wheels, re.MULTILINE
    )
    shutil.rmtree(project.folder / ".snakemake/conda")
