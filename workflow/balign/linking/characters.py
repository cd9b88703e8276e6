"""Tables over all code points: what kind of character each is, and its share of a token's hash.

A token is compared by 64 bits: the sum of ``weight[code point] * BASE**position`` modulo 2**64,
with a weight drawn from each character's folded form. Tokens are never compared as strings, so two
of them could be taken for one; with 10 million names (30 million keys) and all of PubMed (10**10
questions) a fiftieth of one such error is to be expected (n * m / 2**64).
"""

from __future__ import annotations

import sys
import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

SPACE, LETTER, DIGIT, GREEK, HYPHEN, APOSTROPHE, OTHER = range(7)
"""Kinds of characters. Of the last four each character is a token of its own."""

BASE = np.uint64(0x9E3779B97F4A7C15)
INVERSE = np.uint64(pow(int(BASE), -1, 2**64))

_CODE_POINTS = sys.maxunicode + 1
_EXACT = np.uint64(0x5851F42D4C957F2D)  # tells a token as written from the same token folded
_HYPHENS = "-\u2010\u2011\u2012\u2013\u2212"
_APOSTROPHES = "'\u2018\u2019\u02bc\u2032`\u00b4"
_GREEK = (
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "omicron",
    "pi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "chi",
    "psi",
    "omega",
)
_GREEK_LETTERS = dict(zip("αβγδεζηθικλμνξοπρστυφχψω", _GREEK, strict=True)) | {"ς": "sigma"}


@dataclass(frozen=True)
class Characters:
    """Tables indexed by code point.

    Attributes:
        kind: uint8, one of the kinds above.
        folded: uint64, weights without regard to case.
        exact: uint64, weights as written.
        special: whether a token with the character must be folded as a whole: combining marks,
            and what becomes several characters ("ß").
    """

    kind: npt.NDArray[np.uint8]
    folded: npt.NDArray[np.uint64]
    exact: npt.NDArray[np.uint64]
    special: npt.NDArray[np.bool_]


def mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble 64 bits (the finaliser of SplitMix64, Steele et al., OOPSLA 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@cache
def characters(greek: bool, split: bool, possessive: bool) -> Characters:
    """Return the tables.

    Args:
        greek: Greek letters are their names; otherwise letters like any other.
        split: a digit beside a letter and a hyphen between them end a token and are otherwise
            nothing; otherwise digits are letters, and a hyphen is a token.
        possessive: apostrophes are told from other signs.
    """
    kind = np.full(_CODE_POINTS, OTHER, np.uint8)
    fold = np.arange(_CODE_POINTS, dtype=np.uint32)
    special = np.zeros(_CODE_POINTS, np.bool_)
    for point in (*range(0x33480), *range(0xE0000, 0xE01F0)):  # Unicode assigns none elsewhere
        letter = chr(point)
        category = unicodedata.category(letter)
        if category[0] in "LM":
            kind[point] = LETTER
        elif category[0] == "N":
            kind[point] = DIGIT if split else LETTER
        elif letter.isspace() and not 0x1C <= point <= 0x1F:  # as Unicode's White_Space has it
            kind[point] = SPACE
        if category in ("Cn", "Co", "Cs"):
            continue
        form = fold_text(letter)
        special[point] = category[0] == "M" or len(form) != 1 or 0x1100 <= point <= 0x11FF
        if len(form) == 1:
            fold[point] = ord(form)
    weights = mix(np.arange(1, _CODE_POINTS + 1, dtype=np.uint64))
    folded = weights[fold]
    if split:
        kind[[ord(sign) for sign in _HYPHENS]] = HYPHEN
    if possessive:
        kind[[ord(sign) for sign in _APOSTROPHES]] = APOSTROPHE
    if greek:
        for letter, name in _GREEK_LETTERS.items():
            value = _hash([int(weights[ord(one)]) for one in name])
            for point in {ord(letter), ord(letter.upper())}:
                kind[point], folded[point], special[point] = GREEK, value, False
        micro = ord("µ")
        kind[micro], folded[micro] = GREEK, folded[ord("μ")]
    return Characters(kind, folded, mix(weights ^ _EXACT), special)


def fold_text(text: str) -> str:
    """Return a text without regard to case, composed (NFC)."""
    return unicodedata.normalize("NFC", text.casefold())


def hash_token(form: str, weights: npt.NDArray[np.uint64]) -> np.uint64:
    """Return the hash of one token, character by character as it stands."""
    return np.uint64(_hash([int(weights[ord(one)]) for one in form]))


def _hash(weights: list[int]) -> int:
    value = 0
    for weight in reversed(weights):
        value = (value * int(BASE) + weight) % 2**64
    return value
