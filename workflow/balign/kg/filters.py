"""Rows that are kept, as masks over columns of strings that come as dictionaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Mask = npt.NDArray[np.bool_]


def keep(conditions: Mapping[str, Mask], counts: Counter[str]) -> Mask:
    """Return which rows meet all conditions; count the others under the first that they do not.

    Args:
        conditions: why a row is dropped → [n] rows that are not.
        counts: is added to.
    """
    kept = np.ones(len(next(iter(conditions.values()))), bool)
    for reason, good in conditions.items():
        dropped = int((kept & ~good).sum())
        if dropped:
            counts[reason] += dropped
        kept &= good
    return kept


def mapped(
    column: pa.DictionaryArray, value: Callable[[str], int], null: int
) -> npt.NDArray[np.int64]:
    """Return [n] the value of each string of an encoded column, ``null`` for NULL."""
    values = [value(name) for name in column.dictionary.to_pylist()]
    table = np.array([*values, null], np.int64)
    found: npt.NDArray[np.int64] = table[_places(column)]
    return found


def is_in(column: pa.DictionaryArray, values: Sequence[str] | None) -> Mask:
    """Return [n] which rows have one of ``values``, NULL being ''; all have if it is None."""
    if values is None:
        return np.ones(len(column), bool)
    table = np.array([*(name in values for name in column.dictionary.to_pylist()), "" in values])
    found: Mask = table[_places(column)]
    return found


def _places(column: pa.DictionaryArray) -> npt.NDArray[np.int32]:
    """Return [n] the places in the dictionary; that behind its last for NULL."""
    places = column.indices
    if places.null_count:
        places = places.fill_null(len(column.dictionary))
    return np.asarray(places)
