"""Abbreviations that a text defines itself, by Schwartz and Hearst (PSB 2003).

A short form is a string in parentheses after its long form, "heart failure (HF)", or, where what
is in parentheses is longer, the string before them, "HF (heart failure)". By the paper a short
form has 2 to 10 characters, at most two words, a letter, and begins with a letter or digit; beyond
the paper, it holds a capital or a digit, since "(dopamine)" abbreviates nothing. The
long form stands in the same sentence, has at most min(n + 5, 2 n) words for n characters of the
short form, and holds all its letters and digits in order, the first of them at the start of a word.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_LONGEST_SHORT = 10
_LONGEST_WORD = 30
_PARENTHESES = re.compile(r"[(\[]([^()\[\]\n]{2,300})[)\]]")
_SHORT = re.compile(r"(?=.*[^\W\d_])[^\W_](?:\S{1,9}|\S{0,7} \S{1,8})")
_INNER_END = re.compile(r"[;,:] | or | and |=")


class Definition(NamedTuple):
    """A short form and where its long form stands in the text (code points, half open)."""

    short: str
    start: int
    end: int


def find_definitions(text: str) -> list[Definition]:
    """Return the definitions in a text, in its order; of one short form the first alone."""
    found: dict[str, Definition] = {}
    for match in _PARENTHESES.finditer(text):
        inner = match[1]
        one = _before(text, match.start(), inner)
        if one is None and (len(inner) > _LONGEST_SHORT or inner.count(" ") > 1):
            one = _inside(text, match.start(), inner)
        if one is not None:
            found.setdefault(one.short, one)
    return list(found.values())


def _before(text: str, bracket: int, inner: str) -> Definition | None:
    """Read "long form (SF)"; what follows a comma or semicolon in the parentheses is no part."""
    short = _INNER_END.split(inner, maxsplit=1)[0].strip()
    if not _is_short_form(short):
        return None
    words = min(len(short) + 5, 2 * len(short))
    line = text[max(text.rfind("\n", 0, bracket) + 1, bracket - _LONGEST_WORD * words) : bracket]
    line = line.rstrip()
    pieces = line.rsplit(None, words)
    before = line[len(pieces[0]) :] if len(pieces) > words else line
    start = long_form_start(short, before)
    if start is None:
        return None
    end = bracket - len(text[:bracket]) + len(text[:bracket].rstrip())
    return Definition(short, end - len(before) + start, end)


def _inside(text: str, bracket: int, inner: str) -> Definition | None:
    """Read "SF (long form)"; the whole of the parentheses must be the long form."""
    pieces = text[max(0, bracket - _LONGEST_SHORT - 2) : bracket].rsplit(None, 1)
    short = pieces[-1].strip("([,;:.") if pieces else ""
    if not _is_short_form(short) or len(inner.split()) > min(len(short) + 5, 2 * len(short)):
        return None
    if long_form_start(short, inner) != 0:
        return None
    return Definition(short, bracket + 1, bracket + 1 + len(inner))


def _is_short_form(short: str) -> bool:
    if not 2 <= len(short) <= _LONGEST_SHORT or _SHORT.fullmatch(short) is None:
        return False
    return any(one.isupper() or one.isdigit() for one in short)


def long_form_start(short: str, before: str) -> int | None:
    """Return where in ``before`` the shortest long form of ``short`` begins, None for none.

    The algorithm of the paper's figure 1: both strings are read from their ends; a character of
    the short form that is no letter or digit is passed over. The form found must be longer than
    the short form and must not hold it as one of its words.
    """
    low = before.lower()
    if len(low) != len(before):  # "İ" becomes two characters
        low = before
    wanted = [one for one in short.lower() if one.isalnum()]
    at = len(low)
    for one in reversed(wanted[1:]):
        at = low.rfind(one, 0, at)
        if at < 0:
            return None
    while True:  # the first one must begin a word
        at = low.rfind(wanted[0], 0, at)
        if at < 0:
            return None
        if at == 0 or not low[at - 1].isalnum():
            break
    start = before.rfind(" ", 0, at) + 1
    start += before[start] in "(["  # "(heart failure, HF)"
    long_form = before[start:]
    if len(long_form) <= len(short) or short in long_form.split():
        return None
    return start
