"""The losses of pre-training and the pooling that feeds them, on plain tensors.

None of them branches on a value of a tensor, so that a step never waits for the device; each is
computed in float32 or better whatever the precision of the encoder.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.nn import functional


def pool_mentions(
    states: Tensor,
    positions: Tensor,
    anchors: Tensor,
    count: int,
    reproduce_original: bool = False,
) -> Tensor:
    """Average the encoder's states over the word pieces of each anchor.

    An anchor is one concept in one sentence; its mentions there pool together (BALI: e_v). The
    states are only read.

    Args:
        states: [batch, length, d].
        positions: [t], positions in the flattened [batch * length] of the anchors' word pieces.
        anchors: [t], the anchor of each position, from 0 to ``count`` - 1; each occurs.
        count: the number of anchors, n.
        reproduce_original: for the ablation, the fault of the original: it writes to a view and so
            zeroes the first n of the t rows, 43 % of them at 2.33 pieces an anchor.

    Returns:
        [n, d], in float32 or better.
    """
    picked = _full(states.reshape(-1, states.shape[-1]).index_select(0, positions))
    if reproduce_original:
        rows = torch.arange(len(picked), device=picked.device)
        picked = picked * (rows >= count)[:, None]
    return mean_rows(picked, anchors, count)


def mean_rows(rows: Tensor, owner: Tensor, count: int) -> Tensor:
    """Average the rows of each owner.

    Args:
        rows: [t, d].
        owner: [t], from 0 to ``count`` - 1.
        count: n.

    Returns:
        [n, d], 0 for an owner without rows.
    """
    sums = rows.new_zeros(count, rows.shape[1]).index_add(0, owner, rows)
    sizes = rows.new_zeros(count).index_add(0, owner, torch.ones_like(rows[:, 0]))
    return sums / sizes.clamp(min=1)[:, None]


def pool_texts(states: Tensor, owner: Tensor, count: int) -> Tensor:
    """Average the states of each packed text over all its tokens, [CLS] and [SEP] included.

    This is the pooling of sentence encoders, and the one that zero-shot linking uses.

    Args:
        states: [t, d].
        owner: [t], the text of each token.
        count: the number of texts, n.

    Returns:
        [n, d], in float32 or better.
    """
    return mean_rows(_full(states), owner, count)


def mlm_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy over the masked positions; 0 where nothing is masked.

    Args:
        logits: [m, vocabulary], of the masked positions only.
        labels: [m], the true word pieces.
    """
    total = functional.cross_entropy(_full(logits), labels, reduction="sum")
    return total / max(1, labels.numel())


def linking_loss(
    vectors: Tensor, entities: Tensor, table: Tensor, candidates: Tensor | None = None
) -> Tensor:
    """Return the mean cross entropy of the right entities; 0 where there is none.

    The score of entity j is v . E_j. The softmax is over all of the table's N rows, or over the
    right one i and a sample C of n of them, in which each row is expected n / N times:

        -log(exp(s_i) / (exp(s_i) + N / n * sum over j in C, j != i, of exp(s_j)))

    whose sum over the sample has the expectation of that over all others (sampled softmax: Jean et
    al., ACL 2015). With all N rows as the sample the two are equal.

    Args:
        vectors: [m, d], of mentions. entities: [m], the right rows of the table.
        table: [N, d].
        candidates: [n], the sample; None for the whole table.
    """
    with torch.autocast(vectors.device.type, enabled=False):  # bf16 cannot tell near entities apart
        vectors = vectors.to(table.dtype)
        if candidates is None:
            scores = vectors @ table.T
            total = functional.cross_entropy(scores, entities, reduction="sum")
        else:
            right = (vectors * table.index_select(0, entities)).sum(1, keepdim=True)
            others = vectors @ table.index_select(0, candidates).T
            others = others + math.log(len(table) / len(candidates))
            least = torch.finfo(others.dtype).min
            others = others.masked_fill(candidates == entities[:, None], least)
            total = (torch.cat([right, others], dim=1).logsumexp(1) - right[:, 0]).sum()
    return total / max(1, len(entities))


def alignment_loss(
    mentions: Tensor, nodes: Tensor, labels: Tensor, temperature: float, gather: bool = False
) -> Tensor:
    """Return BALI's InfoNCE between mentions and nodes in O(n^2) time and memory.

    Over Z = [mentions; nodes] with cosine similarity s, for every ordered pair i != j of one label

        l_ij = -log(exp(s_ij/t) / (exp(s_ij/t) + sum over k of another label of exp(s_ik/t)))

    and the loss is the mean over the pairs. The sum over negatives depends on i alone, so that it
    is computed once a row: l_ij = logaddexp(s_ij/t, negatives_i) - s_ij/t.

    Args:
        mentions: [n, d]. nodes: [n, d]; row i belongs to the concept of row i of ``mentions``.
        labels: [n], the concept of each row.
        temperature: t.
        gather: take the rows of all processes as j and k (in the default process group, which must
            also take tensors of the processor); their numbers n may differ. Each process computes
            the pairs of its own i, and the mean over the processes of what they return, gradients
            included, is the loss of the whole batch: what DistributedDataParallel averages.

    Returns:
        A scalar; 0 with a gradient of 0 where no negative exists (one concept, or n = 0).
    """
    with torch.autocast(mentions.device.type, enabled=False):  # t magnifies rounding 14 times
        both = functional.normalize(torch.stack([_full(mentions), _full(nodes)], dim=1), dim=-1)
        all_both, all_labels, first, share = both, labels, 0, 1
        if gather:
            sizes = exchange_sizes(len(labels))
            first, share = sum(sizes[: torch.distributed.get_rank()]), len(sizes)
            all_both = gather_with_gradient(both, sizes)
            all_labels = gather_with_gradient(labels, sizes)
        rows, columns = both.flatten(0, 1), all_both.flatten(0, 1)
        if len(rows) == 0:
            return 0.0 * columns.sum()
        similarity = rows @ columns.T / temperature
        row_labels = labels.repeat_interleave(2)
        column_labels = all_labels.repeat_interleave(2)
        same = row_labels[:, None] == column_labels
        # Not -inf: a row without negatives would have the gradient inf - inf.
        least = torch.finfo(similarity.dtype).min
        negatives = similarity.masked_fill(same, least).logsumexp(1, keepdim=True)
        pair_losses = torch.logaddexp(similarity, negatives) - similarity
        itself = torch.arange(len(rows), device=same.device) + 2 * first
        kept = same & (itself[:, None] != torch.arange(len(columns), device=same.device))
        pairs = (all_labels[:, None] == all_labels).sum() * 4 - len(columns)
        return share * pair_losses.masked_fill(~kept, 0.0).sum() / pairs


def multi_similarity_loss(
    states: Tensor,
    labels: Tensor,
    alpha: float = 2.0,
    beta: float = 50.0,
    base: float = 0.5,
    margin: float = 0.2,
) -> Tensor:
    """Return the Multi-Similarity loss over mined pairs, in O(n^2) time and memory.

    A triplet (i, p, n) of an anchor, a positive and a negative is hard where the negative is less
    than ``margin`` farther than the positive, in Euclidean distance of the normalised states; the
    positives and negatives of hard triplets count (SapBERT, NAACL 2021; the loss is of Wang et al.,
    CVPR 2019). A pair is in some hard triplet exactly if it is in one with the nearest negative or
    the farthest positive, so that no triplet is formed. With cosine similarity s the loss is the
    mean over i of

        log(1 + sum_p exp(-alpha (s_ip - base))) / alpha + log(1 + sum_n exp(beta (s_in - base))) /
        beta

    Args:
        states: [n, d]. labels: [n], the concept of each row.
        alpha, beta, base: of the loss.
        margin: of the miner.

    Returns:
        A scalar; 0 with a gradient of 0 where no triplet is hard or exists.
    """
    with torch.autocast(states.device.type, enabled=False):
        states = functional.normalize(_full(states), dim=1)
        count = len(states)
        if count == 0:
            return 0.0 * states.sum()
        similarity = states @ states.T
        different = labels[:, None] != labels
        same = ~different & ~torch.eye(count, dtype=torch.bool, device=labels.device)
        distance = (2 - 2 * similarity.detach()).clamp(min=0).sqrt()
        nearest = distance.masked_fill(~different, torch.inf).amin(1, keepdim=True)
        farthest = distance.masked_fill(~same, -torch.inf).amax(1, keepdim=True)
        positive = same & (nearest - distance <= margin)
        negative = different & (distance - farthest <= margin)
        pull = _log_one_plus_sum(-alpha * (similarity - base), positive) / alpha
        push = _log_one_plus_sum(beta * (similarity - base), negative) / beta
        return (pull + push).mean()


def _log_one_plus_sum(exponents: Tensor, kept: Tensor) -> Tensor:
    """Return log(1 + sum of the exponentials of the kept) of each row [n]."""
    least = torch.finfo(exponents.dtype).min
    masked = exponents.masked_fill(~kept, least)
    return torch.cat([masked.new_zeros(len(masked), 1), masked], dim=1).logsumexp(1)


def retrieval_ranks(
    queries: Tensor, candidates: Tensor, query_labels: Tensor, candidate_labels: Tensor
) -> Tensor:
    """Return how many wrong candidates are closer to each query by cosine than its nearest right.

    Args:
        queries: [n, d]. candidates: [m, d].
        query_labels: [n], each among the candidates' labels. candidate_labels: [m].

    Returns:
        [n] int64, 0 for a query whose nearest candidate has its label.
    """
    scores = functional.normalize(queries, dim=1) @ functional.normalize(candidates, dim=1).T
    right = query_labels[:, None] == candidate_labels
    best = scores.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
    return ((scores > best) & ~right).sum(1)


def exchange_sizes(size: int) -> list[int]:
    """Return this number of every process, by rank; it goes between processors, not devices."""
    sizes = torch.zeros(torch.distributed.get_world_size(), dtype=torch.long)
    torch.distributed.all_gather_into_tensor(sizes, torch.tensor([size]))
    return sizes.tolist()


def gather_with_gradient(rows: Tensor, sizes: list[int]) -> Tensor:
    """Concatenate the rows of all processes by rank; gradients go back to where rows came from.

    Args:
        rows: [n, ...], of one shape and type but for n in all processes.
        sizes: n of each process, see :func:`exchange_sizes`.

    Returns:
        [sum of sizes, ...]. In the backward pass each process receives, for its rows, the sum of
        the gradients of all processes.
    """
    gathered: Tensor = _Gather.apply(rows, sizes)  # type: ignore[no-untyped-call]
    return gathered


class _Gather(torch.autograd.Function):
    """All-gather of padded rows; its adjoint is the sum over processes of each one's rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        most = max(sizes)
        padded = rows.new_zeros(most, *rows.shape[1:])
        padded[: len(rows)] = rows
        every = [torch.empty_like(padded) for _ in sizes]
        torch.distributed.all_gather(every, padded)
        return torch.cat([part[:size] for part, size in zip(every, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)  # gloo has no reduce-scatter; n * d is small
        rank = torch.distributed.get_rank()
        first = sum(ctx.sizes[:rank])
        return total[first : first + ctx.sizes[rank]], None


def _full(values: Tensor) -> Tensor:
    """Return float16 and bfloat16 as float32; float64 stays."""
    return values if values.dtype == torch.float64 else values.float()
