import json

import numpy as np
import pytest
import torch

from balign.errors import DataError
from balign.graph.csr import Graph
from balign.pretrain.kge import build_kge, pretrain_kge, ranks, tables
from balign.pretrain.kge_scores import Scorer
from balign.pretrain.settings import KgeSettings

MODELS = ["transe", "distmult", "rotate"]


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_torch_geometric_and_ranks_those_of_a_loop(name):
    torch.manual_seed(3)
    nodes, relations = 11, 3
    model = build_kge(KgeSettings(name="x", model=name, size=6), nodes, relations)
    random = np.random.default_rng(0)
    edges = np.unique(random.integers(0, [nodes, relations, nodes], (40, 3)), axis=0)
    known, held = edges[:-6], edges[-6:]
    found = ranks(Scorer(tables(model)), known, held, torch.device("cpu"))
    every = {tuple(edge) for edge in edges.tolist()}
    for (h, r, t), pair in zip(held.tolist(), found, strict=True):
        for end, rank in ((2, pair[0]), (0, pair[1])):
            scores = {}
            for node in range(nodes):
                edge = [h, r, t]
                edge[end] = node
                if node == (h, r, t)[end] or tuple(edge) not in every:
                    scores[node] = model(*(torch.tensor([x]) for x in edge)).item()
            right = scores[(h, r, t)[end]]
            assert rank == 1 + sum(score > right + 1e-5 for score in scores.values())


def test_a_constant_score_is_no_good_one():
    model = build_kge(KgeSettings(name="x", model="distmult", size=4), 21, 1)
    torch.nn.init.zeros_(model.rel_emb.weight)
    edge = np.array([[0, 0, 1]])
    assert ranks(Scorer(tables(model)), edge[:0], edge, torch.device("cpu")).tolist() == [[11, 11]]


@pytest.fixture
def ring(world, tmp_path):
    """The small world's graph with an edge held out."""
    import shutil

    shutil.copytree(world.graph, tmp_path / "graph")
    np.save(tmp_path / "graph" / "held_out.npy", np.array([[1, 0, 8]]))
    return tmp_path / "graph"


@pytest.mark.parametrize("name", MODELS)
def test_training_lowers_the_loss_and_repeats_itself(ring, tmp_path, name):
    settings = KgeSettings(name="x", model=name, size=8, epochs=30, batch_edges=3)
    for place in ("one", "two"):
        pretrain_kge(settings, ring, tmp_path / place, tmp_path / "checkpoints", threads=1)
    graph = Graph.open(ring)
    facts = json.loads((tmp_path / "one" / "kge.json").read_text())
    losses = [line["loss"] for line in facts["losses"]]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert facts["metrics"]["n"] == 2 and 0 < facts["metrics"]["mrr"] <= 1
    width = 16 if name == "rotate" else 8
    assert np.load(tmp_path / "one" / "entities.npy").shape == (len(graph), width)
    for file in ("entities.npy", "relations.npy", "kge.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert not any((tmp_path / "checkpoints").iterdir())


def test_an_interrupted_run_goes_on(ring, tmp_path, monkeypatch):
    import balign.pretrain.kge as kge

    settings = KgeSettings(name="x", size=8, epochs=6)
    pretrain_kge(settings, ring, tmp_path / "whole", tmp_path / "checkpoints", threads=1)
    passed, once = kge._pass, []

    def stop(*args):
        if args[4] == 3 and not once:
            once.append(True)
            raise KeyboardInterrupt
        return passed(*args)

    monkeypatch.setattr(kge, "_pass", stop)
    with pytest.raises(KeyboardInterrupt):
        pretrain_kge(settings, ring, tmp_path / "again", tmp_path / "checkpoints", threads=1)
    pretrain_kge(settings, ring, tmp_path / "again", tmp_path / "checkpoints", threads=1)
    for file in ("entities.npy", "kge.json"):
        whole = (tmp_path / "whole" / file).read_bytes()
        assert (tmp_path / "again" / file).read_bytes() == whole


def test_a_graph_without_edges(ring, tmp_path):
    for name in ("indices", "relations"):
        np.save(ring / f"{name}.npy", np.zeros(0, dtype=np.int32))
    np.save(ring / "indptr.npy", np.zeros(10, dtype=np.int64))
    with pytest.raises(DataError, match="no edge"):
        pretrain_kge(KgeSettings(name="x"), ring, tmp_path / "out", tmp_path / "checkpoints")
