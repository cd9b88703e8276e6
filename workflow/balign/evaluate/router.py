"""A router: for each query, which of two rankers to trust.

A logistic regression on what is known before the answer: how often end and relation occur, and the
shape of both rankers' scores. It learns on queries whose answers are known which ranker has the
higher reciprocal rank, a query weighing by how much. Always one and the same ranker is a candidate
too; the best in cross-validation is taken, so that a router that learns nothing does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from balign.evaluate.graph_edges import IntArray

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

NONE = np.iinfo(np.int64).min  # score of what cannot be the answer
RANKERS = ("lm", "kge")
SHAPE = (
    "lm_margin",  # first score above the second, in deviations of the query's scores
    "lm_top",  # first score above the mean
    "kge_margin",
    "kge_top",
    "kge_rank_of_lm_first",
    "lm_rank_of_kge_first",
)
_STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # C, inverse strength of regularisation
_FOLDS = 5


@dataclass(frozen=True)
class Router:
    """A choice for each query.

    Attributes:
        name: ``lm`` or ``kge`` where it is always that one, else ``logistic, C=...``.
        validation: mean reciprocal rank of every candidate, out of fold where it learns.
        weights: of the standardised features, by name; empty where it is always one.
        to_kge: features ``[n, f]`` -> whether the second ranker is trusted, ``[n]``.
    """

    name: str
    validation: Mapping[str, float]
    weights: Mapping[str, float]
    to_kge: Callable[[FloatArray], BoolArray]


def shape_features(lm: IntArray, kge: IntArray) -> FloatArray:
    """Return what :data:`SHAPE` names, ``[b, 6]``.

    Args:
        lm: ``[b, concepts]``, scores of a ranker as whole steps; :data:`NONE` does not count.
        kge: the same of the other.
    """
    rows = np.arange(len(lm))
    parts = [*_peak(lm), *_peak(kge)]
    for one, other in ((lm, kge), (kge, lm)):
        above = other > other[rows, one.argmax(axis=1)][:, None]
        parts.append(np.log1p(above.sum(axis=1)))
    return np.stack(parts, axis=1)


def _peak(steps: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return how far the first score is above the second, and above the mean, each ``[b]``."""
    counted = steps != NONE
    values = np.where(counted, steps, 0).astype(np.float64)
    count = np.maximum(counted.sum(axis=1), 1)
    mean = values.sum(axis=1) / count
    spread = np.sqrt((np.where(counted, values - mean[:, None], 0) ** 2).sum(axis=1) / count)
    spread[spread == 0] = 1
    values[~counted] = -np.inf
    second, first = np.sort(np.partition(values, -2, axis=1)[:, -2:], axis=1).T
    second = np.where(counted.sum(axis=1) > 1, second, first)
    return (first - second) / spread, (first - mean) / spread


def fit_router(
    features: FloatArray, reciprocal: FloatArray, groups: IntArray, names: tuple[str, ...]
) -> Router:
    """Learn a router, or find that one ranker is best throughout.

    Args:
        features: ``[n, f]``, of queries whose answers are known.
        reciprocal: ``[n, 2]``, the right answer's reciprocal rank by each of :data:`RANKERS`.
        groups: ``[n]``; queries of one group, such as both directions of an edge, share a fold.
        names: of the features.
    """
    gain = reciprocal[:, 1] - reciprocal[:, 0]
    found = {name: float(reciprocal[:, place].mean()) for place, name in enumerate(RANKERS)}
    folds = list(GroupKFold(min(_FOLDS, len(np.unique(groups)))).split(features, groups=groups))
    for strength in _STRENGTHS:
        chosen = np.zeros(len(features), dtype=bool)
        for train, rest in folds:
            chosen[rest] = _trusting(_learnt(features[train], gain[train], strength))(
                features[rest]
            )
        value = np.where(chosen, reciprocal[:, 1], reciprocal[:, 0]).mean()
        found[f"logistic, C={strength:g}"] = float(value)
    best = max(found, key=found.__getitem__)  # of equal ones the first, which is the simplest
    if best in RANKERS:
        always = best == RANKERS[1]
        return Router(best, found, {}, lambda given: np.full(len(given), always))
    model = _learnt(features, gain, float(best.partition("=")[2]))
    weights = model[-1].coef_[0].tolist() if isinstance(model, Pipeline) else ()
    return Router(best, found, dict(zip(names, weights, strict=False)), _trusting(model))


def _learnt(features: FloatArray, gain: FloatArray, strength: float) -> Pipeline | bool:
    """Learn where the gain is above 0; where it is so everywhere, or nowhere, return that."""
    told = gain != 0
    if not told.any() or (gain[told] > 0).all() or (gain[told] < 0).all():
        return bool((gain > 0).any())
    model = Pipeline(
        [("scale", StandardScaler()), ("choose", LogisticRegression(C=strength, max_iter=1000))]
    )
    model.fit(features[told], gain[told] > 0, choose__sample_weight=np.abs(gain[told]))
    return model


def _trusting(model: Pipeline | bool) -> Callable[[FloatArray], BoolArray]:
    if isinstance(model, bool):
        return lambda given: np.full(len(given), model)
    return lambda given: np.asarray(model.predict(given), dtype=bool)
