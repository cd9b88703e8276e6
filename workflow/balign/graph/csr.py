"""The graph as arrays: neighbours of a node, memory-mapped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from balign.arrays import open_array
from balign.errors import DataError


@dataclass(frozen=True)
class Graph:
    """An opened graph folder; node ids are positions in ``concepts``.

    Attributes:
        path: the folder.
        concepts: [nodes] identifiers, sorted by bytes.
        relations: names of the relations; ``r + len(relations)`` is the inverse of ``r``.
        relation_labels: what a person reads, in the same order.
        indptr: [nodes + 1] int64; node i's neighbours are at ``indptr[i]:indptr[i + 1]``.
        indices: [2 * edges] int32, neighbours, sorted by (neighbour, relation) at each node.
        edge_relations: [2 * edges] int32; ``r`` reads "node r neighbour".
        name_indptr: [nodes + 1] int64; node i's names are at ``name_indptr[i]:name_indptr[i + 1]``.
        mention_count: [nodes] int64, mentions in the corpus.
    """

    path: Path
    concepts: list[str]
    relations: list[str]
    relation_labels: list[str]
    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    edge_relations: npt.NDArray[np.int32]
    name_indptr: npt.NDArray[np.int64]
    mention_count: npt.NDArray[np.int64]

    @classmethod
    def open(cls, path: Path) -> Graph:
        """Map the arrays of a folder written by ``balign graph build``.

        Raises:
            DataError: if a file is missing.
        """
        try:
            return cls(
                path,
                _lines(path / "concepts.txt"),
                _lines(path / "relations.txt"),
                _lines(path / "relation_labels.txt"),
                open_array(path / "indptr.npy"),
                open_array(path / "indices.npy"),
                open_array(path / "relations.npy"),
                open_array(path / "name_indptr.npy"),
                open_array(path / "mention_count.npy"),
            )
        except OSError as error:
            raise DataError(
                f"no graph can be read here: {error}",
                where=str(path),
                hint="build it with `balign graph build`",
            ) from None

    def __len__(self) -> int:
        return len(self.concepts)

    @cached_property
    def names(self) -> pl.Series:
        """All names, node by node, each node's preferred name first."""
        return pl.read_parquet(self.path / "names.parquet")["name"]

    @cached_property
    def held_out(self) -> npt.NDArray[np.int64]:
        """Edges that are not in the arrays, [n, 3]: (head, relation, tail), ids."""
        found: npt.NDArray[np.int64] = open_array(self.path / "held_out.npy")
        return found

    @cached_property
    def definitions(self) -> pl.DataFrame:
        """Columns ``node`` (int32) and ``definition``, sorted by node."""
        return pl.read_parquet(self.path / "definitions.parquet")

    def triples(self) -> npt.NDArray[np.int64]:
        """Return all edges of the arrays once, [edges, 3]: (head, relation, tail)."""
        head = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        forward = np.asarray(self.edge_relations) < len(self.relations)
        parts = [head[forward], self.edge_relations[forward], self.indices[forward]]
        found: npt.NDArray[np.int64] = np.stack(parts, axis=1).astype(np.int64)
        return found

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {concept: node for node, concept in enumerate(self.concepts)}

    def nodes(self, concepts: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the node id of each concept, -1 for one that is not in the graph."""
        return np.array([self._ids.get(concept, -1) for concept in concepts], np.int64)

    def neighbours(self, node: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return the neighbours of a node and the relation of each, [degree] both."""
        edges = slice(int(self.indptr[node]), int(self.indptr[node + 1]))
        return self.indices[edges], self.edge_relations[edges]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]
