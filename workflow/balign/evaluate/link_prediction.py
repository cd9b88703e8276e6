"""Family ``link_prediction``: which concept is the head, or the tail, of an edge.

Concepts are known by their names alone: a scorer ranks the vectors of all candidates' names
(:mod:`balign.evaluate.edge_scorer`). Ranks are filtered (Bordes et al., NIPS 2013): other right
answers do not count; of equal scores half stand before. The test edges are kept from the scorer,
not from pre-training: a model that was aligned with the graph has met them, the control has not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from balign.evaluate.edge_scorer import Scorer, make_scorer, score_steps
from balign.evaluate.graph_edges import EdgeSets, IntArray, edge_sets
from balign.evaluate.linking import open_graph
from balign.evaluate.outcome import Outcome, Run
from balign.evaluate.zero_shot_settings import LinkPredictionTask
from balign.progress import track

METRICS = ("mrr", "hits@1", "hits@3", "hits@10")
SIDES = ("head", "tail")
_BLOCK = 256  # queries at a time


def run(task: LinkPredictionTask, run: Run) -> Outcome:
    """Rank the candidates for both ends of the test edges.

    Raises:
        DataError: if the graph has too few edges.
    """
    sizes = (task.train_edges, task.dev_edges, task.test_edges)
    with open_graph(run.database) as graph:
        sets = edge_sets(graph, task.seed, sizes, task.candidates)
    scorer = make_scorer(task, run.model, sets, run.seed)
    heads, relations, tails = sets.test.T
    parts = []
    for side in SIDES:
        parts.append(
            pl.DataFrame(
                {
                    "head": [sets.concepts[one] for one in heads],
                    "relation": [sets.relations[one] for one in relations],
                    "tail": [sets.concepts[one] for one in tails],
                    "rank": filtered_ranks(scorer, sets, sets.test, side),
                    "subsets": [[side]] * len(heads),
                }
            )
        )
    predictions = pl.concat(parts).with_row_index("example")
    counts = {
        "candidate_concepts": len(sets.concepts),
        "train_edges": len(sets.train),
        "development_edges": len(sets.dev),
        "test_edges": len(sets.test),
        "edges_joined_in_train": sets.joined,
    }
    predictions = predictions.with_columns(pl.col("example").cast(pl.Int64))
    return Outcome(predictions, METRICS, SIDES, counts)


def filtered_ranks(
    scorer: Scorer, sets: EdgeSets, edges: IntArray, side: str
) -> npt.NDArray[np.int64]:
    """Return the rank of the right concept of each edge among the candidates, ``[n]``, from 1."""
    column, other = (0, 2) if side == "head" else (2, 0)
    answers = scorer.answers(side)
    right: dict[tuple[int, int], list[int]] = {}
    for edge in sets.known.tolist():
        right.setdefault((edge[other], edge[1]), []).append(edge[column])
    queries = scorer.queries(edges, side)
    ranks = np.empty(len(edges), dtype=np.int64)
    for start in track(range(0, len(edges), _BLOCK), f"blocks of edges, {side} asked for"):
        block = edges[start : start + _BLOCK]
        scores = score_steps(queries[start : start + _BLOCK], answers)
        for row, edge in enumerate(block.tolist()):
            own = scores[row, edge[column]]
            # No concept has a relation to itself.
            scores[row, [edge[other], *right[edge[other], edge[1]]]] = np.iinfo(np.int64).min
            above, equal = int((scores[row] > own).sum()), int((scores[row] == own).sum())
            ranks[start + row] = 1 + above + equal // 2
    return ranks
