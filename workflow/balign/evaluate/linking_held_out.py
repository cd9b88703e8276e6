"""Family ``linking_held_out``: link the synonyms that the graph kept out of everything else."""

from __future__ import annotations

import duckdb
import polars as pl

from balign.draw import draw_key
from balign.errors import DataError
from balign.evaluate.linking import (
    METRICS,
    NAME_SCHEMA,
    Query,
    distinct_names,
    draw_candidates,
    link,
    open_graph,
)
from balign.evaluate.outcome import Outcome, Run
from balign.evaluate.zero_shot_settings import HeldOutLinkingTask


def run(task: HeldOutLinkingTask, run: Run) -> Outcome:
    """Link held-out synonyms to concepts.

    Raises:
        DataError: if the graph holds no synonym out.
    """
    with open_graph(run.database) as graph:
        queries = _queries(graph, task)
        if not queries:
            raise DataError(
                "the knowledge graph holds no synonym out",
                where=str(run.database),
                hint="set kg.held_out.count above 0, or leave this task out",
            )
        rows = graph.execute("SELECT concept, name, rank FROM atom WHERE NOT held_out").fetchall()
    names = distinct_names(pl.DataFrame(rows, schema=NAME_SCHEMA, orient="row"))
    gold = {one for query in queries for one in query.gold}
    candidates = draw_candidates(names, gold, task.candidates, task.seed)
    counts = {
        "candidate_names": len(candidates),
        "candidate_concepts": candidates["concept"].n_unique(),
    }
    return Outcome(link(run.model, queries, candidates, task.pooling), METRICS, counts=counts)


def _queries(graph: duckdb.DuckDBPyConnection, task: HeldOutLinkingTask) -> list[Query]:
    """Return the held-out names with the concepts that own them, drawn by hash where too many."""
    rows = graph.execute(
        "SELECT name, list(DISTINCT concept ORDER BY concept) FROM atom WHERE held_out "
        "GROUP BY name ORDER BY name"
    ).fetchall()
    if task.queries is not None:
        rows = sorted(rows, key=lambda row: draw_key(task.seed, row[0]))[: task.queries]
    return [Query(name, tuple(concepts)) for name, concepts in sorted(rows)]
