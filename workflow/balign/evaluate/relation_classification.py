"""Family ``relation_classification``: which relation two marked entities of a sentence have.

Markers are word pieces of their own; the head reads the states of the markers before the two
arguments (Baldini Soares et al., ACL 2019: "entity start"). A long sentence keeps what is around
its arguments.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import polars as pl
from sklearn.metrics import f1_score

from balign.embedding import Encoder
from balign.evaluate.examples import Example
from balign.evaluate.finetune import FloatArray, Problem, fine_tune, longest_input, open_encoder
from balign.evaluate.heads import Item, Pieces
from balign.evaluate.outcome import Outcome, Run
from balign.evaluate.sequence_classification import answers_frame, best, label_targets
from balign.evaluate.task_data import part_counts, read_answered
from balign.evaluate.task_settings import PairMarkers, RelationTask

log = logging.getLogger(__name__)


def run(task: RelationTask, run: Run) -> Outcome:
    """Fine-tune on the training pairs, choose on development, predict the test pairs.

    Raises:
        TaskSkipped: if the files are not there.
        DataError: if they break their format.
    """
    splits = read_answered(task, run)
    labels = sorted({one.labels[0] for one in splits.train})
    positive = [label for label in labels if label not in task.negative]
    markers = list(dict.fromkeys(task.pair.markers))
    encoder = open_encoder(run.model, markers)
    most = longest_input(encoder, task.fine_tuning.max_tokens)

    def items(part: Sequence[Example]) -> list[Item]:
        sequences = marked_sequences(encoder, [one.text for one in part], task.pair, most)
        targets = label_targets(part, labels)
        return [Item([one], target) for one, target in zip(sequences, targets, strict=True)]

    gold = [one.labels[0] for one in splits.dev]

    def score(logits: list[FloatArray]) -> float:
        predicted = best(logits, labels)
        return float(f1_score(gold, predicted, labels=positive, average="micro", zero_division=0))

    anchors = 2 if task.pair.pooling == "markers" else 1
    problem = Problem(
        "label", len(labels), items(splits.train), items(splits.dev), score, anchors=anchors
    )
    tuned = fine_tune(lambda: open_encoder(run.model, markers), problem, task.fine_tuning, run.seed)
    predicted = best(tuned.predict(items(splits.test)), labels)
    frame = answers_frame(splits.test).with_columns(predicted=pl.Series(predicted))
    none = pl.lit(None, dtype=pl.String)  # no relation, as the metric has it
    negative = list(task.negative)
    predictions = frame.with_columns(
        pl.when(pl.col(name).is_in(negative)).then(none).otherwise(pl.col(name)).alias(name)
        for name in ("gold", "predicted")
    )
    counts = {
        **part_counts(splits),
        "labels": len(labels),
        "test_relations": predictions["gold"].count(),
    }
    return Outcome(predictions, ("relation_f1", "accuracy"), counts=counts, training=tuned.facts)


def marked_sequences(
    encoder: Encoder, texts: Sequence[str], pair: PairMarkers, most: int
) -> list[Pieces]:
    """Return the word pieces of marked texts, with the arguments' markers as anchors.

    The first piece stands for an argument whose marker the text lacks.
    """
    tokenizer = encoder.tokenizer
    empty = tokenizer("")["input_ids"]
    before, after = empty[:1], empty[1:]
    segments = "token_type_ids" in tokenizer("")
    half = len(pair.markers) // 2
    head, tail = tokenizer.convert_tokens_to_ids([pair.markers[0], pair.markers[half]])
    found = []
    for ids in tokenizer(list(texts), add_special_tokens=False, truncation=False)["input_ids"]:
        heads = [place for place, one in enumerate(ids) if one == head]
        tails = [place for place, one in enumerate(ids) if one == tail and place not in heads[:1]]
        places = [heads[0] if heads else None, tails[0] if tails else None]
        kept = keep_around([one for one in places if one is not None], len(ids), most - len(empty))
        at = {old: new + len(before) for new, old in enumerate(kept)}
        whole = [*before, *(ids[place] for place in kept), *after]
        anchors: list[int] = []
        if pair.pooling == "markers":
            anchors = [0 if one is None else at[one] for one in places]
        elif pair.pooling == "cls":
            anchors = [0]
        found.append(Pieces(whole, [0] * len(whole) if segments else (), anchors))
    return found


def keep_around(places: Sequence[int], length: int, room: int) -> list[int]:
    """Return at most ``room`` positions below ``length``: those nearest to one of ``places``."""
    if length <= room:
        return list(range(length))

    def distance(place: int) -> tuple[int, int]:
        return min((abs(place - one) for one in places), default=place), place

    return sorted(sorted(range(length), key=distance)[:room])
