"""PubMed's dates as text: as far as they are known, ``1979``, ``1979-02`` or ``1979-02-24``.

A reduced date (ISO 8601, section 5.2.3) says no more than the citation does, where a calendar date
would have to make up a month and a day; as text they sort in the order of time.
"""

from __future__ import annotations

import re
from functools import lru_cache

_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: f"{number:02d}" for number, name in enumerate(_NAMES, 1)}
_YEAR = r"(?<!\d)(?:1[5-9]|20)\d\d(?!\d)"
_FIRST_YEAR = re.compile(_YEAR)
# "1978 Nov-1979 Jan", "1998 Dec 12-19", "Winter 1979", "1977-1978", "2021 3rd Quarter".
_MEDLINE = re.compile(rf"({_YEAR})(?: ([A-Za-z]+)(?: (\d{{1,2}})(?!\d))?)?")


@lru_cache(maxsize=1 << 16)
def partial_date(year: str | None, month: str | None = None, day: str | None = None) -> str | None:
    """Return a date from its parts as PubMed writes them, or None without a year.

    Months are numbers or English names; a part that is neither, and all after it, is left out.
    """
    found = _FIRST_YEAR.search(year or "")
    if found is None:
        return None
    numbers = [found[0]]
    name = (month or "").strip().lower()
    number = _MONTHS.get(name[:3]) or _two_digits(name, 12)
    if number:
        numbers.append(number)
        number = _two_digits((day or "").strip(), 31)
        if number:
            numbers.append(number)
    return "-".join(numbers)


@lru_cache(maxsize=1 << 16)
def medline_date(text: str) -> str | None:
    """Return the first date in a ``MedlineDate``, which is free text, or None without a year."""
    found = _MEDLINE.search(text)
    return partial_date(*found.groups()) if found else None


def _two_digits(text: str, greatest: int) -> str | None:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= greatest:
        return f"{int(text):02d}"
    return None
