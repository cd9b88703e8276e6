"""Family ``completion``: the ends of the edges that were held out of the graph.

Three rankers choose among the same concepts. By names: the scorer of family ``link_prediction``
(:mod:`balign.evaluate.edge_scorer`) on the model's vectors, learnt on edges of the graph. By graph
embeddings: the tables of ``pretrain_kge``, trained on all edges of the graph. By a router
(:mod:`balign.evaluate.router`) that trusts one of the two at each query; it learns on one half of
the held-out edges, and all are scored on the other.

Ranks are filtered (Bordes et al., NIPS 2013): other ends that the graph has, held out or not, do
not count, nor does the given end. An answer that ties with others has the mean of their ranks, so
that a constant score ranks every answer in the middle. Neither pre-training nor graph embeddings
met the held-out edges.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch

from balign.evaluate.edge_scorer import Scorer, make_scorer, score_steps
from balign.evaluate.graph_edges import IntArray
from balign.evaluate.held_out_edges import HeldOutEdges, held_out_edges
from balign.evaluate.outcome import Outcome, Run
from balign.evaluate.router import NONE, RANKERS, SHAPE, FloatArray, fit_router, shape_features
from balign.evaluate.zero_shot_settings import CompletionTask
from balign.graph.csr import Graph
from balign.pretrain.kge_scores import KgeTables
from balign.pretrain.kge_scores import Scorer as KgeScorer
from balign.progress import track

METRICS = ("mrr", "hits@1", "hits@3", "hits@10")
SIDES = ("head", "tail")
FEATURES = ("head_asked_for", "given_degree", "relation_edges", "known_answers", *SHAPE)
_BLOCK = 64  # queries at a time
_STEPS = 1e9  # scores of embeddings count in parts of a query's greatest, coarser than rounding

# Rows of the queries -> scores of all concepts as whole steps, [rows, concepts].
Ranker = Callable[[slice], IntArray]


@dataclass(frozen=True)
class Ranked:
    """Queries of one side.

    Attributes:
        ranks: ``[n, rankers]``, of the right answer, from 1.
        features: ``[n, f]``, what a router reads; without one there are none.
    """

    ranks: FloatArray
    features: FloatArray


def run(task: CompletionTask, run: Run) -> Outcome:
    """Rank the candidates for both ends of the held-out edges.

    Raises:
        DataError: if an input cannot be read, the graph has too few edges, or the graph embeddings
            are of another graph.
    """
    assert run.graph is not None  # the family declares it
    graph = Graph.open(run.graph)
    held = held_out_edges(graph, task)
    tables = KgeTables.open(run.kge, run.graph) if run.kge else None
    scorer = make_scorer(task, run.model, held.sets, run.seed)
    split = len(held.validation) if tables else 0
    edges = np.concatenate([held.validation[:split], held.sets.test])
    ranked = {}
    for side in SIDES:
        rankers = [by_names(scorer, edges, side)]
        if tables:
            rankers.append(by_embeddings(tables, held.nodes, edges, side))
        ranked[side] = rank_queries(rankers, held, edges, side)
    columns, routing, facts = routed(ranked, split) if tables else ({}, {}, {})
    test = held.sets.test
    predictions = pl.DataFrame(
        {
            "example": np.arange(2 * len(test), dtype=np.int64),
            "head": [held.sets.concepts[one] for one in test[:, 0]] * 2,
            "relation": [held.sets.relations[one] for one in test[:, 1]] * 2,
            "tail": [held.sets.concepts[one] for one in test[:, 2]] * 2,
            "subsets": [[side] for side in SIDES for _ in test],
            "rank": np.concatenate([ranked[side].ranks[split:, 0] for side in SIDES]),
            **columns,
        }
    )
    counts = {
        "candidate_concepts": len(held.sets.concepts),
        "train_edges": len(held.sets.train),
        "development_edges": len(held.sets.dev),
        "validation_edges": split,
        "test_edges": len(test),
        **routing,
    }
    prefixes = ("", "kge_", "router_") if tables else ("",)
    metrics = tuple(prefix + name for prefix in prefixes for name in METRICS)
    return Outcome(predictions, metrics, SIDES, counts, facts)


def by_names(scorer: Scorer, edges: IntArray, side: str) -> Ranker:
    """Return the ranker of a scorer of names."""
    queries, answers = scorer.queries(edges, side), scorer.answers(side)
    return lambda rows: score_steps(queries[rows], answers)


def by_embeddings(tables: KgeTables, nodes: IntArray, edges: IntArray, side: str) -> Ranker:
    """Return the ranker of graph embeddings.

    Args:
        tables: of the whole graph.
        nodes: ``[concepts]``, the node of each concept.
        edges: ``[n, 3]``, positions among the concepts.
        side: the end that is asked for.
    """
    entities = tables.entities[torch.from_numpy(nodes)].double()
    scorer = KgeScorer(KgeTables(tables.kind, entities, tables.relations.double()))
    given = torch.from_numpy(edges[:, 2 if side == "head" else 0])
    relations = torch.from_numpy(edges[:, 1])

    def steps(rows: slice) -> IntArray:
        scores = scorer(given[rows], relations[rows], heads=side == "tail").numpy()
        greatest = np.abs(scores).max(axis=1, keepdims=True)
        scale = np.where(greatest > 0, greatest, 1)
        found: IntArray = np.rint(scores / scale * _STEPS).astype(np.int64)
        return found

    return steps


def rank_queries(
    rankers: Sequence[Ranker], held: HeldOutEdges, edges: IntArray, side: str
) -> Ranked:
    """Return the filtered ranks of the right concepts, and what a router may know of the queries.

    A router sees scores without the answers that the graph has; that other answers are held out is
    not for it to know.

    Args:
        rankers: one, or the two of a router.
        held: the edges to filter by.
        edges: ``[n, 3]``, what the rankers were made for.
        side: the end that is asked for.
    """
    column, other = (0, 2) if side == "head" else (2, 0)
    in_graph = _answers(held.graph_edges, other, column)
    in_either = _answers(held.sets.known, other, column)
    ranks, features = np.empty((len(edges), len(rankers))), []
    for start in track(range(0, len(edges), _BLOCK), f"blocks of edges, {side} asked for"):
        rows = slice(start, start + _BLOCK)
        block = edges[rows]
        scores = [ranker(rows) for ranker in rankers]
        keys = [(given, relation) for given, relation in block[:, [other, 1]].tolist()]
        for row, key in enumerate(keys):
            for one in scores:
                one[row, [key[0], *in_graph[key]]] = NONE
        if len(rankers) > 1:
            about = [
                np.full(len(block), side == "head"),
                np.log1p(held.degrees[block[:, other]]),
                np.log1p(held.frequencies[block[:, 1]]),
                np.log1p([len(in_graph[key]) for key in keys]),
            ]
            features.append(np.column_stack([*about, shape_features(*scores)]))
        for row, (key, right) in enumerate(zip(keys, block[:, column].tolist(), strict=True)):
            others = [one for one in in_either[key] if one != right]
            for place, one in enumerate(scores):
                one[row, others] = NONE
                ranks[start + row, place] = mean_rank(one[row], right)
    return Ranked(ranks, np.concatenate(features) if features else np.empty((len(edges), 0)))


def _answers(edges: IntArray, given: int, asked: int) -> dict[tuple[int, int], list[int]]:
    """Return the known answers by given end and relation."""
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for edge in edges.tolist():
        found[edge[given], edge[1]].append(edge[asked])
    return found


def mean_rank(scores: IntArray, right: int) -> float:
    """Return the rank of an answer, from 1; that of a tie is the mean of its ranks."""
    above, level = int((scores > scores[right]).sum()), int((scores == scores[right]).sum())
    return 1 + above + (level - 1) / 2


def routed(
    ranked: dict[str, Ranked], split: int
) -> tuple[dict[str, Any], dict[str, int], dict[str, Any]]:
    """Learn a router on the first ``split`` edges; return its columns, counts and facts."""
    before, after = (
        [
            np.concatenate([getattr(ranked[side], name)[rows] for side in SIDES])
            for name in ("features", "ranks")
        ]
        for rows in (slice(split), slice(split, None))
    )
    router = fit_router(before[0], 1 / before[1], np.tile(np.arange(split), 2), FEATURES)
    to_kge = router.to_kge(after[0])
    lm, kge = after[1].T
    columns = {
        "rank_kge": kge,
        "rank_router": np.where(to_kge, kge, lm),
        "routed_to": [RANKERS[one] for one in to_kge.astype(int)],
    }
    facts = {
        "router": router.name,
        "validation_mrr": {name: round(value, 6) for name, value in router.validation.items()},
        "weights": {name: round(value, 4) for name, value in router.weights.items()},
    }
    return columns, {"queries_routed_to_kge": int(to_kge.sum())}, facts
