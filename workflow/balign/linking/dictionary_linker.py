"""The backend ``dictionary``: longest match of names, and the text's own abbreviations."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from balign.linking.abbreviations import find_definitions
from balign.linking.dictionary import Dictionary, Longest, leftmost
from balign.linking.index import build_dictionary
from balign.linking.mentions import SCHEMA
from balign.linking.settings import LinkingSettings
from balign.linking.tokens import Tokens, tokenise

_POINTS = 1_000_000  # code points worked on at once
_EARLIER = 4


@dataclass
class DictionaryLinker:
    """A linker by dictionary, see :class:`balign.linking.backends.Linker`.

    The score is 1 / (number of concepts that have the name): how likely the concept is if each of
    them were as likely as the others.
    """

    dictionary: Dictionary
    abbreviations: bool
    name: str = "dictionary"
    dropped: Counter[str] = field(default_factory=Counter)
    _concepts: dict[int, str] = field(default_factory=dict, repr=False)

    @classmethod
    def build(cls, database: Path, settings: LinkingSettings, folder: Path) -> None:
        """Write the index."""
        build_dictionary(database, settings.dictionary, folder)

    @classmethod
    def open(cls, folder: Path, settings: LinkingSettings) -> DictionaryLinker:
        """Map the index."""
        return cls(Dictionary.open(folder), settings.dictionary.abbreviations)

    def link(self, documents: pl.DataFrame, sentences: pl.DataFrame) -> pl.DataFrame:
        """Find the mentions in some documents."""
        parts = [
            self._link(documents[first:last], sentences[begin:end])
            for first, last, begin, end in _pieces(documents, sentences)
        ]
        return pl.concat([SCHEMA.to_frame(), *parts])

    def _link(self, documents: pl.DataFrame, sentences: pl.DataFrame) -> pl.DataFrame:
        texts = documents["text"].to_list()
        tokens = tokenise(texts, self.dictionary.rules)
        spans = _Spans.of(documents, sentences, texts)
        longest = self.dictionary.longest(tokens, spans.last_token(tokens))
        begins = leftmost(longest)
        found = _Found(
            spans.base[tokens.text[begins]] + tokens.start[begins],
            spans.base[tokens.text[begins]] + tokens.end[begins + longest.length[begins] - 1],
            longest.entry[begins],
        )
        if self.abbreviations:
            found = found.replaced(_short_forms(texts, tokens, longest, spans))
        return self._table(found, spans, texts, documents, sentences)

    def _concept(self, number: int) -> str:
        if number not in self._concepts:
            self._concepts[number] = self.dictionary.concepts[number]
        return self._concepts[number]

    def _table(
        self,
        found: _Found,
        spans: _Spans,
        texts: list[str],
        documents: pl.DataFrame,
        sentences: pl.DataFrame,
    ) -> pl.DataFrame:
        document = np.searchsorted(spans.base, found.start, "right") - 1
        start, end = found.start - spans.base[document], found.end - spans.base[document]
        sentence = np.searchsorted(spans.start, found.start, "right") - 1
        distinct, which = np.unique(self.dictionary.concept[found.entry], return_inverse=True)
        concepts = pl.Series([self._concept(i) for i in distinct.tolist()], dtype=pl.String)
        places = zip(document.tolist(), start.tolist(), end.tolist(), strict=True)
        columns = {
            "pmid": documents["pmid"].to_numpy()[document],
            "sentence": sentences["sentence"].to_numpy()[sentence],
            "start": start,
            "end": end,
            "surface": pl.Series([texts[i][a:b] for i, a, b in places], dtype=pl.String),
            "concept": concepts.gather(which),
            "score": (1 / self.dictionary.sharing[found.entry]).astype(np.float32),
            "linker": pl.repeat(self.name, len(start), dtype=pl.String, eager=True),
        }
        return pl.DataFrame(columns).cast(SCHEMA)


def _pieces(
    documents: pl.DataFrame, sentences: pl.DataFrame
) -> Iterator[tuple[int, int, int, int]]:
    """Cut documents into pieces of some length: their rows, and those of their sentences."""
    if documents.is_empty():
        return
    lengths = documents["text"].str.len_bytes().to_numpy()
    piece = np.cumsum(lengths) // _POINTS
    firsts = np.flatnonzero(np.diff(piece, prepend=-1))
    begins = sentences["pmid"].search_sorted(documents["pmid"].gather(firsts), "left").to_list()
    bounds = [*firsts.tolist(), len(documents)]
    ends = [*begins[1:], len(sentences)]
    yield from zip(bounds[:-1], bounds[1:], begins, ends, strict=True)


@dataclass(frozen=True)
class _Spans:
    """Where documents and sentences are, were all texts one, with a character between two.

    Attributes:
        base: [documents] begin of each.
        start: [sentences] begin of each.
        end: [sentences] its end.
    """

    base: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]

    @classmethod
    def of(cls, documents: pl.DataFrame, sentences: pl.DataFrame, texts: list[str]) -> _Spans:
        lengths = np.fromiter(map(len, texts), np.int64, len(texts)) + 1
        base = np.cumsum(lengths) - lengths
        pmids = documents["pmid"].to_numpy()
        offset = base[np.searchsorted(pmids, sentences["pmid"].to_numpy())]
        return cls(
            base, offset + sentences["start"].to_numpy(), offset + sentences["end"].to_numpy()
        )

    def last_token(self, tokens: Tokens) -> npt.NDArray[np.int64]:
        """Return [tokens] the last token of each one's sentence, -1 outside of sentences."""
        if not len(self.start):
            return np.full(len(tokens.start), -1, np.int64)
        begin = self.base[tokens.text] + tokens.start
        end = self.base[tokens.text] + tokens.end
        sentence = np.searchsorted(self.start, begin, "right") - 1
        inside = (sentence >= 0) & (end <= self.end[sentence])
        last = np.searchsorted(end, self.end, "right") - 1
        return np.where(inside, last[sentence], -1)

    def within_one(
        self, start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Return which spans lie within a sentence."""
        if not len(self.start):
            return np.zeros(len(start), np.bool_)
        sentence = np.searchsorted(self.start, start, "right") - 1
        inside: npt.NDArray[np.bool_] = (sentence >= 0) & (end <= self.end[sentence])
        return inside


@dataclass(frozen=True)
class _Found:
    """Mentions sorted by place, none overlapping; ``entry`` is -1 where none is right."""

    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    entry: npt.NDArray[np.int32]

    def replaced(self, others: _Found) -> _Found:
        """Put the others in the place of what they overlap, where nothing longer holds them."""
        first = np.searchsorted(self.end, others.start, "right")
        last = np.searchsorted(self.start, others.end, "left")
        holds = np.zeros(len(first), np.bool_)
        one = np.flatnonzero(last - first == 1)
        holder = first[one]
        holds[one] = (
            (self.start[holder] <= others.start[one])
            & (self.end[holder] >= others.end[one])
            & (self.end[holder] - self.start[holder] > (others.end - others.start)[one])
        )
        change = np.zeros(len(self.start) + 1, np.int64)
        np.add.at(change, first[~holds], 1)
        np.add.at(change, last[~holds], -1)
        stays = np.cumsum(change[:-1]) == 0
        new = ~holds & (others.entry >= 0)
        start = np.concatenate([self.start[stays], others.start[new]])
        order = np.argsort(start, kind="stable")
        return _Found(
            start[order],
            np.concatenate([self.end[stays], others.end[new]])[order],
            np.concatenate([self.entry[stays], others.entry[new]])[order],
        )


def _short_forms(texts: list[str], tokens: Tokens, longest: Longest, spans: _Spans) -> _Found:
    """Return where the short forms stand that texts define, with the entry of the long form.

    Where the long form is no name, the entry is -1. A short form is found as
    written, also with a plural "s", not inside a run of letters and digits.
    """
    definitions = [
        (number, *one)
        for number, text in enumerate(texts)
        if "(" in text or "[" in text
        for one in find_definitions(text)
    ]
    if not definitions:
        return _Found(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32))
    numbers, shorts, starts, ends = zip(*definitions, strict=True)
    base = spans.base[np.array(numbers)]
    entries = _entries(base + np.array(starts), base + np.array(ends), tokens, longest, spans)

    found: list[tuple[int, int, int]] = []
    rows = zip(numbers, shorts, base.tolist(), entries.tolist(), strict=True)
    for number, of_text in itertools.groupby(rows, key=lambda row: row[0]):
        places = [
            (offset + begin, offset + end, entry)
            for _, short, offset, entry in of_text
            for begin, end in _occurrences(texts[number], short)
        ]
        places.sort(key=lambda place: (place[0], -place[1]))
        free = 0
        for place in places:
            if place[0] >= free:
                found.append(place)
                free = place[1]
    table = np.array(found, np.int64).reshape(-1, 3)
    table = table[spans.within_one(table[:, 0], table[:, 1])]
    return _Found(table[:, 0], table[:, 1], table[:, 2].astype(np.int32))


def _entries(
    start: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    tokens: Tokens,
    longest: Longest,
    spans: _Spans,
) -> npt.NDArray[np.int32]:
    """Return the entry of the name that a span is, or that ends with it, -1 for none.

    The shortest long form may lack words of the name, as in "delta 9-tetrahydrocannabinol"; so the
    name may begin a few tokens earlier.
    """
    offset = spans.base[tokens.text]
    first = np.searchsorted(offset + tokens.start, start)
    last = np.searchsorted(offset + tokens.end, end, "right") - 1
    found = np.full(len(start), -1, np.int32)
    for earlier in range(_EARLIER):
        begin = first - earlier
        asked = np.flatnonzero((found < 0) & (begin >= 0) & (last >= first))
        whole = longest.length[begin[asked]] == (last - begin + 1)[asked]
        found[asked[whole]] = longest.entry[begin[asked[whole]]]
    return found


def _occurrences(text: str, short: str) -> Iterator[tuple[int, int]]:
    at = text.find(short)
    while at >= 0:
        end = at + len(short)
        if text[end : end + 1] == "s":
            end += 1
        if not (text[end : end + 1].isalnum() or (at > 0 and text[at - 1].isalnum())):
            yield at, end
        at = text.find(short, end)
