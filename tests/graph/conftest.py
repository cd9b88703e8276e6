from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from balign.graph.build import both_directions
from balign.graph.csr import Graph


@pytest.fixture
def make_database(tmp_path: Path):
    """Write a kg.duckdb with the tables that the stage reads."""

    def make(
        edges: Sequence[tuple[str, str, str, str]],
        atoms: Sequence[tuple[str, str, bool, int, bool]],
        relations: Sequence[tuple[str, str]] = (("is_a", "is a"), ("part_of", "part of")),
        definitions: Sequence[tuple[str, str, str]] = (),
    ) -> Path:
        path = tmp_path / "kg.duckdb"
        path.unlink(missing_ok=True)
        with duckdb.connect(str(path)) as connection:
            for table, columns, rows in (
                ("edge", "head VARCHAR, relation VARCHAR, tail VARCHAR, source VARCHAR", edges),
                (
                    "atom",
                    "concept VARCHAR, name VARCHAR, preferred BOOLEAN, rank INTEGER, "
                    "held_out BOOLEAN",
                    atoms,
                ),
                ("relation", "relation VARCHAR, label VARCHAR", relations),
                (
                    "definition",
                    "concept VARCHAR, definition VARCHAR, source VARCHAR",
                    definitions,
                ),
                (
                    "source",
                    "source VARCHAR, version VARCHAR, licence VARCHAR, restriction INTEGER",
                    [("mine", "1", "CC0", 0)],
                ),
            ):
                connection.execute(f"CREATE TABLE {table} ({columns})").fetchall()
                marks = ", ".join("?" * len(columns.split(",")))
                if rows:
                    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", list(rows))
        return path

    return make


@pytest.fixture
def write_mentions(tmp_path: Path):
    def write(name: str, concepts: Sequence[str]) -> Path:
        path = tmp_path / f"{name}.parquet"
        pl.DataFrame({"concept": concepts}, schema={"concept": pl.String}).write_parquet(path)
        return path

    return write


@pytest.fixture(scope="session")
def make_graph():
    """Return a graph in memory whose node 0 has ``degrees[0]`` neighbours, and so on."""

    def make(degrees: Sequence[int], names: Sequence[int] | None = None) -> Graph:
        nodes = len(degrees) + max(degrees, default=0)
        head = np.repeat(np.arange(len(degrees)), degrees)
        tail = np.concatenate([len(degrees) + np.arange(d) for d in degrees]).astype(np.int64)
        indptr, indices, relations = both_directions(head, tail % 2, tail, nodes, 2)
        name_indptr = np.concatenate([[0], np.cumsum(names or [1] * nodes)])
        return Graph(
            Path(),
            [f"C{i:07d}" for i in range(nodes)],
            ["even", "odd"],
            ["even", "odd"],
            indptr,
            indices,
            relations,
            name_indptr,
            np.zeros(nodes, np.int64),
        )

    return make
