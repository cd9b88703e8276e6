"""From rows of the training arrays to tensors.

Every random choice is a function of (seed, stream, step) and of the thing it is made for, such as
a piece of a sentence: it depends neither on the batches before, so that training resumes anywhere,
nor on what else is in the batch, so that several processes may share a step. Nothing here loops
over tokens, mentions or nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from balign.graph.sample import Keys, counter_keys
from balign.pretrain.data import Arrays, IntArray, ranges
from balign.pretrain.packing import Packed, TensorBatch, pack


class Stream(IntEnum):
    """What random numbers are for; each purpose has a stream of its own."""

    ORDER = 0
    TRAIN = 1
    VALIDATION = 2
    TORCH = 3


class Purpose(IntEnum):
    """What a step's random numbers are for."""

    CHOSEN = 0
    CORRUPTION = 1
    PIECE = 2
    NEIGHBOURS = 3
    EXAMPLE = 4
    NEGATIVE = 5


@dataclass(frozen=True)
class Visit:
    """A step of training or a batch of validation, and one process's part of it.

    Attributes:
        seed: of the run.
        stream: training or validation.
        step: number of the step or batch.
        part, parts: of what the step consists of, this is every ``parts``-th from ``part`` on.
    """

    seed: int
    stream: Stream
    step: int
    part: int = 0
    parts: int = 1

    def keys(self, purpose: Purpose, *counters: int | IntArray) -> Keys:
        """Return keys for things that the counters number, the same in whichever part they are."""
        return counter_keys(self.seed, self.stream, self.step, purpose, *counters)

    def uniform(self, purpose: Purpose, *counters: int | IntArray) -> npt.NDArray[np.float64]:
        """Return a number in [0, 1) for each."""
        bits = self.keys(purpose, *counters) >> np.uint64(11)
        found: npt.NDArray[np.float64] = bits * 2.0**-53
        return found


def generator(*key: int) -> np.random.Generator:
    """Return the random generator of a key such as (seed, stream, step)."""
    return np.random.default_rng(key)


class Order:
    """Which sentences each step sees.

    An epoch is a new permutation of the sentences, cut into steps of so many sentences, or of about
    so many word pieces. What would not fill a last step is left out; the next epoch leaves out
    others. A step's sentences come in the order of their lengths: so they pack best, and parts of
    every n-th sentence cost the same.

    Attributes:
        fewest: sentences that a step has at least.
        steps_per_epoch: steps of a permutation.
    """

    def __init__(
        self, rows: IntArray, lengths: IntArray, batch: int, seed: int, pieces: int | None = None
    ) -> None:
        """Set the order.

        Args:
            rows: [n], sentences to train on.
            lengths: [n], their numbers of pieces.
            batch: sentences in a step; all of them where there are fewer.
            seed: of the permutations.
            pieces: word pieces in a step, less or more by a part of a sentence; ``batch`` does not
                count then.
        """
        self.rows, self.lengths, self.seed, self.pieces = rows, lengths, seed, pieces
        size = min(batch, len(rows))
        self.fewest, self.steps_per_epoch = size, len(rows) // size
        if pieces is not None:
            self.fewest = pieces // int(lengths.max())
            self.steps_per_epoch = max(1, int(lengths.sum()) // pieces)
        self._epoch = -1
        self._chosen = np.zeros(0, dtype=np.int64)
        self._cuts = np.zeros(0, dtype=np.int64)

    def batch(self, step: int) -> IntArray:
        """Return the sentences of a step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            random = generator(self.seed, Stream.ORDER, epoch)
            self._chosen = random.permutation(len(self.rows))
            steps = np.arange(self.steps_per_epoch + 1)
            self._cuts = steps * self.fewest
            if self.pieces is not None:  # a sentence belongs to the step in which it ends
                ends = np.cumsum(self.lengths[self._chosen])
                self._cuts = np.searchsorted(ends, steps * self.pieces, side="right")
            self._epoch = epoch
        chosen = self._chosen[self._cuts[place] : self._cuts[place + 1]]
        found: IntArray = self.rows[chosen[np.argsort(self.lengths[chosen], kind="stable")]]
        return found


@dataclass(frozen=True)
class TextBatch(TensorBatch):
    """Corrupted sentences.

    Attributes:
        packed: the sentences one after the other, some pieces masked or replaced.
        masked: [m], positions in ``packed`` whose pieces are to be predicted.
        labels: [m], the pieces there.
    """

    packed: Packed
    masked: Tensor
    labels: Tensor


@dataclass(frozen=True)
class AnchorBatch(TensorBatch):
    """The concepts that the sentences mention; an anchor is one concept in one sentence.

    Attributes:
        positions: [t], pieces of the anchors' mentions, positions in the packed sentences.
        owner: [t], the anchor of each.
        nodes: [n], node of each anchor.
        sentences: [n], row of each anchor's sentence in the training arrays.
    """

    positions: Tensor
    owner: Tensor
    nodes: Tensor
    sentences: Tensor


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
    visit: Visit,
    unit: IntArray | None = None,
) -> TextBatch:
    """Corrupt sentences for MLM: of the chosen pieces 80 % masked, 10 % random, 10 % kept.

    Args:
        arrays: the training arrays.
        rows: [batch], sentences.
        vocabulary: of the tokenizer.
        probability: share of non-special pieces that are chosen.
        visit: the step, for all choices.
        unit: [t], for each piece the place in its sentence of the one whose choices it shares; None
            where each has its own.
    """
    packed = pack(arrays.tokens, arrays.token_indptr, rows)
    ids = packed.ids.numpy()
    sentence, place = rows[packed.owner.numpy()], packed.places.numpy()
    unit = place if unit is None else unit
    ordinary = ~np.isin(ids, vocabulary.special)
    chosen = visit.uniform(Purpose.CHOSEN, sentence, unit) < probability
    masked = np.flatnonzero(ordinary & chosen)
    labels, sentence, place, unit = ids[masked], sentence[masked], place[masked], unit[masked]
    how = visit.uniform(Purpose.CORRUPTION, sentence, unit)
    other = (visit.uniform(Purpose.PIECE, sentence, place) * vocabulary.size).astype(np.int64)
    ids[masked] = np.where(how < 0.8, vocabulary.mask, np.where(how < 0.9, other, labels))
    return TextBatch(packed, torch.from_numpy(masked), torch.from_numpy(labels))


def anchor_batch(arrays: Arrays, rows: IntArray) -> AnchorBatch:
    """Find the anchors of sentences and the pieces of their mentions.

    Args:
        arrays: the training arrays.
        rows: [batch], sentences, in the order in which they are packed.
    """
    mentions, sentence = ranges(arrays.mention_indptr[rows], arrays.mention_indptr[rows + 1])
    nodes = arrays.mention_node[mentions].astype(np.int64)
    far = np.int64(1) << 32
    pairs, anchor = np.unique(sentence * far + nodes, return_inverse=True)
    lengths = arrays.token_indptr[rows + 1] - arrays.token_indptr[rows]
    base = (np.cumsum(lengths) - lengths)[sentence]
    positions, mention = ranges(
        base + arrays.mention_start[mentions], base + arrays.mention_end[mentions]
    )
    # Two linkers may find one concept in overlapping spans: its pieces are a set.
    pieces = np.unique(anchor[mention] * far + positions)
    found = (pieces % far, pieces // far, pairs % far, rows[pairs // far])
    return AnchorBatch(*map(torch.from_numpy, found))
