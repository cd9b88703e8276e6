"""Edges of the graph drawn for tasks, and what each edge is not to be mistaken for."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from balign.errors import DataError

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EdgeSets:
    """Drawn edges as positions; every array of edges is ``[n, 3]``: head, relation, tail.

    Attributes:
        concepts: concept ids, sorted.
        names: preferred name of each.
        relations: relation names, sorted.
        labels: what a person reads for each.
        train: to learn from.
        dev: to choose by.
        test: to score; like ``dev`` without edges whose concepts a training edge joins too.
        known: all edges of the graph between ``concepts``, in the order of their keys.
        joined: dev and test edges that were left out for that.
    """

    concepts: list[str]
    names: list[str]
    relations: list[str]
    labels: list[str]
    train: IntArray
    dev: IntArray
    test: IntArray
    known: IntArray
    joined: int

    def keys(self, edges: IntArray) -> IntArray:
        """Return one number an edge, ``[n]``."""
        count = len(self.concepts)
        found: IntArray = (edges[:, 1] * count + edges[:, 0]) * count + edges[:, 2]
        return found

    def are_known(self, edges: IntArray) -> npt.NDArray[np.bool_]:
        """Return which edges the graph has, ``[n]``."""
        known, asked = self.keys(self.known), self.keys(edges)
        place = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        return np.asarray(known[place] == asked)


def draw_edges(
    graph: duckdb.DuckDBPyConnection, seed: int, count: int, per_relation: int | None = None
) -> pl.DataFrame:
    """Return ``head``, ``relation``, ``tail`` of edges drawn by a hash, in the order of the draw.

    Args:
        graph: kg.duckdb.
        seed: of the draw.
        count: edges wanted; fewer come back where there are fewer.
        per_relation: at most so many of each relation.

    Raises:
        DataError: if the graph has no edge.
    """
    limit = f"QUALIFY row_number() OVER (PARTITION BY relation ORDER BY key) <= {per_relation}"
    drawn: pl.DataFrame = graph.sql(
        f"""
        SELECT head, relation, tail,
            md5(concat_ws('\t', CAST($seed AS VARCHAR), head, relation, tail)) AS key
        FROM (SELECT DISTINCT head, relation, tail FROM edge)
        {limit if per_relation else ""}
        ORDER BY key LIMIT $count
        """,
        params={"seed": seed, "count": count},
    ).pl()
    if drawn.is_empty():
        raise DataError("the knowledge graph has no edge", hint="leave this task out")
    return drawn.drop("key")


def edge_sets(
    graph: duckdb.DuckDBPyConnection,
    seed: int,
    sizes: tuple[int, int, int],
    candidates: int | None = None,
) -> EdgeSets:
    """Draw training, development and test edges, and the concepts to choose from.

    Test is drawn first, so that other sizes of training leave it as it is.

    Args:
        graph: kg.duckdb.
        seed: of the draw.
        sizes: edges to train on, to develop on, to test.
        candidates: concepts wanted: those of the drawn edges, filled up with others that have an
            edge; None for all.

    Raises:
        DataError: if the graph has too few edges to fill all three parts.
    """
    _, dev_size, test_size = sizes
    drawn = draw_edges(graph, seed, sum(sizes))
    if len(drawn) < dev_size + test_size + 1:
        raise DataError(
            f"the graph has {len(drawn)} edges, {dev_size + test_size} are wanted to choose by and "
            "to score alone",
            hint="lower dev_edges and test_edges of the task",
        )
    own = pl.concat([drawn["head"], drawn["tail"]]).unique()
    missing = None if candidates is None else max(0, candidates - len(own))
    rows: pl.DataFrame = graph.sql(
        f"""
        SELECT concept, preferred_name AS name,
            md5(concat_ws('\t', CAST($seed AS VARCHAR), concept)) AS key
        FROM concept WHERE concept IN (SELECT head FROM edge UNION SELECT tail FROM edge)
        AND concept NOT IN (SELECT unnest($own))
        ORDER BY key {"" if missing is None else f"LIMIT {missing}"}
        """,
        params={"seed": seed, "own": own.to_list()},
    ).pl()
    named: pl.DataFrame = graph.sql(
        "SELECT concept, preferred_name AS name FROM concept "
        "WHERE concept IN (SELECT unnest($own))",
        params={"own": own.to_list()},
    ).pl()
    concepts = pl.concat([named, rows.drop("key")]).sort("concept")
    relations: pl.DataFrame = graph.sql(
        "SELECT relation, label FROM relation ORDER BY relation"
    ).pl()
    known: pl.DataFrame = graph.sql(
        "SELECT DISTINCT head, relation, tail FROM edge WHERE head IN (SELECT unnest($some)) "
        "AND tail IN (SELECT unnest($some))",
        params={"some": concepts["concept"].to_list()},
    ).pl()
    ids, names = concepts["concept"].to_list(), concepts["name"].to_list()
    place = {one: row for row, one in enumerate(ids)}
    kind = {one: row for row, one in enumerate(relations["relation"])}

    def positions(edges: pl.DataFrame) -> IntArray:
        found = [(place[h], kind[r], place[t]) for h, r, t in edges.iter_rows()]
        return np.array(found, dtype=np.int64).reshape(-1, 3)

    edges = positions(drawn)
    test, dev, train = np.split(edges, [test_size, test_size + dev_size])
    joined = {(h, t) for h, _, t in train.tolist()} | {(t, h) for h, _, t in train.tolist()}

    def apart(part: IntArray) -> IntArray:
        return np.array(
            [edge for edge in part.tolist() if (edge[0], edge[2]) not in joined], dtype=np.int64
        ).reshape(-1, 3)

    sets = EdgeSets(
        concepts=ids,
        names=names,
        relations=relations["relation"].to_list(),
        labels=relations["label"].to_list(),
        train=train,
        dev=apart(dev),
        test=apart(test),
        known=positions(known),
        joined=len(dev) + len(test) - len(apart(dev)) - len(apart(test)),
    )
    if not len(sets.dev) or not len(sets.test):
        raise DataError("no edge is left to choose by or to score", hint="draw more edges")
    order = np.argsort(sets.keys(sets.known), kind="stable")
    return EdgeSets(**{**vars(sets), "known": sets.known[order]})
