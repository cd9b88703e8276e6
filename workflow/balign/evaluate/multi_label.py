"""Family ``multi_label``: any number of labels for a text, scored by documents."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import polars as pl
from sklearn.metrics import f1_score

from balign.evaluate.examples import Example
from balign.evaluate.finetune import FloatArray, Problem, fine_tune, longest_input, open_encoder
from balign.evaluate.heads import Item
from balign.evaluate.labels import (
    BoolMatrix,
    best_thresholds,
    label_columns,
    log_odds,
    sigmoid,
)
from balign.evaluate.outcome import Outcome, Run
from balign.evaluate.task_data import part_counts, read_answered
from balign.evaluate.task_settings import LabelsTask
from balign.evaluate.texts import text_items

log = logging.getLogger(__name__)


def run(task: LabelsTask, run: Run) -> Outcome:
    """Fine-tune on the training texts, choose on development, label the test texts.

    Raises:
        TaskSkipped: if the files are not there.
        DataError: if they break their format.
    """
    splits = read_answered(task, run)
    labels = sorted({label for one in splits.train for label in one.labels})
    gold = {name: flags(getattr(splits, name), labels) for name in ("train", "dev", "test")}
    encoder = open_encoder(run.model)
    most = longest_input(encoder, task.fine_tuning.max_tokens)

    def items(part: Sequence[Example], target: BoolMatrix) -> list[Item]:
        texts = [(one.text, one.second) for one in part]
        return text_items(encoder, texts, target.astype(np.float32).tolist(), most, task.pooling)

    dev = by_document(splits.dev, task.document_separator)

    def score(logits: list[FloatArray]) -> float:
        probability = sigmoid(logits)
        predicted = probability >= limits(task, probability, gold["dev"])
        pairs = (merged(dev, gold["dev"]), merged(dev, predicted))
        return float(f1_score(*pairs, average="micro", zero_division=0))

    problem = Problem(
        "labels",
        len(labels),
        items(splits.train, gold["train"]),
        items(splits.dev, gold["dev"]),
        score,
        bias=log_odds(gold["train"]),
    )
    tuned = fine_tune(lambda: open_encoder(run.model), problem, task.fine_tuning, run.seed)
    chosen = limits(task, sigmoid(tuned.predict(problem.dev)), gold["dev"])
    predicted = sigmoid(tuned.predict(items(splits.test, gold["test"]))) >= chosen
    documents = by_document(splits.test, task.document_separator)
    columns = {
        "example": np.arange(len(documents), dtype=np.int64),
        "id": list(documents),
        **label_columns(labels, merged(documents, gold["test"]), merged(documents, predicted)),
    }
    counts = {
        **part_counts(splits),
        "labels": len(labels),
    }
    metrics = ("micro_f1", "document_f1", "macro_f1")
    return Outcome(pl.DataFrame(columns), metrics, counts=counts, training=tuned.facts)


def flags(part: Sequence[Example], labels: Sequence[str]) -> BoolMatrix:
    """Return ``[texts, labels]``."""
    rows = [[label in one.labels for label in labels] for one in part]
    return np.array(rows, dtype=bool).reshape(len(part), len(labels))


def limits(task: LabelsTask, probability: FloatArray, gold: BoolMatrix) -> FloatArray:
    """Return the probability from which each label is given, ``[labels]``."""
    if task.threshold == "dev":
        return best_thresholds(probability, gold)
    return np.full(gold.shape[1], 0.5, dtype=np.float32)


def by_document(part: Sequence[Example], separator: str | None) -> dict[str, list[int]]:
    """Return document -> positions of its texts; each text is one where ``separator`` is None."""
    found: dict[str, list[int]] = {}
    for row, one in enumerate(part):
        name = f"{row}" if separator is None else one.id.split(separator)[0]
        found.setdefault(name, []).append(row)
    return found


def merged(documents: dict[str, list[int]], of_texts: BoolMatrix) -> BoolMatrix:
    """Return the labels of documents: those that any of their texts has."""
    return np.array([of_texts[rows].any(axis=0) for rows in documents.values()])
