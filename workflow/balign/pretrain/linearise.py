"""Neighbourhoods as text: `[CLS] name [SEP] name relation name [SEP] ...` (BALI, linear)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from balign.graph.csr import Graph
from balign.graph.sample import Keys, draw_names, sample_subgraphs
from balign.pretrain.data import Arrays, Int32Array, IntArray, ranges
from balign.pretrain.packing import Packed, TensorBatch, pack


@dataclass(frozen=True)
class LinearBatch(TensorBatch):
    """A text for each of n centres.

    Attributes:
        packed: the texts, in the order of length.
        rows: [n], the text of each centre.
        centres: [n], the centres' node ids.
    """

    packed: Packed
    rows: Tensor
    centres: Tensor


@dataclass(frozen=True)
class LabelPieces:
    """What a person reads for each relation, in word pieces without special ones.

    Attributes:
        pieces: of all labels.
        indptr: [labels + 1], where each begins.
    """

    pieces: Int32Array
    indptr: IntArray


def label_pieces(tokenizer: Any, labels: Sequence[str]) -> LabelPieces:
    """Tokenise the labels of relations so that they may stand between two names.

    Where a word begins with another piece at the start of a text than after a space (byte-level
    BPE), a label is tokenised after a space, and the space before the next name is its last piece.

    Args:
        tokenizer: a fast tokenizer of transformers.
        labels: what a person reads.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()

    def pieces(text: str) -> list[int]:
        found: list[int] = backend.encode(text, add_special_tokens=False).ids
        return found

    spaced = pieces("a a") != pieces("a") * 2
    every = [pieces(f" {label} " if spaced else label) for label in labels]
    indptr = np.concatenate([[0], np.cumsum([len(one) for one in every])]).astype(np.int64)
    return LabelPieces(np.array([x for one in every for x in one], dtype=np.int32), indptr)


def linear_batch(
    arrays: Arrays,
    graph: Graph,
    labels: LabelPieces,
    centres: IntArray,
    keys: Keys,
    neighbours: int,
    max_tokens: int,
) -> LinearBatch:
    """Draw neighbours and names for centres and write them as text.

    After the centre's name there is a sentence for each neighbour, such as `aspirin treats fever`.
    An edge is written from its head to its tail, so the centre stands first or last in it and no
    relation needs a name for its inverse. A sentence that does not fit is left out, and all after.

    Args:
        arrays: the training arrays.
        graph: the concept graph.
        labels: of its relations.
        centres: [n], nodes; one that is there twice draws twice.
        keys: [n], one for each centre.
        neighbours: drawn for a centre, at most.
        max_tokens: longest text; the centre's name is always there.
    """
    drawn = sample_subgraphs(graph, centres, keys, neighbours, 1)
    names = draw_names(graph, drawn.nodes, drawn.keys)
    relations = len(graph.relations)
    source, target = drawn.edges
    turned = drawn.relations >= relations  # "neighbour relation centre"
    triples = np.stack(
        [
            names[np.where(turned, source, target)],
            drawn.relations - relations * turned,
            names[np.where(turned, target, source)],
        ],
        axis=1,
    )
    starts, stops, owner = _spans(
        arrays, labels, names[: len(centres)], triples, target, max_tokens
    )
    values, span = ranges(starts, stops)
    is_label = values >= len(arrays.name_tokens)
    pieces = np.empty(len(values), np.int32)
    pieces[~is_label] = arrays.name_tokens[values[~is_label]]
    pieces[is_label] = labels.pieces[values[is_label] - len(arrays.name_tokens)]
    lengths = np.bincount(owner[span], minlength=len(centres))
    order = np.argsort(lengths, kind="stable")
    rows = np.empty_like(order)
    rows[order] = np.arange(len(order))
    return LinearBatch(
        pack(pieces, np.concatenate([[0], np.cumsum(lengths)]), order),
        torch.from_numpy(rows),
        torch.from_numpy(np.asarray(centres, np.int64)),
    )


def _spans(
    arrays: Arrays,
    labels: LabelPieces,
    names: IntArray,
    triples: IntArray,
    target: IntArray,
    max_tokens: int,
) -> tuple[IntArray, IntArray, IntArray]:
    """Find the stretches of pieces that make the texts, in their order.

    Args:
        arrays: the training arrays. labels: of the relations.
        names: [n], the centres'.
        triples: [e, 3], name, label and name of each edge.
        target: [e], the centre of each edge, ascending.
        max_tokens: longest text.

    Returns:
        Start and end of each stretch, where labels are numbered after the names' pieces, and its
        text.
    """
    first, last = arrays.name_indptr[:-1], arrays.name_indptr[1:]
    head, label, tail = triples.T
    shift = len(arrays.name_tokens)
    # [CLS] name [SEP], and of each edge name, label, name [SEP].
    starts = np.stack([first[head] + 1, shift + labels.indptr[label], first[tail] + 1], axis=1)
    stops = np.stack([last[head] - 1, shift + labels.indptr[label + 1], last[tail]], axis=1)
    lengths = (stops - starts).sum(1)
    before = np.cumsum(lengths) - lengths
    own = before[np.searchsorted(target, target)]  # before the first edge of the same centre
    fits = (last - first)[names[target]] + before - own + lengths <= max_tokens
    starts = np.concatenate([first[names], starts[fits].ravel()])
    stops = np.concatenate([last[names], stops[fits].ravel()])
    owner = np.concatenate([np.arange(len(names)), np.repeat(target[fits], 3)])
    order = np.argsort(owner, kind="stable")
    return starts[order], stops[order], owner[order]
