"""Filling several masks: a confidence-ordered beam over many queries at once.

A state is filled at the surest place: the best pairs of an open mask and a word piece for it, by
probability, are its fillings, and of all fillings of a query the best are kept, by the sum of log
probabilities. That is X-FACTR's order by confidence (Jiang et al., EMNLP 2020) as the beam of
KeBioLM's ``beam_batch_decode.py`` has it, but for two things: special pieces are no answers, and of
equal states, filled in another order, the best stays alone. After as many steps as there are masks
the answers are complete. Those of different numbers of masks are compared by the mean.

All queries of one length and number of masks go through the encoder together, without padding; an
equal query is decoded once, and the MLM head sees masks alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from balign.pretrain.encoder import TextEncoder
from balign.progress import track


@dataclass(frozen=True)
class Sizes:
    """How much is computed at once: word pieces in the encoder, masks over the vocabulary."""

    tokens: int
    masks: int


_CPU = Sizes(4096, 512)
_GPU = Sizes(131072, 16384)  # 2 GB of logits with BERT's vocabulary


@dataclass(frozen=True)
class Answer:
    """What fills the masks: word pieces in their order, and their mean log probability."""

    pieces: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class Pieces:
    """What the tokenizer calls its special pieces; ``banned`` are never an answer."""

    mask: int
    banned: tuple[int, ...]


Query = tuple[tuple[int, ...], tuple[int, ...]]  # word pieces before and after the masks


def fill_masks(
    encoder: TextEncoder,
    queries: Sequence[Query],
    pieces: Pieces,
    max_masks: int,
    beam: int,
) -> list[list[Answer]]:
    """Return the answers to each query, of every number of masks, the best first.

    Args:
        encoder: encoder with its MLM head, in evaluation mode.
        queries: word pieces before and after the masks, with ``[CLS]`` and ``[SEP]``.
        pieces: special word pieces.
        max_masks: 1 to so many masks are tried.
        beam: states kept, and answers of each number of masks.
    """
    sizes = _GPU if next(encoder.parameters()).device.type == "cuda" else _CPU
    groups: dict[tuple[int, int], list[Query]] = defaultdict(list)
    for query in dict.fromkeys(queries):
        for masks in range(1, max_masks + 1):
            groups[len(query[0]) + len(query[1]) + masks, masks].append(query)
    batches = [
        (masks, some[start : start + size])
        for (length, masks), some in sorted(groups.items())
        for size in [max(1, sizes.tokens // (length * beam))]
        for start in range(0, len(some), size)
    ]
    found: dict[Query, list[Answer]] = defaultdict(list)
    for masks, some in track(batches, "batches of masks filled"):
        answered = _beam(encoder, some, pieces, masks, beam)
        for query, answers in zip(some, answered, strict=True):
            found[query] += answers
    for answers in found.values():
        answers.sort(key=lambda one: (-one.score, one.pieces))
    return [found[query] for query in queries]


def _beam(
    encoder: TextEncoder, queries: Sequence[Query], pieces: Pieces, masks: int, beam: int
) -> list[list[Answer]]:
    """Return the answers with ``masks`` word pieces; all queries have one length."""
    device = next(encoder.parameters()).device
    rows = [[*before, *[pieces.mask] * masks, *after] for before, after in queries]
    states = torch.tensor(rows, device=device).unsqueeze(1)  # [q, states, t]
    scores = torch.zeros(len(queries), 1, device=device)
    starts = torch.tensor([len(before) for before, _ in queries], device=device)
    places = starts[:, None] + torch.arange(masks, device=device)  # [q, masks]
    generator = torch.Generator().manual_seed(1)
    weights = torch.randint(1, 2**40, (len(rows[0]),), generator=generator)
    for _ in range(masks):
        count = states.shape[1]
        flat = states.flatten(0, 1)
        where, best, values = _best_fillings(
            encoder, flat, places.repeat_interleave(count, dim=0), pieces, beam
        )
        width = best.shape[1]
        # [q * states, width, t]: each state with each of its fillings.
        filled = flat[:, None].repeat(1, width, 1)
        filled.scatter_(2, where[:, :, None], best[:, :, None])
        filled = filled.view(len(queries), count * width, -1)
        sums = (scores[:, :, None] + values.view(len(queries), count, width)).flatten(1)
        order = sums.argsort(dim=1, descending=True, stable=True)
        filled = filled.gather(1, order[:, :, None].expand_as(filled))
        sums = sums.gather(1, order)
        # States that were filled in another order may be equal: the first stays.
        keys = (filled * weights.to(device)).sum(dim=2)
        equal = keys[:, :, None] == keys[:, None, :]
        again = equal.tril(diagonal=-1).any(dim=2)
        sums = sums.masked_fill(again, float("-inf"))
        scores, kept = sums.topk(min(beam, sums.shape[1]), dim=1)
        states = filled.gather(1, kept[:, :, None].expand(-1, -1, filled.shape[2]))
    answers = states.gather(2, places[:, None].expand(-1, states.shape[1], -1)).tolist()
    means = (scores / masks).tolist()
    return [
        [
            Answer(tuple(one), mean)
            for one, mean in zip(some, some_means, strict=True)
            if mean != float("-inf")
        ]
        for some, some_means in zip(answers, means, strict=True)
    ]


def _best_fillings(
    encoder: TextEncoder,
    states: torch.Tensor,
    places: torch.Tensor,
    pieces: Pieces,
    beam: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return each state's fillings: masks, pieces for them and log probabilities, the best first.

    Args:
        encoder: the encoder.
        states: word pieces ``[s, t]``.
        places: where the masks are or were ``[s, masks]``; each state has as many left.
        pieces: special word pieces.
        beam: fillings wanted; fewer come back of a smaller vocabulary. All are ``[s, beam]``.
    """
    rows, length = states.shape
    hidden = encoder.model.base_model(
        input_ids=states, attention_mask=torch.ones_like(states)
    ).last_hidden_state.flatten(0, 1)
    sizes = _GPU if states.device.type == "cuda" else _CPU
    left = states.gather(1, places) == pieces.mask
    open_places = places[left].view(rows, -1)  # [s, masks left]
    positions = (torch.arange(rows, device=states.device)[:, None] * length + open_places).flatten()
    values, ids = [], []
    for block in torch.split(positions, sizes.masks):
        logits = encoder.logits(hidden, block).float()
        logits[:, list(pieces.banned)] = float("-inf")
        top = logits.topk(min(beam, logits.shape[1] - len(pieces.banned)), dim=1)
        values.append(top.values - logits.logsumexp(dim=1, keepdim=True))
        ids.append(top.indices)
    width = values[0].shape[1]
    chances = torch.cat(values).view(rows, -1)  # [s, masks left * width]
    chosen = chances.argsort(dim=1, descending=True, stable=True)[:, :beam]
    return (
        open_places.gather(1, chosen // width),
        torch.cat(ids).view(rows, -1).gather(1, chosen),
        chances.gather(1, chosen),
    )
