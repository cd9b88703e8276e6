import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from balign.evaluate.metrics import METRICS, bootstrap, interval, paired_p


def ranked(*ranks):
    return pl.DataFrame({"rank": pl.Series(ranks, dtype=pl.Int32)})


def labelled(gold, predicted):
    columns = {f"gold:{n}": gold[:, n] for n in range(gold.shape[1])}
    return pl.DataFrame(columns | {f"predicted:{n}": predicted[:, n] for n in range(gold.shape[1])})


def test_accuracy_by_hand():
    predictions = ranked(1, None, 3, 5, 1)
    assert METRICS["accuracy@1"].value(predictions) == pytest.approx(2 / 5)
    assert METRICS["accuracy@5"].value(predictions) == pytest.approx(4 / 5)
    assert METRICS["accuracy@5"].value(ranked(6)) == 0


def test_accuracy_where_nothing_is_found():
    assert METRICS["accuracy@1"].value(ranked(None, None)) == 0


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 1000), st.floats(0, 1))
def test_f1_is_that_of_scikit_learn(n, labels, seed, share):
    rng = np.random.default_rng(seed)
    gold, predicted = rng.random((n, labels)) < share, rng.random((n, labels)) < 0.5
    # scikit-learn takes a one-column indicator for a binary problem: give it one empty label more.
    spare = np.zeros((n, 1), dtype=bool)
    wide = np.hstack([gold, spare]), np.hstack([predicted, spare])
    predictions = labelled(gold, predicted)
    for name in ("micro", "macro"):
        wanted = f1_score(*wide, average=name, zero_division=0, labels=list(range(labels)))
        assert METRICS[f"{name}_f1"].value(predictions) == pytest.approx(wanted)


def test_a_label_that_nobody_has_or_predicts_counts_as_zero_in_macro_f1():
    gold = np.array([[True, False], [True, False]])
    assert METRICS["macro_f1"].value(labelled(gold, gold)) == pytest.approx(0.5)
    assert METRICS["micro_f1"].value(labelled(gold, gold)) == 1


def test_bootstrap_is_that_of_a_plain_loop():
    rng = np.random.default_rng(5)
    gold, predicted = rng.random((40, 3)) < 0.4, rng.random((40, 3)) < 0.5
    predictions = labelled(gold, predicted)
    found = bootstrap(METRICS["macro_f1"], [predictions], 7)
    weights = np.random.default_rng(13).multinomial(40, np.full(40, 1 / 40), size=7)
    for value, weight in zip(found, weights, strict=True):
        rows = np.repeat(np.arange(40), weight)
        assert value == pytest.approx(f1_score(gold[rows], predicted[rows], average="macro"))


def test_bootstrap_interval_covers_the_normal_approximation():
    hits = [1] * 300 + [None] * 100
    low, high = interval(bootstrap(METRICS["accuracy@1"], [ranked(*hits)], 4000))
    error = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert (low, high) == pytest.approx((0.75 - error, 0.75 + error), abs=0.005)


def test_bootstrap_averages_over_seeds():
    always, never = ranked(1, 1, 1), ranked(None, None, None)
    assert set(bootstrap(METRICS["accuracy@1"], [always, never], 250)) == {0.5}


def test_interval_by_hand():
    assert interval(np.arange(101.0)) == pytest.approx((2.5, 97.5))


def test_paired_p_by_hand():
    differences = np.array([0.1, 0.2, 0.3, 0.5])  # observed 0.2: distances 0.1, 0, 0.1, 0.3
    assert paired_p(0.2, differences) == pytest.approx((1 + 1) / (1 + 4))


def test_paired_p_of_equal_models_is_one():
    assert paired_p(0.0, np.zeros(100)) == 1


def test_paired_p_tells_a_clear_difference_from_none():
    rng = np.random.default_rng(2)
    base = rng.random(500) < 0.5
    better, same = base | (rng.random(500) < 0.2), rng.permutation(base)
    accuracy = METRICS["accuracy@1"]

    def test(model):
        runs = [ranked(*[1 if one else None for one in hits]) for hits in (model, base)]
        samples = [bootstrap(accuracy, [run], 1000) for run in runs]
        return paired_p(accuracy.value(runs[0]) - accuracy.value(runs[1]), samples[0] - samples[1])

    assert test(better) < 0.01
    assert test(same) > 0.5
