import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.pretrain.losses import (
    alignment_loss,
    exchange_sizes,
    gather_with_gradient,
    mlm_loss,
    multi_similarity_loss,
    pool_mentions,
    pool_texts,
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


def test_alignment_of_equal_rows_and_in_half_precision():
    e = torch.randn(6, 16, generator=torch.Generator().manual_seed(2))
    y = torch.tensor([0, 1, 0, 2, 2, 2])
    doubled = alignment_loss(e, e, y, 0.07)
    assert doubled.item() == pytest.approx(naive_alignment(e.double(), e.double(), y, 0.07), 1e-5)
    with torch.autocast("cpu", torch.bfloat16):  # as in training: the loss itself stays float32
        assert torch.equal(alignment_loss(e, e, y, 0.07), doubled)
    half = e.bfloat16()
    assert torch.equal(
        alignment_loss(half, half, y, 0.07), alignment_loss(half.float(), half.float(), y, 0.07)
    )


def naive_multi_similarity(states, labels, alpha, beta, base, margin):
    """All triplets one by one (SapBERT's miner), then the pairs of the hard ones."""
    z = states / states.norm(dim=1, keepdim=True)
    n = len(labels)
    positives, negatives = set(), set()
    for i in range(n):
        for p in range(n):
            for k in range(n):
                if i != p and labels[i] == labels[p] and labels[i] != labels[k]:
                    gap = (z[i] - z[k]).norm() - (z[i] - z[p]).norm()
                    if gap <= margin:
                        positives.add((i, p))
                        negatives.add((i, k))
    total = 0.0
    for i in range(n):
        pull = sum(math.exp(-alpha * (float(z[i] @ z[p]) - base)) for j, p in positives if j == i)
        push = sum(math.exp(beta * (float(z[i] @ z[k]) - base)) for j, k in negatives if j == i)
        total += math.log1p(pull) / alpha + math.log1p(push) / beta
    return total / n


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=8),
    st.integers(0, 1000),
    st.sampled_from([(2.0, 50.0, 0.5, 0.2), (1.0, 8.0, 0.1, 0.02)]),
)
@settings(max_examples=60, deadline=None)
def test_multi_similarity_is_the_triple_loop(labels, seed, values):
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(len(labels), 4, generator=random, dtype=torch.float64)
    found = multi_similarity_loss(z, torch.tensor(labels), *values)
    assert found.item() == pytest.approx(naive_multi_similarity(z, labels, *values), abs=1e-12)


def test_multi_similarity_gradient():
    z = torch.randn(5, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    y = torch.tensor([0, 1, 0, 2, 2])
    z.requires_grad_()
    assert multi_similarity_loss(z, y, margin=2.0) > 0
    every, mined = 2.0, 0.2  # every triplet, and the miner's choice
    assert torch.autograd.gradcheck(lambda x: multi_similarity_loss(x, y, margin=every), (z,))
    assert torch.autograd.gradcheck(lambda x: multi_similarity_loss(x, y, margin=mined), (z,))


@pytest.mark.parametrize("labels", [[7], [7, 7, 7], [0, 1, 2], []])
def test_multi_similarity_without_triplets_is_zero(labels):
    z = torch.randn(len(labels), 4, requires_grad=True)
    loss = multi_similarity_loss(z, torch.tensor(labels, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0 and torch.equal(z.grad, torch.zeros_like(z))


def test_multi_similarity_of_duplicates_is_finite():
    z = torch.ones(4, 3, requires_grad=True)
    loss = multi_similarity_loss(z, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss > 0 and torch.isfinite(z.grad).all()


LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 3, 3])


def distributed_inputs():
    random = torch.Generator().manual_seed(9)
    return [torch.randn(8, 4, generator=random, dtype=torch.float64) for _ in range(2)]


def one_process(rank, address, sizes, output):
    """What a process of two does with its part of the batch; here for it to be importable."""
    store = torch.distributed.FileStore(str(address), 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    part = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
    e, g = (x[part].requires_grad_() for x in distributed_inputs())
    loss = alignment_loss(e, g, LABELS[part], 0.3, gather=True)
    loss.backward()
    weights = torch.arange(float(sum(sizes))) * (rank + 1)
    x = torch.ones(sizes[rank], 2, requires_grad=True)
    (gather_with_gradient(x, exchange_sizes(len(x))) * weights[:, None]).sum().backward()
    torch.save([loss.detach(), e.grad, g.grad, x.grad], output / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("sizes", [(3, 5), (8, 0)])
def test_two_processes_have_the_loss_and_the_gradients_of_one(tmp_path, sizes):
    torch.multiprocessing.spawn(one_process, (tmp_path / "store", sizes, tmp_path), nprocs=2)
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    e, g = (x.requires_grad_() for x in distributed_inputs())
    loss = alignment_loss(e, g, LABELS, 0.3)
    loss.backward()
    # DistributedDataParallel averages: each process's gradient counts half.
    assert sum(part[0] for part in found).item() / 2 == pytest.approx(loss.item(), abs=1e-14)
    for place, whole in ((1, e.grad), (2, g.grad)):
        both = torch.cat([part[place] for part in found]) / 2
        assert torch.allclose(both, whole, rtol=1e-12, atol=1e-14)
    expected = 3 * torch.arange(8.0)[:, None].expand(8, 2)  # 1 from rank 0 and 2 from rank 1
    assert torch.equal(torch.cat([part[3] for part in found]), expected)


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


def test_the_originals_pooling_loses_the_first_rows():
    states = torch.randn(2, 4, 3, requires_grad=True)
    positions, owner = torch.tensor([1, 2, 5, 6, 7]), torch.tensor([0, 0, 1, 1, 2])
    pooled = pool_mentions(states, positions, owner, 3, reproduce_original=True)
    flat = states.reshape(-1, 3)
    assert torch.allclose(pooled, torch.stack([flat[0] * 0, flat[6] / 2, flat[7]]))
    pooled.sum().backward()
    assert states.grad.reshape(-1, 3)[[1, 2, 5]].abs().sum() == 0
    assert (states.grad.reshape(-1, 3)[[6, 7]] != 0).all()


def test_pooling_of_texts_is_of_each_by_itself():
    states = torch.randn(5, 4)
    pooled = pool_texts(states, torch.tensor([0, 0, 0, 1, 1]), 2)
    assert torch.allclose(pooled, torch.stack([states[:3].mean(0), states[3:].mean(0)]))


def test_mlm_loss_of_nothing_is_zero():
    logits = torch.zeros(0, 7, requires_grad=True)
    loss = mlm_loss(logits, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert mlm_loss(torch.zeros(3, 7), torch.tensor([0, 1, 2])).item() == pytest.approx(math.log(7))


def test_no_loss_waits_for_the_device():
    """Tensors without values: whoever asks for one, as `bool` and `item` do, gets an error."""
    from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

    with FakeTensorMode():
        e, g = (torch.randn(6, 4, requires_grad=True) for _ in range(2))
        y, owner = torch.arange(6), torch.zeros(9, dtype=torch.long)
        with pytest.raises(DataDependentOutputException):
            bool(y[0] == 0)
        pooled = pool_mentions(torch.randn(20, 4), torch.arange(9), owner, 6, True)
        loss = alignment_loss(e + pooled, g, y, 0.07) + multi_similarity_loss(e, y)
        loss = loss + mlm_loss(torch.randn(5, 7), torch.zeros(5, dtype=torch.long))
        loss.backward()


def test_ranks():
    candidates = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    queries = torch.tensor([[2.0, 0.1], [2.0, 0.1]])
    labels = torch.tensor([0, 1])
    assert retrieval_ranks(queries, candidates, labels, torch.tensor([0, 1, 2])).tolist() == [0, 2]
    # The nearest of several right ones counts, and right ones are not in each other's way.
    assert retrieval_ranks(queries, candidates, labels, torch.tensor([0, 1, 1])).tolist() == [0, 1]
    assert retrieval_ranks(queries, candidates, labels, torch.tensor([1, 0, 0])).tolist() == [1, 0]
