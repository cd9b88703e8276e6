"""Draw neighbours and names for many nodes at once, from counters instead of a generator's state.

A draw is a pure function of a 64-bit key, the node and the slot. So it does not depend on which
other nodes are in the batch, on the order of batches or on the number of workers, and a run that
resumes draws what it would have drawn. The caller makes keys with :func:`counter_keys`, from the
seed and whatever counts a visit (step, place in the batch).

Random bits come from the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014), subsets from Floyd's algorithm (Bentley and Floyd,
"A sample of brilliance", CACM 30 (9), 1987), whose cost is k, not the degree: a hub of a million
neighbours is as quick as a leaf.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from balign.graph.csr import Graph

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_NEIGHBOUR_STREAM = 1
_NAME_STREAM = 2

Keys = npt.NDArray[np.uint64]
Nodes = npt.NDArray[np.integer[Any]]


def _mix(bits: Keys) -> Keys:
    """Finaliser of SplitMix64, a bijection of 64-bit integers."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def counter_keys(seed: int, *counters: int | npt.NDArray[np.integer[Any]]) -> Keys:
    """Return keys that depend on the seed and on every counter.

    Args:
        seed: any integer of at most 64 bits.
        counters: integers or integer arrays that broadcast together, such as the step and
            ``np.arange(n)``.

    Returns:
        An array of the counters' common shape; [1] where all are plain integers.
    """
    key = _mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64) + _GOLDEN)
    for counter in counters:
        key = extend_keys(key, counter)
    return key


def extend_keys(keys: Keys, counter: int | npt.NDArray[np.integer[Any]]) -> Keys:
    """Return the keys that :func:`counter_keys` gives with one more counter."""
    # One addition between the mixes: (1, 2) and (2, 1) give different keys.
    return _mix(keys ^ _mix(np.atleast_1d(np.asarray(counter)).astype(np.uint64) + _GOLDEN))


def _below(keys: Keys, slot: int, bound: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return integers in [0, bound), from the upper 32 bits of the slot's number.

    The multiplication is biased by at most bound / 2^32: 2e-6 at a degree of 10,000.
    """
    with np.errstate(over="ignore"):
        bits = _mix(keys + np.uint64(slot + 1) * _GOLDEN) >> np.uint64(32)
    return ((bits * bound.astype(np.uint64)) >> np.uint64(32)).astype(np.int64)


def sample_neighbours(
    graph: Graph, nodes: Nodes, keys: Keys, k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Draw min(k, degree) of each node's edges, uniformly and without replacement.

    Edges are drawn, not neighbours: two nodes joined by two relations are two edges. Every subset
    is equally likely; the order in a row is not random.

    Args:
        graph: an opened graph.
        nodes: [n] node ids.
        keys: [n] or [1], see :func:`counter_keys`.
        k: edges wanted of each node.

    Returns:
        Neighbours [n, k], relations [n, k] and a mask [n, k] that is true where an edge was drawn;
        these come first in a row, and elsewhere neighbours and relations are 0.
    """
    nodes = np.asarray(nodes, np.int64)
    first = graph.indptr[nodes]
    degree = graph.indptr[nodes + 1] - first
    stream = counter_keys(_NEIGHBOUR_STREAM, nodes) ^ keys
    drawn = np.full((len(nodes), k), -1, np.int64)
    wanted = np.minimum(degree, k)
    for slot in range(k):
        last = degree - wanted + slot  # Floyd: a number up to here, or, where it is taken, this one
        chosen = _below(stream, slot, last + 1)
        taken = (drawn[:, :slot] == chosen[:, None]).any(axis=1)
        drawn[:, slot] = np.where(slot < wanted, np.where(taken, last, chosen), -1)
    mask = drawn >= 0
    place = (first[:, None] + drawn)[mask]
    neighbours = np.zeros(mask.shape, np.int64)
    relations = np.zeros(mask.shape, np.int64)
    neighbours[mask] = graph.indices[place]
    relations[mask] = graph.edge_relations[place]
    return neighbours, relations, mask


@dataclass(frozen=True)
class Subgraphs:
    """A tree of drawn edges for each of n centres, all trees in one graph.

    Attributes:
        nodes: [m] node ids; the n centres come first, then the first hop, then the second. A node
            that is drawn twice is there twice.
        keys: [m] a key of each, a function of its centre's key and of the way to it.
        edges: [2, e] positions in ``nodes``, from a drawn neighbour to what it was drawn for.
        relations: [e] ``r`` reads "target r source".
    """

    nodes: npt.NDArray[np.int64]
    keys: Keys
    edges: npt.NDArray[np.int64]
    relations: npt.NDArray[np.int64]


def sample_subgraphs(graph: Graph, centres: Nodes, keys: Keys, k: int, hops: int) -> Subgraphs:
    """Draw k edges of each centre and, for two hops, k of each neighbour drawn, and so on.

    A tree depends on its centre and the key of that alone, not on the other centres.

    Args:
        graph: an opened graph.
        centres: [n] node ids.
        keys: [n].
        k: edges wanted of each node, see :func:`sample_neighbours`.
        hops: how often.
    """
    nodes = [np.asarray(centres, np.int64)]
    every_key = [keys]
    sources, targets, labels = [], [], []
    first = 0
    for _ in range(hops):
        drawn, relations, real = sample_neighbours(graph, nodes[-1], every_key[-1], k)
        row, slot = np.nonzero(real)
        targets.append(first + row)
        first += len(nodes[-1])
        sources.append(first + np.arange(len(row)))
        labels.append(relations[real])
        every_key.append(extend_keys(every_key[-1][row], slot))
        nodes.append(drawn[real])
    edges = np.stack([np.concatenate(sources), np.concatenate(targets)])
    return Subgraphs(
        np.concatenate(nodes), np.concatenate(every_key), edges, np.concatenate(labels)
    )


def draw_names(graph: Graph, nodes: Nodes, keys: Keys) -> npt.NDArray[np.int64]:
    """Draw one of each node's names, uniformly.

    Args:
        graph: an opened graph.
        nodes: [n] node ids.
        keys: [n] or [1]; the same keys as for neighbours may be given, the draws are independent.

    Returns:
        [n] positions in ``graph.names``.
    """
    nodes = np.asarray(nodes, np.int64)
    first = graph.name_indptr[nodes]
    count = graph.name_indptr[nodes + 1] - first
    return first + _below(counter_keys(_NAME_STREAM, nodes) ^ keys, 0, count)
