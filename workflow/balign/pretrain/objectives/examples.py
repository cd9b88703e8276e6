"""Examples that an objective draws for itself: places among them, and texts put in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from balign.pretrain.batches import Purpose, Visit
from balign.pretrain.data import Int32Array, IntArray, ranges
from balign.pretrain.encoder import TextEncoder
from balign.pretrain.losses import pool_texts
from balign.pretrain.packing import Packed, TensorBatch, pack

_TEXTS = 1 << 16  # above the number of draws that one example needs


def places(visit: Visit, count: int) -> IntArray:
    """Return the numbers of this part's examples among the ``count`` of a step."""
    return np.arange(visit.part, count, visit.parts)


def draw(visit: Visit, numbers: IntArray, which: int, bounds: IntArray | int) -> IntArray:
    """Return an integer in [0, bound) for each example.

    Args:
        visit: the step.
        numbers: [n], of the examples.
        which: number of the draw; an example's draws are independent.
        bounds: [n] or one for all.
    """
    uniform = visit.uniform(Purpose.EXAMPLE, numbers * _TEXTS + which)
    found: IntArray = (uniform * bounds).astype(np.int64)
    return found


@dataclass(frozen=True)
class TextRows(TensorBatch):
    """Distinct texts in the order of length, and which of them each of n rows is.

    Attributes:
        packed: the texts.
        rows: [n], the text of each row.
    """

    packed: Packed
    rows: Tensor

    def vectors(self, text: TextEncoder, pooling: str) -> Tensor:
        """Return the vectors [n, d]: the mean over all tokens (``mean``) or the first (``cls``)."""
        if not self.packed.texts:
            return torch.zeros(0, text.hidden, device=self.rows.device)
        states = text.encode(self.packed)
        if pooling == "cls":
            first = self.packed.offsets[:-1].long()
            return states.index_select(0, first.index_select(0, self.rows))
        pooled = pool_texts(states, self.packed.owner, self.packed.texts)
        return pooled.index_select(0, self.rows)


def text_rows(pieces: Int32Array, indptr: IntArray, rows: IntArray) -> TextRows:
    """Take rows of a ragged array of texts; one that is there twice is to be encoded once."""
    distinct, back = np.unique(rows, return_inverse=True)
    order = np.argsort(indptr[distinct + 1] - indptr[distinct], kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return TextRows(pack(pieces, indptr, distinct[order]), torch.from_numpy(place[back]))


@dataclass(frozen=True)
class Joined:
    """Texts made of spans of other texts.

    Attributes:
        packed: the texts, in the order of length.
        order: [n], the text at each place of ``packed``.
        span: [t], for each piece of ``packed`` the number of its span in its text.
    """

    packed: Packed
    order: IntArray
    span: npt.NDArray[np.int64]


def join_spans(pieces: Int32Array, starts: IntArray, ends: IntArray) -> Joined:
    """Lay spans end to end.

    Args:
        pieces: what the spans are of.
        starts, ends: [n, k], the k spans of each of n texts (half open); some may be empty.
    """
    order = np.argsort((ends - starts).sum(1), kind="stable")
    starts, ends = starts[order], ends[order]
    values, owner = ranges(starts.ravel(), ends.ravel())
    text = owner // starts.shape[1]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(text, minlength=len(order)))])
    packed = pack(pieces[values], indptr.astype(np.int64), np.arange(len(order)))
    return Joined(packed, order, owner % starts.shape[1])
