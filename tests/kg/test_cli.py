from __future__ import annotations

import pytest

CONFIG = """
kg:
  sources: [hpo, mondo, mesh, mondo-umls]
"""


@pytest.fixture
def database(balign, manifests, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    path = tmp_path / "kg.duckdb"
    sources = [word for manifest in manifests for word in ("--source", manifest)]
    run = balign(
        "kg", "build", *sources,
        "--database", path, "--counts", tmp_path / "counts.json", "--config", config,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "10 concept" in run.stderr
    return path


def test_show_finds_a_concept_by_id_identifier_and_name(balign, database):
    for text in ("C1111111", "mesh:d000100", "Shaking HEAD sickness"):
        run = balign("kg", "show", text, "--database", database)
        assert run.returncode == 0, run.stderr
        for part in ("tremor headache", "held out", "OMIM:100", "has phenotype", "Diseases"):
            assert part in run.stdout
    assert balign("kg", "show", "Headache", "--database", database).stdout.count("cephalgia") == 1


def test_show_and_sql_say_what_is_wrong(balign, database, tmp_path):
    run = balign("kg", "show", "no such thing", "--database", database)
    assert run.returncode == 1
    assert "no concept 'no such thing'" in run.stderr
    run = balign("kg", "sql", "DROP TABLE atom", "--database", database)
    assert run.returncode == 1
    assert "read-only" in run.stderr
    run = balign("kg", "sql", "FROM atom", "--database", tmp_path / "none.duckdb")
    assert run.returncode == 1
    assert "not a knowledge graph" in run.stderr
    assert "Traceback" not in run.stderr


def test_sql_prints_rows(balign, database):
    run = balign("kg", "sql", "FROM relation", "--database", database)
    assert "has phenotype" in run.stdout
