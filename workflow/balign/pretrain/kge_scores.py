"""Scores of edges by the tables of graph embeddings: what ranks with them needs no library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from balign.errors import DataError
from balign.files import read_json, sha256_file

GRAPH_FILES = ("indptr.npy", "indices.npy", "relations.npy", "held_out.npy")

_NORM = 1.0  # torch-geometric's default for TransE


@dataclass(frozen=True)
class KgeTables:
    """The tables that ``pretrain_kge`` writes.

    Attributes:
        kind: ``transe``, ``distmult`` or ``rotate``.
        entities: [nodes, d]; for RotatE the real parts and then the imaginary.
        relations: [relations, d']; for RotatE the angles.
    """

    kind: str
    entities: Tensor
    relations: Tensor

    @classmethod
    def open(cls, folder: Path, graph: Path) -> KgeTables:
        """Read the tables of a graph.

        Args:
            folder: of the tables.
            graph: folder of the graph that they must have been trained on.

        Raises:
            DataError: if they cannot be read, or are of another graph.
        """
        try:
            facts: dict[str, Any] = read_json(folder / "kge.json")
            kind, files = facts["settings"]["model"], facts["graph"]
            arrays = [np.load(folder / f"{name}.npy") for name in ("entities", "relations")]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"no graph embeddings can be read here: {error}",
                where=str(folder),
                hint="make them with `balign pretrain kge`",
            ) from None
        if files != {name: sha256_file(graph / name) for name in GRAPH_FILES}:
            raise DataError(
                f"the graph embeddings are of another graph than {graph}",
                where=str(folder),
                hint="train them again with `balign pretrain kge`",
            )
        return cls(kind, *map(torch.from_numpy, arrays))


class Scorer:
    """Scores of one end and a relation with every entity as the other end."""

    def __init__(self, tables: KgeTables) -> None:
        """Take the tables; the scores are those of torch-geometric's models, up to a constant."""
        self.tables, self.entities = tables, tables.entities
        if tables.kind == "transe":
            self.entities = functional.normalize(self.entities, p=_NORM, dim=-1)

    @torch.no_grad()
    def __call__(self, ends: Tensor, relations: Tensor, heads: bool) -> Tensor:
        """Return [b, entities].

        Args:
            ends: [b], the given ends. relations: [b].
            heads: whether the given ends are heads.
        """
        given, kind = self.entities[ends], self.tables.relations[relations]
        if self.tables.kind == "transe":
            aim = given + kind if heads else given - kind
            distance: Tensor = torch.cdist(aim, self.entities, p=_NORM)
            return -distance
        if self.tables.kind == "distmult":
            product: Tensor = (given * kind) @ self.entities.T
            return product
        real, imaginary = given.chunk(2, dim=1)
        turn = torch.polar(torch.ones_like(kind), kind if heads else -kind)
        turned = torch.complex(real, imaginary) * turn
        aim = torch.cat([turned.real, turned.imag], dim=1)
        return -torch.cdist(aim, self.entities)
