import duckdb
import numpy as np
import pytest

from balign.errors import DataError
from balign.evaluate import link_prediction, triple_classification
from balign.evaluate.edge_scorer import fit
from balign.evaluate.graph_edges import EdgeSets, draw_edges, edge_sets
from balign.evaluate.link_prediction import filtered_ranks
from balign.evaluate.outcome import Run
from balign.evaluate.triple_classification import best_threshold, with_corrupted
from balign.evaluate.zero_shot_settings import LinkPredictionTask, TripleClassificationTask


@pytest.fixture
def graph(tmp_path):
    """Forty concepts in a ring of `next` edges, and some of them back by `other`."""
    path = tmp_path / "ring.duckdb"
    with duckdb.connect(str(path)) as made:
        made.execute("CREATE TABLE concept (concept TEXT, preferred_name TEXT)")
        made.execute("CREATE TABLE edge (head TEXT, relation TEXT, tail TEXT, source TEXT)")
        made.execute("CREATE TABLE relation (relation TEXT, label TEXT, edges INTEGER)")
        made.execute("INSERT INTO relation VALUES ('next', 'comes before', 40), ('other', 'o', 4)")
        letters = "abcdefghijklmnopqrst"
        for row in range(40):
            name = f"{letters[row % 20]} {'heart' if row < 20 else 'mice'}"
            made.execute("INSERT INTO concept VALUES (?, ?)", [f"C{row:02d}", name])
            edge = [f"C{row:02d}", "next", f"C{(row + 1) % 40:02d}"]
            # The same edge from two sources is one.
            made.execute("INSERT INTO edge VALUES (?, ?, ?, 'a'), (?, ?, ?, 'b')", [*edge, *edge])
        for row in range(4):
            made.execute("INSERT INTO edge VALUES (?, 'other', ?, 'a')",
                         [f"C{row + 1:02d}", f"C{row:02d}"])  # fmt: skip
    return path


def sets_of(path, sizes=(20, 8, 8), **more):
    with duckdb.connect(str(path), read_only=True) as made:
        return edge_sets(made, 13, sizes, **more)


def test_edges_are_drawn_once_and_alike(graph):
    with duckdb.connect(str(graph), read_only=True) as made:
        drawn = draw_edges(made, 5, 100)
        assert len(drawn) == len(drawn.unique()) == 44
        assert draw_edges(made, 5, 10).equals(drawn[:10])
        assert not draw_edges(made, 6, 10).equals(drawn[:10])
        few = draw_edges(made, 5, 100, per_relation=3)
        assert sorted(few["relation"]) == ["next"] * 3 + ["other"] * 3


def test_no_scored_edge_joins_what_a_training_edge_joins(graph):
    sets = sets_of(graph, (28, 8, 8), candidates=None)
    joined = {frozenset(edge[[0, 2]].tolist()) for edge in sets.train}
    for part in (sets.dev, sets.test):
        assert not [edge for edge in part if frozenset(edge[[0, 2]].tolist()) in joined]
    assert len(sets.dev) + len(sets.test) + sets.joined == 16
    assert sets.joined > 0
    assert len(sets.known) == 44
    assert sets.are_known(sets.test).all()
    assert not sets.are_known(np.array([[0, 0, 5]])).any()


def test_other_sizes_of_training_leave_test_alone(graph):
    small, large = (
        sets_of(graph, (size, 8, 8), candidates=count) for size, count in ((1, 1), (2, 40))
    )
    assert len(large.concepts) == 40 > len(small.concepts)
    some = [
        {tuple(sets.concepts[one] for one in edge[[0, 2]]) for edge in sets.test}
        for sets in (small, large)
    ]
    assert some[0] & some[1]


def test_too_few_edges(graph):
    with pytest.raises(DataError, match="44 edges"):
        sets_of(graph, (1, 40, 40))


class Table:
    """A scorer whose scores are a matrix: query i against answer j."""

    def __init__(self, scores):
        self.scores = np.array(scores, dtype=np.float32)

    def queries(self, edges, side):
        return self.scores[edges[:, 2 if side == "head" else 0]]

    def answers(self, side):
        return np.eye(len(self.scores), dtype=np.float32)


def test_filtered_ranks_by_hand():
    edges = [[0, 0, 1], [0, 0, 2], [3, 0, 2]]
    sets = EdgeSets(list("abcd"), list("abcd"), ["r"], ["r"], *[np.array(edges)] * 4, 0)
    scorer = Table([[9, 3, 7, 5], [0, 0, 0, 0], [6, 1, 8, 6], [1, 2, 2, 9]])
    # Tails of a: b scores 3; a itself and c, another right answer, do not count; d is above.
    assert filtered_ranks(scorer, sets, sets.test[:1], "tail").tolist() == [2]
    # c scores 7 and nothing that counts is above.
    assert filtered_ranks(scorer, sets, sets.test[1:2], "tail").tolist() == [1]
    # Tails of d: c scores 2 as b does: of one equal half is rounded down.
    assert filtered_ranks(scorer, sets, sets.test[2:], "tail").tolist() == [1]
    # Heads of c: a scores 6, d is right too, b is below.
    assert filtered_ranks(scorer, sets, sets.test[1:2], "head").tolist() == [1]


def test_the_bilinear_scorer_learns_and_is_the_same_again(graph):
    sets = sets_of(graph, (30, 2, 2), candidates=None)
    sets = EdgeSets(**{**vars(sets), "dev": sets.train})
    vectors = np.eye(40, dtype=np.float32)
    scorer, again = fit(vectors, sets, 1), fit(vectors, sets, 1)
    np.testing.assert_array_equal(scorer.answers("tail"), again.answers("tail"))
    learnt = filtered_ranks(scorer, sets, sets.train, "tail").mean()
    assert learnt < 4  # 20 by chance


@pytest.mark.parametrize("scorer", ["text", "bilinear"])
def test_link_prediction(encoder_folder, graph, scorer):
    task = LinkPredictionTask(name="l", family="link_prediction", train_edges=28, dev_edges=4,
                              test_edges=8, candidates=None, scorer=scorer)  # fmt: skip
    outcome = link_prediction.run(task, Run(model=encoder_folder, seed=1, database=graph))
    assert len(outcome.predictions) == 2 * outcome.counts["test_edges"]
    assert outcome.predictions["rank"].is_between(1, 40).all()
    assert outcome.counts["candidate_concepts"] == 40
    again = link_prediction.run(task, Run(model=encoder_folder, seed=1, database=graph))
    assert again.predictions.equals(outcome.predictions)


def test_triple_classification(encoder_folder, graph):
    task = TripleClassificationTask(name="t", family="triple_classification", train_edges=20,
                                    dev_edges=8, test_edges=8)  # fmt: skip
    outcome = triple_classification.run(task, Run(model=encoder_folder, seed=1, database=graph))
    assert 8 <= len(outcome.predictions) <= 16
    assert set(outcome.predictions["gold"]) == {True, False}


def test_corrupted_edges_are_none_of_the_graph(graph):
    sets = sets_of(graph)
    edges, gold = with_corrupted(sets, sets.test, np.random.default_rng(1))
    np.testing.assert_array_equal(sets.are_known(edges), gold)
    assert (edges[:, 0] != edges[:, 2]).all()


def test_the_threshold_of_the_best_accuracy():
    scores = np.array([0.1, 0.4, 0.4, 0.9], dtype=np.float32)
    assert best_threshold(scores, np.array([False, False, True, True])) == pytest.approx(0.4)
    assert best_threshold(scores, np.array([False, False, False, True])) == pytest.approx(0.9)
    assert best_threshold(scores, np.array([True, False, False, False])) in (np.inf, scores[0])
