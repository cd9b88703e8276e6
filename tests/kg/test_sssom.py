"""Mapping sets: predicates, negation, confidence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balign.errors import DataError
from balign.kg.settings import MappingSettings
from balign.kg.sssom import read_sssom

HEAD = "#curie_map:\n#  A: x\nsubject_id\tpredicate_id\tobject_id\tconfidence\tpredicate_modifier\n"
ROWS = [
    "A:1\tskos:exactMatch\tUMLS:C0000001\t0.9\t",
    "A:2\thttp://www.w3.org/2004/02/skos/core#exactMatch\tUMLS:C0000002\t\t",
    "A:3\tskos:closeMatch\tUMLS:C0000003\t1\t",
    "A:4\tskos:exactMatch\tUMLS:C0000004\t0.4\t",
    "A:5\tskos:exactMatch\tUMLS:C0000005\t0.9\tNot",
    "A:6\tskos:exactMatch\tUMLS:CN5\t0.9\t",
    "A:7\towl:equivalentClass\tB:7\t\t",
]


def read(folder, text, **settings):
    path = folder / "map.sssom.tsv"
    path.write_text(text, encoding="utf-8", newline="")
    return read_sssom(path, "map", MappingSettings(**settings))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_exact_matches_by_default(tmp_path, ending):
    text = (HEAD + "\n".join(ROWS)).replace("\n", ending)
    ontology = read(tmp_path, "\ufeff" + text)
    assert [code for code, _ in ontology.exact] == ["A:1", "A:2", "A:4"]
    assert ontology.xrefs == []
    assert ontology.dropped == {
        "mappings Not skos:exactMatch": 1,
        "mappings owl:equivalentClass": 1,
        "mappings skos:closeMatch": 1,
        "xrefs that are no identifiers": 1,
    }


def test_predicates_and_confidence_are_settings(tmp_path):
    predicates = ("skos:exactMatch", "skos:closeMatch", "owl:equivalentClass")
    ontology = read(tmp_path, HEAD + "\n".join(ROWS), predicates=predicates, min_confidence=0.5)
    assert [code for code, _ in ontology.exact] == ["A:1", "A:2", "A:7"]
    assert ontology.xrefs == [("A:3", "UMLS:C0000003")]
    assert ontology.dropped["mappings of less confidence"] == 1


@pytest.mark.parametrize("confidence", ["high", "1.5", "-0.1", "nan"])
def test_a_confidence_that_is_none(tmp_path, confidence):
    with pytest.raises(DataError, match=rf"'{confidence}' is no number from 0 to 1\n.*line 4"):
        read(tmp_path, f"{HEAD}A:1\tskos:exactMatch\tB:1\t{confidence}\t\n")


@given(st.lists(st.sampled_from([(), ("confidence",), ("predicate_modifier",)]), max_size=1))
def test_columns_that_may_be_missing(tmp_path_factory, extra):
    columns = ["object_id", *(extra[0] if extra else ()), "subject_id", "predicate_id"]
    values = {"object_id": "B:1", "subject_id": "A:1", "predicate_id": "skos:exactMatch"}
    text = "\t".join(columns) + "\n" + "\t".join(values.get(one, "") for one in columns) + "\n"
    assert read(tmp_path_factory.mktemp("sssom"), text).exact == [("A:1", "B:1")]
