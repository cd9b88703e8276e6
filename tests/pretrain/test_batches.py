import numpy as np
import pytest
import torch

from balign.pretrain.batches import (
    Order,
    Stream,
    Visit,
    Vocabulary,
    anchor_batch,
    text_batch,
)
from balign.pretrain.encoder import load_tokenizer
from balign.pretrain.packing import pack


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


def test_a_step_is_in_the_order_of_length_and_drawn_from_all_lengths():
    rows = np.arange(4096)
    lengths = np.random.default_rng(0).integers(3, 60, len(rows))
    order = Order(rows, lengths, 64, seed=0)
    for step in range(order.steps_per_epoch):
        own = lengths[order.batch(step)]
        assert (np.diff(own) >= 0).all()
        assert own.std() > 10


def test_steps_of_about_so_many_pieces():
    rows = np.arange(50, 1050)
    lengths = np.random.default_rng(0).integers(3, 60, len(rows))
    order = Order(rows, lengths, 8, seed=0, pieces=500)
    assert order.steps_per_epoch == lengths.sum() // 500 and order.fewest == 500 // 59
    for epoch in range(2):
        steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
        batches = [order.batch(step) for step in steps]
        sums = np.array([lengths[batch - 50].sum() for batch in batches])
        assert (abs(sums - 500) < 60).all()
        assert min(map(len, batches)) >= order.fewest
        seen = np.concatenate(batches)
        assert len(set(seen)) == len(seen) and lengths.sum() - sums.sum() < 560
    few = Order(np.array([3, 5]), np.array([4, 4]), 1, seed=0, pieces=500)
    assert few.batch(0).tolist() in ([3, 5], [5, 3])


def test_fewer_sentences_than_a_batch():
    order = Order(np.array([3, 5]), np.array([4, 4]), 8, seed=0)
    assert sorted(order.batch(0)) == sorted(order.batch(1)) == [3, 5]


def test_corruption_follows_the_shares_and_spares_special_pieces(arrays, vocabulary):
    clean = pack(arrays.tokens, arrays.token_indptr, arrays.train).ids.numpy()
    ordinary = ~np.isin(clean, vocabulary.special)
    counts = np.zeros(4)
    for step in range(100):
        batch = text_batch(arrays, arrays.train, vocabulary, 0.15, Visit(1, Stream.TRAIN, step))
        chosen = np.zeros(clean.size, dtype=bool)
        chosen[batch.masked.numpy()] = True
        assert not (chosen & ~ordinary).any()
        assert (clean[chosen] == batch.labels.numpy()).all()
        corrupted = batch.packed.ids.numpy()
        assert (corrupted[~chosen] == clean[~chosen]).all()
        seen = corrupted[chosen]
        kept = (seen == batch.labels.numpy()).sum()
        counts += [ordinary.sum(), chosen.sum(), (seen == vocabulary.mask).sum(), kept]
    assert counts[1] / counts[0] == pytest.approx(0.15, abs=0.01)
    assert counts[2] / counts[1] == pytest.approx(0.8 + 0.1 / vocabulary.size, abs=0.02)
    assert counts[3] / counts[1] == pytest.approx(0.1 + 0.1 / vocabulary.size, abs=0.02)


def test_a_sentence_is_corrupted_alike_in_any_company(arrays, vocabulary):
    visit = Visit(1, Stream.TRAIN, 2)
    together = text_batch(arrays, arrays.train[:9], vocabulary, 0.3, visit)
    for place in range(9):
        alone = text_batch(arrays, arrays.train[place : place + 1], vocabulary, 0.3, visit)
        own = together.packed.ids[together.packed.owner == place]
        assert torch.equal(own, alone.packed.ids)


def test_anchors_pool_all_mentions_of_a_concept_in_a_sentence(arrays):
    rows = arrays.train[:20]
    offsets = pack(arrays.tokens, arrays.token_indptr, rows).offsets.tolist()
    batch = anchor_batch(arrays, rows)
    expected = {}
    for place, row in enumerate(rows):
        for m in range(arrays.mention_indptr[row], arrays.mention_indptr[row + 1]):
            pieces = expected.setdefault((place, int(arrays.mention_node[m])), set())
            base = offsets[place]
            pieces |= set(range(base + arrays.mention_start[m], base + arrays.mention_end[m]))
    assert batch.nodes.tolist() == [node for _, node in sorted(expected)]
    found = [
        set(batch.positions[batch.owner == anchor].tolist()) for anchor in range(len(expected))
    ]
    assert found == [expected[key] for key in sorted(expected)]
    assert len(batch.positions) == sum(map(len, found))  # each piece once
    assert any(len(pieces) > 3 for pieces in found)  # the third frame has a concept twice
