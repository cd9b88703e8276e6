import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balign.graph.held_out import hold_out

edge = st.tuples(st.integers(0, 12), st.integers(0, 2), st.integers(0, 12))


def columns(edges):
    return np.array(sorted(set(edges)), dtype=np.int64).reshape(-1, 3).T


@given(st.lists(edge, max_size=60), st.integers(0, 8), st.integers(0, 3))
def test_what_is_kept_can_be_learnt_and_does_not_tell(edges, count, seed):
    head, relation, tail = columns(edges)
    chosen = hold_out(head, relation, tail, count, seed)
    assert len(chosen) <= count and chosen.tolist() == sorted(set(chosen.tolist()))
    kept = [e for i, e in enumerate(zip(head, relation, tail, strict=True)) if i not in chosen]
    pairs = {frozenset((h, t)) for h, _, t in kept}
    ends = [node for i in chosen for node in (head[i], tail[i])]
    assert len(ends) == len(set(ends))
    for i in chosen:
        assert frozenset((head[i], tail[i])) not in pairs
        for node in (head[i], tail[i]):
            assert any(node in (h, t) for h, _, t in kept)


def test_as_many_as_wanted_whatever_the_order():
    head, tail = np.arange(200), (np.arange(200) + 1) % 200
    relation = np.zeros(200, dtype=np.int64)
    one = hold_out(head, relation, tail, 20, seed=1)
    assert len(one) == 20
    back = hold_out(head[::-1], relation, tail[::-1], 20, seed=1)
    assert sorted(199 - back) == one.tolist()
    assert hold_out(head, relation, tail, 20, seed=2).tolist() != one.tolist()


def test_the_graph_is_built_without_them(make_database, write_mentions, tmp_path):
    from balign.graph.build import graph_build
    from balign.graph.csr import Graph
    from balign.graph.settings import GraphSettings

    names = [f"C{i:02d}" for i in range(20)]
    ring = [(names[i], "is_a", names[(i + 1) % 20], "hpo") for i in range(20)]
    atoms = [(name, name.lower(), True, 0, False) for name in names]
    settings = GraphSettings(held_out_edges=3)
    graph_build(make_database(ring, atoms), [write_mentions("m", [])], settings, tmp_path / "g")
    graph = Graph.open(tmp_path / "g")
    assert graph.held_out.shape == (3, 3) and len(graph.indices) == 2 * 17
    rows = {tuple(row) for row in [*graph.held_out.tolist(), *graph.triples().tolist()]}
    assert rows == {(i, 0, (i + 1) % 20) for i in range(20)}


@pytest.mark.parametrize("count", [0, 5])
def test_no_edges(count):
    none = np.zeros(0, dtype=np.int64)
    assert hold_out(none, none, none, count, 1).tolist() == []
