"""What the readers of task files share: text, JSON and JSON lines with places in errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from balign.errors import DataError


def read_text(path: Path) -> str:
    """Return a UTF-8 file's text, without a byte order mark.

    Raises:
        DataError: if it cannot be read, or is not UTF-8 (names the byte).
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: {error}", where=str(path)) from None


def read_json_file(path: Path) -> Any:
    """Return a JSON file's value.

    Raises:
        DataError: if it is no JSON (names the line).
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg}", where=f"{path}, line {error.lineno}") from None


def json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield line number and object of each line that is not empty.

    Raises:
        DataError: for a line that is no JSON object.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"not JSON: {error.msg}", where=f"{path}, line {number}") from None
        if not isinstance(value, dict):
            raise DataError("not a JSON object", where=f"{path}, line {number}")
        yield number, value


def string(value: Mapping[str, Any], key: str, where: str) -> str:
    """Return the string of a key.

    Raises:
        DataError: if the key is missing or has something else; names it.
    """
    found = value.get(key)
    if not isinstance(found, str):
        raise DataError(
            f"the key '{key}' must hold a string", where=where, hint=f"keys: {', '.join(value)}"
        )
    return found


def strings(value: Mapping[str, Any], key: str, where: str) -> list[str]:
    """Return the list of strings of a key.

    Raises:
        DataError: if the key is missing or has something else; names it.
    """
    found = value.get(key)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise DataError(
            f"the key '{key}' must hold a list of strings",
            where=where,
            hint=f"keys: {', '.join(value)}",
        )
    return found
