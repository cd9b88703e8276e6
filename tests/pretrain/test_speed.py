import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from balign.graph.csr import Graph
from balign.pretrain.batches import Vocabulary
from balign.pretrain.data import open_tokens
from balign.pretrain.encoder import load_text_encoder, load_tokenizer
from balign.pretrain.loop import Run, Upkeep
from balign.pretrain.model import PretrainModel
from balign.pretrain.objectives.base import TrainingData
from balign.pretrain.optimise import pretrained_parameters
from balign.pretrain.packing import pack
from balign.pretrain.processes import Processes
from balign.pretrain.speed import Peak, TextCost, find_peak, memory_mib, speeds, told


def test_cost_of_bert_base_is_the_known_one():
    """85 M weights in its layers (12 of 4 d^2 + 2 d 4 d), 6 operations each and piece."""
    from transformers import BertConfig, BertForMaskedLM

    with torch.device("meta"):
        model = BertForMaskedLM(BertConfig())
    cost = TextCost.of(model)
    assert cost.piece == 6 * 12 * 12 * 768**2 == 6 * 84_934_656
    assert cost.label == 6 * (30522 * 768 + 768**2)
    text = pack(np.zeros(10, dtype=np.int32), np.array([0, 3, 6, 10]), np.arange(3))
    pairs = 12 * 12 * 768 * (9 + 9 + 16)
    assert cost.flops(text, 2) == 10 * cost.piece + pairs + 2 * cost.label


def test_cost_agrees_with_the_operations_that_torch_counts(world):
    from torch.utils.flop_counter import FlopCounterMode

    encoder, _ = load_text_encoder(world.encoder)
    model, length, count = encoder.model, 16, 4
    ids = torch.randint(5, 20, (count, length))
    model.set_attn_implementation("eager")
    states = model.bert.embeddings(ids).detach().requires_grad_()
    with FlopCounterMode(display=False) as counter:
        model.bert.encoder(states).last_hidden_state.sum().backward()
    pieces = np.zeros(count * length, dtype=np.int32)
    text = pack(pieces, np.arange(count + 1) * length, np.arange(count))
    assert TextCost.of(model).flops(text) == counter.get_total_flops()


def test_peak_of_a_processor_is_measured_and_named():
    peak = find_peak(torch.device("cpu"), "fp32")
    assert 1e8 < peak.flops < 1e14
    assert "fp32, product of 2048 x 2048 matrices" in peak.name


def test_peak_of_a_known_gpu_is_its_sheets(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    peak = find_peak(torch.device("cuda"), "bf16")
    assert peak == Peak(989e12, "NVIDIA H200, bf16, data sheet 989 TFLOP/s")
    assert find_peak(torch.device("cuda"), "bf16", 4).flops == 4 * 989e12
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100 PCIe")
    assert find_peak(torch.device("cuda"), "fp32").flops == 51e12


def test_speeds():
    window = {"pieces": 40, "sentences": 6, "flops": 2e6, "seconds": 4.0, "waited": 0.4}
    device = torch.device("cpu")
    figures = speeds(window, Peak(1e6, "a test"), device)
    assert figures["memory_mib"] == memory_mib(device) > 50
    assert told(figures | {"memory_mib": 1234.0}) == (
        "1.5 sentences/s, 10 pieces/s, MFU 50%, waited for data 10.0%, 1,234 MiB"
    )


class Waits(TorchDispatchMode):
    """Notes what would make a program wait for a GPU: numbers or sizes that depend on values."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        index = args[1] if name in ("index", "index_put", "index_put_") else ()
        by_mask = any(x is not None and x.dtype == torch.bool for x in index)
        if by_mask or name in ("_local_scalar_dense", "nonzero", "masked_select", "_unique2"):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@pytest.fixture
def run(world, model_settings):
    arrays, tokenizer = open_tokens(world.tokens)[0], load_tokenizer(world.encoder)
    special = np.array(sorted(tokenizer.all_special_ids))
    ids = (len(tokenizer), tokenizer.pad_token_id, tokenizer.mask_token_id)
    data = TrainingData(arrays, Graph.open(world.graph), Vocabulary(*ids, special), tokenizer)
    text, new = load_text_encoder(world.encoder)
    model = PretrainModel(text, data, model_settings())
    return Run(model, pretrained_parameters(text, new), "fp32", Upkeep(), Processes())


def test_a_step_does_not_wait_for_the_device(run):
    batches = run.prepare(0)
    run.step(0, batches)  # the first one makes the optimiser's state
    with Waits() as waits:
        values = run.step(1, batches)
    assert waits.found == []
    with Waits() as waits:
        assert values.tolist() and bool(values[0] > 0)
    assert waits.found == ["_local_scalar_dense"]


def test_a_step_that_is_not_finite_changes_nothing(run):
    batches = run.prepare(0)
    run.step(0, batches)
    before = [parameter.clone() for parameter in run.model.parameters()]
    counts = [state["step"].item() for state in run.optimiser.state.values()]
    embeddings = run.model.text.model.get_input_embeddings()
    handle = embeddings.register_forward_hook(lambda *_: torch.full_like(_[2], float("nan")))
    values = run.step(1, batches)
    handle.remove()
    assert not values.isfinite().any()
    assert all(map(torch.equal, before, run.model.parameters()))
    assert counts == [state["step"].item() for state in run.optimiser.state.values()]
    assert run.step(1, batches).isfinite().all()
    assert not all(map(torch.equal, before, run.model.parameters()))
