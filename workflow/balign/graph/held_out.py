"""Edges that are kept out of the graph, so that completing it can be tried on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from balign.graph.sample import counter_keys

Ids = npt.NDArray[np.integer[Any]]


def hold_out(head: Ids, relation: Ids, tail: Ids, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Choose edges by a hash of their ends and relation.

    An edge is chosen only if it is the only one between its ends, whatever the direction: another
    would give it away. No node gives more than one of its edges, and each keeps at least one, so
    that all nodes can be learnt.

    Args:
        head, relation, tail: [edges] ids.
        count: edges wanted; fewer where there are not so many.
        seed: of the hash.

    Returns:
        Positions of the chosen edges, in their order.
    """
    first, second = np.minimum(head, tail).astype(np.int64), np.maximum(head, tail)
    nodes = int(second.max(initial=-1)) + 1
    pair = first * nodes + second
    _, where, many = np.unique(pair, return_inverse=True, return_counts=True)
    degree = np.bincount(np.concatenate([head, tail]), minlength=nodes)
    fit = (many[where] == 1) & (degree[head] > 1) & (degree[tail] > 1)
    candidates = np.flatnonzero(fit)
    keys = counter_keys(seed, head[candidates], relation[candidates], tail[candidates])
    taken: set[int] = set()
    chosen: list[int] = []
    for edge in candidates[np.argsort(keys, kind="stable")].tolist():
        if len(chosen) == count:
            break
        ends = {int(head[edge]), int(tail[edge])}
        if len(ends) == 2 and not ends & taken:
            taken |= ends
            chosen.append(edge)
    return np.array(sorted(chosen), dtype=np.int64)
