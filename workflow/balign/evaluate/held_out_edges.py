"""The edges that the graph holds out, and what is learnt and chosen from to complete it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from balign.errors import DataError
from balign.evaluate.graph_edges import EdgeSets, IntArray
from balign.evaluate.zero_shot_settings import CompletionTask
from balign.graph.csr import Graph
from balign.graph.sample import counter_keys

_FEWEST = 4  # held-out edges: two of each half, so that a router can be tried on one of them


@dataclass(frozen=True)
class HeldOutEdges:
    """Held-out edges in two halves, with all that ranking their ends needs.

    Attributes:
        sets: the concepts to choose from; ``train`` and ``dev`` are edges of the graph, ``test`` is
            one half of the held-out edges, ``known`` all edges between the concepts, held out or
            not.
        validation: [m, 3], the other half, for the router.
        graph_edges: [k, 3], the graph's edges between the concepts.
        nodes: [concepts], their nodes in the graph.
        degrees: [concepts], neighbours of each in the graph.
        frequencies: [relations], edges of each in the graph.
    """

    sets: EdgeSets
    validation: IntArray
    graph_edges: IntArray
    nodes: IntArray
    degrees: IntArray
    frequencies: IntArray


def held_out_edges(graph: Graph, task: CompletionTask) -> HeldOutEdges:
    """Cut the held-out edges into halves, and draw edges of the graph and concepts.

    Raises:
        DataError: if too few edges are held out, or the graph has too few others.
    """
    held, triples = np.asarray(graph.held_out), graph.triples()
    if len(held) < _FEWEST:
        raise DataError(
            f"the graph holds {len(held)} edges out, at least {_FEWEST} are wanted",
            where=str(graph.path),
            hint="raise graph.held_out_edges",
        )
    held = held[_order(task.seed, held)]
    validation, test = np.split(held, [len(held) // 2])
    wanted = task.dev_edges + task.train_edges if task.scorer == "bilinear" else 0
    drawn = triples[_order(task.seed, triples)[:wanted]]
    if wanted and len(drawn) <= task.dev_edges:
        raise DataError(
            f"the graph has {len(triples)} edges, {task.dev_edges} are wanted to choose by alone",
            hint=f"lower dev_edges of task {task.name}",
        )
    dev, train = np.split(drawn, [min(task.dev_edges, len(drawn))])
    apart = ~np.isin(_pairs(dev, len(graph)), _pairs(train, len(graph)))
    if wanted and not apart.any():
        raise DataError("no edge is left to choose by", hint=f"raise dev_edges of task {task.name}")

    degrees = np.diff(graph.indptr)
    own = np.unique(np.concatenate([held, drawn])[:, [0, 2]])
    others = np.setdiff1d(np.flatnonzero(degrees), own)
    if task.candidates is not None:
        others = others[_order(task.seed, others[:, None])[: max(0, task.candidates - len(own))]]
    nodes = np.sort(np.concatenate([own, others]))
    place = np.full(len(graph), -1, dtype=np.int64)
    place[nodes] = np.arange(len(nodes))

    def placed(edges: IntArray) -> IntArray:
        heads, tails = place[edges[:, 0]], place[edges[:, 2]]
        found: IntArray = np.stack([heads, edges[:, 1], tails], axis=1)
        found = found[(heads >= 0) & (tails >= 0)]
        return found

    between = placed(triples)
    sets = EdgeSets(
        concepts=[graph.concepts[node] for node in nodes],
        names=graph.names.gather(np.asarray(graph.name_indptr)[nodes]).to_list(),
        relations=graph.relations,
        labels=graph.relation_labels,
        train=placed(train),
        dev=placed(dev[apart]),
        test=placed(test),
        known=np.concatenate([between, placed(held)]),
        joined=int((~apart).sum()),
    )
    order = np.argsort(sets.keys(sets.known), kind="stable")
    return HeldOutEdges(
        sets=EdgeSets(**{**vars(sets), "known": sets.known[order]}),
        validation=placed(validation),
        graph_edges=between,
        nodes=nodes,
        degrees=degrees[nodes],
        frequencies=np.bincount(triples[:, 1], minlength=len(graph.relations)),
    )


def _order(seed: int, rows: IntArray) -> IntArray:
    """Return the order of rows by a hash, [n]: a longer draw begins with a shorter one."""
    found: IntArray = np.argsort(counter_keys(seed, *rows.T), kind="stable")
    return found


def _pairs(edges: IntArray, nodes: int) -> IntArray:
    """Return a number for the two ends of each edge, whatever the direction, [n]."""
    ends = np.sort(edges[:, [0, 2]], axis=1)
    found: IntArray = ends[:, 0] * nodes + ends[:, 1]
    return found
