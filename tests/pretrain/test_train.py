import json
import logging
import signal

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from balign.errors import BalignError, DataError
from balign.pretrain.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from balign.pretrain.graph_encoder import load_graph_encoder
from balign.pretrain.loop import TrainingInterrupted, Upkeep
from balign.pretrain.optimise import build_optimiser
from balign.pretrain.train import pretrain_train

MEASURED = (
    "seconds",
    "pieces_per_second",
    "sentences_per_second",
    "mfu",
    "data_wait_share",
    "memory_mib",
)
EVERY = Upkeep(log=2, checkpoint=100, validate=3)


@pytest.fixture
def train(world, tmp_path):
    def call(settings, name="out", encoder=None, upkeep=EVERY, **values):
        pretrain_train(
            settings,
            encoder or world.encoder,
            values.get("tokens", world.tokens),
            values.get("graph", world.graph),
            tmp_path / name,
            tmp_path / "checkpoints",
            upkeep,
            threads=1,
        )
        return tmp_path / name

    return call


def metrics(folder):
    """The lines of metrics without what a clock measured."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in MEASURED} for line in lines]


class StopAt(logging.Handler):
    """Send this process a signal when a message begins with a text."""

    def __init__(self, text, number):
        super().__init__()
        self.text, self.number = text, number

    def emit(self, record):
        if self.text and record.getMessage().startswith(self.text):
            self.text = None  # once
            signal.raise_signal(self.number)


@pytest.fixture
def stop_at():
    log = logging.getLogger("balign.pretrain.loop")
    log.setLevel(logging.INFO)
    added = []

    def add(text, number):
        added.append(StopAt(text, number))
        log.addHandler(added[-1])

    yield add
    for handler in added:
        log.removeHandler(handler)


MLM = [{"type": "mlm"}]
BROKEN = [{"type": "mlm", "weight": 1e308}]


@pytest.mark.parametrize("objectives", [["mlm"], ["mlm", "alignment"]])
def test_training_learns_and_the_model_loads_everywhere(train, model_settings, objectives):
    from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

    settings = model_settings(
        objectives=[{"type": one} for one in objectives], steps=30, learning_rate=3e-3
    )
    folder = train(settings, upkeep=Upkeep(log=10, checkpoint=10, validate=30))
    lines = metrics(folder)
    first, last = (x for x in lines if x["split"] == "validation")
    assert (first["step"], last["step"]) == (0, 30)
    assert last["mlm"] < first["mlm"]
    if "alignment" in objectives:
        assert last["alignment"] < first["alignment"]
        assert last["recall_at_1"] > first["recall_at_1"]
        assert load_graph_encoder(folder).hidden == 32
    assert [x["step"] for x in lines if x["split"] == "train"] == [10, 20, 30]

    model = AutoModelForMaskedLM.from_pretrained(folder)
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    batch = AutoTokenizer.from_pretrained(folder)(["acute [MASK] failure"], return_tensors="pt")
    body = AutoModel.from_pretrained(folder).eval()
    states = body(**batch).last_hidden_state
    assert torch.allclose(model.eval().bert(**batch).last_hidden_state, states)
    run = json.loads((folder / "run.json").read_text())
    assert run["steps"] == 30 and run["skipped"] == 0 and run["new_head"]
    assert "| steps | 30 of 8 sentences (0 skipped) |" in (folder / "README.md").read_text()
    assert not any((folder.parent / "checkpoints").iterdir())  # of no use any more


def test_both_objectives_see_the_same_corrupted_text(train, model_settings):
    """With the alignment's weight at zero `bali` is the control, step by step."""
    settings = {"steps": 3, "gradient_clip": 1e9}
    alignment = {"type": "alignment", "weight": 0.0, "graph": {"type": "gatv2", "dropout": 0.0}}
    mlm = metrics(train(model_settings(objectives=MLM, **settings), "mlm"))
    bali = metrics(train(model_settings(objectives=[*MLM, alignment], **settings), "bali"))
    for one, other in zip(mlm, bali, strict=True):
        assert one["step"] == other["step"]
        # Dropout of names draws from the same generator after the text's, in this order.
        assert one["mlm"] == pytest.approx(other["mlm"], rel=1e-4)


def test_same_seed_same_bytes_and_other_seed_other_model(train, model_settings):
    one, two = train(model_settings(), "one"), train(model_settings(), "two")
    for name in ("model.safetensors", "graph_encoder.safetensors", "config.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert metrics(one) == metrics(two)
    other = train(model_settings(seed=14), "other")
    assert metrics(other) != metrics(one)


@pytest.mark.parametrize(
    ("number", "objectives"),
    [
        (signal.SIGTERM, [{"type": "mlm"}, {"type": "alignment"}]),
        (signal.SIGUSR1, [{"type": "kebiolm"}]),
    ],
)
def test_stopped_and_resumed_is_as_if_never_stopped(
    train, model_settings, stop_at, number, objectives
):
    settings = model_settings(objectives=objectives, steps=7, warmup_encoder_frozen=2)
    whole = train(settings, "whole")
    stop_at("step 3, validation", number)
    with pytest.raises(TrainingInterrupted, match=f"{number.name} after step 3"):
        train(settings, "resumed")
    assert signal.getsignal(number) == signal.SIG_DFL
    resumed = train(settings, "resumed")
    assert metrics(resumed) == metrics(whole)
    for path in whole.glob("*.safetensors"):
        assert (resumed / path.name).read_bytes() == path.read_bytes()


def test_killed_training_goes_on_from_the_newest_whole_checkpoint(
    train, model_settings, tmp_path, stop_at
):
    settings = model_settings(steps=9)
    whole = train(settings, "whole")
    upkeep = Upkeep(log=2, checkpoint=1, validate=3)
    stop_at("step 6, validation", signal.SIGTERM)
    with pytest.raises(TrainingInterrupted):
        train(settings, "resumed", upkeep=upkeep)
    (run,) = (tmp_path / "checkpoints").iterdir()
    kept = sorted(path.name for path in run.iterdir())
    assert kept == ["step-00000005", "step-00000006"]  # the newest two
    weights = run / "step-00000006" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")  # a damaged disk
    (run / "step-00000007").mkdir()  # no marker: killed before the end
    (run / ".step-00000008.0123.tmp").mkdir()
    resumed = train(settings, "resumed", upkeep=upkeep)
    assert metrics(resumed) == metrics(whole)
    assert (resumed / "model.safetensors").read_bytes() == (
        whole / "model.safetensors"
    ).read_bytes()


def test_other_settings_do_not_resume(train, model_settings, tmp_path, stop_at):
    stop_at("step 3, validation", signal.SIGTERM)
    with pytest.raises(TrainingInterrupted):
        train(model_settings(steps=4))
    folder = train(model_settings(steps=2))
    assert json.loads((folder / "run.json").read_text())["steps"] == 2
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1  # that of the first is still there


def test_the_frozen_encoder_stays_as_it_is(train, model_settings, world):
    folder = train(model_settings(steps=4, warmup_encoder_frozen=4))
    before = load_file(world.encoder / "model.safetensors")
    after = load_file(folder / "model.safetensors")
    kept = [name for name in before if not name.startswith("pooler")]
    assert kept and all(torch.equal(before[name], after[f"bert.{name}"]) for name in kept)
    lines = metrics(folder)
    assert lines[0]["mlm"] != lines[-1]["mlm"]  # the head learns
    assert all(line["learning_rate"] == 0 for line in lines if line["split"] == "train")


def test_a_checkpoint_with_its_own_head_has_nothing_to_warm_up(train, model_settings, world):
    settings = model_settings(objectives=MLM, steps=2, warmup_encoder_frozen=2)
    folder = train(settings, encoder=world.encoder_with_head)
    before = load_file(world.encoder_with_head / "model.safetensors")
    after = load_file(folder / "model.safetensors")
    assert not torch.equal(
        before["bert.embeddings.word_embeddings.weight"],
        after["bert.embeddings.word_embeddings.weight"],
    )
    assert not json.loads((folder / "run.json").read_text())["new_head"]


def test_a_frozen_encoder_beside_nothing_new_is_refused(train, model_settings):
    settings = model_settings(objectives=[{"type": "sapbert", "pairs": 4}], steps=2,
                              warmup_encoder_frozen=1)  # fmt: skip
    with pytest.raises(BalignError, match="nothing to train") as error:
        train(settings)
    assert "set it to 0" in str(error.value)


def test_a_step_that_is_not_finite_is_left_out(train, model_settings, tmp_path):
    with pytest.raises(BalignError, match="10 steps in a row") as error:
        train(model_settings(objectives=BROKEN, steps=12), "broken")
    assert "learning_rate" in str(error.value)
    assert not (tmp_path / "broken").exists()
    folder = train(model_settings(objectives=BROKEN, steps=3), "short")
    line = metrics(folder)[1]
    assert line["skipped"] == 2 and "loss" not in line


def test_parts_that_do_not_belong_together(train, model_settings, world, tmp_path):
    import shutil

    (tmp_path / "encoder").mkdir()
    shutil.copytree(world.encoder, tmp_path / "encoder", dirs_exist_ok=True)
    tokenizer = tmp_path / "encoder" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace("asthma", "asthna"))
    with pytest.raises(DataError, match="for another encoder"):
        train(model_settings(), encoder=tmp_path / "encoder")
    shutil.copytree(world.graph, tmp_path / "graph")
    names = pl.read_parquet(tmp_path / "graph" / "names.parquet")
    names.reverse().write_parquet(tmp_path / "graph" / "names.parquet")
    with pytest.raises(DataError, match="with another graph"):
        train(model_settings(), graph=tmp_path / "graph")


def test_checkpoint_round_trip(tmp_path, model_settings):
    def build(seed):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2))
        return model, build_optimiser(model, [], model_settings())

    model, optimiser = build(1)
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    state = TrainingState(step=3, window={"loss": 0.1 + 0.2}, lines=[{"step": 1, "loss": 1 / 3}])
    save_checkpoint(tmp_path, model, optimiser, state)
    other, other_optimiser = build(2)
    assert load_checkpoint(tmp_path, other, other_optimiser) == state
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
        assert optimiser.state[one].keys() == other_optimiser.state[two].keys()
        for key, value in optimiser.state[one].items():
            assert torch.equal(value, other_optimiser.state[two][key])


def test_no_checkpoint(tmp_path, model_settings):
    model = torch.nn.Linear(2, 2)
    optimiser = build_optimiser(model, [], model_settings())
    assert load_checkpoint(tmp_path / "none", model, optimiser) is None
