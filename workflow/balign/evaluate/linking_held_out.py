"""Family ``linking_held_out``: link the synonyms that the graph kept out of everything else."""

from __future__ import annotations

import duckdb
import polars as pl

from balign.errors import DataError
from balign.evaluate.draw import draw_key
from balign.evaluate.linking import METRICS, NAME_SCHEMA, Query, distinct_names, link, open_graph
from balign.evaluate.outcome import Outcome, Run
from balign.evaluate.settings import HeldOutLinkingTask


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
        candidates = _candidates(graph, task, {one for query in queries for one in query.gold})
    counts = {
        "candidate_names": len(candidates),
        "candidate_concepts": candidates["concept"].n_unique(),
    }
    return Outcome(link(run.model, queries, candidates), METRICS, counts=counts)


def _queries(graph: duckdb.DuckDBPyConnection, task: HeldOutLinkingTask) -> list[Query]:
    """Return the held-out names with the concepts that own them, drawn by hash where too many."""
    rows = graph.execute(
        "SELECT name, list(DISTINCT concept ORDER BY concept) FROM atom WHERE held_out "
        "GROUP BY name ORDER BY name"
    ).fetchall()
    if task.queries is not None:
        rows = sorted(rows, key=lambda row: draw_key(task.seed, row[0]))[: task.queries]
    return [Query(name, tuple(concepts)) for name, concepts in sorted(rows)]


def _candidates(
    graph: duckdb.DuckDBPyConnection, task: HeldOutLinkingTask, gold: set[str]
) -> pl.DataFrame:
    """Return all names of the gold concepts, filled up with drawn names of other concepts."""
    rows = graph.execute("SELECT concept, name, rank FROM atom WHERE NOT held_out").fetchall()
    names = distinct_names(pl.DataFrame(rows, schema=NAME_SCHEMA, orient="row"))
    if task.candidates is None:
        return names
    right = names["concept"].is_in(list(gold))
    kept, others = names.filter(right), names.filter(~right)
    missing = max(0, task.candidates - len(kept))
    keys = [draw_key(task.seed, f"{concept}\t{name}") for concept, name, _ in others.iter_rows()]
    drawn = sorted(range(len(keys)), key=keys.__getitem__)[:missing]
    return pl.concat([kept, others[drawn]])
