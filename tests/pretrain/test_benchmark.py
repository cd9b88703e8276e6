"""The benchmark's naive implementation computes what balign does."""

import random

import numpy as np
import pytest
import torch

from balign.graph.csr import Graph
from balign.pretrain.batches import Vocabulary
from balign.pretrain.data import open_tokens
from balign.pretrain.encoder import load_tokenizer
from balign.pretrain.objectives.base import TrainingData

pytest.importorskip("pytorch_metric_learning", reason="the benchmark's peer is not installed")
from benchmarks.pretrain import bali, naive


@pytest.fixture
def data(world):
    tokenizer = load_tokenizer(world.encoder)
    special = np.array(sorted(tokenizer.all_special_ids))
    vocabulary = Vocabulary(
        len(tokenizer), tokenizer.pad_token_id, tokenizer.mask_token_id, special
    )
    arrays = open_tokens(world.tokens)[0]
    return TrainingData(arrays, Graph.open(world.graph), vocabulary, tokenizer)


@pytest.fixture
def run(world, data, monkeypatch):
    monkeypatch.setattr(naive, "LENGTH", 64)  # as many as the small encoder has places
    return bali.build("minilm", 12, world.encoder_with_head, "fp32", torch.device("cpu"), data)


def test_losses_and_gradients_agree_on_the_same_inputs(run):
    rival = bali.twin(run.model)
    batch = run.prepare(0)[0]
    run.model.eval()
    rival.eval()
    ours, theirs = run.model(batch), rival(bali.same_inputs(batch))
    for name, value in zip(("mlm", "alignment"), theirs, strict=True):
        assert ours[name].item() == pytest.approx(value.item(), rel=1e-4)
    sum(ours.values()).backward()
    sum(theirs).backward()
    words = run.model.text.model.get_input_embeddings().weight
    expected = rival.bert.get_input_embeddings().weight.grad
    assert torch.allclose(words.grad, expected, atol=1e-4 * float(expected.abs().max()))


def test_different_inputs_are_noticed(run):
    rival = bali.twin(run.model)
    with torch.no_grad():
        rival.output[0].weight.mul_(2)
        rival.output[0].bias.add_(1)
    with pytest.raises(SystemExit, match="the alignment losses differ"):
        bali.compare_losses(run.model, rival, run.prepare(0)[0], torch.device("cpu"))


def test_the_naive_batches_are_right(data):
    random.seed(0)
    torch.manual_seed(0)
    collate = naive.Collate(data.arrays, data.graph, data.vocabulary, 3)
    sentences = naive.LinkedSentences(data.arrays)
    ids, concepts = sentences[0]
    batch = collate([sentences[number] for number in range(6)])
    assert batch["ids"].shape == (6, 128) and batch["mask"][0].sum() == len(ids)
    assert batch["name_ids"].shape[1] == 32
    assert [sentence for sentence, _ in batch["mentions"]].count(0) == len(concepts)
    chosen = batch["labels"] >= 0
    assert chosen.any() and (batch["labels"][chosen] >= 5).all()  # no special piece
    kept = ~chosen[0, : len(ids)]
    assert torch.equal(batch["ids"][0, : len(ids)][kept], torch.tensor(ids)[kept])
    sources, targets = batch["edges"]
    assert (targets < len(batch["concepts"])).all() and (sources >= len(batch["concepts"])).all()
    assert len(batch["name_ids"]) == len(batch["concepts"]) + len(sources)


def test_both_train(run, data):
    contestants = {
        "naive": bali.naive_steps(bali.twin(run.model), data, 12, run),
        "balign": bali.our_steps(run),
    }
    took = bali.race(contestants, 1, run.device)
    assert all(one.pieces[0] > 0 and one.flops[0] > 0 for one in took.values())
    assert {"sentences", "names", "graph encoder", "floor"} < set(bali.components(run, 1))
