"""Family ``regression``: a number for a pair of texts, such as how alike they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.stats import spearmanr

from balign.evaluate.examples import Example
from balign.evaluate.finetune import FloatArray, Problem, fine_tune, longest_input, open_encoder
from balign.evaluate.heads import Item
from balign.evaluate.outcome import Outcome, Run
from balign.evaluate.task_data import part_counts, read_answered
from balign.evaluate.task_settings import ScoreTask
from balign.evaluate.texts import text_items


def run(task: ScoreTask, run: Run) -> Outcome:
    """Fine-tune on the training pairs, choose on development, predict the test pairs.

    The model learns numbers of mean 0 and deviation 1, as those of training are.

    Raises:
        TaskSkipped: if the files are not there.
        DataError: if they break their format.
    """
    splits = read_answered(task, run)
    values = numbers(splits.train)
    mean, deviation = values.mean(), values.std() or 1.0
    encoder = open_encoder(run.model)
    most = longest_input(encoder, task.fine_tuning.max_tokens)

    def items(part: Sequence[Example]) -> list[Item]:
        texts = [(one.text, one.second) for one in part]
        targets = ((numbers(part) - mean) / deviation).tolist()
        return text_items(encoder, texts, targets, most, task.pooling)

    def score(logits: list[FloatArray]) -> float:
        predicted = np.array([one[0] for one in logits])
        if np.ptp(predicted) == 0 or np.ptp(numbers(splits.dev)) == 0:
            return 0.0
        return float(spearmanr(numbers(splits.dev), predicted).statistic)

    problem = Problem("number", 1, items(splits.train), items(splits.dev), score)
    tuned = fine_tune(lambda: open_encoder(run.model), problem, task.fine_tuning, run.seed)
    predicted = [float(one[0] * deviation + mean) for one in tuned.predict(items(splits.test))]
    predictions = pl.DataFrame(
        {
            "example": np.arange(len(splits.test), dtype=np.int64),
            "id": [one.id for one in splits.test],
            "text": [one.text for one in splits.test],
            "second": [one.second for one in splits.test],
            "gold": numbers(splits.test),
            "predicted": predicted,
        }
    )
    return Outcome(
        predictions, ("pearson", "spearman"), counts=part_counts(splits), training=tuned.facts
    )


def numbers(part: Sequence[Example]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the numbers to predict."""
    return np.array([one.value for one in part], dtype=np.float64)
