"""Any counts.json as tables: producers may add a count without a word to the report."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from balign.report.text import label, number

_DIGEST = re.compile("[0-9a-f]{32,}")
_LONGEST_LIST = 12  # longer lists of values are cut: they are data, not counts
_MOST_ROWS = 60
# Counts that a reader looks for first; others follow by name, and last what was dropped.
_FIRST = (
    "read", "live", "deleted", "superseded", "with_abstract", "split",
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


def count_tables(counts: Mapping[str, Any], caption: str) -> list[Table]:
    """Turn nested counts into tables.

    Scalars make one table of two columns; a mapping of scalars makes a table of its own; a mapping
    of mappings, such as ``files``, makes a table with a row a key and a column for each scalar
    within; one that mixes scalars and mappings nests. Lists of mappings are left out: they are
    examples, and may hold names whose licence forbids to show them.
    """
    counts = {key: value for key, value in counts.items() if not _is_examples(value)}
    plain = {key: value for key, value in counts.items() if not isinstance(value, Mapping)}
    tables = []
    if plain:
        rows = [(label(key), _cell(plain[key])) for key in _ordered(plain)]
        tables.append(_table(caption, ("", "count"), rows))
    for key in _ordered(counts):
        value = counts[key]
        if not isinstance(value, Mapping) or not value:
            continue
        name = f"{caption} · {label(key)}" if caption else label(key)
        if all(isinstance(row, Mapping) for row in value.values()):
            tables.append(_matrix(name, {row: dict(_flat(inner)) for row, inner in value.items()}))
        else:
            tables += count_tables(value, name)
    return tables


def _is_examples(value: Any) -> bool:
    return isinstance(value, Sequence) and any(isinstance(item, Mapping) for item in value)


def _flat(counts: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key in _ordered(counts):
        value = counts[key]
        name = label(key)
        if path:
            name = f"{path}: {name[:1].lower()}{name[1:]}"
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        elif not _is_examples(value):
            yield name, value


def _matrix(caption: str, value: Mapping[str, Mapping[str, Any]]) -> Table:
    """Make a table with a row a key; it lies the other way where that makes it less wide."""
    found = list(dict.fromkeys(column for row in value.values() for column in row))
    groups = list(dict.fromkeys(column.split(": ")[0] for column in found))
    columns = sorted(found, key=lambda column: groups.index(column.split(": ")[0]))
    rows = []
    for key in _ordered(value):
        cells = (_cell(value[key][column]) if column in value[key] else "" for column in columns)
        rows.append((label(key), *cells))
    head = ("", *columns)
    if len(rows) < len(columns):
        head, *rows = zip(head, *rows, strict=True)
    return _table(caption, head, rows)


def _table(caption: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    return Table(caption, head, tuple(rows[:_MOST_ROWS]), max(0, len(rows) - _MOST_ROWS))


def _ordered(keys: Collection[str]) -> list[str]:
    place = {key: position for position, key in enumerate(_FIRST)}
    number_of = {key: int(key) for key in keys if key.isdecimal()}  # percentiles: 50 before 100

    def rank(key: str) -> tuple[bool, int, int, str]:
        return key == "dropped", place.get(key, len(place)), number_of.get(key, 0), key

    return sorted(keys, key=rank)


def _cell(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        shown = ", ".join(number(item) for item in value[:_LONGEST_LIST])
        return shown + (", …" if len(value) > _LONGEST_LIST else "")
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return f"{value[:16]}…"
    return number(value)
