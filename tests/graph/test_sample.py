import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from balign.graph.sample import counter_keys, draw_names, sample_neighbours, sample_subgraphs

MASK = (1 << 64) - 1


def naive_mix(x):
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def naive_key(seed, *counters):
    golden = 0x9E3779B97F4A7C15
    key = naive_mix((seed + golden) & MASK)
    for counter in counters:
        key = naive_mix(key ^ naive_mix((counter + golden) & MASK))
    return key


def naive_below(key, slot, bound):
    return ((naive_mix((key + (slot + 1) * 0x9E3779B97F4A7C15) & MASK) >> 32) * bound) >> 32


def naive_sample(graph, node, key, k):
    """Floyd's algorithm as printed, one node at a time, in Python's integers."""
    start, degree = int(graph.indptr[node]), int(graph.indptr[node + 1] - graph.indptr[node])
    stream = naive_key(1, node) ^ key
    chosen = []
    wanted = min(k, degree)
    for slot, last in enumerate(range(degree - wanted, degree)):
        t = naive_below(stream, slot, last + 1)
        chosen.append(last if t in chosen else t)
    return [(int(graph.indices[start + i]), int(graph.edge_relations[start + i])) for i in chosen]


def rows(graph, nodes, keys, k):
    neighbours, relations, mask = sample_neighbours(graph, np.array(nodes), keys, k)
    assert neighbours.shape == relations.shape == mask.shape == (len(nodes), k)
    assert (neighbours[~mask] == 0).all() and (relations[~mask] == 0).all()
    return [
        list(zip(n[m].tolist(), r[m].tolist(), strict=True))
        for n, r, m in zip(neighbours, relations, mask, strict=True)
    ]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=5),
    st.integers(0, 6),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(0, 2**40),
)
def test_equals_the_naive_reference(make_graph, degrees, k, seed, step):
    graph = make_graph(degrees)
    nodes = list(range(len(graph)))
    keys = counter_keys(seed, step, np.arange(len(nodes)))
    assert keys.tolist() == [naive_key(seed, step, i) for i in range(len(nodes))]
    expected = [naive_sample(graph, node, int(keys[node]), k) for node in nodes]
    assert rows(graph, nodes, keys, k) == expected


def test_pinned_draws(make_graph):
    # First output of the published SplitMix64 with seed 0.
    assert counter_keys(0).tolist() == [0xE220A8397B1DCDAF]
    # Where these change, a resumed run no longer draws what the interrupted one would have.
    keys = counter_keys(13, 5, np.arange(2))
    neighbours, _, _ = sample_neighbours(make_graph([100]), np.array([0, 0]), keys, 3)
    assert neighbours.tolist() == [[80, 75, 50], [62, 80, 97]]


def test_without_replacement_and_all_when_there_are_no_more_than_k(make_graph):
    degrees = [0, 1, 2, 3, 4, 10_000]
    graph = make_graph(degrees)
    nodes = np.tile(np.arange(len(degrees)), 500)
    neighbours, relations, mask = sample_neighbours(
        graph, nodes, counter_keys(1, np.arange(len(nodes))), 3
    )
    assert (mask.sum(axis=1) == np.minimum(np.array(degrees)[nodes], 3)).all()
    assert (np.sort(mask, axis=1)[:, ::-1] == mask).all()  # the drawn come first
    for node, row, kept in zip(nodes, neighbours, mask, strict=True):
        drawn = set(row[kept].tolist())
        assert len(drawn) == kept.sum()
        if degrees[node] <= 3:
            assert drawn == set(graph.neighbours(node)[0].tolist())
    assert (relations[mask] == neighbours[mask] % 2).all()  # each with its own relation


@pytest.mark.parametrize(("degree", "k"), [(5, 3), (6, 2), (50, 1), (50, 3)])
def test_every_edge_is_equally_likely(make_graph, degree, k):
    visits = 20_000
    graph = make_graph([degree])
    neighbours, _, _ = sample_neighbours(
        graph, np.zeros(visits, int), counter_keys(13, np.arange(visits)), k
    )
    counts = np.bincount(neighbours.ravel() - 1, minlength=degree)
    assert len(counts) == degree
    # Drawing without replacement makes counts vary less than the test's multinomial: conservative.
    assert chisquare(counts).pvalue > 0.001


def test_every_subset_is_equally_likely(make_graph):
    visits = 30_000
    graph = make_graph([6])
    neighbours, _, _ = sample_neighbours(
        graph, np.zeros(visits, int), counter_keys(7, np.arange(visits)), 3
    )
    ordered = np.sort(neighbours, axis=1)
    _, counts = np.unique(ordered, axis=0, return_counts=True)
    assert len(counts) == 20  # 6 choose 3
    assert chisquare(counts).pvalue > 0.001


def test_consecutive_seeds_steps_and_nodes_draw_independently(make_graph):
    graph = make_graph([4] * 40)
    draws = np.array(
        [
            sample_neighbours(graph, np.arange(40), counter_keys(seed, step), 1)[0][:, 0]
            for seed in range(5)
            for step in range(100)
        ]
    ) - len([4] * 40)  # [500, 40], values 0 to 3
    for pairs in (draws[:-1] * 4 + draws[1:], draws[:, :-1] * 4 + draws[:, 1:]):
        assert chisquare(np.bincount(pairs.ravel(), minlength=16)).pvalue > 0.001


def test_a_draw_does_not_depend_on_the_rest_of_the_batch(make_graph):
    graph = make_graph([3, 7, 0, 200, 12_000])
    nodes = np.array([4, 1, 3, 4, 0, 2, 3])
    keys = counter_keys(2, 9, np.arange(len(nodes)))
    whole = rows(graph, nodes, keys, 3)
    assert whole == [rows(graph, [n], keys[i : i + 1], 3)[0] for i, n in enumerate(nodes)]
    order = np.array([6, 2, 0, 1, 5, 3, 4])
    assert rows(graph, nodes[order], keys[order], 3) == [whole[i] for i in order]
    names = draw_names(graph, nodes, keys)
    assert draw_names(graph, nodes[order], keys[order]).tolist() == names[order].tolist()


def test_another_visit_draws_anew(make_graph):
    graph = make_graph([1000])
    first, second = rows(graph, [0, 0], counter_keys(1, 0, np.arange(2)), 3)
    assert first != second


def test_empty_batches_and_no_slots(make_graph):
    graph = make_graph([2])
    none = np.zeros(0, np.int64)
    assert rows(graph, none, counter_keys(1, none), 3) == []
    assert rows(graph, [0], counter_keys(1), 0) == [[]]
    assert draw_names(graph, none, counter_keys(1, none)).tolist() == []


def test_the_order_of_counters_matters():
    assert counter_keys(1, 2, 3) != counter_keys(1, 3, 2)
    keys = counter_keys(0, np.arange(300)[:, None], np.arange(300)[None, :])
    assert keys.shape == (300, 300)
    assert len(np.unique(keys)) == 90_000


def test_names_are_drawn_uniformly_and_within_their_node(make_graph):
    graph = make_graph([2, 2], names=[1, 7, 2, 1])
    visits = 20_000
    keys = counter_keys(3, np.arange(visits))
    assert set(draw_names(graph, np.zeros(visits, int), keys)) == {0}
    drawn = draw_names(graph, np.ones(visits, int), keys)
    assert chisquare(np.bincount(drawn - 1, minlength=7)).pvalue > 0.001
    assert drawn.min() == 1 and drawn.max() == 7


def test_names_and_neighbours_are_drawn_independently_by_the_same_keys(make_graph):
    graph = make_graph([4], names=[4, 1, 1, 1, 1])
    visits = 20_000
    keys, nodes = counter_keys(3, np.arange(visits)), np.zeros(visits, int)
    pairs = draw_names(graph, nodes, keys) * 4
    pairs += sample_neighbours(graph, nodes, keys, 1)[0][:, 0] - 1
    assert chisquare(np.bincount(pairs, minlength=16)).pvalue > 0.001


@pytest.mark.parametrize("hops", [1, 2])
def test_subgraphs_are_trees_towards_the_centres(make_graph, hops):
    graph = make_graph([3, 7, 0, 40])
    centres = np.array([3, 0, 2, 3])
    found = sample_subgraphs(graph, centres, counter_keys(5, np.arange(4)), 3, hops)
    assert found.nodes[:4].tolist() == centres.tolist()
    source, target = found.edges
    assert source.tolist() == list(range(4, len(found.nodes)))  # each drawn node has one edge
    assert (target < source).all() and len(found.keys) == len(found.nodes)
    assert len(np.unique(found.keys)) == len(found.keys)
    for s, t, r in zip(source, target, found.relations, strict=True):
        near, relations = graph.neighbours(int(found.nodes[t]))
        assert (int(found.nodes[s]), int(r)) in zip(near.tolist(), relations.tolist(), strict=True)
    depth = np.zeros(len(found.nodes), int)
    for s, t in zip(source, target, strict=True):
        depth[s] = depth[t] + 1
    assert depth.max() == hops
    drawn = np.bincount(target, minlength=len(found.nodes))[depth < hops]
    degree = np.diff(graph.indptr)[found.nodes[depth < hops]]
    assert (drawn == np.minimum(degree, 3)).all()


def test_a_subgraph_does_not_depend_on_the_other_centres(make_graph):
    graph = make_graph([30, 70, 20, 40])
    centres, keys = np.array([3, 0, 2, 1]), counter_keys(5, np.arange(4))

    def tree(found, centre):
        """Nodes, keys and relations of a centre's tree, as nested tuples."""
        below = np.flatnonzero(found.edges[1] == centre)
        return (
            int(found.nodes[centre]),
            int(found.keys[centre]),
            [(int(found.relations[e]), tree(found, int(found.edges[0, e]))) for e in below],
        )

    whole = sample_subgraphs(graph, centres, keys, 2, 2)
    for place in range(4):
        alone = sample_subgraphs(graph, centres[[place]], keys[[place]], 2, 2)
        assert tree(alone, 0) == tree(whole, place)


def test_subgraphs_of_nothing(make_graph):
    found = sample_subgraphs(
        make_graph([2]), np.zeros(0, int), counter_keys(1, np.zeros(0, int)), 3, 2
    )
    assert found.edges.shape == (2, 0) and len(found.nodes) == 0
