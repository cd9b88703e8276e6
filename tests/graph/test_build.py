import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balign.errors import ConfigError, DataError
from balign.graph.build import both_directions, graph_build
from balign.graph.csr import Graph
from balign.graph.settings import GraphSettings

EDGES = [
    ("C2", "part_of", "C1", "hpo"),
    ("C2", "is_a", "C1", "hpo"),
    ("C2", "is_a", "C1", "mondo"),  # the same edge from a second source
    ("é", "is_a", "C1", "hpo"),
    ("C10", "is_a", "C2", "hpo"),
]
ATOMS = [
    ("C1", "b synonym", False, 1, False),
    ("C1", "a synonym", False, 1, False),
    ("C1", "z preferred", True, 5, False),
    ("C1", "first synonym", False, 0, False),
    ("C1", "held out", False, 2, True),
    ("C2", "two", True, 0, False),
    ("C10", "ten", True, 0, False),
    ("é", "accent", True, 0, False),
    ("C3", "only mentioned", True, 0, False),
    ("C4", "nowhere", True, 0, False),
]
ALL_NAMES = GraphSettings()


@pytest.fixture
def build(make_database, write_mentions, tmp_path):
    def run(settings=ALL_NAMES, edges=EDGES, atoms=ATOMS, name="graph", **tables):
        mentions = [write_mentions("one", ["C3", "C1", "C3"]), write_mentions("two", ["C3"])]
        output = tmp_path / name
        graph_build(make_database(edges, atoms, **tables), mentions, settings, output)
        return output

    return run


def test_definitions_of_its_concepts_once_each(build):
    definitions = [
        ("é", "An accent.", "hpo"),
        ("C1", "Second.", "hpo"),
        ("C1", "First.", "hpo"),
        ("C1", "First.", "mondo"),
        ("C4", "Of no node.", "hpo"),
    ]
    graph = Graph.open(build(definitions=definitions))
    assert graph.definitions.rows() == [(0, "First."), (0, "Second."), (4, "An accent.")]


def test_files_by_contract(build):
    path = build()
    graph = Graph.open(path)
    assert graph.concepts == ["C1", "C10", "C2", "C3", "é"]  # by bytes; C4 has no edge, no mention
    assert graph.relations == ["is_a", "part_of"]
    assert graph.relation_labels == ["is a", "part of"]
    types = {"indptr": "int64", "indices": "int32", "relations": "int32", "name_indptr": "int64"}
    for name, dtype in (types | {"mention_count": "int64"}).items():
        assert np.load(path / f"{name}.npy").dtype == dtype
    neighbours = {
        concept: [
            (graph.concepts[other], relation)
            for other, relation in zip(*map(np.ndarray.tolist, graph.neighbours(node)), strict=True)
        ]
        for node, concept in enumerate(graph.concepts)
    }
    assert neighbours == {
        "C1": [("C2", 2), ("C2", 3), ("é", 2)],
        "C10": [("C2", 0)],
        "C2": [("C1", 0), ("C1", 1), ("C10", 2)],
        "C3": [],
        "é": [("C1", 0)],
    }
    assert graph.mention_count.tolist() == [1, 0, 0, 3, 0]
    names = pl.read_parquet(path / "names.parquet")
    assert names.schema == {"node": pl.Int32, "name": pl.String}
    assert names["name"].to_list() == [
        "z preferred", "first synonym", "a synonym", "b synonym",
        "ten", "two", "only mentioned", "accent",
    ]  # fmt: skip
    assert graph.name_indptr.tolist() == [0, 4, 5, 6, 7, 8]
    assert names["node"].to_list() == np.repeat(np.arange(5), np.diff(graph.name_indptr)).tolist()
    assert graph.names.to_list() == names["name"].to_list()


def test_counts(build):
    counts = json.loads((build() / "counts.json").read_text())
    assert {key: counts[key] for key in ("nodes", "edges", "mentions", "names", "relations")} == {
        "nodes": 5,
        "edges": 4,
        "mentions": 4,
        "names": 8,
        "relations": {"is_a": 3, "part_of": 1},
    }
    assert counts["nodes_without_edge"] == 1
    assert counts["nodes_with_mention"] == 2
    assert counts["degree_mean"] == 1.6
    assert counts["degree_percentiles"]["100"] == 3
    assert counts["hubs"][0] == {"concept": "C1", "name": "z preferred", "degree": 3}


def test_node_ids_of_concepts(build):
    graph = Graph.open(build())
    assert len(graph) == 5
    assert graph.nodes(["C3", "none", "C1"]).tolist() == [3, -1, 0]


def test_names_are_cut_preferred_kept(build):
    graph = Graph.open(build(GraphSettings(max_names=2)))
    assert graph.names.to_list()[:2] == ["z preferred", "first synonym"]
    assert np.diff(graph.name_indptr).max() == 2


def test_relations_are_left_out_with_their_edges_and_nodes(build):
    graph = Graph.open(build(GraphSettings(exclude_relations=("is_a",))))
    assert graph.relations == ["part_of"]
    assert graph.concepts == ["C1", "C2", "C3"]
    assert graph.edge_relations.tolist() == [1, 0]


def test_an_unknown_relation_to_leave_out(build):
    with pytest.raises(ConfigError, match="partof") as caught:
        build(GraphSettings(exclude_relations=("partof",)))
    assert "part_of" in str(caught.value)


def test_a_concept_without_name(build, tmp_path):
    with pytest.raises(DataError, match="the first is C10"):
        build(atoms=[atom for atom in ATOMS if atom[0] != "C10"])
    assert not (tmp_path / "graph").exists()


def test_an_edge_of_an_undeclared_relation(build):
    with pytest.raises(DataError, match="part_of"):
        build(relations=[("is_a", "is a")])


def test_inputs_that_cannot_be_read(tmp_path, make_database):
    with pytest.raises(DataError, match="knowledge graph"):
        graph_build(tmp_path / "none.duckdb", [], ALL_NAMES, tmp_path / "graph")
    (tmp_path / "m.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="mentions"):
        graph_build(
            make_database(EDGES, ATOMS), [tmp_path / "m.parquet"], ALL_NAMES, tmp_path / "graph"
        )
    with pytest.raises(DataError, match="no graph"):
        Graph.open(tmp_path / "graph")


def test_an_empty_graph(make_database, write_mentions, tmp_path):
    graph_build(make_database([], []), [write_mentions("none", [])], ALL_NAMES, tmp_path / "graph")
    graph = Graph.open(tmp_path / "graph")
    assert len(graph) == 0
    assert graph.indptr.tolist() == [0]


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 5)).filter(
            lambda edge: edge[0] != edge[2]
        ),
        unique=True,
    )
)
def test_rows_equal_a_naive_adjacency(edges):
    head, relation, tail = (np.array([e[i] for e in edges], np.int64) for i in range(3))
    indptr, indices, relations = both_directions(head, relation, tail, 6, 3)
    for node in range(6):
        expected = sorted(
            [(t, r) for h, r, t in edges if h == node]
            + [(h, r + 3) for h, r, t in edges if t == node]
        )
        row = slice(indptr[node], indptr[node + 1])
        assert list(zip(indices[row].tolist(), relations[row].tolist(), strict=True)) == expected


def test_same_bytes_by_command_line_whatever_order_hash_seed_and_threads(
    make_database, write_mentions, tmp_path
):
    root = Path(__file__).parents[2]
    mentions = [write_mentions("one", ["C3", "C1"]), write_mentions("two", ["C2"])]
    config = tmp_path / "config.yaml"
    config.write_text("graph: {max_names: 4}\n")
    digests = set()
    for seed, step in (("1", 1), ("2", -1)):
        database = make_database(EDGES[::step], ATOMS[::step])
        command = [sys.executable, "-m", "balign", "graph", "build", "--database", database]
        for path in mentions[::step]:
            command += ["--mentions", path]
        command += ["--output", tmp_path / seed, "--config", config]
        environment = {
            **os.environ,
            "PYTHONPATH": str(root / "workflow"),
            "PYTHONHASHSEED": seed,
            "POLARS_MAX_THREADS": seed,
        }
        subprocess.run(list(map(str, command)), check=True, env=environment, capture_output=True)
        files = sorted((tmp_path / seed).iterdir())
        whole = b"".join(path.name.encode() + path.read_bytes() for path in files)
        digests.add((len(files), hashlib.sha256(whole).hexdigest()))
    assert len(digests) == 1
