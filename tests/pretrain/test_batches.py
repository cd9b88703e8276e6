import numpy as np
import pytest
import torch

from balign.graph.csr import Graph
from balign.pretrain.batches import (
    Order,
    Vocabulary,
    anchor_batch,
    generator,
    pad,
    star_batch,
    text_batch,
)
from balign.pretrain.data import open_tokens
from balign.pretrain.encoder import load_tokenizer


@pytest.fixture
def arrays(world):
    return open_tokens(world.tokens)[0]


@pytest.fixture
def graph(world):
    return Graph.open(world.graph)


@pytest.fixture
def vocabulary(world):
    tokenizer = load_tokenizer(world.encoder)
    special = np.array(sorted(tokenizer.all_special_ids))
    return Vocabulary(len(tokenizer), tokenizer.pad_token_id, tokenizer.mask_token_id, special)


def test_order_is_a_function_of_seed_and_step():
    rows = np.arange(100, 1103)
    lengths = np.random.default_rng(0).integers(3, 60, len(rows))
    forward, backward = (Order(rows, lengths, 8, seed=4) for _ in range(2))
    steps = range(2 * forward.steps_per_epoch)
    one = [forward.batch(step).tolist() for step in steps]
    two = [backward.batch(step).tolist() for step in reversed(steps)][::-1]
    assert one == two
    assert Order(rows, lengths, 8, seed=5).batch(0).tolist() != one[0]


def test_an_epoch_sees_each_sentence_once_and_epochs_differ():
    rows = np.arange(100, 1103)
    lengths = np.random.default_rng(0).integers(3, 60, len(rows))
    order = Order(rows, lengths, 8, seed=4)
    epochs = [
        np.concatenate([order.batch(e * order.steps_per_epoch + s) for s in range(125)])
        for e in range(2)
    ]
    assert order.steps_per_epoch == 125
    for seen in epochs:
        assert len(set(seen)) == 1000 and set(seen) <= set(rows)
    assert epochs[0].tolist() != epochs[1].tolist()


def test_batches_are_hardly_padded_and_not_sorted_by_length():
    rows = np.arange(4096)
    lengths = np.random.default_rng(0).integers(3, 60, len(rows))
    order = Order(rows, lengths, 16, seed=0)
    longest = np.array([lengths[order.batch(s)].max() for s in range(order.steps_per_epoch)])
    assert 16 * longest.sum() < 1.1 * lengths.sum()
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.3


def test_fewer_sentences_than_a_batch():
    order = Order(np.array([3, 5]), np.array([4, 4]), 8, seed=0)
    assert sorted(order.batch(0)) == sorted(order.batch(1)) == [3, 5]


def test_pad():
    pieces = np.array([7, 8, 9, 4, 5], dtype=np.int32)
    ids, mask = pad(pieces, np.array([0, 3, 3, 5]), np.array([2, 0]), padding=1)
    assert ids.tolist() == [[4, 5, 1], [7, 8, 9]]
    assert mask.tolist() == [[1, 1, 0], [1, 1, 1]]


def test_corruption_follows_the_shares_and_spares_special_pieces(arrays, vocabulary):
    rows = np.tile(arrays.train, 100)
    clean, mask = pad(arrays.tokens, arrays.token_indptr, rows, vocabulary.padding)
    batch = text_batch(arrays, rows, vocabulary, 0.15, generator(1, 2))
    ordinary = (mask == 1) & ~np.isin(clean, vocabulary.special)
    chosen = np.zeros(clean.size, dtype=bool)
    chosen[batch.masked.numpy()] = True
    assert not (chosen & ~ordinary.ravel()).any()
    assert chosen.sum() / ordinary.sum() == pytest.approx(0.15, abs=0.01)
    assert (clean.ravel()[chosen] == batch.labels.numpy()).all()
    corrupted = batch.ids.numpy().ravel()
    assert (corrupted[~chosen] == clean.ravel()[~chosen]).all()
    share = (corrupted[chosen] == vocabulary.mask).mean()
    assert share == pytest.approx(0.8 + 0.1 / vocabulary.size, abs=0.02)
    kept = (corrupted[chosen] == batch.labels.numpy()).mean()
    assert kept == pytest.approx(0.1 + 0.1 / vocabulary.size, abs=0.02)
    assert torch.equal(batch.mask, torch.from_numpy(mask))


def test_anchors_pool_all_mentions_of_a_concept_in_a_sentence(arrays):
    rows = arrays.train[:20]
    ids, _ = pad(arrays.tokens, arrays.token_indptr, rows, 0)
    batch = anchor_batch(arrays, rows, ids.shape[1])
    expected = {}
    for place, row in enumerate(rows):
        for m in range(arrays.mention_indptr[row], arrays.mention_indptr[row + 1]):
            pieces = expected.setdefault((place, int(arrays.mention_node[m])), set())
            base = place * ids.shape[1]
            pieces |= set(range(base + arrays.mention_start[m], base + arrays.mention_end[m]))
    assert batch.nodes.tolist() == [node for _, node in sorted(expected)]
    found = [
        set(batch.positions[batch.owner == anchor].tolist()) for anchor in range(len(expected))
    ]
    assert found == [expected[key] for key in sorted(expected)]
    assert len(batch.positions) == sum(map(len, found))  # each piece once
    assert any(len(pieces) > 3 for pieces in found)  # the third frame has a concept twice


def test_stars_encode_each_distinct_name_once(arrays, graph):
    centres = np.array([0, 7, 0, 3, 4], dtype=np.int64)  # 7 is the hub, 4 has no neighbour
    batch = star_batch(arrays, graph, centres, 3, 0, (1, 2))
    texts = [
        tuple(row[mask == 1].tolist())
        for ids, masks in zip(batch.name_ids, batch.name_masks, strict=True)
        for row, mask in zip(ids, masks, strict=True)
    ]
    assert len(texts) == len(set(texts)) < len(batch.names)
    assert np.bincount(batch.edges[1], minlength=5).tolist() == [1, 3, 1, 1, 0]
    candidates = [{int(node)} for node in centres]
    for source, target, relation in zip(*batch.edges.tolist(), batch.relations, strict=True):
        assert source == len(candidates) and target < 5
        near, relations = graph.neighbours(int(centres[target]))
        candidates.append(set(near[relations == int(relation)].tolist()))
    for nodes, name in zip(candidates, batch.names, strict=True):
        own = [
            tuple(arrays.name_tokens[arrays.name_indptr[i] : arrays.name_indptr[i + 1]].tolist())
            for node in nodes
            for i in range(graph.name_indptr[node], graph.name_indptr[node + 1])
        ]
        assert texts[name] in own


def test_stars_are_drawn_anew_at_each_visit(arrays, graph):
    centres = np.full(8, 7)
    draws = [star_batch(arrays, graph, centres, 2, 0, (1, step)) for step in (0, 0, 1)]
    assert torch.equal(draws[0].edges, draws[1].edges)
    assert torch.equal(draws[0].names, draws[1].names)
    assert not torch.equal(draws[0].relations, draws[2].relations) or not torch.equal(
        draws[0].names, draws[2].names
    )
