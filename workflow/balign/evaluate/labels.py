"""Labels as columns of flags: what the families that give any number of labels share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from balign.evaluate.outcome import GOLD, PREDICTED

FloatArray = npt.NDArray[np.float32]
BoolMatrix = npt.NDArray[np.bool_]


def best_thresholds(probability: FloatArray, gold: BoolMatrix) -> FloatArray:
    """Return for each label the threshold of the best F1, ``[labels]``.

    Candidates are the midpoints between neighbouring probabilities; of equal F1 the lowest
    threshold wins. A label without a positive gets 0.5.
    """
    thresholds = np.full(gold.shape[1], 0.5, dtype=np.float32)
    for label in np.flatnonzero(gold.any(axis=0)):
        order = np.argsort(-probability[:, label], kind="stable")
        values = probability[order, label]
        hits = np.cumsum(gold[order, label])
        predicted = np.arange(1, len(order) + 1)
        f1 = 2 * hits / (predicted + hits[-1])
        below = np.append(values[1:], 0.0)
        f1[values == below] = -1  # no threshold lies between equal values
        # From the end, so that of equal F1 the one with most predictions is found first.
        best = len(f1) - 1 - int(np.argmax(f1[::-1]))
        thresholds[label] = (values[best] + below[best]) / 2
    return thresholds


def sigmoid(logits: Sequence[FloatArray]) -> FloatArray:
    """Return the probabilities ``[texts, labels]``."""
    values = np.stack(logits).astype(np.float64)
    return (1 / (1 + np.exp(-values))).astype(np.float32)


def log_odds(gold: BoolMatrix) -> FloatArray:
    """Return the log odds of each label in training, smoothed, ``[labels]``.

    A head that starts there need not spend its first steps on how common the labels are.
    """
    share = (gold.sum(axis=0) + 1) / (len(gold) + 2)
    odds: FloatArray = np.log(share / (1 - share)).astype(np.float32)
    return odds


def label_columns(
    labels: Sequence[str], gold: BoolMatrix, predicted: BoolMatrix
) -> dict[str, BoolMatrix]:
    """Return the columns that the metrics of labels read."""
    columns = {GOLD + label: gold[:, row] for row, label in enumerate(labels)}
    columns |= {PREDICTED + label: predicted[:, row] for row, label in enumerate(labels)}
    return columns
