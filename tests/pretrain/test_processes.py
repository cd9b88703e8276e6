"""Several processes, started by torchrun as a user would: gloo, on the processor."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import balign

OBJECTIVES = [
    {"type": "mlm"},
    {"type": "alignment", "graph": {"type": "gatv2", "dropout": 0.0}},
]

# Of the machine and the moment.
CLOCK = {"seconds", "pieces_per_second", "sentences_per_second", "data_wait_share"}
CLOCK |= {"mfu", "memory_mib"}


@pytest.fixture(scope="module")
def still_encoder(world, tmp_path_factory):
    """The small encoder without dropout, which each process draws for itself."""
    folder = tmp_path_factory.mktemp("still") / "encoder"
    shutil.copytree(world.encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def start(world, still_encoder, folder):
    """Start a run of the command with so many processes."""

    def call(name: str, processes: int, **settings) -> subprocess.Popen:
        model = {
            "name": "small",
            "objectives": OBJECTIVES,
            "steps": 30,
            "batch_sentences": 8,
            "learning_rate": 1e-3,
            "warmup_encoder_frozen": 2,
            **settings,
        }
        pretrain = {"models": [model], "log_every": 1, "validate_every": 4, "checkpoint_every": 3}
        config = folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump({"pretrain": pretrain}))
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        options = {
            "encoder": still_encoder,
            "tokens": world.tokens,
            "graph": world.graph,
            "output": folder / name,
            "checkpoints": folder / "checkpoints" / name,
            "threads": 1,
            "config": config,
        }
        command = [sys.executable, *(launcher if processes > 1 else [])]
        command += ["-m", "balign", "pretrain", "train", "small"]
        command += [x for key, value in options.items() for x in (f"--{key}", str(value))]
        package = str(Path(balign.__file__).parents[1])
        env = {**os.environ, "PYTHONPATH": package, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    return call


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def finish(run: subprocess.Popen) -> str:
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def two(start, folder):
    """A run of two processes that nothing disturbed."""
    finish(start("two", 2))
    return folder / "two"


def test_two_processes_have_the_loss_curve_of_one(start, folder, two):
    """The same sentences, masks, names and negatives: equal to rounding, all steps long."""
    finish(start("one", 1))
    one, shared_lines = lines(folder / "one"), lines(two)
    assert len(one) == 30 + 9
    for single, shared in zip(one, shared_lines, strict=True):
        assert single.keys() == shared.keys()
        for key in single.keys() - CLOCK - {"split"}:
            assert single[key] == pytest.approx(shared[key], rel=2e-3), (key, single)
    assert one[-1]["loss"] < one[0]["loss"]
    for name, tensor in load_file(folder / "one" / "model.safetensors").items():
        other = load_file(two / "model.safetensors")[name]
        assert torch.allclose(tensor, other, atol=1e-3), name
    run = json.loads((two / "run.json").read_text())
    assert run["processes"] == 2


def test_two_processes_stop_together_and_go_on(start, folder, two):
    run = start("stopped", 2)
    deadline = time.monotonic() + 60
    while not list((folder / "checkpoints").glob("stopped/*/step-*")):
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    output, _ = run.communicate(timeout=60)
    assert run.returncode != 0 and "was stopped by SIGTERM" in output, output
    assert not (folder / "stopped").exists()
    assert "going on from step" in finish(start("stopped", 2))
    whole, resumed = (
        [{k: v for k, v in line.items() if k not in CLOCK} for line in lines(path)]
        for path in (two, folder / "stopped")
    )
    assert resumed == whole


def test_a_step_with_fewer_sentences_than_processes(start):
    run = start("few", 2, batch_sentences=1)
    output, _ = run.communicate(timeout=60)
    assert run.returncode != 0 and "cannot be cut into 2 parts" in output
