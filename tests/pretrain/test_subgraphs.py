import numpy as np
import pytest
import torch

from balign.graph.sample import counter_keys
from balign.pretrain.subgraphs import subgraph_batch

CENTRES = np.array([0, 7, 0, 3, 4], dtype=np.int64)  # 7 is the hub, 4 has no neighbour


def batch_of(arrays, graph, centres=CENTRES, step=2, **values):
    keys = counter_keys(1, step, np.arange(len(centres)))
    return subgraph_batch(arrays, graph, centres, keys, **{"neighbours": 3, **values})


def texts(packed):
    """The pieces of each packed text."""
    return [tuple(x.tolist()) for x in packed.ids.tensor_split(packed.offsets[1:-1].long())]


def names_of(arrays, graph, nodes):
    return {
        tuple(arrays.name_tokens[arrays.name_indptr[i] : arrays.name_indptr[i + 1]].tolist())
        for node in nodes
        for i in range(graph.name_indptr[node], graph.name_indptr[node + 1])
    }


@pytest.mark.parametrize("hops", [1, 2])
def test_each_node_has_one_of_its_names_and_each_name_is_encoded_once(arrays, graph, hops):
    batch = batch_of(arrays, graph, hops=hops)
    found = texts(batch.packed)
    assert len(found) == len(set(found)) < len(batch.names)
    assert batch.fixed.texts == 0 and batch.pieces == sum(map(len, found))
    assert [len(text) for text in found] == sorted(map(len, found))
    candidates = [{int(node)} for node in CENTRES]
    for source, target, relation in zip(*batch.edges.tolist(), batch.relations, strict=True):
        assert source == len(candidates)
        near = set()
        for node in candidates[target]:
            others, relations = graph.neighbours(node)
            near |= set(others[relations == int(relation)].tolist())
        assert near
        candidates.append(near)
    degree = np.bincount(batch.edges[1], minlength=5)
    assert degree[:5].tolist() == [1, 3, 1, 1, 0]
    assert (len(degree) > 5) == (hops == 2)
    for nodes, name in zip(candidates, batch.names, strict=True):
        assert found[name] in names_of(arrays, graph, nodes)


def test_drawn_anew_at_each_visit_and_alike_in_any_company(arrays, graph):
    draws = [batch_of(arrays, graph, np.full(8, 7), step, neighbours=2) for step in (0, 0, 1)]
    assert torch.equal(draws[0].edges, draws[1].edges)
    assert torch.equal(draws[0].names, draws[1].names)
    assert not torch.equal(draws[0].relations, draws[2].relations) or not torch.equal(
        draws[0].names, draws[2].names
    )
    whole = batch_of(arrays, graph, np.array([7, 3, 7]))
    keys = counter_keys(1, 2, np.arange(3))
    for place, node in enumerate((7, 3, 7)):
        alone = subgraph_batch(arrays, graph, np.array([node]), keys[[place]], 3)
        drawn = torch.cat([torch.tensor([place]), whole.edges[0, whole.edges[1] == place]])
        assert [texts(alone.packed)[i] for i in alone.names] == [
            texts(whole.packed)[whole.names[i]] for i in drawn
        ]


@pytest.mark.parametrize("stopped", ["none", "neighbours", "centres", "all"])
def test_names_that_do_not_learn_are_set_apart(arrays, graph, stopped):
    free, batch = batch_of(arrays, graph), batch_of(arrays, graph, stopped=stopped)
    every = texts(batch.packed) * bool(batch.packed.texts)
    every += texts(batch.fixed) * bool(batch.fixed.texts)
    assert [every[i] for i in batch.names] == [texts(free.packed)[i] for i in free.names]
    centre = torch.arange(len(batch.names)) < len(CENTRES)
    expected = {
        "none": centre | True, "neighbours": centre, "centres": ~centre, "all": centre & False
    }[stopped]  # fmt: skip
    assert torch.equal(batch.learns, expected)
    learning = set(batch.names[batch.learns].tolist())
    assert learning == set(range(batch.packed.texts))


def test_no_centres(arrays, graph):
    batch = batch_of(arrays, graph, np.zeros(0, dtype=np.int64))
    assert batch.pieces == len(batch.names) == 0
