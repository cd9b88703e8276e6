"""The losses of pre-training and the pooling that feeds them, on plain tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def pool_mentions(states: Tensor, positions: Tensor, anchors: Tensor, count: int) -> Tensor:
    """Average the encoder's states over the word pieces of each anchor.

    An anchor is one concept in one sentence; its mentions there pool together (BALI: e_v). The
    states are only read: the original wrote to a view of them and zeroed about half of its rows.

    Args:
        states: [batch, length, d].
        positions: [t], positions in the flattened [batch * length] of the anchors' word pieces.
        anchors: [t], the anchor of each position, from 0 to ``count`` - 1; each occurs.
        count: the number of anchors, n.

    Returns:
        [n, d], in float32 whatever the precision of the states.
    """
    picked = states.reshape(-1, states.shape[-1]).index_select(0, positions).float()
    sums = picked.new_zeros(count, picked.shape[-1]).index_add(0, anchors, picked)
    pieces = picked.new_zeros(count).index_add(0, anchors, torch.ones_like(picked[:, 0]))
    return sums / pieces[:, None]


def pool_tokens(states: Tensor, attention_mask: Tensor) -> Tensor:
    """Average the states over all attended tokens, [CLS] and [SEP] included.

    This is the pooling of sentence encoders, and the one that zero-shot linking uses.

    Args:
        states: [batch, length, d].
        attention_mask: [batch, length], 1 for a real token.

    Returns:
        [batch, d], in float32.
    """
    weights = attention_mask.to(torch.float32)[:, :, None]
    return (states.float() * weights).sum(1) / weights.sum(1)


def mlm_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy over the masked positions; 0 where nothing is masked.

    Args:
        logits: [m, vocabulary], of the masked positions only.
        labels: [m], the true word pieces.
    """
    total = functional.cross_entropy(logits.float(), labels, reduction="sum")
    return total / max(1, labels.numel())


def alignment_loss(mentions: Tensor, nodes: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return BALI's InfoNCE between mentions and nodes in O(n^2) time and memory.

    Over Z = [mentions; nodes] with cosine similarity s, for every ordered pair i != j of one label

        l_ij = -log(exp(s_ij/t) / (exp(s_ij/t) + sum over k of another label of exp(s_ik/t)))

    and the loss is the mean over the pairs. The sum over negatives depends on i alone, so that it
    is computed once a row: l_ij = logaddexp(s_ij/t, negatives_i) - s_ij/t.

    Args:
        mentions: [n, d]. nodes: [n, d]; row i belongs to the concept of row i of ``mentions``.
        labels: [n], the concept of each row.
        temperature: t.

    Returns:
        A scalar; 0 with a gradient of 0 where no negative exists (one concept, or n = 0).
    """
    states = functional.normalize(torch.cat([mentions, nodes]), dim=1)
    if labels.numel() == 0 or bool((labels == labels[0]).all()):
        return 0.0 * states.sum()  # log(exp(s) / exp(s)) = 0 for each pair
    both = torch.cat([labels, labels])
    same = both[:, None] == both[None, :]
    similarity = states @ states.T / temperature
    negatives = similarity.masked_fill(same, float("-inf")).logsumexp(1, keepdim=True)
    pair_losses = torch.logaddexp(similarity, negatives) - similarity
    pairs = same & ~torch.eye(len(both), dtype=torch.bool, device=same.device)
    return pair_losses.masked_fill(~pairs, 0.0).sum() / pairs.sum()


def retrieval_ranks(queries: Tensor, candidates: Tensor, targets: Tensor) -> Tensor:
    """Return how many candidates are closer to each query by cosine than its target is.

    Args:
        queries: [n, d]. candidates: [m, d].
        targets: [n], the right candidate of each query.

    Returns:
        [n] int64, 0 for a query whose target is the nearest.
    """
    scores = functional.normalize(queries, dim=1) @ functional.normalize(candidates, dim=1).T
    right = scores.gather(1, targets[:, None])
    return (scores > right).sum(1)
