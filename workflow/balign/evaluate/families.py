"""The registry of task families: where a family's code is and which files it reads.

A new family is one module with a function ``run`` (see :mod:`balign.evaluate.outcome`), one
settings class and one line here. Modules are named, not imported: this table stays light, and a
rule's code digest covers the family that it runs and no other
(``code_digest(FAMILIES[task.family].module)``).
"""

from __future__ import annotations

from collections.abc import Mapping

from balign.errors import ConfigError, nearest_hint
from balign.evaluate.entries import ENTRIES, load_entries
from balign.evaluate.family import Family
from balign.evaluate.settings import EvaluateSettings, Task

FAMILIES: Mapping[str, Family] = {
    "linking_held_out": Family("balign.evaluate.linking_held_out", ("database",)),
    "linking_mentions": Family("balign.evaluate.linking_mentions", ("database", "source")),
    "similarity": Family("balign.evaluate.similarity", ("source",)),
    "link_prediction": Family("balign.evaluate.link_prediction", ("database",)),
    "completion": Family("balign.evaluate.completion", ("graph", "kge")),
    "triple_classification": Family("balign.evaluate.triple_classification", ("database",)),
    "probing": Family("balign.evaluate.probing", ("database",)),
    "check_tags": Family("balign.evaluate.check_tags", ("abstracts",)),
    "token_classification": Family("balign.evaluate.token_classification", ("source",)),
    "relation_classification": Family("balign.evaluate.relation_classification", ("source",)),
    "sequence_classification": Family("balign.evaluate.sequence_classification", ("source",)),
    "multi_label": Family("balign.evaluate.multi_label", ("source",)),
    "multiple_choice": Family("balign.evaluate.multiple_choice", ("source",)),
    "regression": Family("balign.evaluate.regression", ("source",)),
}


def seeds_of(task: Task) -> tuple[int, ...]:
    """Return the seeds that a task runs with; one where nothing is drawn at random."""
    return tuple(getattr(task, "seeds", (1,)))


def task_named(settings: EvaluateSettings, name: str, shipped: bool = False) -> Task:
    """Return the task of a name: a configured one, or else, if wanted, a shipped one.

    Raises:
        ConfigError: if there is none.
    """
    tasks = {one.name: one for one in settings.tasks}
    entries = load_entries(ENTRIES) if shipped else {}
    if name not in tasks and name in entries:
        return EvaluateSettings.model_validate({"tasks": [entries[name]]}).tasks[0]
    if name not in tasks:
        known = list(dict.fromkeys([*tasks, *entries]))
        raise ConfigError(f"no task is called '{name}'", hint=nearest_hint(name, known, "tasks"))
    return tasks[name]
