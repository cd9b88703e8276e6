"""Sentences as exact spans of code points."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from syntok import segmenter
from syntok.tokenizer import Tokenizer

Span = tuple[int, int, str]
"""Start, end (half open) and section of a sentence in its citation's ``text``."""

Sections = Sequence[tuple[str, str]]
"""Name and text of each section of an abstract."""

# Contractions stay as written, or the tokens would not be pieces of the text.
_TOKENIZER = Tokenizer(replace_not_contraction=False)


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

    syntok says where sentences begin; a sentence reaches from its beginning to the next one's. So
    every character but white space is in exactly one sentence, whatever tokens syntok leaves out.
    """
    tokens = _TOKENIZER.tokenize(text)
    return _trimmed(text, [sentence[0].offset for sentence in segmenter.segment(tokens)])


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
