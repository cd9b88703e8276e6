"""How the rule of training starts its processes: alone, several on a machine, several machines."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TRAIN = "python -m balign pretrain train mlm "
TORCHRUN = "python -m torch.distributed.run --no-python --nproc-per-node"


@pytest.fixture
def shell(root, tmp_path):
    """Return the shell command of a training, as a dry run prints it."""

    def run(**launch):
        own = tmp_path / "own.yaml"
        own.write_text(
            yaml.safe_dump(
                {
                    "paths": {"data": str(tmp_path / "data"), "results": str(tmp_path / "results")},
                    "pretrain": {"launch": launch},
                }
            )
        )
        told = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "8", "--dry-run", "--printshellcmds",
             "--configfile", own, "--until", "pretrain_train"],
            cwd=root,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout  # fmt: skip
        job = told[told.index("pretrain: train mlm") :]
        return re.search(r"exec (.*)", job).group(1).strip()

    return run


def test_one_process_has_no_launcher(shell):
    command = shell()
    assert command.startswith(TRAIN) and "--threads 8" in command


def test_processes_of_one_machine_share_its_cores(shell):
    command = shell(processes_per_node=4)
    assert command.startswith(f"{TORCHRUN}=4 --standalone {TRAIN}") and "--threads 2" in command


def test_several_machines_meet_at_the_first(shell):
    command = shell(nodes=2, processes_per_node=4)
    assert command.startswith("srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=8 ")
    assert f"{TORCHRUN}=4 --nnodes=2" in command and TRAIN in command
    assert "--rdzv-endpoint=$(hostname):" in command


@pytest.mark.slow
def test_two_processes_of_one_machine_have_the_losses_of_one(project):
    model = {"objectives": [{"type": "mlm"}], "steps": 20}
    project.configure(one=model)
    project.run("snakemake", "pretrain", "--cores", "1")
    project.configure(launch={"processes_per_node": 2}, one=model, two=model)
    assert "1 of 2 steps" in project.run("snakemake", "pretrain", "--cores", "2")
    runs = [
        [json.loads(line)["loss"] for line in project.text(path).splitlines()]
        for path in (f"results/small/models/{name}/metrics.jsonl" for name in ("one", "two"))
    ]
    assert runs[0] == pytest.approx(runs[1], rel=2e-3)
