"""Reader of the graph arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from balign.errors import DataError

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Graph:
    """The graph as docs/contracts.md has it; the arrays stay on disk.

    Attributes:
        concepts: [nodes].
        labels: [relations], labels of relations.
        indptr: int64 [nodes + 1]. indices: int32 [2 * edges]. relations: int32 [2 * edges].
        mention_count: int64 [nodes].
    """

    concepts: list[str]
    labels: list[str]
    indptr: npt.NDArray[Any]
    indices: npt.NDArray[Any]
    relations: npt.NDArray[Any]
    mention_count: npt.NDArray[Any]

    @property
    def degree(self) -> IntArray:
        """The number of edges at each node, [nodes]."""
        return np.diff(self.indptr)

    def neighbours(self, node: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the neighbours of a node and the relation of each."""
        part = slice(int(self.indptr[node]), int(self.indptr[node + 1]))
        return self.indices[part], self.relations[part]


def open_graph(folder: Path) -> Graph:
    """Open the arrays of a graph.

    Raises:
        DataError: if their lengths do not fit together.
    """

    def lines(name: str) -> list[str]:
        # Not splitlines: a name may hold a rarer character that it takes for a line's end.
        return (folder / name).read_text(encoding="utf-8").removesuffix("\n").split("\n")

    def array(name: str) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r")
        return values

    graph = Graph(
        lines("concepts.txt"),
        lines("relation_labels.txt"),
        array("indptr"),
        array("indices"),
        array("relations"),
        array("mention_count"),
    )
    nodes, ends = len(graph.concepts), len(graph.indices)
    fits = (
        len(graph.indptr) == nodes + 1
        and len(graph.mention_count) == nodes
        and int(graph.indptr[-1]) == ends == len(graph.relations)
    )
    if not fits:
        raise DataError(
            "the arrays of the graph do not fit together",
            where=str(folder),
            hint="`balign graph build` writes them",
        )
    return graph
