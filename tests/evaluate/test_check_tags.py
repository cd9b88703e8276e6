import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score

from balign.errors import DataError
from balign.evaluate import check_tags
from balign.evaluate.check_tags import read_citations, split
from balign.evaluate.labels import best_thresholds
from balign.evaluate.outcome import Run
from balign.evaluate.settings import CheckTagTask


def task(**values):
    sizes = {"train_citations": 120, "development_citations": 40, "test_citations": 60}
    values = {**sizes, "learning_rate": 3e-3, "max_tokens": 16, **values}
    return CheckTagTask(name="check-tags", family="check_tags", **values)


def test_citations(abstracts):
    citations, labels = read_citations(abstracts)
    assert labels == ["Animals", "Child", "Female", "Humans", "Mice"]  # Cats are too rare
    assert citations.pmids.tolist() == [*range(1, 241), 902]  # headings and abstract there
    assert citations.tags[0].tolist() == [False, True, False, True, False]
    assert citations.texts[2] == "the women were"


def test_labels_and_order_do_not_depend_on_the_files_order(abstracts):
    first, labels = read_citations(abstracts)
    second, again = read_citations(abstracts[::-1])
    assert labels == again
    assert first.texts == second.texts


def test_no_indexed_citation(abstracts):
    pl.read_parquet(abstracts[0]).filter(pl.col("pmid") == 900).write_parquet(abstracts[0])
    with pytest.raises(DataError, match="no citation has both"):
        read_citations(abstracts[:1])


def test_a_file_that_is_no_parquet(tmp_path):
    path = tmp_path / "x.parquet"
    path.write_text("no")
    with pytest.raises(DataError, match="cannot be read"):
        read_citations([path])


def test_split(abstracts):
    citations, _ = read_citations(abstracts)
    parts = split(citations, task())
    assert [len(part.pmids) for part in parts] == [120, 40, 60]
    assert len({pmid for part in parts for pmid in part.pmids.tolist()}) == 220
    # Other sizes of training leave development and test as they are.
    other = split(citations, task(train_citations=10))
    assert other[1].pmids.tolist() == parts[1].pmids.tolist()
    assert other[2].pmids.tolist() == parts[2].pmids.tolist()
    moved = split(citations, task(split_seed=14))
    assert set(moved[2].pmids.tolist()) != set(parts[2].pmids.tolist())


def test_too_few_citations(abstracts):
    citations, _ = read_citations(abstracts)
    with pytest.raises(DataError, match="wants 10100 indexed citations"):
        split(citations, task(train_citations=10_000))


def test_fine_tuning_learns_what_a_word_tells(encoder_folder, abstracts):
    outcome = check_tags.run(task(epochs=3), Run(encoder_folder, 1, abstracts=tuple(abstracts)))
    predictions = outcome.predictions
    gold = predictions.select(pl.col("^gold:.*$")).to_numpy()
    predicted = predictions.select(pl.col("^predicted:.*$")).to_numpy()
    assert f1_score(gold, predicted, average="micro") > 0.95
    assert predictions["example"].is_sorted()
    assert outcome.counts == {
        "citations": 241, "labels": 5, "train": 120, "development": 40,
        "test_texts": 60, "test_texts_in_train": 60,
    }  # fmt: skip


def test_a_run_is_fixed_by_its_seed(encoder_folder, abstracts, monkeypatch):
    found = []
    monkeypatch.setattr(
        check_tags,
        "best_thresholds",
        lambda p, gold: found.append(p) or np.full(gold.shape[1], 0.5),
    )
    for seed in (1, 1, 2):
        check_tags.run(task(), Run(encoder_folder, seed, abstracts=tuple(abstracts)))
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_thresholds_by_hand():
    probability = np.array([[0.9, 0.2], [0.6, 0.3], [0.4, 0.1], [0.1, 0.3]], dtype=np.float32)
    gold = np.array([[1, 0], [0, 0], [1, 0], [0, 0]], dtype=bool)
    # The first three predicted: F1 0.8, at any threshold between 0.1 and 0.4. No positive: 0.5.
    assert best_thresholds(probability, gold).tolist() == pytest.approx([0.25, 0.5])


def test_thresholds_are_those_of_brute_force():
    rng = np.random.default_rng(4)
    for _ in range(50):
        probability = (rng.integers(1, 10, (25, 2)) / 10).astype(np.float32)
        gold = rng.random((25, 2)) < 0.3
        thresholds = best_thresholds(probability, gold)
        for label in np.flatnonzero(gold.any(axis=0)):
            column, right = probability[:, label], gold[:, label]
            best = max(f1_score(right, column >= one) for one in np.unique(column))
            assert f1_score(right, column >= thresholds[label]) == pytest.approx(best)
