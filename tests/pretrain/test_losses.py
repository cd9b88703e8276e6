import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.pretrain.losses import (
    alignment_loss,
    mlm_loss,
    pool_mentions,
    pool_tokens,
    retrieval_ranks,
)


def naive_alignment(mentions, nodes, labels, temperature):
    """METHODS.md, section 2, word for word: a loop over pairs, and one over negatives in it."""
    z = torch.cat([mentions, nodes])
    z = z / z.norm(dim=1, keepdim=True)
    y = [*labels.tolist(), *labels.tolist()]
    losses = []
    for i in range(len(y)):
        for j in range(len(y)):
            if i == j or y[i] != y[j]:
                continue
            positive = math.exp(float(z[i] @ z[j]) / temperature)
            negative = sum(
                math.exp(float(z[i] @ z[k]) / temperature) for k in range(len(y)) if y[k] != y[i]
            )
            losses.append(-math.log(positive / (positive + negative)))
    return sum(losses) / len(losses)


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=9),
    st.integers(0, 1000),
    st.sampled_from([0.07, 0.5]),
)
@settings(max_examples=60, deadline=None)
def test_alignment_is_the_triple_loop(labels, seed, temperature):
    random = torch.Generator().manual_seed(seed)
    e, g = (torch.randn(len(labels), 5, generator=random, dtype=torch.float64) for _ in range(2))
    y = torch.tensor(labels)
    found = alignment_loss(e, g, y, temperature)
    assert found.item() == pytest.approx(naive_alignment(e, g, y, temperature), abs=1e-12)


def test_alignment_gradient():
    random = torch.Generator().manual_seed(1)
    e, g = (
        torch.randn(4, 3, generator=random, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    )
    y = torch.tensor([0, 1, 0, 2])
    assert torch.autograd.gradcheck(lambda a, b: alignment_loss(a, b, y, 0.3), (e, g))


@pytest.mark.parametrize("labels", [[7], [7, 7, 7], []])
def test_alignment_without_negatives_is_zero(labels):
    e = torch.randn(len(labels), 4, requires_grad=True)
    g = torch.randn(len(labels), 4, requires_grad=True)
    loss = alignment_loss(e, g, torch.tensor(labels, dtype=torch.long), 0.07)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(e.grad, torch.zeros_like(e)) and torch.equal(g.grad, torch.zeros_like(g))


def test_alignment_stays_finite_at_the_extremes():
    e = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    loss = alignment_loss(e, -e, torch.tensor([0, 1, 2]), 1e-3)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(e.grad).all()


def test_alignment_rewards_right_pairs():
    e = torch.eye(6)
    y = torch.arange(6)
    assert alignment_loss(e, e, y, 0.07) < 1e-4 < 1 < alignment_loss(e, e.roll(1, 0), y, 0.07)


def test_pooling_averages_and_only_reads():
    states = torch.randn(3, 5, 4, requires_grad=True)
    before = states.detach().clone()
    positions = torch.tensor([1, 2, 8, 5, 1])  # anchor 1 has two mentions; 0 and 2 share a piece
    owner = torch.tensor([0, 0, 1, 1, 2])
    pooled = pool_mentions(states, positions, owner, 3)
    flat = before.reshape(-1, 4)
    expected = torch.stack([(flat[1] + flat[2]) / 2, (flat[8] + flat[5]) / 2, flat[1]])
    assert torch.allclose(pooled, expected)
    pooled.sum().backward()
    assert torch.equal(states.detach(), before)
    assert (states.grad.reshape(-1, 4)[[1, 2, 5, 8]] != 0).all()  # no mention vector is lost
    assert states.grad.reshape(-1, 4)[[0, 3, 14]].abs().sum() == 0


def test_pooling_of_names_leaves_padding_out():
    states = torch.randn(2, 3, 4)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    pooled = pool_tokens(states, mask)
    assert torch.allclose(pooled[1], states[1, :2].mean(0))


def test_mlm_loss_of_nothing_is_zero():
    logits = torch.zeros(0, 7, requires_grad=True)
    loss = mlm_loss(logits, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert mlm_loss(torch.zeros(3, 7), torch.tensor([0, 1, 2])).item() == pytest.approx(math.log(7))


def test_ranks():
    candidates = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    queries = torch.tensor([[2.0, 0.1], [2.0, 0.1]])
    assert retrieval_ranks(queries, candidates, torch.tensor([0, 1])).tolist() == [0, 2]
