"""Concept identifiers as numbers, many at a time.

A CUI is "C" and seven digits (UMLS Reference Manual, 2.3), in MedGen also "CN" and six digits, or a
number. Their digits are numbers below 2^25, so a table finds a concept's position without a search.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

SIZE = 1 << 25
"""All numbers are below."""

_LETTER = 1 << 24  # the number of C0000000
_FORMS = (
    (re.compile(r"C([0-9]{7})"), _LETTER),
    (re.compile(r"CN([0-9]{6})"), _LETTER + 10_000_000),
    (re.compile(r"([1-9][0-9]{0,6})"), 0),
)
_POWERS = 10 ** np.arange(6, -1, -1)


def cui_numbers(names: pa.StringArray) -> npt.NDArray[np.int64]:
    """Return [n] the number of each identifier, -1 for one that is no CUI or NULL."""
    numbers = np.full(len(names), -1, np.int64)
    eight = pc.equal(pc.binary_length(names), 8).fill_null(False).to_numpy(zero_copy_only=False)
    fixed = names if eight.all() else names.filter(pa.array(eight))
    if len(fixed):
        _, offsets, data = fixed.buffers()
        start = np.frombuffer(offsets, np.int32)[fixed.offset]
        codes = np.frombuffer(data, np.uint8)[start : start + 8 * len(fixed)].reshape(-1, 8)
        digits = codes[:, 1:] - np.uint8(ord("0"))  # what is no digit wraps round to above 9
        right = (codes[:, 0] == ord("C")) & (digits < 10).all(axis=1)
        numbers[eight] = np.where(right, digits @ _POWERS + _LETTER, -1)
    others = pa.array(numbers < 0)
    if pc.any(others).as_py():
        rest = names.filter(others).dictionary_encode()
        found = [_number(name) for name in rest.dictionary.to_pylist()]
        indices = rest.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
        numbers[numbers < 0] = np.array([*found, -1], np.int64)[indices]
    return numbers


def _number(name: str) -> int:
    for form, first in _FORMS:
        if match := form.fullmatch(name):
            return first + int(match[1])
    return -1
