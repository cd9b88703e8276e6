"""Family ``multiple_choice``: one right answer among several; each is read with its question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from balign.evaluate.examples import Example
from balign.evaluate.finetune import FloatArray, Problem, fine_tune, longest_input, open_encoder
from balign.evaluate.heads import Item
from balign.evaluate.outcome import Outcome, Run
from balign.evaluate.task_data import part_counts, read_answered
from balign.evaluate.task_settings import ChoiceTask
from balign.evaluate.texts import choice_items


def run(task: ChoiceTask, run: Run) -> Outcome:
    """Fine-tune on the training questions, choose on development, answer the test questions.

    Raises:
        TaskSkipped: if the files are not there.
        DataError: if they break their format, or an answer is none of the options.
    """
    splits = read_answered(task, run)
    encoder = open_encoder(run.model)
    most = longest_input(encoder, task.fine_tuning.max_tokens)

    def items(part: Sequence[Example]) -> list[Item]:
        questions = [(one.text, one.options) for one in part]
        return choice_items(encoder, questions, right(part), most, task.pooling)

    gold = right(splits.dev)

    def score(logits: list[FloatArray]) -> float:
        return float(np.mean([one.argmax() == row for one, row in zip(logits, gold, strict=True)]))

    problem = Problem("option", 1, items(splits.train), items(splits.dev), score)
    tuned = fine_tune(lambda: open_encoder(run.model), problem, task.fine_tuning, run.seed)
    predicted = [int(one.argmax()) for one in tuned.predict(items(splits.test))]
    predictions = pl.DataFrame(
        {
            "example": np.arange(len(splits.test), dtype=np.int64),
            "id": [one.id for one in splits.test],
            "text": [one.text for one in splits.test],
            "options": [list(one.options) for one in splits.test],
            "gold": right(splits.test),
            "predicted": predicted,
        }
    )
    return Outcome(predictions, ("accuracy",), counts=part_counts(splits), training=tuned.facts)


def right(part: Sequence[Example]) -> list[int]:
    """Return the position of the right option of each question."""
    return [int(one.labels[0]) for one in part]
