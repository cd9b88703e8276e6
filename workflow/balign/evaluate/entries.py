"""The shipped list of tasks, ``resources/tasks.yaml``, and how a configuration takes from it.

Light to import: every command that reads a configuration does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from balign.errors import ConfigError, nearest_hint

ENTRIES = Path(__file__).resolve().parents[3] / "resources" / "tasks.yaml"


def with_entries(
    values: Mapping[str, Any], where: Callable[[int], str], entries: Path = ENTRIES
) -> dict[str, Any]:
    """Return a configuration whose tasks are complete.

    An item of ``evaluate.tasks`` without ``family``, or with ``entry``, is laid over the entry of
    its name, or of ``entry``: mappings merge, other values replace. One with ``family`` alone
    stands for itself, so a resolved configuration stays as it is.

    Args:
        values: the configuration as its file has it.
        where: position of a task -> file and line.
        entries: the shipped list.

    Raises:
        ConfigError: if there is no such entry; names the task, its place and the nearest entry.
    """
    tasks = values.get("evaluate") or {}
    tasks = tasks.get("tasks") if isinstance(tasks, Mapping) else None
    if not isinstance(tasks, list):
        return dict(values)
    filled = []
    for position, task in enumerate(tasks):
        if not isinstance(task, Mapping) or ("family" in task and "entry" not in task):
            filled.append(task)
            continue
        name = task.get("entry", task.get("name"))
        shipped = load_entries(entries)
        if name is None or name not in shipped:
            key = "entry" if "entry" in task else "name"
            raise ConfigError(
                f"evaluate.tasks[{position}].{key}: no entry '{name}' in {entries.name}, and the "
                "task has no family",
                where=where(position),
                hint=nearest_hint(str(name), list(shipped), "the list has"),
            )
        over = {key: value for key, value in task.items() if key != "entry"}
        filled.append(_laid_over(shipped[name], over))
    return {**values, "evaluate": {**values["evaluate"], "tasks": filled}}


@cache
def load_entries(path: Path) -> dict[str, dict[str, Any]]:
    """Return the shipped tasks by name.

    Raises:
        ConfigError: if the list cannot be read.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))["tasks"]
        return {entry["name"]: entry for entry in found}
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise ConfigError(f"the list of tasks cannot be read: {error}", where=str(path)) from None


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _laid_over(old, value)
        merged[key] = value
    # A place of the user's own replaces the shipped one.
    for key, other in (("source", "path"), ("path", "source")):
        if key in above and other not in above:
            merged.pop(other, None)
    return merged
