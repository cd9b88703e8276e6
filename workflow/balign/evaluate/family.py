"""What a family of tasks is, apart from the table of them (:mod:`balign.evaluate.families`).

Apart, so that a new line in the table makes no other family's predictions stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

InputName = Literal["database", "abstracts", "source", "graph", "kge"]


@dataclass(frozen=True)
class Family:
    """A kind of task.

    Attributes:
        module: dotted name of the module that holds ``run``.
        inputs: the inputs that a task of this family reads: ``database`` (kg.duckdb),
            ``abstracts`` (all abstracts/*.parquet), ``source`` (MANIFEST.json of the registry
            entry that the task names by ``source``), ``graph`` (the graph's folder) or ``kge``
            (folder of the graph embeddings that the task names by ``kge``, if it names any).
    """

    module: str
    inputs: tuple[InputName, ...]
