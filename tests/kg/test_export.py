"""Export: planted strings of withheld sources are in no byte of what goes out."""

import io
import json
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balign.errors import BalignError, DataError
from balign.files import sha256_file
from balign.kg.export import kg_export

LEVELS = (0, 1, 2, 3, 4, 9)
SCHEMA = """
CREATE TABLE concept (concept VARCHAR, preferred_name VARCHAR, source VARCHAR);
CREATE TABLE atom (concept VARCHAR, name VARCHAR, source VARCHAR, code VARCHAR, term_type VARCHAR,
    preferred BOOLEAN, rank INTEGER, held_out BOOLEAN, restriction INTEGER);
CREATE TABLE edge (head VARCHAR, relation VARCHAR, tail VARCHAR, source VARCHAR);
CREATE TABLE relation (relation VARCHAR, label VARCHAR, edges BIGINT);
CREATE TABLE semantic_type (concept VARCHAR, semantic_type VARCHAR, source VARCHAR);
CREATE TABLE definition (concept VARCHAR, definition VARCHAR, source VARCHAR);
CREATE TABLE xref (concept VARCHAR, identifier VARCHAR);
CREATE TABLE source (source VARCHAR, version VARCHAR, licence VARCHAR, restriction INTEGER,
    atoms INTEGER);
CREATE TABLE provenance (key VARCHAR, value VARCHAR);
"""


def mark(level):
    """A string that must not go out below ``level``."""
    return f"mark{level}mark"


def make_graph(path, atoms, edges, others):
    """Write a graph whose every string of a source holds the mark of the source's level.

    ``atoms`` are (concept number, source's level, own level of the atom), the first of a concept
    its preferred one; ``edges`` (number, number, level); ``others`` (number, level) get a type, a
    definition and an xref.
    """
    concept_of = {}
    with duckdb.connect(str(path)) as graph:
        graph.execute(SCHEMA)
        graph.execute("BEGIN")  # a hundred times faster than row by row
        insert = lambda table, *row: graph.execute(  # noqa: E731
            f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row
        )
        for level in LEVELS:
            secret = mark(level)
            insert("source", f"S{level}", f"v {secret}", f"by {secret}", level, 0)
        ranks = {}
        for position, (number, level, own) in enumerate(atoms):
            rank = ranks[number] = ranks.get(number, -1) + 1
            secret = mark(max(level, own))
            if rank == 0:  # every third concept has a CUI, the others the code of their first name
                code = f"C{number:07d}" if number % 3 == 0 else f"S{level}:{secret}{number}"
                concept_of[number] = code
                insert("concept", code, f"name {secret} {position}", f"S{level}")
            row = (f"name {secret} {position}", f"S{level}", f"S{level}:{secret}{number}")
            insert("atom", concept_of[number], *row, f"T{secret}", rank == 0, rank, False, own)
        for head, tail, level in edges:
            if head in concept_of and tail in concept_of:
                pair = (concept_of[head], f"r_{mark(level)}", concept_of[tail], f"S{level}")
                insert("edge", *pair)
        graph.execute("INSERT INTO relation SELECT relation, relation, 1 FROM edge GROUP BY ALL")
        for number, level in others:
            if number in concept_of:
                code = concept_of[number]
                insert("semantic_type", code, f"type {mark(level)}", f"S{level}")
                insert("definition", code, f"meaning {mark(level)}\t\\ é\n", f"S{level}")
                insert("xref", code, f"S{level}:{mark(level)}x{number}")
        insert("provenance", "settings", mark(9))
        graph.execute("COMMIT")
    return concept_of


def spoken(folder):
    """Return all bytes of an export, those inside Parquet's packed pages too."""
    found = b""
    for path in sorted(folder.rglob("*")):
        found += path.name.encode() + path.read_bytes()
        if path.suffix == ".parquet":
            text = io.BytesIO()
            pl.read_parquet(path).write_csv(text)
            found += text.getvalue()
    return found


def leaks(folder, level):
    text = spoken(folder)
    return [one for one in LEVELS if one > level and mark(one).encode() in text]


NUMBER = st.integers(0, 7)
LEVEL = st.sampled_from(LEVELS)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    atoms=st.lists(st.tuples(NUMBER, LEVEL, LEVEL), min_size=1, max_size=16),
    edges=st.lists(st.tuples(NUMBER, NUMBER, LEVEL), max_size=8),
    others=st.lists(st.tuples(NUMBER, LEVEL), max_size=8, unique=True),
    level=st.sampled_from([0, 1, 3, 9]),
    form=st.sampled_from(["parquet", "tsv"]),
)
def test_nothing_withheld_goes_out(tmp_path_factory, atoms, edges, others, level, form):
    folder = tmp_path_factory.mktemp("export")
    concept_of = make_graph(folder / "kg.duckdb", atoms, edges, others)
    manifest = kg_export(folder / "kg.duckdb", folder / "out", level, form)
    assert leaks(folder / "out", level) == []
    # Computed anew: which atoms, and so which concepts, may go.
    good = {
        concept_of[number]
        for number, source, own in atoms
        if max(source, own) <= level
        and all(mark(secret) not in concept_of[number] for secret in LEVELS if secret > level)
    }
    names = [
        f"name {mark(max(source, own))} {position}"
        for position, (number, source, own) in enumerate(atoms)
        if max(source, own) <= level and concept_of[number] in good
    ]
    tables = manifest["tables"]
    assert tables["concepts"]["written"] == len(good)
    assert tables["names"]["written"] == len(names)
    text = spoken(folder / "out").decode(errors="replace")
    assert all(name in text for name in names)
    for name, table in {"names": "atom", "edges": "edge", "xrefs": "xref"}.items():
        with duckdb.connect(str(folder / "kg.duckdb"), read_only=True) as graph:
            rows = graph.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
        assert tables[name]["written"] + sum(tables[name]["withheld"].values()) == rows


@pytest.fixture
def graph(tmp_path):
    """Concept 0 under a withheld name first; 3 all withheld; 6 open."""
    path = tmp_path / "kg.duckdb"
    atoms = [(0, 9, 9), (0, 0, 0), (0, 1, 1), (3, 9, 9), (6, 0, 0)]
    make_graph(path, atoms, [(0, 6, 0), (0, 6, 9), (0, 3, 0)], [(0, 9), (6, 0)])
    return path


def test_the_best_name_that_may_go_becomes_the_preferred_one(graph, tmp_path):
    kg_export(graph, tmp_path / "out", 0, "parquet")
    concepts = pl.read_parquet(tmp_path / "out" / "concepts.parquet")
    assert concepts.rows() == [
        ("C0000000", "name mark0mark 1", "S0"),
        ("C0000006", "name mark0mark 4", "S0"),
    ]
    names = pl.read_parquet(tmp_path / "out" / "names.parquet")
    assert names.select("rank", "preferred").rows() == [(0, True), (0, True)]
    edges = pl.read_parquet(tmp_path / "out" / "edges.parquet")
    assert edges.rows() == [("C0000000", "r_mark0mark", "r_mark0mark", "C0000006", "S0")]


def test_the_manifest_counts_and_the_licences_list(graph, tmp_path):
    out = tmp_path / "out"
    kg_export(graph, out, 1, "tsv")
    manifest = json.loads((out / "MANIFEST.json").read_text())
    tables = manifest["tables"]
    assert tables["names"]["written"] == 3
    assert tables["names"]["withheld"] == {"S9": 2}
    assert tables["concepts"]["withheld"] == {"S9": 1}
    assert tables["edges"]["withheld"] == {"S0": 1, "S9": 1}  # S0's leads to a withheld concept
    for table in tables.values():
        assert sha256_file(out / table["file"]) == table["sha256"]
    text = (out / "LICENCES.md").read_text()
    assert "| S0 | v mark0mark | by mark0mark | 0 | 2 |" in text
    assert "S9" not in text
    lines = (out / "definitions.tsv").read_text().splitlines()
    assert lines[1] == "C0000006\tmeaning mark0mark\\t\\\\ é\\n\tS0"


def test_identifiers_of_a_withheld_source_stay_behind_under_other_spellings(tmp_path):
    path = tmp_path / "kg.duckdb"
    make_graph(path, [(0, 0, 0)], [], [])
    with duckdb.connect(str(path)) as graph:
        for source in ("SNOMEDCT_US", "MDR", "ICD10"):
            graph.execute("INSERT INTO source VALUES ($1, '', '', 9, 0)", [source])
        for one in ("SNOMEDCT:1", "MEDDRA:2", "ICD10:3", "ICD10WHO:3", "MESH:D000001", "odd"):
            graph.execute("INSERT INTO xref VALUES ('C0000000', $1)", [one])
    kg_export(path, tmp_path / "out", 0, "parquet")
    found = pl.read_parquet(tmp_path / "out" / "xrefs.parquet")["identifier"].to_list()
    assert found == ["MESH:D000001", "odd"]


def test_same_graph_same_bytes(graph, tmp_path):
    for form in ("parquet", "tsv"):
        first = kg_export(graph, tmp_path / f"{form}1", 9, form)
        assert kg_export(graph, tmp_path / f"{form}2", 9, form) == first
        assert kg_export(graph, tmp_path / f"{form}2", 9, form) == first  # replaces its own


def test_another_folder_is_not_replaced(graph, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("x")
    with pytest.raises(BalignError, match="something else than an export"):
        kg_export(graph, mine, 0, "tsv")
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]


def test_no_graph(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        kg_export(tmp_path / "none.duckdb", tmp_path / "out", 0, "tsv")
    assert not (tmp_path / "out").exists()


def test_the_command(graph, tmp_path, balign):
    run = balign("kg", "export", "--database", graph, "--folder", tmp_path / "out", "--level", 9)
    assert run.returncode == 0, run.stderr
    assert "5 of 5 names" in run.stderr
    assert Path(tmp_path / "out" / "names.parquet").is_file()
