"""Sentences as exact spans of code points.

sentencex finds the borders and a thin layer mends what it gets wrong in biomedical text.
docs/corpus.md has the figures (benchmarks/corpus/sentences.py).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from sentencex import segment

Span = tuple[int, int, str]
"""Start, end (half open) and section of a sentence in its citation's ``text``."""

Sections = Sequence[tuple[str, str]]
"""Name and text of each section of an abstract."""

# No sentence ends here: after these words and a full stop; before a number after "max." and the
# like; before a word of small letters, which begins no sentence in print unless it is a symbol such
# as "p53", "c-Myc" or "mRNA".
_OPEN_END = re.compile(
    r"(?:^|[\s(\[])(?:approx|ca|cf|viz|figs?|tabs?|suppl|sect|chap|eqs?|refs?|subsp|ssp|ser|var|vs"
    r"|resp|nos?)\.\s*$",
    re.IGNORECASE,
)
_BEFORE_NUMBER = re.compile(r"(?<![\d\s])\s(?:max|min|av|temp|conc|dil)\.\s*$", re.IGNORECASE)
_SMALL_WORD = re.compile(r"[a-z]+(?![\w-])")

# A sentence begins here: after a number and its unit, or a letter that names a kind ("vitamin D."),
# where libraries see an initial; before a symbol that begins with a small letter; after a reference
# that follows the full stop.
_CAPITAL = r"(?=[A-Z][a-z]|[A-Z]\s)"
_BEGINNING = re.compile(
    r"\d\s?(?:h|hrs?|min|s|sec|d|wk|mo|yrs?|[mk]?g|[mµμ]?l|[nµμmc]?m|kDa|Hz|V|°\s?C)\.\s+"
    + _CAPITAL
    + r"|(?i:\b(?:vitamin|hepatitis|influenza|immunoglobulin|coenzyme|factor|group|type|class|grade"
    r"|stage|category|arm|strain|panel|cohort|toxin))\s[A-Z]\.\s+"
    + _CAPITAL
    + r"|[\w)\]]{2}\.\s+(?=[a-z]{1,4}-?[A-Z0-9]|[α-ω]-)"
    r"|\w\.(?:\(\d+(?:[,–-]\s?\d+)*\)|\[\d+(?:[,–-]\s?\d+)*\])\s+" + _CAPITAL
)


def citation_text(title: str, sections: Sections) -> tuple[str, str]:
    """Return a citation's abstract and its ``text``: the title, a line feed, the abstract."""
    abstract = "\n".join(text for _, text in sections)
    return abstract, f"{title}\n{abstract}"


def citation_spans(title: str, sections: Sections) -> list[Span]:
    """Return the sentences of a citation as spans of the text of :func:`citation_text`.

    The title is one sentence; no sentence reaches over the border of a section.
    """
    spans = [(start, end, "title") for start, end in _trimmed(title, [0])]
    offset = len(title) + 1
    for name, text in sections:
        spans.extend((offset + start, offset + end, name) for start, end in section_spans(text))
        offset += len(text) + 1
    return spans


def section_spans(text: str) -> list[tuple[int, int]]:
    """Return the sentences of a text as spans: ordered, apart, without white space at their ends.

    sentencex says where sentences begin; a sentence reaches from its beginning to the next one's.
    So every character but white space is in exactly one sentence, whatever sentencex leaves out.
    """
    return _trimmed(text, mended(text, _begins(text)))


def _begins(text: str) -> Iterator[int]:
    """Yield where the sentences that sentencex finds begin; it gives strings, not places."""
    end = 0
    for sentence in map(str.strip, segment("en", text)):
        begin = text.find(sentence, end) if sentence else -1
        if begin >= 0:
            yield begin
            end = begin + len(sentence)


def mended(text: str, begins: Iterable[int]) -> list[int]:
    """Return where sentences begin, after what a library says, mended for biomedical text."""
    more = (found.end() for found in _BEGINNING.finditer(text))
    return [place for place in sorted({*begins, *more}) if not _inside(text, place)]


def _inside(text: str, place: int) -> bool:
    """Tell whether a place that a sentence is said to begin at is inside one."""
    before = text[max(0, place - 16) : place]
    return bool(
        _SMALL_WORD.match(text, place)
        or _OPEN_END.search(before)
        or (text[place : place + 1].isdecimal() and _BEFORE_NUMBER.search(before))
    )


def _trimmed(text: str, begins: Sequence[int]) -> list[tuple[int, int]]:
    """Cut ``text`` at ``begins``, trim the pieces and give stray punctuation to the one before."""
    spans: list[tuple[int, int]] = []
    for start, end in itertools.pairwise(sorted({0, *begins, len(text)})):
        piece = text[start:end]
        start += len(piece) - len(piece.lstrip())
        end = start + len(piece.strip())
        if start == end:
            continue
        if spans and not any(map(str.isalnum, piece)):
            start = spans.pop()[0]
        spans.append((start, end))
    return spans
