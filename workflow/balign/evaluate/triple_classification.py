"""Family ``triple_classification``: edges of the graph against corrupted ones.

As Socher et al. (NIPS 2013): each edge is set against one whose head or tail is replaced by a
concept that stands there in another edge of the same relation, so that the graph has no such edge.
The threshold is the one of the best accuracy on the development edges.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from balign.embedding import FloatMatrix
from balign.evaluate.edge_scorer import edge_scores, make_scorer
from balign.evaluate.graph_edges import EdgeSets, IntArray, edge_sets
from balign.evaluate.linking import open_graph
from balign.evaluate.outcome import Outcome, Run
from balign.evaluate.zero_shot_settings import TripleClassificationTask

_TRIES = 20  # draws until a corrupted edge is not one of the graph


def run(task: TripleClassificationTask, run: Run) -> Outcome:
    """Score edges and corrupted edges.

    Raises:
        DataError: if the graph has too few edges.
    """
    sizes = (task.train_edges, task.dev_edges, task.test_edges)
    with open_graph(run.database) as graph:
        sets = edge_sets(graph, task.seed, sizes, candidates=1)
    scorer = make_scorer(task, run.model, sets, run.seed)
    rng = np.random.default_rng(task.seed)  # the same for every model
    dev, dev_gold = with_corrupted(sets, sets.dev, rng)
    test, gold = with_corrupted(sets, sets.test, rng)
    threshold = best_threshold(edge_scores(scorer, dev), dev_gold)
    scores = edge_scores(scorer, test)
    predictions = pl.DataFrame(
        {
            "example": np.arange(len(test), dtype=np.int64),
            "head": [sets.concepts[one] for one in test[:, 0]],
            "relation": [sets.relations[one] for one in test[:, 1]],
            "tail": [sets.concepts[one] for one in test[:, 2]],
            "gold": gold,
            "score": scores,
            "predicted": scores >= threshold,
        }
    )
    counts = {
        "train_edges": len(sets.train),
        "development_edges": len(sets.dev),
        "test_edges": len(sets.test),
        "edges_joined_in_train": sets.joined,
        "edges_without_corrupted": 2 * len(sets.test) - len(test),
    }
    return Outcome(predictions, ("auc", "accuracy"), counts=counts)


def with_corrupted(
    sets: EdgeSets, edges: IntArray, rng: np.random.Generator
) -> tuple[IntArray, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Return edges, each followed by a corrupted one where one was found, and which are real."""
    found, gold = [], []
    pools = {
        (relation, column): np.unique(sets.known[sets.known[:, 1] == relation, column])
        for relation in np.unique(edges[:, 1]).tolist()
        for column in (0, 2)
    }
    for edge in edges:
        found.append(edge)
        gold.append(True)
        for _ in range(_TRIES):
            column = int(rng.choice([0, 2]))
            wrong = edge.copy()
            wrong[column] = rng.choice(pools[int(edge[1]), column])
            if wrong[0] != wrong[2] and not sets.are_known(wrong[None])[0]:
                found.append(wrong)
                gold.append(False)
                break
    return np.stack(found), np.array(gold)


def best_threshold(scores: FloatMatrix, gold: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    """Return the threshold of the best accuracy: a score, or infinity; of equal the lowest."""
    values = np.unique(scores)
    above = np.append(values, np.inf)
    # Right at a threshold: the edges from there on, and the corrupted below.
    edges = np.sort(scores[gold])
    corrupted = np.sort(scores[~gold])
    right = (len(edges) - np.searchsorted(edges, above)) + np.searchsorted(corrupted, above)
    return float(above[int(np.argmax(right))])
