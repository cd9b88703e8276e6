import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balign.errors import DataError
from balign.kg.build import kg_build
from balign.kg.coverage import kg_coverage, measure
from balign.pubtator import Annotation

CORPUS = """1|t|Title
1|a|Abstract
1\t0\t1\tLeukaemia\tDisease\tD007938
1\t2\t3\tleukemia\tDisease\tD007938
1\t4\t5\ttremor headache and leukemia\tDisease\tD000100|D007938\tx|y
1\t6\t7\tboth\tDisease\tD000100|D999999
1\t8\t9\tfever\tDisease\t-1
1\t10\t11\tgum\tChemical\tMESH:D000045
1\t12\t13\tfits\tChemical\tUMLS:C0036572
1\t14\t15\tphenotype\tChemical\tHP:0000118
1\tCID\tD1\tD2
"""


@pytest.fixture
def graph(manifests, settings, tmp_path):
    kg_build(manifests, settings, tmp_path / "kg.duckdb", tmp_path / "counts.json")
    return tmp_path / "kg.duckdb"


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(CORPUS)
    return path


def test_ids_and_mentions_by_type(graph, corpus, tmp_path):
    report = tmp_path / "coverage.json"
    found = kg_coverage(graph, [corpus], report=report)
    assert list(found) == ["Chemical", "Disease"]
    assert found["Chemical"] == (3, 3, 3, 0, 3, ())
    assert found["Disease"] == (3, 2, 5, 1, 3, (("D999999", 1),))
    assert json.loads(report.read_text())["Disease"]["missing"] == [["D999999", 1]]


def test_nothing_to_count(graph, tmp_path):
    path = tmp_path / "empty.txt"
    path.write_text("1|t|x\n")
    with pytest.raises(DataError, match="no annotation"):
        kg_coverage(graph, [path])


def test_the_command(graph, corpus, balign):
    run = balign("kg", "coverage", corpus, "--database", graph)
    assert run.returncode == 0, run.stderr
    assert "D999999 (1)" in run.stdout
    assert balign("kg", "coverage", corpus, "--database", corpus).returncode == 1


IDS = st.sampled_from("ABCDE")


@given(st.lists(st.tuples(st.sampled_from("xy"), st.lists(IDS, max_size=3))), st.sets(IDS))
def test_counts_add_up(rows, covered):
    annotations = [Annotation("m", kind, tuple(ids)) for kind, ids in rows]
    found = measure(annotations, covered)
    assert sum(row.mentions for row in found.values()) == len(rows)
    for kind, row in found.items():
        ids = {one for one_kind, some in rows for one in some if one_kind == kind}
        assert row.ids == len(ids)
        assert row.ids_covered == len(ids & covered)
        assert {one for one, _ in row.missing} == ids - covered
        assert row.mentions_covered + row.without_id <= row.mentions
