from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import duckdb
import pytest

from balign.errors import ConfigError, DataError, SourceError
from balign.kg.build import kg_build
from balign.kg.checks import CHECKS, check_database
from balign.kg.held_out import draw_held_out
from balign.kg.settings import HeldOutSettings, KgSettings
from balign.kg.tables import TABLES


def rows(connection, query):
    return connection.execute(query).fetchall()


def test_concepts_of_the_small_sources(manifests, settings, built):
    graph = built(manifests, settings)
    assert rows(graph, "FROM concept") == [
        ("C0018681", "Headache", "hpo"),
        ("C0023418", "leukemia", "mondo"),
        ("C0036572", "Seizure", "hpo"),
        ("C1111111", "tremor headache", "mondo"),
        ("HP:0000001", "All", "hpo"),
        ("HP:0000118", "Phenotypic abnormality", "hpo"),
        ("MESH:D000045", "Acacia", "mesh"),
        ("MESH:D000200", "Diseases of Nerves", "mesh"),
        ("MONDO:0000001", "disease", "mondo"),
        ("ORPHA:77", "Unheard-of disease", "hpo"),
    ]


def test_edges_are_facts_between_concepts(manifests, settings, built, tmp_path):
    graph = built(manifests, settings)
    assert rows(graph, "SELECT head, relation, tail, source FROM edge") == [
        ("C0018681", "is_a", "HP:0000118", "hpo"),
        ("C0023418", "is_a", "MONDO:0000001", "mondo"),
        ("C0036572", "is_a", "HP:0000118", "hpo"),
        ("C0036572", "part_of", "C0018681", "hpo"),
        ("C1111111", "has_phenotype", "C0018681", "hpo"),
        ("C1111111", "is_a", "MESH:D000200", "mesh"),
        ("C1111111", "is_a", "MONDO:0000001", "mondo"),
        ("HP:0000118", "is_a", "HP:0000001", "hpo"),
        ("ORPHA:77", "has_phenotype", "C0036572", "hpo"),
    ]
    assert rows(graph, "FROM relation") == [
        ("has_phenotype", "has phenotype", 2),
        ("is_a", "is a", 6),
        ("part_of", "part of", 1),
    ]
    counts = json.loads((tmp_path / "out" / "counts.json").read_text())
    assert counts["sources"]["hpo"]["dropped"]["edges to an unknown term"] == 1
    assert counts["tables"]["edge"] == 9


def test_names_rank_own_names_first_then_synonyms(manifests, settings, built):
    graph = built(manifests, settings)
    query = "SELECT name, source, code, term_type, preferred, rank FROM atom WHERE concept = "
    assert rows(graph, query + "'C1111111' ORDER BY rank") == [
        ("tremor headache", "mondo", "MONDO:0000100", "name", True, 0),
        ("Tremor Headaches", "mesh", "MESH:D000100", "name", False, 1),
        ("shaking head sickness", "mondo", "MONDO:0000100", "synonym", False, 2),
        ("Headaches, Tremor", "mesh", "MESH:D000100", "synonym", False, 3),
        ("Tremor-headache syndrome", "hpo", "OMIM:100", "disease_name", False, 4),
    ]


def test_other_tables(manifests, settings, built):
    graph = built(manifests, settings)
    assert rows(graph, "SELECT identifier FROM xref WHERE concept = 'C1111111'") == [
        ("MESH:D000100",),
        ("MONDO:0000100",),
        ("OMIM:100",),
        ("SNOMEDCT:42",),
        ("UMLS:C1111111",),
    ]
    types = rows(graph, "SELECT semantic_type FROM semantic_type WHERE concept = 'MESH:D000200'")
    assert types == [("Diseases",), ("MESH_TREE:C10",), ("MESH_TREE:C23.5",)]
    assert rows(graph, "FROM definition") == [
        ("C0018681", 'Pain "in the head", \\ cephalgia.', "hpo")
    ]
    assert rows(graph, "SELECT source, atoms FROM source WHERE source = 'mondo-umls'") == [
        ("mondo-umls", 0)
    ]
    facts = dict(rows(graph, "FROM provenance"))
    assert json.loads(facts["settings"])["sources"] == list(settings.sources)
    assert len(facts["sha256 of hpo/phenotype.hpoa"]) == 64


def test_held_out_names_are_no_variants_of_others(manifests, settings, built):
    graph = built(manifests, settings)
    held_out = {name for (name,) in rows(graph, "SELECT name FROM atom WHERE held_out")}
    # One a concept; "leukaemias", "Headaches, Tremor", "Acacias", "Headaches" are variants, broad
    # names and names of annotations are no synonyms, and "Leucocythemias" is a plural beside
    # "Leucocythemia".
    assert held_out == {
        'Head ache, "so called"',
        "Epileptic seizure",
        "shaking head sickness",
        "Wattle Tree",
    } | (held_out & {"cancer of white cells", "blood cancer"})
    assert len(held_out) == 5


def test_the_draw_depends_on_seed_count_and_length(manifests, settings, built):
    def drawn(name: str, **held_out):
        changed = settings.model_copy(update={"held_out": HeldOutSettings(**held_out)})
        graph = built(manifests, changed, name)
        return rows(graph, "SELECT concept, name FROM atom WHERE held_out")

    assert drawn("none", count=0) == []
    two = drawn("two", count=2)
    assert len(two) == 2
    assert set(two) < set(drawn("three", count=3))
    assert {name for _, name in drawn("long", min_characters=18)} == {
        "shaking head sickness",
        "cancer of white cells",
        'Head ache, "so called"',
    }
    assert len({tuple(drawn(f"seed{seed}", count=2, seed=seed)) for seed in range(8)}) > 1


def test_a_form_that_another_concept_uses_is_not_held_out(write_source, built):
    terms = [
        {"id": "X:1", "name": "first", "namespace": "x", "synonyms": ["Shared-name"]},
        {"id": "X:2", "name": "second", "namespace": "x", "synonyms": ["shared name", "only here"]},
        {"id": "X:3", "name": "sharedname", "namespace": "x", "synonyms": ["Ünly hére"]},
    ]
    manifest = write_source("x", "indra_json", {"x.json": json.dumps(terms)})
    graph = built([manifest], KgSettings(sources=("x",)))
    assert rows(graph, "SELECT name FROM atom WHERE held_out") == [("only here",), ("Ünly hére",)]


def test_a_skipped_source_is_left_out(write_source, settings, built, manifests):
    skipped = write_source("extra", "sssom", {}, status="skipped", reason="no network")
    more = settings.model_copy(update={"sources": (*settings.sources, "extra")})
    graph = built([*manifests, skipped], more)
    assert rows(graph, "SELECT count(*) FROM concept") == [(10,)]


def test_manifests_must_be_those_of_the_settings(manifests, settings, built, tmp_path):
    for given in (manifests[:2], [*manifests, manifests[0]]):
        with pytest.raises(ConfigError, match=r"not those of kg\.sources"):
            built(given, settings)
    with pytest.raises(ConfigError, match="no source"):
        built([], KgSettings(sources=()))
    with pytest.raises(SourceError):
        built([tmp_path / "MANIFEST.json"], settings)


def test_other_formats_are_refused(write_source, built):
    manifest = write_source("text", "pubmed_xml", {"a.xml": "x"})
    with pytest.raises(DataError, match="no ontology's"):
        built([manifest], KgSettings(sources=("text",)))


def test_a_failed_build_leaves_the_old_graph_and_nothing_else(manifests, settings, built, tmp_path):
    built(manifests, settings).close()
    database = tmp_path / "out" / "kg.duckdb"
    before = database.read_bytes()
    (manifests[1].parent / "mondo.json").write_text("[7]")
    with pytest.raises(DataError):
        built(manifests, settings)
    assert database.read_bytes() == before
    assert {path.name for path in database.parent.iterdir()} == {"kg.duckdb", "counts.json"}


def test_a_graph_that_fails_a_check_is_not_kept(manifests, settings, built, tmp_path, monkeypatch):
    monkeypatch.setitem(CHECKS, "too many concepts", "SELECT concept FROM kg.concept")
    with pytest.raises(DataError, match="fails a check: too many concepts"):
        built(manifests, settings)
    assert list((tmp_path / "out").iterdir()) == []


SCRIPT = """
import json, sys
from pathlib import Path
from balign.kg import build
from balign.kg.settings import KgSettings
manifests, settings, folder, stop = json.loads(sys.argv[1])
if stop:
    def check_database(connection):
        print("filled", flush=True)
        sys.stdin.read()
    build.check_database = check_database
out = Path(folder)
build.kg_build(
    [Path(manifest) for manifest in manifests],
    KgSettings.model_validate(settings), out / "kg.duckdb", out / "counts.json"
)
"""


@pytest.fixture
def process(root, manifests, settings):
    def start(folder, stop=False, given=manifests, **environment):
        arguments = [[str(path) for path in given], settings.model_dump(mode="json")]
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, json.dumps([*arguments, str(folder), stop])],
            env={**os.environ, "PYTHONPATH": str(root / "workflow"), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


def test_a_killed_build_leaves_the_old_graph(process, manifests, settings, built, tmp_path):
    built(manifests, settings).close()
    database = tmp_path / "out" / "kg.duckdb"
    before = database.read_bytes()
    with process(database.parent, stop=True) as running:
        assert running.stdout.readline() == "filled\n"
        running.send_signal(signal.SIGKILL)
    assert database.read_bytes() == before


def dump(database) -> str:
    with duckdb.connect(str(database), read_only=True) as graph:
        assert {name for (name,) in rows(graph, "SHOW TABLES")} == set(TABLES)
        return repr({table: rows(graph, f"FROM {table}") for table in TABLES})


def test_same_rows_in_the_same_order_whatever_hash_seed_threads_and_order(
    process, manifests, tmp_path
):
    runs = [
        process(tmp_path / "a", PYTHONHASHSEED="1"),
        process(tmp_path / "b", PYTHONHASHSEED="2", given=manifests[::-1], OMP_NUM_THREADS="1"),
    ]
    for run in runs:
        run.communicate()
        assert run.returncode == 0
    assert dump(tmp_path / "a" / "kg.duckdb") == dump(tmp_path / "b" / "kg.duckdb")
    counts = [(tmp_path / name / "counts.json").read_bytes() for name in "ab"]
    assert counts[0] == counts[1]


def test_threads_of_the_database_do_not_matter(manifests, settings, tmp_path, monkeypatch):
    connect = duckdb.connect
    for threads in (1, 4):
        monkeypatch.setattr(
            "balign.kg.build.duckdb.connect",
            lambda config, threads=threads: connect(config=config | {"threads": threads}),
        )
        folder = tmp_path / str(threads)
        kg_build(manifests, settings, folder / "kg.duckdb", folder / "counts.json")
    monkeypatch.undo()
    assert dump(tmp_path / "1" / "kg.duckdb") == dump(tmp_path / "4" / "kg.duckdb")


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        ("DELETE FROM kg.atom WHERE preferred AND concept = 'C0018681'", "one preferred name"),
        (
            "UPDATE kg.concept SET preferred_name = 'x' WHERE concept = 'C0018681'",
            "not the preferred",
        ),
        ("INSERT INTO kg.edge VALUES ('C0018681', 'is_a', 'X:1', 'hpo')", "rows of no concept"),
        ("INSERT INTO kg.edge VALUES ('C0018681', 'is_a', 'C0018681', 'hpo')", "self loops"),
        ("INSERT INTO kg.edge FROM kg.edge LIMIT 1", "edges given twice"),
        ("UPDATE kg.relation SET edges = 0", "wrong count"),
        ("UPDATE kg.atom SET rank = rank + 1 WHERE NOT preferred", "gaps in the ranks"),
        ("UPDATE kg.atom SET source = 'x' WHERE held_out", "unknown source"),
        ("UPDATE kg.atom SET held_out = true WHERE preferred", "two held-out names"),
        ("INSERT INTO kg.xref VALUES ('X:1', 'UMLS:C0000001')", "rows of no concept"),
        ("INSERT INTO kg.concept FROM kg.concept LIMIT 1", "given twice"),
        ("UPDATE kg.atom SET name = 'Seizure!' WHERE held_out", "occur"),
        ("UPDATE kg.atom SET name = ' ' WHERE name = 'Headaches'", "empty names"),
    ],
)
def test_checks_find_damage(manifests, settings, built, tmp_path, damage, check):
    built(manifests, settings).close()
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{tmp_path / 'out' / 'kg.duckdb'}' AS kg")
        connection.execute("CREATE TABLE final_name AS SELECT *, 1 AS class FROM kg.atom")
        draw_held_out(connection, settings.held_out)
        check_database(connection)
        connection.execute(damage)
        with pytest.raises(DataError, match=check):
            check_database(connection)
