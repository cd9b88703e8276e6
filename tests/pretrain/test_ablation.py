"""The runs of config/ablation.yaml, in small: each trains and leaves a whole model behind."""

import json
import math
from pathlib import Path

import pytest
import yaml

from balign.pretrain.graph_encoder import GRAPH_ENCODERS, load_graph_encoder
from balign.pretrain.loop import Upkeep
from balign.pretrain.settings import ModelSettings
from balign.pretrain.train import pretrain_train

FILE = Path(__file__).parents[2] / "config" / "ablation.yaml"
RUNS = {run["name"]: run for run in yaml.safe_load(FILE.read_text())["pretrain"]["models"]}
SMALL = {
    "steps": 8,
    "warmup_encoder_frozen": 0,
    "batch_sentences": 8,
    "learning_rate": 3e-3,
    "learning_rate_new": 3e-3,
}


def graph_of(run):
    return next((one["graph"] for one in run["objectives"] if one["type"] == "alignment"), None)


@pytest.mark.parametrize("name", RUNS)
def test_each_run_learns(name, world, tmp_path):
    settings = ModelSettings.model_validate({**RUNS[name], **SMALL})
    pretrain_train(
        settings,
        world.encoder,
        world.tokens,
        world.graph,
        tmp_path / "model",
        tmp_path / "checkpoints",
        Upkeep(log=4, checkpoint=100, validate=8),
        threads=1,
    )
    lines = [json.loads(x) for x in (tmp_path / "model" / "metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(line["loss"]) for line in lines)
    first, last = (line for line in lines if line["split"] == "validation")
    assert lines[-1].get("skipped", 0) == 0 and last["step"] == 8
    assert last["loss"] < first["loss"]
    if graph := graph_of(RUNS[name]):
        assert last["alignment"] < first["alignment"]
        encoder = load_graph_encoder(tmp_path / "model")
        assert encoder.settings.type == graph["type"]


def test_every_graph_encoder_is_in_it():
    kinds = {graph["type"] for run in RUNS.values() if (graph := graph_of(run))}
    assert kinds == set(GRAPH_ENCODERS)
