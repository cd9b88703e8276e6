"""Any counts.json as tables: producers may add a count without a word to the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from balign.report.text import label, number

_LONGEST_LIST = 12  # longer lists of values are cut: they are data, not counts
_MOST_ROWS = 60
# Counts that a reader looks for first; all others follow in the order of their names.
_FIRST = (
    "read", "live", "deleted", "superseded", "with_abstract", "split", "dropped",
    "sentences", "mentions", "concepts", "nodes", "edges", "names", "atoms",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table of text: a caption, headings, and rows whose first cell is the row's heading.

    ``more`` counts the rows that were cut off.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int = 0


def add_counts(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up the counts of several files, key by key.

    Only integers are added: the sum of a rate, or of two texts, says nothing.
    """
    total: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            if isinstance(value, Mapping):
                total[key] = add_counts([total.get(key, {}), value])
            elif isinstance(value, int) and not isinstance(value, bool):
                total[key] = total.get(key, 0) + value
    return total


def count_tables(counts: Mapping[str, Any], caption: str) -> list[Table]:
    """Turn nested counts into tables.

    Scalars make one table of two columns; a mapping of scalars makes a table of its own; a mapping
    of such mappings makes a table with a column for each inner key; deeper ones nest.
    """
    plain = {key: value for key, value in counts.items() if not _nested(value)}
    tables = []
    if plain:
        rows = [(label(key), _cell(plain[key])) for key in _ordered(plain)]
        tables.append(_table(caption, ("", "count"), rows))
    for key in _ordered(counts):
        value = counts[key]
        if not _nested(value) or not value:
            continue
        name = f"{caption} · {label(key)}" if caption else label(key)
        if not isinstance(value, Mapping):
            value = {str(position + 1): item for position, item in enumerate(value)}
        if _is_matrix(value):
            tables.append(_matrix(name, value))
        else:
            tables += count_tables(value, name)
    return tables


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and any(isinstance(item, Mapping) for item in value)
    )


def _is_matrix(value: Mapping[str, Any]) -> bool:
    return all(
        isinstance(row, Mapping) and not any(_nested(cell) for cell in row.values())
        for row in value.values()
    )


def _matrix(name: str, value: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = _ordered({key: None for row in value.values() for key in row})
    rows = [
        (label(key), *(_cell(value[key][column]) if column in value[key] else "" for column in columns))
        for key in _ordered(value)
    ]
    return _table(name, ("", *(label(column) for column in columns)), rows)


def _table(caption: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    return Table(caption, head, tuple(rows[:_MOST_ROWS]), max(0, len(rows) - _MOST_ROWS))


def _ordered(keys: Iterable[str]) -> list[str]:
    place = {key: position for position, key in enumerate(_FIRST)}
    return sorted(keys, key=lambda key: (place.get(key, len(place)), key))


def _cell(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        shown = ", ".join(number(item) for item in value[:_LONGEST_LIST])
        return shown + (", …" if len(value) > _LONGEST_LIST else "")
    return number(value)
