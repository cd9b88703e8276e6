"""Tokens of names and of text, with exact offsets, and the hashes by which they are compared.

A token is a run of letters and combining marks, a run of digits, a Greek letter, or any other
single character that is not white space. White space separates and is nothing itself. By the rules
(:class:`Rules`, all of them on), a hyphen between letters or digits is nothing either, so that
"IL-2", "IL2" and "IL 2" have the same two tokens, and so is an apostrophe after a letter with the
"s" that follows it.

Text is cut before it is folded, so offsets count the code points of the text as it stands however
folding changes its length. The work is done on arrays of code points, a few passes over each.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from balign.linking.characters import (
    APOSTROPHE,
    BASE,
    DIGIT,
    GREEK,
    HYPHEN,
    INVERSE,
    LETTER,
    SPACE,
    Characters,
    characters,
    fold_text,
    hash_token,
)

_WORD = np.zeros(7, np.bool_)
_WORD[[LETTER, DIGIT, GREEK]] = True
_PREFIX_LETTERS = "abgd"  # may stand for alpha, beta, gamma and delta before a hyphen
_S = np.array([ord("s"), ord("S")], np.uint32)


@dataclass(frozen=True)
class Rules:
    """How tokens are cut and compared; names and text must be cut by the same rules.

    Attributes:
        hyphens: hyphens inside words are nothing, and digits are tokens apart from letters.
        plurals: a plural is its singular, a possessive its noun.
        greek: a Greek letter is its name.
    """

    hyphens: bool = True
    plurals: bool = True
    greek: bool = True


@dataclass(frozen=True)
class Tokens:
    """Tokens of many texts, in order.

    Attributes:
        text: [n] int32, position of each token's text among the texts.
        start: [n] int64, code points from the beginning of its text to the token.
        end: [n] int64, code points to its end.
        joined: [n] bool, whether the token continues the run of letters and digits before it.
        folded: [n] uint64, hash without regard to case.
        stemmed: [n] uint64, the same without the ending of a plural; ``folded`` itself where
            plurals are no rule.
        exact: [n] uint64, hash as written.
    """

    text: npt.NDArray[np.int32]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    joined: npt.NDArray[np.bool_]
    folded: npt.NDArray[np.uint64]
    stemmed: npt.NDArray[np.uint64]
    exact: npt.NDArray[np.uint64]


def tokenise(texts: Sequence[str], rules: Rules) -> Tokens:
    """Cut texts into tokens; any text may be empty."""
    table = characters(rules.greek, rules.hyphens, rules.plurals)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    begins = np.cumsum(lengths + 1) - lengths - 1
    points = np.frombuffer(("\n".join(texts) + "\n").encode("utf-32-le"), np.uint32)
    kind = table.kind[points]

    border = np.empty(len(points) + 1, np.bool_)
    border[0] = border[-1] = True
    np.not_equal(kind[1:], kind[:-1], out=border[1:-1])
    border[:-1] |= kind >= GREEK
    edges = np.flatnonzero(border)
    start, end = edges[:-1], edges[1:]
    kinds = kind[start]
    kept = kinds != SPACE
    start, end, kinds = start[kept], end[kept], kinds[kept]

    word = _WORD[kinds]
    touching = np.zeros(len(start), np.bool_)  # no white space before
    touching[1:] = start[1:] == end[:-1]
    follows_word = touching & np.concatenate([[False], word[:-1]])
    keep = np.ones(len(start), np.bool_)
    # A hyphen never joins: the next token touches the hyphen and not the word before it.
    joined = follows_word & word
    if rules.hyphens:
        before_word = np.concatenate([touching[1:] & word[1:], [False]])
        keep &= ~((kinds == HYPHEN) & follows_word & before_word)
    if rules.plurals:
        mark = (kinds == APOSTROPHE) & follows_word
        after = np.concatenate([[False], mark[:-1]]) & touching & (end - start == 1)
        keep &= ~(mark | (after & np.isin(points[start], _S)))
    folded, stemmed, exact = _hashes(points, start, end, kinds, table, rules)
    text = np.searchsorted(begins, start, "right").astype(np.int32) - 1
    offset = begins[text] if len(texts) else start
    return Tokens(
        text[keep],
        (start - offset)[keep],
        (end - offset)[keep],
        joined[keep],
        folded[keep],
        stemmed[keep],
        exact[keep],
    )


@lru_cache(maxsize=4)
def _powers(count: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return BASE**i and BASE**-i for i < count."""
    ups = np.full(count, BASE, np.uint64)
    downs = np.full(count, INVERSE, np.uint64)
    ups[:1] = downs[:1] = 1
    return np.cumprod(ups), np.cumprod(downs)


@cache
def _prefix_hashes(greek: bool, split: bool, possessive: bool) -> npt.NDArray[np.uint64]:
    weights = characters(greek, split, possessive).folded
    return np.array([hash_token(f"{one}-", weights) for one in _PREFIX_LETTERS], np.uint64)


def _hashes(
    points: npt.NDArray[np.uint32],
    start: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    kinds: npt.NDArray[np.uint8],
    table: Characters,
    rules: Rules,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return the hashes of tokens: folded, without a plural's ending, and as written."""
    # One size of powers for all texts but the longest, so that they are computed once.
    ups, downs = _powers(max(1 << 20, 1 << len(points).bit_length()))

    def sums(weights: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        found = np.zeros(len(points) + 1, np.uint64)
        np.cumsum(weights[points] * ups[: len(points)], out=found[1:])
        return found

    folded_sums, exact_sums = sums(table.folded), sums(table.exact)
    down = downs[start]
    folded = (folded_sums[end] - folded_sums[start]) * down
    exact = (exact_sums[end] - exact_sums[start]) * down
    if rules.greek and rules.hyphens:
        _mark_prefixes(points, start, end, folded, _prefix_hashes(True, True, rules.plurals))
    stemmed = folded
    if rules.plurals:
        longer = np.flatnonzero((kinds == LETTER) & (end - start > 2))
        last = points[end[longer] - 1]
        plural = longer[(last == _S[0]) | (last == _S[1])]
        stemmed = folded.copy()
        if len(plural):
            first, down = start[plural], down[plural]
            endings = _Endings(points, first, end[plural], table.folded)
            length = end[plural] - first - endings.cut
            kept = (folded_sums[first + length] - folded_sums[first]) * down
            stemmed[plural] = kept + endings.first * ups[length] + endings.second * ups[length + 1]
            exact[plural] = (exact_sums[end[plural] - endings.capital] - exact_sums[first]) * down
    _fold_special(points, start, end, (folded, stemmed, exact), table)
    return folded, stemmed, exact


class _Endings:
    """What becomes of the ends of words in "s": S-stemmer (Harman, JASIS 1991), and -es for -is.

    "-ies" becomes "-y" (not after a or e); "-yses", "-stases" and, in words of seven letters,
    "-oses" become "-sis"; otherwise "s" goes, but not after s, u or i. Words of three letters and
    the others stay. Written in capitals and "s", as in "NSAIDs", the word as written loses it too.
    """

    def __init__(
        self,
        points: npt.NDArray[np.uint32],
        first: npt.NDArray[np.int64],
        last: npt.NDArray[np.int64],
        weights: npt.NDArray[np.uint64],
    ) -> None:
        length = last - first

        def before(distance: int) -> npt.NDArray[np.uint32]:
            """Return the letter at a distance from the last, a blank before the word."""
            there = np.where(
                length > distance, points[last - 1 - np.minimum(distance, length - 1)], 32
            )
            return np.where((there >= 65) & (there <= 90), there + 32, there)

        one, two, three, four = (before(i) for i in (1, 2, 3, 4))
        e, s = ord("e"), ord("s")
        ies = (one == e) & (two == ord("i")) & (length > 4)
        ies &= (three != e) & (three != ord("a"))
        ses = (one == e) & (two == s) & (length > 5)
        sis = ses & (
            (three == ord("y"))
            | ((three == ord("o")) & (length > 6))
            | ((three == ord("a")) & (four == ord("t")) & (before(5) == s))
        )
        plain = (length > 3) & ~np.isin(one, [s, ord("u"), ord("i")])
        self.cut = np.where(ies, 3, np.where(sis, 2, plain.astype(np.int64)))
        zero = np.uint64(0)
        y, i, s_weight = (weights[ord(letter)] for letter in "yis")
        self.first = np.where(ies, y, np.where(sis, i, zero))
        self.second = np.where(sis, s_weight, zero)
        previous = points[last - 2]
        capital = (previous >= 65) & (previous <= 90) & (points[last - 1] == _S[0])
        self.capital = capital.astype(np.int64)


def _mark_prefixes(
    points: npt.NDArray[np.uint32],
    start: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    folded: npt.NDArray[np.uint64],
    hashes: npt.NDArray[np.uint64],
) -> None:
    """Tell "a-" from the article: a small a, b, g or d before a hyphen inside a word."""
    single = np.flatnonzero(end - start == 1)
    single = single[single + 2 < len(start)]
    close = (end[single] == start[single + 1]) & (end[single + 1] == start[single + 2])
    single = single[close & (points[end[single]] == ord("-"))]
    for letter, value in zip(_PREFIX_LETTERS, hashes, strict=True):
        folded[single[points[start[single]] == ord(letter)]] = value


def _fold_special(
    points: npt.NDArray[np.uint32],
    start: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    hashes: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.uint64]],
    table: Characters,
) -> None:
    """Set the hashes of the tokens that must be folded as a whole; they are few."""
    places = np.flatnonzero(table.special[points])
    if not len(places):
        return
    folded, stemmed, exact = hashes
    token = np.unique(np.searchsorted(start, places, "right") - 1)
    for i in token[token >= 0].tolist():
        form = points[start[i] : end[i]].tobytes().decode("utf-32-le")
        folded[i] = stemmed[i] = hash_token(fold_text(form), table.folded)
        exact[i] = hash_token(unicodedata.normalize("NFC", form), table.exact)
