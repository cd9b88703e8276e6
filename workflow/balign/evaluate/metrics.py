"""Metrics as sums over examples, and the bootstrap built on that.

Nearly every metric is a function of the sum of one small vector an example: hits and ones for an
accuracy; true positives, false positives and false negatives a label for F1. A bootstrap sample is
then a vector of multinomial weights, and all samples together are one matrix product. Metrics of
ranks over examples (Spearman, AUC) have no such sums; they are computed anew for each sample.

A family chooses its metrics by name and gives the columns that they read, one row an example:

===================================== ==========================================================
``accuracy@1``, ``accuracy@5``        ``rank``: of the first right answer, from 1; null for none
``mrr``, ``hits@1``, ``@3``, ``@10``  ``rank``; a null counts as 0, so give every rank for ``mrr``;
                                      2.5 where it ties with rank 2 or 3
``kge_mrr``, ..., ``router_mrr``, ... the same of ``rank_kge`` and of ``rank_router``
``macro_hits@1``, ``macro_hits@5``,   ``rank`` and ``group`` (string): hits averaged over groups;
``macro_recall``                      of any rank
``accuracy``                          ``gold`` and ``predicted`` (any one type; null is a class)
``relation_f1``                       ``gold`` and ``predicted`` (string), null for no relation:
                                      micro F1 over the positive classes, or F1 where there is one
``entity_f1``, ``entity_precision``,  ``gold_tags`` and ``predicted_tags`` (list of strings of one
``entity_recall``                     length: IOB2 tags of a sentence): seqeval's strict IOB2
``micro_f1``, ``macro_f1``            ``gold:<label>`` and ``predicted:<label>`` (bool) a label
``document_f1``                       the same, one row a document, labels of its sentences united:
                                      BLUE's figure for HoC
``pearson``, ``spearman``             ``gold`` and ``predicted`` (number)
``auc``                               ``gold`` (bool) and ``score`` (number)
===================================== ==========================================================

No family module imports this one: a changed metric makes scores stale and predictions not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from balign.evaluate.outcome import GOLD, PREDICTED
from balign.evaluate.tags import entities

FloatArray = npt.NDArray[np.float64]

_SEED = 13  # one seed for all: equal numbers of examples get equal weights, so pairs stay pairs
_BLOCK = 100  # samples at a time: 100 x n weights instead of thousands x n


@dataclass(frozen=True)
class SumMetric:
    """A metric by sums over examples.

    Attributes:
        statistics: predictions of n examples -> ``[n, m]``.
        score: sums over examples ``[..., m]`` -> ``[...]``.
    """

    statistics: Callable[[pl.DataFrame], FloatArray]
    score: Callable[[FloatArray], FloatArray]

    def value(self, predictions: pl.DataFrame) -> float:
        """Return the metric of all the rows of ``predictions``."""
        return float(self.score(self.statistics(predictions).sum(axis=0)))

    def sampled(self, statistics: FloatArray, weights: npt.NDArray[np.int64]) -> FloatArray:
        """Return the metric of each sample of ``weights`` ``[samples, n]``."""
        return self.score(weights.astype(np.float64) @ statistics)


@dataclass(frozen=True)
class PlainMetric:
    """A metric of two columns without such sums.

    Attributes:
        columns: the two columns.
        score: their values, each ``[n]`` -> the metric.
    """

    columns: tuple[str, str]
    score: Callable[[FloatArray, FloatArray], float]

    def statistics(self, predictions: pl.DataFrame) -> FloatArray:
        """Return the two columns, ``[n, 2]``."""
        chosen = predictions.select(pl.col(name).cast(pl.Float64) for name in self.columns)
        values: FloatArray = chosen.to_numpy()
        return values

    def value(self, predictions: pl.DataFrame) -> float:
        """Return the metric of all the rows of ``predictions``."""
        return self.score(*self.statistics(predictions).T)

    def sampled(self, statistics: FloatArray, weights: npt.NDArray[np.int64]) -> FloatArray:
        """Return the metric of each sample of ``weights`` ``[samples, n]``."""
        drawn = (statistics[np.repeat(np.arange(len(one)), one)] for one in weights)
        return np.array([self.score(*values.T) for values in drawn])


Metric = SumMetric | PlainMetric


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """Divide; nothing divided by nothing is 0, as scikit-learn's ``zero_division=0`` has it."""
    quotient: FloatArray = np.divide(
        above, below, out=np.zeros_like(above, dtype=np.float64), where=below > 0
    )
    return quotient


def _mean(values: Callable[[pl.DataFrame], npt.NDArray[np.generic]]) -> SumMetric:
    """Return the mean over examples of a value each, ``[n]``."""

    def statistics(predictions: pl.DataFrame) -> FloatArray:
        one = values(predictions).astype(np.float64)
        return np.stack([one, np.ones_like(one)], axis=1)

    return SumMetric(statistics, lambda sums: _ratio(sums[..., 0], sums[..., 1]))


def _ranks(predictions: pl.DataFrame, column: str) -> FloatArray:
    """Return the ranks, ``[n]``; 0 for a null."""
    ranks: FloatArray = predictions[column].cast(pl.Float64).fill_null(0).to_numpy()
    return ranks


def _hits(k: float, column: str = "rank") -> Callable[[pl.DataFrame], npt.NDArray[np.bool_]]:
    """Return whether the right answer is among the first ``k``."""

    def hits(predictions: pl.DataFrame) -> npt.NDArray[np.bool_]:
        rank = _ranks(predictions, column)
        return (rank >= 1) & (rank <= k)

    return hits


def _reciprocal(column: str = "rank") -> Callable[[pl.DataFrame], FloatArray]:
    def reciprocal(predictions: pl.DataFrame) -> FloatArray:
        rank = _ranks(predictions, column)
        return _ratio(np.ones_like(rank), rank)

    return reciprocal


def _ranking(prefix: str = "", column: str = "rank") -> dict[str, SumMetric]:
    """Return the mean reciprocal rank and Hits@k of a column of ranks, by name."""
    hits = {f"{prefix}hits@{k}": _mean(_hits(k, column)) for k in (1, 3, 10)}
    return {f"{prefix}mrr": _mean(_reciprocal(column)), **hits}


def _macro_hits(k: float) -> SumMetric:
    """Mean over groups of the share of hits; a group without an example does not count."""

    def statistics(predictions: pl.DataFrame) -> FloatArray:
        groups = predictions["group"].rank("dense").to_numpy().astype(np.int64) - 1
        member = np.eye(groups.max() + 1)[groups]
        return np.concatenate([member * _hits(k)(predictions)[:, None], member], axis=1)

    def score(sums: FloatArray) -> FloatArray:
        hits, counts = np.split(sums, 2, axis=-1)
        mean: FloatArray = _ratio(hits, counts).sum(axis=-1) / (counts > 0).sum(axis=-1)
        return mean

    return SumMetric(statistics, score)


def _equal(predictions: pl.DataFrame) -> npt.NDArray[np.bool_]:
    equal: npt.NDArray[np.bool_] = (
        predictions["gold"].eq_missing(predictions["predicted"]).to_numpy()
    )
    return equal


def _relation_counts(predictions: pl.DataFrame) -> FloatArray:
    """Return ``[n, 3]``: true positives, false positives, false negatives of positive classes."""
    equal = _equal(predictions)
    gold = predictions["gold"].is_not_null().to_numpy()
    predicted = predictions["predicted"].is_not_null().to_numpy()
    parts = [equal & gold, predicted & ~equal, gold & ~equal]
    counts: FloatArray = np.stack(parts, axis=1).astype(np.float64)
    return counts


def _entity_counts(predictions: pl.DataFrame) -> FloatArray:
    """Return ``[n, 3]``: true positives, false positives, false negatives of each sentence."""
    rows = np.empty((len(predictions), 3))
    for row, pair in enumerate(predictions.select("gold_tags", "predicted_tags").iter_rows()):
        gold, predicted = map(entities, pair)
        right = len(gold & predicted)
        rows[row] = right, len(predicted) - right, len(gold) - right
    return rows


def _labels(predictions: pl.DataFrame) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return gold and predicted labels, ``[n, labels]`` each."""
    labels = [name.removeprefix(GOLD) for name in predictions.columns if name.startswith(GOLD)]
    gold = predictions.select(GOLD + label for label in labels).to_numpy()
    return gold, predictions.select(PREDICTED + label for label in labels).to_numpy()


def _label_counts(predictions: pl.DataFrame) -> FloatArray:
    """Return ``[n, 3 * labels]``: true positives, false positives, false negatives a label."""
    gold, predicted = _labels(predictions)
    parts = [gold & predicted, ~gold & predicted, gold & ~predicted]
    counts: FloatArray = np.concatenate(parts, axis=1).astype(np.float64)
    return counts


def _precision(sums: FloatArray) -> FloatArray:
    return _ratio(sums[..., 0], sums[..., 0] + sums[..., 1])


def _recall(sums: FloatArray) -> FloatArray:
    return _ratio(sums[..., 0], sums[..., 0] + sums[..., 2])


def _micro_f1(sums: FloatArray) -> FloatArray:
    tp, fp, fn = (part.sum(axis=-1) for part in np.split(sums, 3, axis=-1))
    return _ratio(2 * tp, 2 * tp + fp + fn)


def _macro_f1(sums: FloatArray) -> FloatArray:
    tp, fp, fn = np.split(sums, 3, axis=-1)
    mean: FloatArray = _ratio(2 * tp, 2 * tp + fp + fn).mean(axis=-1)
    return mean


def _document_rates(predictions: pl.DataFrame) -> FloatArray:
    """Return ``[n, 3]``: each document's precision and recall, and 1."""
    gold, predicted = _labels(predictions)
    right = (gold & predicted).sum(axis=1).astype(np.float64)
    rates = [_ratio(right, given.sum(axis=1).astype(np.float64)) for given in (predicted, gold)]
    return np.stack([*rates, np.ones(len(predictions))], axis=1)


def _document_f1(sums: FloatArray) -> FloatArray:
    """Return the harmonic mean of mean precision and mean recall (BLUE, ``eval_hoc.py``)."""
    above, below = 2 * sums[..., 0] * sums[..., 1], sums[..., 2] * (sums[..., 0] + sums[..., 1])
    return _ratio(above, below)


def _moments(predictions: pl.DataFrame) -> FloatArray:
    """Return ``[n, 6]``: 1, x, y, x², y² and xy, x and y about their means."""
    x, y = (
        predictions[name].cast(pl.Float64).to_numpy() - predictions[name].mean()
        for name in ("gold", "predicted")
    )
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def _correlation(sums: FloatArray) -> FloatArray:
    """Return Pearson's correlation; 0 where a variable is constant."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    spread = [n * xx - x * x, n * yy - y * y]
    # What rounding leaves of a constant's spread is none.
    spread = [
        np.where(one > 1e-12 * n * squares, one, 0)
        for one, squares in zip(spread, (xx, yy), strict=True)
    ]
    return _ratio(n * xy - x * y, np.sqrt(spread[0] * spread[1]))


def _average_ranks(values: FloatArray) -> FloatArray:
    """Return the ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def _spearman(gold: FloatArray, predicted: FloatArray) -> float:
    """Return Pearson's correlation of the ranks; 0 where a variable is constant."""
    x, y = (_average_ranks(one) - (len(one) + 1) / 2 for one in (gold, predicted))
    below = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / below if below else 0.0


def _auc(gold: FloatArray, score: FloatArray) -> float:
    """Return the probability that a positive has the higher score (Mann-Whitney; ties half)."""
    positive = int(gold.sum())
    negative = len(gold) - positive
    if not positive or not negative:
        return 0.5
    over = _average_ranks(score)[gold > 0].sum() - positive * (positive + 1) / 2
    return float(over / (positive * negative))


METRICS: Mapping[str, Metric] = {
    "accuracy@1": _mean(_hits(1)),
    "accuracy@5": _mean(_hits(5)),
    **_ranking(),
    **_ranking("kge_", "rank_kge"),
    **_ranking("router_", "rank_router"),
    "macro_hits@1": _macro_hits(1),
    "macro_hits@5": _macro_hits(5),
    "macro_recall": _macro_hits(math.inf),
    "accuracy": _mean(_equal),
    "relation_f1": SumMetric(_relation_counts, _micro_f1),
    "entity_f1": SumMetric(_entity_counts, _micro_f1),
    "entity_precision": SumMetric(_entity_counts, _precision),
    "entity_recall": SumMetric(_entity_counts, _recall),
    "micro_f1": SumMetric(_label_counts, _micro_f1),
    "macro_f1": SumMetric(_label_counts, _macro_f1),
    "document_f1": SumMetric(_document_rates, _document_f1),
    "pearson": SumMetric(_moments, _correlation),
    "spearman": PlainMetric(("gold", "predicted"), _spearman),
    "auc": PlainMetric(("gold", "score"), _auc),
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
        weights = rng.multinomial(n, np.full(n, 1 / n), size=size)
        values.append(np.mean([metric.sampled(one, weights) for one in statistics], axis=0))
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
