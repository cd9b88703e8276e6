"""Readers of examples in columns: CSV, TSV (BLURB's, HoC's) and JSONL."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from balign.errors import DataError, nearest_hint
from balign.evaluate.examples import Example
from balign.evaluate.formats_text import json_lines, read_text
from balign.evaluate.task_settings import Columns

_FLAG = re.compile(r"(.+)_([01])")

Row = tuple[str, Mapping[str | int, Any]]


def read_table(path: Path, kind: str, header: bool) -> Iterator[Row]:
    """Yield the place (file and line) and the cells, by name or by number from 0, of each row.

    CSV is quoted as RFC 4180 has it; TSV has no quotes, as BLURB's and BLUE's files have none.

    Args:
        path: the file.
        kind: ``csv``, ``tsv`` or ``jsonl``.
        header: whether the first line of a table names the columns.

    Raises:
        DataError: for a row of another length than the first one; it names the line.
    """
    if kind == "jsonl":
        for number, value in json_lines(path):
            yield f"{path}, line {number}", cast("Mapping[str | int, Any]", value)
        return
    form: dict[str, Any] = {"strict": True} if kind == "csv" else {"quoting": csv.QUOTE_NONE}
    delimiter = "," if kind == "csv" else "\t"
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, **form)
    names: list[str] = []
    width = 0
    try:
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if not width:
                width = len(row)
                if header:
                    names = [cell.strip() for cell in row]
                    continue
            if len(row) != width:
                raise DataError(f"{len(row)} columns, the first line has {width}", where=where)
            yield where, {**dict(enumerate(row)), **dict(zip(names, row, strict=False))}
    except csv.Error as error:
        raise DataError(f"not a table: {error}", where=f"{path}, line {reader.line_num}") from None


def read_examples(
    path: Path, kind: str, header: bool, columns: Columns, answer: Callable[[Any, str], Example]
) -> list[Example]:
    """Return the examples of a table.

    Args:
        path: the file.
        kind: ``csv``, ``tsv`` or ``jsonl``.
        header: whether the first line of a table names the columns.
        columns: where the parts are.
        answer: makes an example that holds the answer alone, from the label's cell and its place:
            :func:`one_label`, :func:`many_labels` or :func:`number`.

    Raises:
        DataError: for a row without one of the columns, or an answer that is none.
    """
    found = []
    for row, (where, cells) in enumerate(read_table(path, kind, header)):
        text = _text(cells, columns.text, where)
        second = "" if columns.second is None else _text(cells, columns.second, where)
        name = str(row) if columns.id is None else str(_cell(cells, columns.id, where))
        given = answer(_cell(cells, columns.label, where), where)
        options = () if columns.options is None else _options(cells, columns.options, where)
        found.append(Example(name, text, second, given.labels, options, given.value))
    return found


def one_label(cell: Any, where: str) -> Example:
    """Return the answer of a cell that holds one label.

    Raises:
        DataError: for an empty cell, or a value that is no string, number or truth value.
    """
    if not isinstance(cell, str | int | float) or not str(cell).strip():
        raise DataError(f"not a label: {cell!r}", where=where)
    return Example("", "", labels=(str(cell).strip(),))


def many_labels(separator: str) -> Callable[[Any, str], Example]:
    """Return a reader of a cell (or list) of any number of labels.

    Where all of them end in ``_0`` or ``_1`` these are flags (BLUE's HoC: ``0_1,1_0,...``), and the
    labels are those of flag 1.
    """

    def answer(cell: Any, where: str) -> Example:
        if isinstance(cell, list):
            labels = [str(one).strip() for one in cell]
        elif isinstance(cell, str):
            labels = [one.strip() for one in cell.split(separator) if one.strip()]
        else:
            raise DataError(f"not labels: {cell!r}", where=where)
        flags = [_FLAG.fullmatch(label) for label in labels]
        if labels and all(flags):
            labels = [flag[1] for flag in flags if flag and flag[2] == "1"]
        return Example("", "", labels=tuple(sorted(set(labels))))

    return answer


def number(cell: Any, where: str) -> Example:
    """Return the answer of a cell that holds a number.

    Raises:
        DataError: if it holds none.
    """
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"not a number: {cell!r}", where=where)
    return Example("", "", value=value)


def _cell(cells: Mapping[str | int, Any], key: str | int, where: str) -> Any:
    if key in cells:
        return cells[key]
    names = [str(one) for one in cells if isinstance(one, str)] or [str(one) for one in cells]
    raise DataError(
        f"no column '{key}'", where=where, hint=nearest_hint(str(key), names, "there are")
    )


def _text(cells: Mapping[str | int, Any], key: str | int, where: str) -> str:
    found = _cell(cells, key, where)
    if not isinstance(found, str) or not found.strip():
        raise DataError(f"column '{key}' has no text: {found!r}", where=where)
    return found


def _options(cells: Mapping[str | int, Any], key: str, where: str) -> tuple[str, ...]:
    found = _cell(cells, key, where)
    values: Sequence[Any] = list(found.values()) if isinstance(found, dict) else found
    if not isinstance(values, list) or len(values) < 2 or not all(map(_is_text, values)):
        raise DataError(f"'{key}' must list the answers to choose from: {found!r}", where=where)
    return tuple(values)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
