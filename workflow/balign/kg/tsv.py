"""Tab-separated files with comment lines and then a header."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from balign.errors import DataError


def read_columns(
    path: Path, columns: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield for each row its place, "file, line n", and the wanted columns' values.

    An optional column that the file does not have is empty.

    Lines that start with ``#`` before the header are comments; quotes are text.

    Raises:
        DataError: for a missing header or column, a row of another width or text that is not
            UTF-8; it names the file and the line.
    """
    width = 0
    wanted: list[int] = []  # positions; -1 is a column that is not there, an empty string
    with path.open(encoding="utf-8-sig", newline="") as handle:
        rows = csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
        try:
            for row in rows:
                if not row or (not width and row[0].startswith("#")):
                    continue
                if not width:
                    width = len(row)
                    missing = [name for name in columns if name not in row]
                    if missing:
                        raise ValueError(f"no column {', '.join(missing)}")
                    wanted = [row.index(name) for name in columns]
                    wanted += [row.index(name) if name in row else -1 for name in optional]
                elif len(row) != width:
                    raise ValueError(f"{len(row)} columns instead of {width}")
                else:
                    row.append("")
                    yield f"{path}, line {rows.line_num}", tuple(row[place] for place in wanted)
        except (ValueError, csv.Error) as error:
            raise DataError(str(error), where=f"{path}, line {rows.line_num}") from None
    if not width:
        raise DataError("no header in the file", where=str(path))
