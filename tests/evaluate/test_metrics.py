import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import f1_score as entity_f1
from seqeval.metrics import precision_score as entity_precision
from seqeval.metrics import recall_score as entity_recall
from seqeval.scheme import IOB2
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    label_ranking_average_precision_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from balign.evaluate.metrics import METRICS, bootstrap, entities, interval, paired_p


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


def test_entities_by_hand():
    tags = ["I-D", "B-D", "I-D", "B-D", "I-C", "O", "B-C", "I-D", "I-C", "B-C"]
    assert entities(tags) == {("D", 1, 3), ("D", 3, 4), ("C", 6, 7), ("C", 9, 10)}
    assert entities([]) == set()


TAGS = st.lists(st.sampled_from(["O", "B-D", "I-D", "B-C", "I-C"]), min_size=1, max_size=12)


@st.composite
def sentences(draw):
    gold = draw(st.lists(TAGS, min_size=1, max_size=5))
    one = st.sampled_from(["O", "B-D", "I-D", "B-C", "I-C"])
    return gold, [draw(st.lists(one, min_size=len(s), max_size=len(s))) for s in gold]


@given(sentences())
def test_entity_f1_is_that_of_seqeval_strict(pair):
    gold, predicted = pair
    predictions = pl.DataFrame({"gold_tags": gold, "predicted_tags": predicted})
    peers = {"f1": entity_f1, "precision": entity_precision, "recall": entity_recall}
    for name, peer in peers.items():
        wanted = peer(gold, predicted, mode="strict", scheme=IOB2, zero_division=0)
        assert METRICS[f"entity_{name}"].value(predictions) == pytest.approx(wanted)


CLASSES = st.lists(
    st.tuples(*[st.sampled_from([None, "up", "down", "agonist"])] * 2), min_size=1, max_size=30
)


@given(CLASSES)
def test_relation_f1_and_accuracy_are_those_of_scikit_learn(pairs):
    gold, predicted = map(list, zip(*pairs, strict=True))
    columns = {"gold": pl.Series(gold, dtype=pl.String)}
    columns["predicted"] = pl.Series(predicted, dtype=pl.String)
    predictions = pl.DataFrame(columns)
    words = [[str(one) for one in side] for side in (gold, predicted)]
    positive = ["up", "down", "agonist"]
    wanted = f1_score(*words, labels=positive, average="micro", zero_division=0)
    assert METRICS["relation_f1"].value(predictions) == pytest.approx(wanted)
    assert METRICS["accuracy"].value(predictions) == pytest.approx(accuracy_score(*words))


def test_document_f1_by_hand():
    gold = np.array([[True, True, False], [False, True, False], [True, False, False]])
    predicted = np.array([[True, False, False], [True, True, False], [False, False, False]])
    precision, recall = (1 + 1 / 2 + 0) / 3, (1 / 2 + 1 + 0) / 3
    found = METRICS["document_f1"].value(labelled(gold, predicted))
    assert found == pytest.approx(2 * precision * recall / (precision + recall))


VALUES = st.lists(st.tuples(*[st.integers(-5, 5).map(float)] * 2), min_size=3, max_size=40).filter(
    lambda rows: all(len(set(side)) > 1 for side in zip(*rows, strict=True))
)


@given(VALUES)
def test_correlations_are_those_of_scipy(rows):
    gold, predicted = map(list, zip(*rows, strict=True))
    predictions = pl.DataFrame({"gold": gold, "predicted": predicted})
    for name, peer in (("pearson", pearsonr), ("spearman", spearmanr)):
        found = METRICS[name].value(predictions)
        assert found == pytest.approx(peer(gold, predicted).statistic, abs=1e-9)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_a_constant_correlates_with_nothing(name):
    columns = {"gold": [1.0, 2.0, 4.0], "predicted": [0.1, 0.1, 0.1]}
    assert METRICS[name].value(pl.DataFrame(columns)) == 0
    assert METRICS[name].value(pl.DataFrame({one: [0.1] * 3 for one in columns})) == 0


@given(VALUES)
def test_auc_is_that_of_scikit_learn(rows):
    score, other = map(np.array, zip(*rows, strict=True))
    gold = other > np.median(other)
    predictions = pl.DataFrame({"gold": gold, "score": score})
    wanted = roc_auc_score(gold, score) if 0 < gold.sum() < len(gold) else 0.5
    assert METRICS["auc"].value(predictions) == pytest.approx(wanted)


def test_rank_metrics_are_those_of_scikit_learn():
    rng = np.random.default_rng(3)
    scores = rng.random((50, 20))
    gold = rng.integers(0, 20, 50)
    ranks = 1 + (scores > scores[np.arange(50), gold][:, None]).sum(axis=1)
    predictions = ranked(*ranks.tolist())
    # With one relevant label the ranking's average precision is the reciprocal rank.
    wanted = label_ranking_average_precision_score(np.eye(20, dtype=int)[gold], scores)
    assert METRICS["mrr"].value(predictions) == pytest.approx(wanted)
    for k in (1, 3, 10):
        wanted = top_k_accuracy_score(gold, scores, k=k, labels=range(20))
        assert METRICS[f"hits@{k}"].value(predictions) == pytest.approx(wanted)
    assert METRICS["mrr"].value(ranked(2, None)) == 0.25


def test_macro_hits_average_over_groups():
    groups = pl.DataFrame({"group": ["a", "a", "a", "a", "b"]})
    predictions = ranked(1, 4, None, 40, 1).hstack(groups)
    assert METRICS["macro_hits@1"].value(predictions) == pytest.approx((1 / 4 + 1) / 2)
    assert METRICS["macro_hits@5"].value(predictions) == pytest.approx((2 / 4 + 1) / 2)
    assert METRICS["macro_recall"].value(predictions) == pytest.approx((3 / 4 + 1) / 2)


PLAIN = pl.DataFrame(
    {
        "gold": np.random.default_rng(1).random(30).round(1),
        "predicted": np.random.default_rng(2).random(30).round(1),
        "rank": [1, 2, None] * 10,
        "group": list("abcde") * 6,
    }
)


@pytest.mark.parametrize("name", ["spearman", "pearson", "macro_hits@1", "mrr"])
def test_bootstrap_of_every_kind_is_that_of_a_plain_loop(name):
    found = bootstrap(METRICS[name], [PLAIN], 120)
    rng = np.random.default_rng(13)
    weights = np.concatenate([rng.multinomial(30, np.full(30, 1 / 30), size=n) for n in (100, 20)])
    for value, weight in zip(found, weights, strict=True):
        sample = PLAIN[np.repeat(np.arange(30), weight)]
        assert value == pytest.approx(METRICS[name].value(sample), abs=1e-9)
