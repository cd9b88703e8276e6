"""Metrics as sums over examples, and the bootstrap built on that.

Every metric is a function of the sum of one small vector an example: hits and ones for an
accuracy; true positives, false positives and false negatives a label for F1. A bootstrap sample
is then a vector of multinomial weights, and all samples together are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

FloatArray = npt.NDArray[np.float64]

GOLD, PREDICTED = "gold:", "predicted:"
_SEED = 13  # one seed for all: equal numbers of examples get equal weights, so pairs stay pairs
_BLOCK = 100  # samples at a time: 100 x n weights instead of thousands x n


@dataclass(frozen=True)
class Metric:
    """A metric between 0 and 1.

    Attributes:
        statistics: predictions of n examples -> ``[n, m]``.
        score: sums over examples ``[..., m]`` -> ``[...]``.
    """

    statistics: Callable[[pl.DataFrame], FloatArray]
    score: Callable[[FloatArray], FloatArray]

    def value(self, predictions: pl.DataFrame) -> float:
        """Return the metric of all the rows of ``predictions``."""
        return float(self.score(self.statistics(predictions).sum(axis=0)))


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """Divide; nothing divided by nothing is 0, as scikit-learn's ``zero_division=0`` has it."""
    quotient: FloatArray = np.divide(
        above, below, out=np.zeros_like(above, dtype=np.float64), where=below > 0
    )
    return quotient


def _accuracy_at(k: int) -> Metric:
    """Share of examples whose right answer is among the first ``k`` (column ``rank``, from 1)."""

    def statistics(predictions: pl.DataFrame) -> FloatArray:
        rank = predictions["rank"].fill_null(0).to_numpy()
        hit = (rank >= 1) & (rank <= k)
        return np.stack([hit, np.ones_like(hit)], axis=1).astype(np.float64)

    return Metric(statistics, lambda sums: _ratio(sums[..., 0], sums[..., 1]))


def _label_counts(predictions: pl.DataFrame) -> FloatArray:
    """Return ``[n, 3 * labels]``: true positives, false positives, false negatives a label.

    Each label has the boolean columns ``gold:<label>`` and ``predicted:<label>``.
    """
    labels = [name.removeprefix(GOLD) for name in predictions.columns if name.startswith(GOLD)]
    gold = predictions.select(GOLD + label for label in labels).to_numpy()
    predicted = predictions.select(PREDICTED + label for label in labels).to_numpy()
    parts = [gold & predicted, ~gold & predicted, gold & ~predicted]
    counts: FloatArray = np.concatenate(parts, axis=1).astype(np.float64)
    return counts


def _micro_f1(sums: FloatArray) -> FloatArray:
    tp, fp, fn = (part.sum(axis=-1) for part in np.split(sums, 3, axis=-1))
    return _ratio(2 * tp, 2 * tp + fp + fn)


def _macro_f1(sums: FloatArray) -> FloatArray:
    tp, fp, fn = np.split(sums, 3, axis=-1)
    mean: FloatArray = _ratio(2 * tp, 2 * tp + fp + fn).mean(axis=-1)
    return mean


METRICS: Mapping[str, Metric] = {
    "accuracy@1": _accuracy_at(1),
    "accuracy@5": _accuracy_at(5),
    "micro_f1": Metric(_label_counts, _micro_f1),
    "macro_f1": Metric(_label_counts, _macro_f1),
}


def bootstrap(metric: Metric, runs: Sequence[pl.DataFrame], samples: int) -> FloatArray:
    """Resample examples with replacement; return the metric of each sample, ``[samples]``.

    Args:
        metric: the metric.
        runs: predictions of one model with several seeds, of the same examples in the same order;
            a sample takes the same examples from each run, and the mean over the runs is returned.
        samples: number of samples.

    Two models tried on the same examples get the same samples, so the differences of two returned
    arrays are those of a paired bootstrap.
    """
    statistics = [metric.statistics(run) for run in runs]
    n = len(statistics[0])
    rng = np.random.default_rng(_SEED)
    values = []
    for start in range(0, samples, _BLOCK):
        size = min(_BLOCK, samples - start)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
        values.append(np.mean([metric.score(weights @ one) for one in statistics], axis=0))
    return np.concatenate(values)


def interval(values: FloatArray, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of bootstrap values."""
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def paired_p(difference: float, differences: FloatArray) -> float:
    """Return the two-sided p of a paired bootstrap.

    The resampled differences are shifted to mean "no difference", and p is the share of them that
    lie as far from 0 as the observed one (Berg-Kirkpatrick et al., EMNLP 2012, figure 1; two-sided
    here). One is added above and below, so p is never 0.
    """
    # A tolerance of rounding: with equal predictions every distance is 0 and p must be 1.
    far = np.abs(differences - difference) >= abs(difference) - 1e-12
    return float((1 + np.count_nonzero(far)) / (1 + len(differences)))
