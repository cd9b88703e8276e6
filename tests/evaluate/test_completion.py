import json

import duckdb
import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import rankdata

from balign.config import load_config
from balign.errors import ConfigError, DataError
from balign.evaluate.completion import (
    FEATURES,
    by_embeddings,
    by_names,
    mean_rank,
    rank_queries,
    run,
)
from balign.evaluate.families import FAMILIES
from balign.evaluate.held_out_edges import held_out_edges
from balign.evaluate.outcome import Run, facts_path
from balign.evaluate.predict import evaluate_predict, run_digest
from balign.evaluate.router import NONE, SHAPE, fit_router, shape_features
from balign.evaluate.score import evaluate_score
from balign.evaluate.zero_shot_settings import CompletionTask
from balign.files import sha256_file
from balign.graph.build import graph_build
from balign.graph.csr import Graph
from balign.graph.settings import GraphSettings
from balign.pretrain.kge_scores import GRAPH_FILES, KgeTables

NODES = 40
KINDS = ("transe", "distmult", "rotate")


def task_of(**more):
    sizes = {"train_edges": 40, "dev_edges": 20, "candidates": None}
    return CompletionTask(name="c", family="completion", **{**sizes, **more})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A graph of forty concepts, with twelve edges held out."""
    place = tmp_path_factory.mktemp("completion")
    random = np.random.default_rng(2)
    edges = {(row, "next", (row + step) % NODES) for row in range(NODES) for step in (1, 2)}
    edges |= {tuple(one) for one in random.integers(0, NODES, (30, 2))}
    with duckdb.connect(str(place / "kg.duckdb")) as made:
        made.execute("CREATE TABLE atom (concept TEXT, name TEXT, preferred BOOLEAN, rank INTEGER, "
                     "held_out BOOLEAN)")  # fmt: skip
        made.execute("CREATE TABLE edge (head TEXT, relation TEXT, tail TEXT)")
        made.execute("CREATE TABLE relation (relation TEXT, label TEXT)")
        made.execute("CREATE TABLE definition (concept TEXT, definition TEXT)")
        made.execute("CREATE TABLE source (source TEXT, version TEXT, licence TEXT, "
                     "restriction INTEGER)")  # fmt: skip
        made.execute("INSERT INTO relation VALUES ('next', 'comes before'), ('other', 'o')")
        for row in range(NODES):
            name = f"{'abcdefghijklmnopqrst'[row % 20]} {'heart' if row < 20 else 'mice'}"
            made.execute("INSERT INTO atom VALUES (?, ?, true, 0, false)", [f"C{row:02d}", name])
        for head, *relation, tail in sorted(edges, key=str):
            made.execute("INSERT INTO edge VALUES (?, ?, ?)",
                         [f"C{head:02d}", *(relation or ["other"]), f"C{tail:02d}"])  # fmt: skip
    graph_build(place / "kg.duckdb", [], GraphSettings(held_out_edges=12), place / "graph")
    return place / "graph"


def write_tables(graph, place, kind, seed=0, entities=None):
    """Write tables as `pretrain_kge` does, of random numbers; the last ten entities are equal."""
    random = np.random.default_rng(seed)
    place.mkdir(parents=True)
    if entities is None:
        entities = random.normal(size=(NODES, 6))
        entities[-10:] = entities[-1]
    width = 3 if kind == "rotate" else 6
    np.save(place / "entities.npy", entities.astype(np.float32))
    np.save(place / "relations.npy", random.normal(size=(2, width)).astype(np.float32))
    files = {name: sha256_file(graph / name) for name in GRAPH_FILES}
    (place / "kge.json").write_text(json.dumps({"settings": {"model": kind}, "graph": files}))
    return place


def every_score(tables, head, relation):
    """The score of each tail by the papers' formulas, node by node, in NumPy."""
    vectors, kinds = tables.entities.double().numpy(), tables.relations.double().numpy()
    scores = []
    for tail in range(NODES):
        h, r, t = vectors[head], kinds[relation], vectors[tail]
        if tables.kind == "transe":
            scores.append(-np.abs(h / np.abs(h).sum() + r - t / np.abs(t).sum()).sum())
        elif tables.kind == "distmult":
            scores.append((h * r * t).sum())
        else:
            turned = (h[:3] + 1j * h[3:]) * np.exp(1j * r) - (t[:3] + 1j * t[3:])
            scores.append(-np.sqrt((np.abs(turned) ** 2).sum()))
    return np.round(scores, 9)


class Table:
    """A scorer whose score of a head and a tail is in a matrix, whatever the relation."""

    def __init__(self, scores):
        self.scores = scores.astype(np.float32)

    def queries(self, edges, side):
        return self.scores[edges[:, 0]] if side == "tail" else self.scores.T[edges[:, 2]]

    def answers(self, side):
        return np.eye(len(self.scores), dtype=np.float32)


def brute_force(scores, held, graph, edges, side):
    """Rank by sorting all candidates that count; SciPy's average rank of ties."""
    facts = {tuple(edge) for edge in [*graph.triples().tolist(), *graph.held_out.tolist()]}
    found = []
    for edge, row in zip(held.nodes[edges * [1, 0, 1]] * [1, 0, 1] + edges * [0, 1, 0],
                         scores, strict=True):  # fmt: skip
        column, other = (0, 2) if side == "head" else (2, 0)
        counted = []
        for node in range(NODES):
            asked = list(edge)
            asked[column] = node
            if node == edge[column] or (tuple(asked) not in facts and node != edge[other]):
                counted.append(node)
        place = counted.index(edge[column])
        found.append(rankdata(-row[counted], method="average")[place])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_are_those_of_brute_force(folder, tmp_path, kind):
    graph = Graph.open(folder)
    held = held_out_edges(graph, task_of())
    tables = KgeTables.open(write_tables(folder, tmp_path / kind, kind), folder)
    edges = held.sets.test
    # Few distinct scores, so that names tie too.
    table = np.random.default_rng(1).integers(0, 4, (NODES, NODES))
    rankers = [by_names(Table(table), edges, "tail"),
               by_embeddings(tables, held.nodes, edges, "tail")]  # fmt: skip
    ranked = rank_queries(rankers, held, edges, "tail")
    by_table = brute_force(table[edges[:, 0]], held, graph, edges, "tail")
    np.testing.assert_allclose(ranked.ranks[:, 0], by_table)
    scores = np.stack([every_score(tables, head, relation) for head, relation, _ in edges])
    by_tables = brute_force(scores, held, graph, edges, "tail")
    np.testing.assert_allclose(ranked.ranks[:, 1], by_tables)
    assert (np.array(by_table) % 1 == 0.5).any(), "no tie was tried"

    # Heads: the score of an edge is the same from both ends.
    ranked = rank_queries([by_embeddings(tables, held.nodes, edges, "head")], held, edges, "head")
    scores = np.stack(
        [[every_score(tables, node, edge[1])[edge[2]] for node in range(NODES)] for edge in edges]
    )
    np.testing.assert_allclose(ranked.ranks[:, 0], brute_force(scores, held, graph, edges, "head"))


def test_ties_have_the_mean_of_their_ranks():
    assert mean_rank(np.array([5, 3, 3, 3, 1]), 0) == 1
    assert [mean_rank(np.array([5, 3, 3, 3, 1]), one) for one in (1, 2, 3)] == [3, 3, 3]
    assert mean_rank(np.array([3, 3, NONE]), 1) == 1.5
    assert mean_rank(np.zeros(9, dtype=np.int64), 4) == 5  # a constant score: the middle


def test_held_out_edges_are_kept_apart(folder):
    graph = Graph.open(folder)
    held = held_out_edges(graph, task_of())
    one, other, seen = (set(map(tuple, part.tolist())) for part in
                        (held.validation, held.sets.test, held.graph_edges))  # fmt: skip
    assert len(one) == len(other) == 6
    assert not (one & other or (one | other) & seen)
    assert one | other == set(map(tuple, graph.held_out.tolist()))  # all concepts: same numbers
    assert len(seen) == len(graph.triples())
    pairs = {frozenset((h, t)) for h, _, t in held.sets.train.tolist()}
    assert not [1 for h, _, t in held.sets.dev.tolist() if frozenset((h, t)) in pairs]
    assert {tuple(edge) for edge in held.sets.train.tolist()} <= seen
    assert held.sets.names[3] == "d heart"


def test_what_is_scored_does_not_depend_on_sizes(folder):
    graph = Graph.open(folder)
    large = held_out_edges(graph, task_of())
    small = held_out_edges(graph, task_of(scorer="text", candidates=26))
    assert not len(small.sets.train) and len(small.sets.concepts) == 26
    for part in ("head", "tail"):
        column = 0 if part == "head" else 2
        ids = [[one.sets.concepts[row] for row in one.sets.test[:, column]] for one in
               (large, small)]  # fmt: skip
        assert ids[0] == ids[1]
    assert held_out_edges(graph, task_of(seed=5)).sets.test.tolist() != large.sets.test.tolist()


def test_names_alone_and_with_embeddings(encoder_folder, folder, tmp_path):
    tables = write_tables(folder, tmp_path / "kge", "distmult")
    alone = run(task_of(), Run(model=encoder_folder, seed=1, graph=folder))
    both = run(task_of(kge="x"), Run(model=encoder_folder, seed=1, graph=folder, kge=tables))
    assert alone.metrics == ("mrr", "hits@1", "hits@3", "hits@10")
    assert both.metrics[4:6] == ("kge_mrr", "kge_hits@1") and len(both.metrics) == 12
    assert both.predictions.select(alone.predictions.columns).equals(alone.predictions)
    assert len(alone.predictions) == 2 * alone.counts["test_edges"] == 12
    assert (alone.counts["validation_edges"], both.counts["validation_edges"]) == (0, 6)
    for row in both.predictions.to_dicts():
        wanted = row["rank_kge"] if row["routed_to"] == "kge" else row["rank"]
        assert row["rank_router"] == wanted
    validation = both.training["validation_mrr"]
    assert validation[both.training["router"]] == max(validation.values())
    again = run(task_of(kge="x"), Run(model=encoder_folder, seed=1, graph=folder, kge=tables))
    assert again.predictions.equals(both.predictions) and again.training == both.training


def test_scores_come_from_the_predictions(encoder_folder, folder, tmp_path):
    task = task_of(scorer="text", kge="x")
    output = tmp_path / "seed1.parquet"
    given = {"model_name": "base", "model": encoder_folder, "seed": 1, "graph": folder}
    with pytest.raises(DataError, match="also reads: kge"):
        evaluate_predict(task, FAMILIES[task.family], output=output, **given)
    tables = write_tables(folder, tmp_path / "kge", "transe")
    family, inputs = FAMILIES[task.family], {"graph": folder, "kge": tables}
    whole = run_digest(task, family, encoder_folder, 1, inputs)  # as `evaluate model` gives it
    evaluate_predict(task, family, output=output, kge=tables, digest=whole, **given)
    evaluate_score(output, tmp_path / "seed1.json")
    result = json.loads((tmp_path / "seed1.json").read_text())
    predictions = pl.read_parquet(output)
    for prefix, column in (("", "rank"), ("kge_", "rank_kge"), ("router_", "rank_router")):
        ranks = predictions[column].to_numpy()
        assert result["metrics"][f"{prefix}mrr"] == pytest.approx((1 / ranks).mean())
        assert result["metrics"][f"{prefix}hits@3"] == pytest.approx((ranks <= 3).mean())
    assert result["primary"] == "mrr" and set(result["subsets"]) == {"head", "tail"}
    # Each input that the family reads counts, and no other.
    other, here = (
        write_tables(folder, tmp_path / "other", "transe", seed=7),
        tmp_path / "seed1.json",
    )
    digests = [
        run_digest(task, FAMILIES[task.family], encoder_folder, 1, {"graph": graph, **more})
        for graph, more in (
            (folder, {"kge": tables}),
            (folder, {"kge": tables, "database": here}),
            (folder, {"kge": other}),
            (other, {"kge": tables}),
        )
    ]
    assert digests[0] == digests[1] and len(set(digests)) == 3
    assert json.loads(facts_path(output).read_text())["digest"] == digests[0]


def test_a_router_learns_whom_to_trust():
    random = np.random.default_rng(3)
    features = random.normal(size=(200, 3))
    better = features[:, 1] > 0.3
    reciprocal = np.where(np.stack([better, ~better], axis=1), 0.1, 0.9)
    router = fit_router(features, reciprocal, np.arange(200) // 2, ("a", "b", "c"))
    assert router.name.startswith("logistic")
    assert abs(router.weights["b"]) > 5 * abs(router.weights["a"])
    unseen = random.normal(size=(100, 3))
    assert (router.to_kge(unseen) == (unseen[:, 1] > 0.3)).mean() > 0.9
    assert router.validation["lm"] < router.validation[router.name] > router.validation["kge"]


@pytest.mark.parametrize("best", [0, 1])
def test_a_router_that_learns_nothing_does_no_harm(best):
    random = np.random.default_rng(4)
    reciprocal = random.uniform(0, 0.2, (60, 2))
    reciprocal[:, best] += 0.1
    router = fit_router(random.normal(size=(60, 2)), reciprocal, np.arange(60) // 2, ("a", "b"))
    assert router.validation[router.name] >= reciprocal[:, best].mean()
    one_sided = reciprocal.copy()
    one_sided[:, 1 - best] = 0
    router = fit_router(np.ones((60, 2)), one_sided, np.arange(60) // 2, ("a", "b"))
    assert router.name == ("lm", "kge")[best] and not router.weights
    assert (router.to_kge(np.ones((5, 2))) == bool(best)).all()


def test_the_shape_of_scores_by_hand():
    lm = np.array([[4, 0, 2, NONE], [7, 7, 7, NONE], [NONE, 3, NONE, NONE]])
    kge = np.array([[1, 3, 2, NONE], [0, 0, 9, NONE], [NONE, 8, NONE, NONE]])
    found = dict(zip(SHAPE, shape_features(lm, kge).T, strict=True))
    spread = np.std([4, 0, 2])
    np.testing.assert_allclose(found["lm_margin"], [2 / spread, 0, 0])
    np.testing.assert_allclose(found["lm_top"], [2 / spread, 0, 0])
    np.testing.assert_allclose(found["kge_rank_of_lm_first"], np.log1p([2, 1, 0]))
    np.testing.assert_allclose(found["lm_rank_of_kge_first"], np.log1p([2, 0, 0]))
    assert np.isfinite(shape_features(lm, kge)).all()
    assert len(set(FEATURES)) == len(FEATURES)


def test_embeddings_of_another_graph_are_refused(folder, tmp_path):
    tables = write_tables(folder, tmp_path / "kge", "transe")
    facts = json.loads((tables / "kge.json").read_text())
    facts["graph"]["held_out.npy"] = "0"
    (tables / "kge.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match="another graph"):
        KgeTables.open(tables, folder)
    (tables / "entities.npy").unlink()
    with pytest.raises(DataError, match="no graph embeddings"):
        KgeTables.open(tables, folder)
    assert torch.is_tensor(
        KgeTables.open(write_tables(folder, tmp_path / "b", "transe"), folder).entities
    )


def test_too_few_edges(folder, tmp_path):
    with pytest.raises(DataError, match="lower dev_edges"):
        held_out_edges(Graph.open(folder), task_of(dev_edges=5000))
    small = tmp_path / "graph"
    graph_build(folder.parent / "kg.duckdb", [], GraphSettings(held_out_edges=2), small)
    with pytest.raises(DataError, match="holds 2 edges out"):
        held_out_edges(Graph.open(small), task_of())


@pytest.mark.parametrize(
    ("more", "message"),
    [("kge: rotat", "no kge 'rotat' in pretrain.kge"), ("pooling: cls", "graph.held_out_edges")],
)
def test_a_configuration_that_cannot_be_is_refused(tmp_path, more, message):
    path = tmp_path / "config.yaml"
    held = "" if "kge" in more else "graph: {held_out_edges: 0}\n"
    path.write_text(
        f"{held}pretrain:\n  kge: [{{name: rotate}}]\n"
        f"evaluate:\n  tasks: [{{name: c, family: completion, {more}}}]\n"
    )
    with pytest.raises(ConfigError, match=message):
        load_config([path])
