"""The registry of task families: where a family's code is and which files it reads.

A new family is one module with a function ``run`` (see :mod:`balign.evaluate.outcome`), one
settings class and one line here. Modules are named, not imported: this table stays light, and a
rule's code digest covers the family that it runs and no other
(``code_digest(FAMILIES[task.family].module)``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from balign.evaluate.settings import Task

InputName = Literal["database", "abstracts", "source"]


@dataclass(frozen=True)
class Family:
    """A kind of task.

    Attributes:
        module: dotted name of the module that holds ``run``.
        inputs: the inputs that a task of this family reads: ``database`` (kg.duckdb),
            ``abstracts`` (all abstracts/*.parquet) or ``source`` (MANIFEST.json of the registry
            entry that the task names by ``source``).
    """

    module: str
    inputs: tuple[InputName, ...]


FAMILIES: Mapping[str, Family] = {
    "linking_held_out": Family("balign.evaluate.linking_held_out", ("database",)),
    "linking_mentions": Family("balign.evaluate.linking_mentions", ("database", "source")),
    "check_tags": Family("balign.evaluate.check_tags", ("abstracts",)),
}


def seeds_of(task: Task) -> tuple[int, ...]:
    """Return the seeds that a task runs with; one where nothing is drawn at random."""
    return tuple(getattr(task, "seeds", (1,)))
