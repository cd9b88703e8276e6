"""Edges as numbers: turned to one direction, each once.

UMLS has 50 to 90 million rows of relations, for each relation both directions and many pairs of
atoms, so an edge is one number while duplicates are found: the positions of head, relation and tail
in their lists, at first of 25, 13 and 25 bits, then of as many as they need.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

_TAIL, _HEAD = 25, 38  # bits behind the relation and behind the head
CONCEPTS = 1 << _TAIL
"""How many concepts can be numbered."""
RELATIONS = 1 << (_HEAD - _TAIL)
"""How many relations can be."""
_PART = 1 << 17  # edges


class Layout(NamedTuple):
    """How many bits a number takes of a concept, a relation and a source."""

    node: int
    relation: int
    source: int


class Distinct(NamedTuple):
    """Edges without duplicates, in order: [edges] positions in the lists of each."""

    head: npt.NDArray[np.int32]
    relation: npt.NDArray[np.int32]
    tail: npt.NDArray[np.int32]
    source: npt.NDArray[np.int32]


def packed(
    head: npt.NDArray[np.int64], relation: npt.NDArray[np.int64], tail: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint64]:
    """Return [n] the key of each edge: positions below CONCEPTS, RELATIONS and CONCEPTS."""
    return (head << _HEAD | relation << _TAIL | tail).astype(np.uint64)


def layout_of(concepts: int, relations: int, sources: int) -> Layout:
    """Return the layout that so many of each need."""
    return Layout(_bits(concepts), _bits(relations), _bits(sources))


def _bits(count: int) -> int:
    return max(count - 1, 1).bit_length()


def turned_keys(
    keys: npt.NDArray[np.uint64],
    codes: npt.NDArray[np.int64],
    turn: npt.NDArray[np.bool_],
    both_ways: npt.NDArray[np.bool_],
    layout: Layout,
) -> npt.NDArray[np.uint64]:
    """Return the keys of the canonical relations, in their direction and as short as can be."""
    edges = keys.astype(np.int64)
    head, tail = edges >> _HEAD, edges & ((1 << _TAIL) - 1)
    relation = edges >> _TAIL & (RELATIONS - 1)
    swap = turn[relation] | (both_ways[relation] & (head > tail))
    crossed = np.where(swap, head ^ tail, 0)
    head, tail = head ^ crossed, tail ^ crossed
    key: npt.NDArray[np.int64] = (head << layout.relation | codes[relation]) << layout.node | tail
    return key.astype(np.uint64)


def distinct(
    chunks: Iterable[tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint16]]],
    rows: int,
    layout: Layout,
    pool: Executor,
) -> Distinct:
    """Return each edge once, with the smallest of its sources.

    Args:
        chunks: keys and their sources.
        rows: how many there are.
        layout: of the keys.
        pool: to work with.
    """
    short = 2 * layout.node + layout.relation + layout.source <= 64
    keys, sources = np.empty(rows, np.uint64), np.empty(0 if short else rows, np.uint16)
    shift = np.uint64(layout.source if short else 0)
    end = 0
    for key, source in chunks:
        part = slice(end, end := end + len(key))
        if short:  # one number an edge, its source behind: true of UMLS
            np.bitwise_or(key << shift, source, out=keys[part])
        else:
            keys[part], sources[part] = key, source
    if short:
        keys = pl.Series(keys).sort().to_numpy()
    else:
        frame = pl.DataFrame({"key": keys, "source": sources}).sort(pl.all())
        keys, sources = frame["key"].to_numpy(), frame["source"].to_numpy()

    def first(start: int) -> tuple[npt.NDArray[np.int32], ...]:
        part = keys[start : start + _PART]
        edge = part >> shift
        new = np.ones(len(part), bool)
        new[0] = start == 0 or keys[start - 1] >> shift != edge[0]
        np.not_equal(edge[1:], edge[:-1], out=new[1:])
        edge = edge[new]
        source = part[new] & (np.uint64(1) << shift) - np.uint64(1)
        return tuple(
            column.astype(np.int32)
            for column in (
                edge >> np.uint64(layout.node + layout.relation),
                edge >> np.uint64(layout.node) & np.uint64((1 << layout.relation) - 1),
                edge & np.uint64((1 << layout.node) - 1),
                source if short else sources[start : start + _PART][new],
            )
        )

    # Part by part: what the processor's cache holds costs a quarter of what memory does.
    parts = list(pool.map(first, range(0, rows, _PART)))
    nothing = np.zeros(0, np.int32)
    return Distinct(*(np.concatenate([nothing, *(part[i] for part in parts)]) for i in range(4)))
