"""Passages with entities to examples: tagged sentences, and sentences with two entities marked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from balign.corpus.sentences import section_spans
from balign.evaluate.examples import Example, Tagged
from balign.evaluate.formats_documents import Passage, Span

_WORD = re.compile(r"\w+|[^\w\s]")
NO_RELATION = "false"


def tagged_sentences(passages: Iterable[Passage]) -> Iterator[Tagged]:
    """Yield the sentences of passages as words with IOB2 tags.

    Words are runs of letters and digits, or single other characters. Of entities that overlap the
    longest counts; an entity that covers a part of a word covers the word.
    """
    for passage in passages:
        for number, (start, end, spans) in enumerate(sentences(passage)):
            words = [match.span() for match in _WORD.finditer(passage.text, start, end)]
            tags = ["O"] * len(words)
            for span in sorted(spans, key=lambda one: (one.start - one.end, one.start, one.kind)):
                inside = [
                    place
                    for place, (begin, stop) in enumerate(words)
                    if begin < span.end and stop > span.start
                ]
                if any(tags[place] != "O" for place in inside):
                    continue
                for place in inside:
                    tags[place] = f"I-{span.kind}"
                if inside:
                    tags[inside[0]] = f"B-{span.kind}"
            if words:
                texts = tuple(passage.text[begin:stop] for begin, stop in words)
                yield Tagged(f"{passage.id}:{number}", texts, tuple(tags))


def sentences(passage: Passage) -> Iterator[tuple[int, int, list[Span]]]:
    """Yield start, end and entities of each sentence; none ends inside an entity."""
    borders = [(0, len(passage.text))]
    if not passage.is_sentence:
        borders = _lines(passage.text)
    merged: list[tuple[int, int]] = []
    for start, end in borders:
        crossed = merged and any(
            span.start < merged[-1][1] <= start < span.end for span in passage.spans
        )
        if crossed:
            start = merged.pop()[0]
        merged.append((start, end))
    for start, end in merged:
        yield start, end, [one for one in passage.spans if start <= one.start and one.end <= end]


def _lines(text: str) -> list[tuple[int, int]]:
    """Return the sentences of each line, as the corpus of training is cut."""
    found = []
    offset = 0
    for line in text.split("\n"):
        found += [(offset + start, offset + end) for start, end in section_spans(line)]
        offset += len(line) + 1
    return found


def marked_pairs(
    passages: Iterable[Passage], arguments: Sequence[str], markers: Sequence[str]
) -> Iterator[Example]:
    """Yield a marked sentence for each pair of entities.

    Args:
        passages: what was read.
        arguments: types of head and tail; empty for pairs that the corpus lists.
        markers: what goes before and after the head and the tail.
    """
    for passage in passages:
        for number, (start, end, spans) in enumerate(sentences(passage)):
            for head, tail, label in _pairs(passage, spans, arguments):
                text = mark(passage.text[start:end], start, head, tail, markers)
                name = f"{passage.id}:{number}:{head.key}:{tail.key}"
                yield Example(name, text, labels=(label,))


def _pairs(
    passage: Passage, spans: Sequence[Span], arguments: Sequence[str]
) -> Iterator[tuple[Span, Span, str]]:
    if passage.pairs_given:
        by_key = {span.key: span for span in spans}
        for one in passage.relations:
            yield by_key[one.head], by_key[one.tail], one.label
        return
    labels = {(one.head, one.tail): one.label for one in passage.relations}
    for head in spans:
        for tail in spans:
            if head.key == tail.key or [head.kind, tail.kind] != list(arguments):
                continue
            keys = [(span.key, *passage.concepts.get(span.key, ())) for span in (head, tail)]
            found = (labels.get((first, second)) for first in keys[0] for second in keys[1])
            yield head, tail, next((one for one in found if one), NO_RELATION)


def mark(text: str, offset: int, head: Span, tail: Span, markers: Sequence[str]) -> str:
    """Return a text with four markers around two entities, blanks beside each marker.

    Args:
        text: the sentence.
        offset: where it begins in its passage.
        head: first argument.
        tail: second argument.
        markers: before and after the head, before and after the tail.
    """
    inserts = [
        (head.start, 1, markers[0]),
        (head.end, 0, markers[1]),
        (tail.start, 1, markers[2]),
        (tail.end, 0, markers[3]),
    ]
    # From the end, so that places stay right; of one place, what closes goes before what opens.
    for place, _, marker in sorted(inserts, reverse=True):
        cut = place - offset
        text = f"{text[:cut]} {marker} {text[cut:]}"
    return " ".join(text.split())
