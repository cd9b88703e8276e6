"""Sentence splitters on hard cases and on real abstracts: accuracy and speed.

    python -m benchmarks.corpus.sentences --abstracts results/demo/corpus/abstracts/*.parquet

The cases are tests/corpus/sentences.txt, and sentences_held_out.txt, which were never used to
change balign's rules. Of each library the borders inside a case, the places where a sentence
begins, are compared with those written there: precision, recall and F1 over all borders, and the
share of cases without a fault. The speed is that of the library's call alone on one core, over
1,500 abstracts in sections, after one text to warm up. A library that is not installed is left out.
Install them beside balign's own requirements into an environment of their own: syntok==1.4.4
pysbd==0.3.4 blingfire==0.1.8 spacy==3.8.18; for biosenter unpack the wheel biosenter==0.2.0 and
give the folder of its spaCy model, `biosenter/model`, with --biosenter.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.measure import show

ROOT = Path(__file__).resolve().parents[2]
CASES = {
    "hard": ROOT / "tests/corpus/sentences.txt",
    "held out": ROOT / "tests/corpus/sentences_held_out.txt",
}
BORDER = "‖"

Splitter = Callable[[str], list[int]]
"""From a text to the code points at which its sentences begin."""


def _balign() -> Splitter:
    from balign.corpus.sentences import section_spans

    return lambda text: [start for start, _ in section_spans(text)]


def _syntok() -> Splitter:
    from syntok import segmenter
    from syntok.tokenizer import Tokenizer

    tokens = Tokenizer(replace_not_contraction=False).tokenize
    return lambda text: [tokens_[0].offset for tokens_ in segmenter.segment(tokens(text))]


def _found(text: str, sentences: list[str]) -> list[int]:
    """Return where each sentence begins in the text that it was cut from."""
    starts, place = [], 0
    for sentence in filter(None, map(str.strip, sentences)):
        found = text.find(sentence, place)
        if found < 0:  # the library changed the text: go on with its first word
            found = text.find(sentence.split()[0], place)
        if found >= 0:
            starts.append(found)
            place = found + 1
    return starts


def _sentencex() -> Splitter:
    from sentencex import segment

    return lambda text: _found(text, list(segment("en", text)))


def _mended(make: Callable[[], Splitter]) -> Callable[[], Splitter]:
    """Put balign's rules over a library."""

    def both() -> Splitter:
        from balign.corpus.sentences import mended

        split = make()
        return lambda text: mended(text, split(text))

    return both


def _pysbd() -> Splitter:
    import pysbd

    segmenter = pysbd.Segmenter(language="en", clean=False)
    return lambda text: _found(text, segmenter.segment(text))


def _blingfire() -> Splitter:
    import blingfire

    return lambda text: _found(text, blingfire.text_to_sentences(text).split("\n"))


def _sentencizer() -> Splitter:
    import spacy

    model = spacy.blank("en")
    model.add_pipe("sentencizer")
    return lambda text: [sentence.start_char for sentence in model(text).sents]


def _biosenter(folder: Path) -> Splitter:
    import spacy

    model = spacy.load(folder)
    return lambda text: [sentence.start_char for sentence in model(text).sents]


def cases(path: Path) -> list[tuple[str, str, list[int]]]:
    """Return kind, text and borders of each hard case."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, marked = line.split("\t")
            pieces = marked.split(BORDER)
            borders, place = [], 0
            for piece in pieces[:-1]:
                place += len(piece)
                borders.append(place)
            found.append((kind, "".join(pieces), borders))
    return found


def borders(split: Splitter, text: str) -> set[int]:
    """Return where sentences begin, the first one's beginning aside."""
    starts = sorted(split(text))
    return {start + len(text[start:]) - len(text[start:].lstrip()) for start in starts[1:]}


def score(
    name: str, split: Splitter, path: Path, faults: bool
) -> tuple[float, float, float, float]:
    """Return precision, recall and F1 of the borders, and the share of cases that are right."""
    hit = said = true = right = 0
    known = cases(path)
    for kind, text, expected in known:
        found = borders(split, text)
        hit += len(found & set(expected))
        said += len(found)
        true += len(expected)
        right += found == set(expected)
        if faults and found != set(expected):
            shown = "".join(BORDER * (i in found) + c for i, c in enumerate(text))
            print(f"{name}\t{kind}\t{shown}")
    return hit / said, hit / true, 2 * hit / (said + true), right / len(known)


def sections(paths: list[Path], count: int) -> Iterator[str]:
    """Yield the sections of so many abstracts, line by line."""
    for path in paths:
        for text in pq.read_table(path, columns=["abstract"])["abstract"].to_pylist():
            if text and count > 0:
                count -= 1
                yield from text.split("\n")


def main() -> None:
    """Measure every library that is installed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--abstracts", type=Path, nargs="+", required=True)
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--biosenter", type=Path)
    parser.add_argument("--faults", action="store_true", help="print each case that is wrong")
    options = parser.parse_args()
    makers: dict[str, Callable[[], Splitter]] = {
        "balign": _balign,
        "syntok": _syntok,
        "sentencex": _sentencex,
        "sentencex + rules": _mended(_sentencex),
        "pysbd": _pysbd,
        "blingfire": _blingfire,
        "blingfire + rules": _mended(_blingfire),
        "spaCy sentencizer": _sentencizer,
    }
    if options.biosenter:
        makers["biosenter"] = lambda: _biosenter(options.biosenter)
    texts = list(sections(options.abstracts, options.count))
    rows = []
    for name, make in makers.items():
        try:
            split = make()
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        figures = [
            figure for path in CASES.values() for figure in score(name, split, path, options.faults)
        ]
        split(texts[0])
        began = time.perf_counter()
        sentences = sum(len(split(text)) for text in texts)
        seconds = time.perf_counter() - began
        rows.append((name, *figures, seconds, sentences))
    columns = [
        f"{name} {what}" for name in CASES for what in ("precision", "recall", "F1", "right")
    ]
    title = f"{' + '.join(str(len(cases(path))) for path in CASES.values())} cases, "
    title += f"{options.count:,} abstracts"
    show(title, ("library", *columns, "seconds", "sentences"), rows)


if __name__ == "__main__":
    main()
