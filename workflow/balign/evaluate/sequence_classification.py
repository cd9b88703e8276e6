"""Family ``sequence_classification``: one label for a text, or for a question and its context."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import polars as pl

from balign.evaluate.examples import Example
from balign.evaluate.finetune import FloatArray, Problem, fine_tune, longest_input, open_encoder
from balign.evaluate.heads import IGNORED, Item
from balign.evaluate.outcome import Outcome, Run
from balign.evaluate.task_data import part_counts, read_answered
from balign.evaluate.task_settings import TextTask
from balign.evaluate.texts import text_items

log = logging.getLogger(__name__)


def run(task: TextTask, run: Run) -> Outcome:
    """Fine-tune on the training examples, choose on development, predict the test examples.

    Raises:
        TaskSkipped: if the files are not there.
        DataError: if they break their format.
    """
    splits = read_answered(task, run)
    labels = sorted({one.labels[0] for one in splits.train})
    encoder = open_encoder(run.model)
    most = longest_input(encoder, task.fine_tuning.max_tokens)

    def items(part: Sequence[Example]) -> list[Item]:
        texts = [(one.text, one.second) for one in part]
        return text_items(encoder, texts, label_targets(part, labels), most, task.pooling)

    gold = [one.labels[0] for one in splits.dev]

    def score(logits: list[FloatArray]) -> float:
        return float(np.mean([a == b for a, b in zip(gold, best(logits, labels), strict=True)]))

    problem = Problem("label", len(labels), items(splits.train), items(splits.dev), score)
    tuned = fine_tune(lambda: open_encoder(run.model), problem, task.fine_tuning, run.seed)
    predicted = best(tuned.predict(items(splits.test)), labels)
    counts = {
        **part_counts(splits),
        "labels": len(labels),
    }
    predictions = answers_frame(splits.test).with_columns(predicted=pl.Series(predicted))
    return Outcome(predictions, ("accuracy",), counts=counts, training=tuned.facts)


def label_targets(part: Sequence[Example], labels: Sequence[str]) -> list[int]:
    """Return the position of each example's label; one that training has not is never learnt."""
    position = {label: row for row, label in enumerate(labels)}
    return [position.get(one.labels[0], IGNORED) for one in part]


def best(logits: Sequence[FloatArray], labels: Sequence[str]) -> list[str]:
    """Return the label of the highest logit of each example."""
    return [labels[int(one.argmax())] for one in logits]


def answers_frame(part: Sequence[Example]) -> pl.DataFrame:
    """Return ``example`` (position), ``id``, ``text`` and ``gold`` of examples with one label."""
    return pl.DataFrame(
        {
            "example": np.arange(len(part), dtype=np.int64),
            "id": [one.id for one in part],
            "text": [one.text for one in part],
            "gold": [one.labels[0] for one in part],
        }
    )
