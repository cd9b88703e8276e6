"""Build the arrays of the graph from the knowledge graph's tables and the corpus's mentions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from balign.errors import ConfigError, DataError
from balign.files import atomic_path, write_json
from balign.graph.held_out import hold_out
from balign.graph.settings import GraphSettings

log = logging.getLogger(__name__)

_HUBS = 10
_PERCENTILES = (0, 10, 50, 90, 99, 100)


def graph_build(
    database: Path, mentions: Sequence[Path], settings: GraphSettings, output: Path
) -> None:
    """Write the graph folder; the same input gives the same bytes.

    Args:
        database: kg.duckdb.
        mentions: Parquet files with the column ``concept``, one row a mention, in any order.
        settings: the stage's settings.
        output: the folder, replaced as a whole.

    Raises:
        ConfigError: if a relation to leave out does not exist.
        DataError: if an input cannot be read, or a concept of the graph has no name.
    """
    edges, relations, names, definitions, sources = _read_tables(database)
    edges, relations = _leave_out(edges, relations, settings.exclude_relations)
    counts = _count_mentions(mentions)

    concepts = pl.concat([edges["head"], edges["tail"], counts["concept"]]).unique().sort()
    head, tail = concepts.search_sorted(edges["head"]), concepts.search_sorted(edges["tail"])
    relation = relations["relation"].search_sorted(edges["relation"])
    triples = np.stack([head.to_numpy(), relation.to_numpy(), tail.to_numpy()]).astype(np.int64)
    aside = hold_out(
        triples[0], triples[1], triples[2], settings.held_out_edges, settings.held_out_seed
    )
    held_out, triples = triples[:, aside].T, np.delete(triples, aside, axis=1)
    indptr, indices, edge_relations = both_directions(
        triples[0], triples[1], triples[2], len(concepts), len(relations)
    )
    names = _names_of(names, concepts, settings.max_names)
    name_indptr = _indptr(names["node"].to_numpy(), len(concepts))
    _check_named(concepts, name_indptr, database)
    mention_count = np.zeros(len(concepts), np.int64)
    mention_count[concepts.search_sorted(counts["concept"]).to_numpy()] = counts["mentions"]

    with atomic_path(output) as folder:
        folder.mkdir()
        _write_lines(folder / "concepts.txt", concepts)
        _write_lines(folder / "relations.txt", relations["relation"])
        _write_lines(folder / "relation_labels.txt", relations["label"])
        np.save(folder / "indptr.npy", indptr)
        np.save(folder / "indices.npy", indices)
        np.save(folder / "relations.npy", edge_relations)
        np.save(folder / "held_out.npy", held_out[np.lexsort(held_out.T[::-1])])
        np.save(folder / "name_indptr.npy", name_indptr)
        np.save(folder / "mention_count.npy", mention_count)
        names.write_parquet(folder / "names.parquet")
        _definitions_of(definitions, concepts).write_parquet(folder / "definitions.parquet")
        facts = _facts(edges, names, indptr, mention_count, concepts)
        facts |= {"held_out_edges": len(held_out), "sources": sources.to_dicts()}
        write_json(folder / "counts.json", facts)
    log.info(
        "graph: %s nodes, %s edges, %s of them held out",
        *(f"{number:,}" for number in (len(concepts), len(edges), len(held_out))),
    )


def _read_tables(database: Path) -> list[pl.DataFrame]:
    """Return edges, relations with labels, names not held out, definitions, and sources."""
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            return [
                connection.sql(query).pl()
                for query in (
                    "SELECT DISTINCT head, relation, tail FROM edge",
                    "SELECT relation, label FROM relation",
                    "SELECT concept, name, preferred, rank FROM atom WHERE NOT held_out",
                    "SELECT DISTINCT concept, definition FROM definition",
                    "SELECT source, version, licence, restriction FROM source ORDER BY ALL",
                )
            ]
    except duckdb.Error as error:
        raise DataError(
            f"the knowledge graph cannot be read: {error}",
            where=str(database),
            hint="build it with `balign kg build`",
        ) from None


def _leave_out(
    edges: pl.DataFrame, relations: pl.DataFrame, excluded: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the edges of the other relations, and the relations that have an edge, sorted."""
    unknown = sorted(set(excluded) - set(relations["relation"]))
    if unknown:
        raise ConfigError(
            f"relations to leave out that the graph does not have: {', '.join(unknown)}",
            where="graph.exclude_relations",
            hint=f"its relations: {', '.join(sorted(relations['relation']))}",
        )
    undeclared = sorted(set(edges["relation"]) - set(relations["relation"]))
    if undeclared:
        raise DataError(
            f"relations of edges that the table of relations does not have: {undeclared}",
            hint="build the database again with `balign kg build`",
        )
    edges = edges.filter(~pl.col("relation").is_in(excluded))
    return edges, relations.join(edges, on="relation", how="semi").sort("relation")


def _count_mentions(files: Sequence[Path]) -> pl.DataFrame:
    """Return ``concept`` and its ``mentions`` over all files."""
    parts = [pl.DataFrame(schema={"concept": pl.String, "mentions": pl.UInt32})]
    for file in files:
        try:
            column = pl.read_parquet(file, columns=["concept"])
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"not a readable file of mentions: {error}", where=str(file)) from None
        parts.append(column.group_by("concept").agg(mentions=pl.len()))
    return (
        pl.concat(parts, how="vertical_relaxed")
        .group_by("concept")
        .agg(pl.col("mentions").cast(pl.Int64).sum())
        .sort("concept")
    )


def both_directions(
    head: npt.NDArray[np.integer[Any]],
    relation: npt.NDArray[np.integer[Any]],
    tail: npt.NDArray[np.integer[Any]],
    nodes: int,
    relations: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the compressed sparse rows of the edges and their inverses.

    Args:
        head: [edges] node ids.
        relation: [edges] relation ids.
        tail: [edges] node ids.
        nodes: number of nodes.
        relations: number of relations; an edge's inverse has relation id ``relation + relations``.

    Returns:
        ``indptr`` [nodes + 1], and neighbours and relations [2 * edges] by node, sorted by
        (neighbour, relation) in a node.
    """
    node = np.concatenate([head, tail]).astype(np.int64)
    neighbour = np.concatenate([tail, head]).astype(np.int32)
    label = np.concatenate([relation, relation.astype(np.int64) + relations]).astype(np.int32)
    order = np.lexsort((label, neighbour, node))
    return _indptr(node, nodes), neighbour[order], label[order]


def _indptr(node: npt.NDArray[np.integer[Any]], nodes: int) -> npt.NDArray[np.int64]:
    indptr = np.zeros(nodes + 1, np.int64)
    np.cumsum(np.bincount(node, minlength=nodes), out=indptr[1:])
    return indptr


def _names_of(names: pl.DataFrame, concepts: pl.Series, most: int) -> pl.DataFrame:
    """Return ``node`` and ``name`` of the concepts: preferred first, then by rank, then by name."""
    nodes = pl.DataFrame({"concept": concepts}).with_row_index("node")
    return (
        names.join(nodes, on="concept")
        .sort("node", "preferred", "rank", "name", descending=[False, True, False, False])
        .group_by("node", maintain_order=True)
        .head(most)
        .select(pl.col("node").cast(pl.Int32), "name")
    )


def _definitions_of(definitions: pl.DataFrame, concepts: pl.Series) -> pl.DataFrame:
    """Return ``node`` and ``definition`` of the concepts that have one, sorted."""
    nodes = pl.DataFrame({"concept": concepts}).with_row_index("node")
    return (
        definitions.join(nodes, on="concept")
        .select(pl.col("node").cast(pl.Int32), "definition")
        .sort("node", "definition")
    )


def _check_named(concepts: pl.Series, name_indptr: npt.NDArray[np.int64], database: Path) -> None:
    nameless = np.flatnonzero(np.diff(name_indptr) == 0)
    if len(nameless):
        raise DataError(
            f"{len(nameless):,} concepts have an edge or a mention but no name, "
            f"the first is {concepts[int(nameless[0])]}",
            where=str(database),
            hint="build the database and the mentions again, from the same sources",
        )


def _facts(
    edges: pl.DataFrame,
    names: pl.DataFrame,
    indptr: npt.NDArray[np.int64],
    mention_count: npt.NDArray[np.int64],
    concepts: pl.Series,
) -> dict[str, object]:
    """Return what ``counts.json`` holds."""
    degree = np.diff(indptr)
    hubs = np.argsort(-degree, kind="stable")[:_HUBS]
    preferred = names.unique("node", keep="first", maintain_order=True)["name"]
    return {
        "nodes": len(degree),
        "nodes_without_edge": int((degree == 0).sum()),
        "nodes_with_mention": int((mention_count > 0).sum()),
        "mentions": int(mention_count.sum()),
        "edges": len(edges),
        "relations": dict(edges.group_by("relation").len().sort("relation").iter_rows()),
        "names": len(names),
        "degree_mean": round(float(degree.mean()), 3) if len(degree) else 0.0,
        "degree_percentiles": {
            str(p): int(np.percentile(degree, p, method="nearest")) if len(degree) else 0
            for p in _PERCENTILES
        },
        "hubs": [
            {"concept": concepts[node], "name": preferred[node], "degree": int(degree[node])}
            for node in hubs.tolist()
        ],
    }


def _write_lines(path: Path, lines: pl.Series) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
