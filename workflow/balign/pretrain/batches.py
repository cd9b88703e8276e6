"""From rows of the training arrays to tensors; every batch is a function of (seed, step) alone.

Nothing here loops over tokens, mentions or nodes, and nothing depends on the batches before, so
that training resumes anywhere and several processes may share the work by step.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from balign.graph.csr import Graph
from balign.graph.sample import counter_keys, draw_names, sample_neighbours
from balign.pretrain.data import Arrays, Int32Array, IntArray, ranges

_BLOCK = 64  # batches that are sorted by length together
_NAME_STEP = 8  # names whose lengths differ by less share a sub-batch


class Stream(IntEnum):
    """What random numbers are for; each purpose has a stream of its own."""

    ORDER = 0
    TRAIN = 1
    VALIDATION = 2
    TORCH = 3


def generator(*key: int) -> np.random.Generator:
    """Return the random generator of a key such as (seed, stream, step)."""
    return np.random.default_rng(key)


class Order:
    """Which sentences each step sees.

    An epoch is a new permutation of the sentences. Blocks of 64 batches are sorted by length, cut
    into batches, and the batches are shuffled, so that a batch is hardly padded. A last batch that
    would not be full is left out; the next epoch leaves out others.
    """

    def __init__(self, rows: IntArray, lengths: IntArray, batch: int, seed: int) -> None:
        """Set the order.

        Args:
            rows: [n], sentences to train on.
            lengths: [n], their numbers of pieces.
            batch: sentences in a step; all of them where there are fewer.
            seed: of the permutations.
        """
        self.rows, self.lengths, self.seed = rows, lengths, seed
        self.size = min(batch, len(rows))
        self.steps_per_epoch = len(rows) // self.size
        self._epoch = -1
        self._batches = np.zeros((0, self.size), dtype=np.int64)

    def batch(self, step: int) -> IntArray:
        """Return the sentences of a step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            random = generator(self.seed, Stream.ORDER, epoch)
            chosen = random.permutation(len(self.rows))[: self.steps_per_epoch * self.size]
            block = np.arange(len(chosen)) // (_BLOCK * self.size)
            chosen = chosen[np.lexsort((self.lengths[chosen], block))]
            batches = self.rows[chosen].reshape(self.steps_per_epoch, self.size)
            self._batches = batches[random.permutation(self.steps_per_epoch)]
            self._epoch = epoch
        found: IntArray = self._batches[place]
        return found


class TensorBatch:
    """A dataclass of tensors and tuples of tensors."""

    def to(self, device: torch.device) -> Self:
        """Return the batch with its tensors on a device."""
        moved: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            many = isinstance(value, tuple)
            moved[field.name] = tuple(x.to(device) for x in value) if many else value.to(device)
        return replace(self, **moved)  # type: ignore[type-var]


@dataclass(frozen=True)
class TextBatch(TensorBatch):
    """Corrupted sentences.

    Attributes:
        ids: [batch, length], padded, some pieces masked or replaced.
        mask: [batch, length], 1 for a real piece.
        masked: [m], positions in the flattened batch whose pieces are to be predicted.
        labels: [m], the pieces there.
    """

    ids: Tensor
    mask: Tensor
    masked: Tensor
    labels: Tensor


@dataclass(frozen=True)
class AnchorBatch(TensorBatch):
    """The concepts that the sentences mention; an anchor is one concept in one sentence.

    Attributes:
        positions: [t], pieces of the anchors' mentions, positions in the flattened batch.
        owner: [t], the anchor of each.
        nodes: [n], node of each anchor.
    """

    positions: Tensor
    owner: Tensor
    nodes: Tensor


@dataclass(frozen=True)
class StarBatch(TensorBatch):
    """A star graph for each of n centres, with the names that stand for the nodes.

    Attributes:
        name_ids: sub-batches [names, length] of distinct names, of like length each.
        name_masks: the same shapes, 1 for a real piece.
        names: [nodes], for each node its name's row in the sub-batches one after the other; the
            centres come first.
        edges: [2, e], from neighbour to centre.
        relations: [e].
        centres: [n], the centres' node ids.
    """

    name_ids: tuple[Tensor, ...]
    name_masks: tuple[Tensor, ...]
    names: Tensor
    edges: Tensor
    relations: Tensor
    centres: Tensor


def pad(
    pieces: Int32Array, indptr: IntArray, rows: IntArray, padding: int
) -> tuple[IntArray, IntArray]:
    """Return the pieces [rows, length] of some rows, padded on the right, and their mask."""
    starts, ends = indptr[rows], indptr[rows + 1]
    values, owner = ranges(starts, ends)
    columns = values - starts[owner]
    shape = (len(rows), int((ends - starts).max(initial=1)))
    ids = np.full(shape, padding, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    ids[owner, columns] = pieces[values]
    mask[owner, columns] = 1
    return ids, mask


@dataclass(frozen=True)
class Vocabulary:
    """What corruption must know of the tokenizer.

    Attributes:
        size: number of word pieces.
        padding: id of the padding piece.
        mask: id of the mask piece.
        special: ids of all special pieces.
    """

    size: int
    padding: int
    mask: int
    special: IntArray


def text_batch(
    arrays: Arrays,
    rows: IntArray,
    vocabulary: Vocabulary,
    probability: float,
    random: np.random.Generator,
) -> TextBatch:
    """Corrupt sentences for MLM: of the chosen pieces 80 % masked, 10 % random, 10 % kept.

    Args:
        arrays: the training arrays.
        rows: [batch], sentences.
        vocabulary: of the tokenizer.
        probability: share of non-special pieces that are chosen.
        random: source of all choices.
    """
    ids, mask = pad(arrays.tokens, arrays.token_indptr, rows, vocabulary.padding)
    ordinary = (mask == 1) & ~np.isin(ids, vocabulary.special)
    chosen = ordinary & (random.random(ids.shape) < probability)
    masked = np.flatnonzero(chosen)
    labels = ids.ravel()[masked]
    how = random.random(len(masked))
    other = random.integers(0, vocabulary.size, len(masked))
    ids.ravel()[masked] = np.where(how < 0.8, vocabulary.mask, np.where(how < 0.9, other, labels))
    return TextBatch(*map(torch.from_numpy, (ids, mask, masked, labels)))


def anchor_batch(arrays: Arrays, rows: IntArray, length: int) -> AnchorBatch:
    """Find the anchors of sentences and the pieces of their mentions.

    Args:
        arrays: the training arrays.
        rows: [batch], sentences.
        length: padded length of the batch, to flatten positions.
    """
    mentions, sentence = ranges(arrays.mention_indptr[rows], arrays.mention_indptr[rows + 1])
    nodes = arrays.mention_node[mentions].astype(np.int64)
    far = np.int64(1) << 32
    pairs, anchor = np.unique(sentence * far + nodes, return_inverse=True)
    base = sentence * length
    positions, mention = ranges(
        base + arrays.mention_start[mentions], base + arrays.mention_end[mentions]
    )
    # Two linkers may find one concept in overlapping spans: its pieces are a set.
    pieces = np.unique(anchor[mention] * far + positions)
    return AnchorBatch(*map(torch.from_numpy, (pieces % far, pieces // far, pairs % far)))


def star_batch(
    arrays: Arrays,
    graph: Graph,
    centres: IntArray,
    neighbours: int,
    padding: int,
    key: tuple[int, ...],
) -> StarBatch:
    """Draw neighbours and names for centres; each distinct name is to be encoded once.

    Args:
        arrays: the training arrays.
        graph: the concept graph.
        centres: [n], nodes; a node may occur twice and then draws twice.
        neighbours: neighbours drawn for a centre, at most.
        padding: id of the padding piece.
        key: seed and counters of the visit; each centre and each node adds its place.
    """
    keys = counter_keys(*key, np.arange(len(centres)))
    drawn, relations, real = sample_neighbours(graph, centres, keys, neighbours)
    nodes = np.concatenate([centres, drawn[real]]).astype(np.int64)
    chosen = draw_names(graph, nodes, counter_keys(*key, np.arange(len(nodes))))
    names, back = np.unique(chosen, return_inverse=True)
    lengths = arrays.name_indptr[names + 1] - arrays.name_indptr[names]
    size = -(-lengths // _NAME_STEP)
    order = np.argsort(size, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    groups = np.split(names[order], np.flatnonzero(np.diff(size[order])) + 1)
    padded = [pad(arrays.name_tokens, arrays.name_indptr, group, padding) for group in groups]
    into = np.nonzero(real)[0]
    edges = np.stack([len(centres) + np.arange(len(into)), into])
    return StarBatch(
        name_ids=tuple(torch.from_numpy(ids) for ids, _ in padded),
        name_masks=tuple(torch.from_numpy(mask) for _, mask in padded),
        names=torch.from_numpy(place[back]),
        edges=torch.from_numpy(edges),
        relations=torch.from_numpy(relations[real].astype(np.int64)),
        centres=torch.from_numpy(centres.astype(np.int64)),
    )
