"""Family ``token_classification``: find named entities; a label for the first piece of each word.

A sentence longer than the encoder takes is cut into windows that overlap; each word is learnt and
predicted in the window that has most text around it, and none is left out. Of the sequences of
tags that are valid IOB2 the one of the highest sum of logits is predicted.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from balign.embedding import Encoder
from balign.evaluate.examples import Tagged
from balign.evaluate.finetune import FloatArray, Problem, fine_tune, longest_input, open_encoder
from balign.evaluate.heads import IGNORED, Item, Pieces
from balign.evaluate.outcome import Outcome, Run
from balign.evaluate.tags import entities
from balign.evaluate.task_data import part_counts, read_tagged
from balign.evaluate.task_settings import TokenTask

log = logging.getLogger(__name__)

METRICS = ("entity_f1", "entity_precision", "entity_recall")
_OVERLAP = 4  # a window shares a quarter of its pieces with the next


def run(task: TokenTask, run: Run) -> Outcome:
    """Fine-tune on the training sentences, choose on development, tag the test sentences.

    Raises:
        TaskSkipped: if the files are not there.
        DataError: if they break their format.
    """
    splits = read_tagged(task, run)
    labels = label_names(splits.train)
    encoder = open_encoder(run.model)
    most = longest_input(encoder, task.fine_tuning.max_tokens)
    train, dev, test = (
        windows(encoder, part, labels, most) for part in (splits.train, splits.dev, splits.test)
    )
    log.info("%d sentences to train on in %d windows, %s", len(train.of), len(train.items), labels)

    def score(logits: list[FloatArray]) -> float:
        predicted = map(entities, decode(dev.joined(logits), labels))
        gold = map(entities, (one.tags for one in splits.dev))
        pairs = [(len(a & b), len(a) + len(b)) for a, b in zip(gold, predicted, strict=True)]
        right, both = map(sum, zip(*pairs, strict=True))
        return 2 * right / both if both else 0.0

    problem = Problem("words", len(labels), train.items, dev.items, score)
    tuned = fine_tune(lambda: open_encoder(run.model), problem, task.fine_tuning, run.seed)
    predicted = decode(test.joined(tuned.predict(test.items)), labels)
    predictions = pl.DataFrame(
        {
            "example": np.arange(len(splits.test), dtype=np.int64),
            "id": [one.id for one in splits.test],
            "words": [list(one.words) for one in splits.test],
            "gold_tags": [list(one.tags) for one in splits.test],
            "predicted_tags": predicted,
        }
    )
    counts = {
        **part_counts(splits),
        "test_windows": len(test.items),
        "entities": sum(tag.startswith("B-") for one in splits.test for tag in one.tags),
    }
    return Outcome(predictions, METRICS, counts=counts, training=tuned.facts)


def label_names(sentences: Sequence[Tagged]) -> list[str]:
    """Return ``O`` and the tags ``B-`` and ``I-`` of every type in the training sentences."""
    types = sorted({tag[2:] for one in sentences for tag in one.tags if tag != "O"})
    return ["O", *(f"{start}-{kind}" for kind in types for start in "BI")]


class Windows:
    """Items of sentences: ``items``, and ``of``, the number of items of each sentence."""

    def __init__(self, items: list[Item], of: list[int]) -> None:
        self.items = items
        self.of = of

    def joined(self, logits: Sequence[FloatArray]) -> list[FloatArray]:
        """Return the logits of each sentence, ``[words, labels]``, from those of its windows."""
        ends = np.cumsum(self.of).tolist()
        return [
            np.concatenate(logits[end - count : end])
            for end, count in zip(ends, self.of, strict=True)
        ]


def windows(
    encoder: Encoder, sentences: Sequence[Tagged], labels: Sequence[str], most: int
) -> Windows:
    """Return the items of sentences; one each, several for those of more than ``most`` pieces.

    An item's anchors are the first pieces of the words that it is to label; each word is in one.
    """
    tokenizer = encoder.tokenizer
    empty = tokenizer("")["input_ids"]
    before, after = empty[:1], empty[1:]
    segments = "token_type_ids" in tokenizer("")
    position = {label: row for row, label in enumerate(labels)}
    encoded = tokenizer(
        [list(one.words) for one in sentences],
        is_split_into_words=True,
        add_special_tokens=False,
        truncation=False,
    )
    items, of = [], []
    for row, sentence in enumerate(sentences):
        pieces: list[list[int]] = [[] for _ in sentence.words]
        ids = encoded["input_ids"][row]
        for piece, word in zip(ids, encoded.word_ids(row), strict=True):
            pieces[word].append(piece)
        # A word of characters that the tokenizer drops still needs its label.
        pieces = [one or [tokenizer.unk_token_id] for one in pieces]
        count = 0
        for start, end, first, last in cuts([len(one) for one in pieces], most - len(empty)):
            inside = [one[: most - len(empty)] for one in pieces[start:end]]
            begins = list(itertools.accumulate((len(one) for one in inside), initial=len(before)))
            whole = [*before, *itertools.chain.from_iterable(inside), *after]
            anchors = [begins[word - start] for word in range(first, last)]
            target = [position.get(sentence.tags[word], IGNORED) for word in range(first, last)]
            types = [0] * len(whole) if segments else ()
            items.append(Item([Pieces(whole, types, anchors)], target))
            count += 1
        of.append(count)
    return Windows(items, of)


def cuts(sizes: Sequence[int], room: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield the windows of a sentence: first word, word after the last; the same of what it labels.

    Args:
        sizes: pieces of each word.
        room: pieces in a window; a word of more is cut.
    """
    places: list[tuple[int, int]] = []
    start = 0
    while True:
        end, used = start, 0
        while end < len(sizes) and (end == start or used + sizes[end] <= room):
            used += sizes[end]
            end += 1
        places.append((start, end))
        if end == len(sizes):
            break
        shared, start = 0, end
        while start > places[-1][0] + 1 and shared + sizes[start - 1] <= room // _OVERLAP:
            start -= 1
            shared += sizes[start]
    first = 0
    for number, (start, end) in enumerate(places):
        following = places[number + 1][0] if number + 1 < len(places) else end
        last = (following + end) // 2 if number + 1 < len(places) else end
        yield start, end, first, last
        first = last


def decode(logits: Sequence[FloatArray], labels: Sequence[str]) -> list[list[str]]:
    """Return the best valid tags of each sentence from logits ``[words, labels]``."""
    # allowed[i, j]: label j may follow label i.
    allowed = np.array(
        [[not to.startswith("I-") or before[2:] == to[2:] for to in labels] for before in labels]
    )
    start = np.array([not label.startswith("I-") for label in labels])
    found = []
    for one in logits:
        best = one.argmax(axis=1)
        if not (start[best[0]] and allowed[best[:-1], best[1:]].all()):
            best = _viterbi(one.astype(np.float64), allowed, start)
        found.append([labels[label] for label in best])
    return found


def _viterbi(
    logits: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    allowed: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
    start: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the positions of the labels with the highest sum among the valid sequences."""
    penalty = np.where(allowed, 0.0, -np.inf)
    total = np.where(start, logits[0], -np.inf)
    back = np.zeros(logits.shape, dtype=np.int64)
    for word in range(1, len(logits)):
        through = total[:, None] + penalty
        back[word] = through.argmax(axis=0)
        total = through.max(axis=0) + logits[word]
    best = np.empty(len(logits), dtype=np.int64)
    best[-1] = total.argmax()
    for word in range(len(logits) - 1, 0, -1):
        best[word - 1] = back[word, best[word]]
    return best
