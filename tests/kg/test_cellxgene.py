"""The JSON files of cellxgene-ontology-guide."""

import json

import pyarrow as pa
import pytest

from balign.errors import DataError
from balign.kg.branches import branch_types
from balign.kg.cellxgene import read_cellxgene

TERMS = {
    "UBERON:0000001": {"ancestors": {}, "label": "organ", "deprecated": False},
    "UBERON:0000948": {
        "ancestors": {"UBERON:0000001": 1, "UBERON:0000002": 2},
        "label": "heart",
        "description": "A muscular  organ.\n",
        "synonyms": ["chambered heart", "vertebrate heart"],
        "deprecated": False,
    },
    "UBERON:0000003": {
        "ancestors": {},
        "label": "obsolete old heart",
        "deprecated": True,
        "replaced_by": "UBERON:0000948",
    },
    "UBERON:0000004": {"ancestors": {}, "label": "", "deprecated": True, "replaced_by": "x"},
    "UBERON:0000005": {"ancestors": {}, "label": "", "deprecated": False},
}


def write(folder, value):
    path = folder / "x.json.zst"
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    with pa.output_stream(str(path), compression="zstd") as stream:
        stream.write(text)
    return path


def test_terms(tmp_path):
    ontology = read_cellxgene(write(tmp_path, TERMS), "uberon")
    assert ontology.names == [
        ("UBERON:0000001", "organ", "name"),
        ("UBERON:0000948", "heart", "name"),
        ("UBERON:0000948", "chambered heart", "exact"),
        ("UBERON:0000948", "vertebrate heart", "exact"),
    ]
    assert ontology.definitions == [("UBERON:0000948", "A muscular organ.")]
    assert ontology.edges == [("UBERON:0000948", "is_a_or_part_of", "UBERON:0000001")]
    assert ontology.aliases == {"UBERON:0000003": "UBERON:0000948"}
    assert ontology.retired == {"UBERON:0000003", "UBERON:0000004"}
    assert ontology.dropped == {"obsolete terms": 2, "terms without a name": 1}


def test_a_disease_is_a_disease(tmp_path):
    terms = {
        "MONDO:1": {"ancestors": {}, "label": "disease", "deprecated": False},
        "MONDO:2": {"ancestors": {"MONDO:1": 1}, "label": "flu", "deprecated": False},
    }
    ontology = read_cellxgene(write(tmp_path, terms), "mondo")
    assert ontology.edges == [("MONDO:2", "is_a", "MONDO:1")]


def test_what_may_be_a_part_makes_branches_too(tmp_path):
    terms = {"X:1": {"ancestors": {}, "label": "root", "deprecated": False}}
    for number in range(2, 8):
        parent = "X:1" if number % 2 == 0 else f"X:{number - 1}"
        label = f"term {number}"
        terms[f"X:{number}"] = {"ancestors": {parent: 1}, "label": label, "deprecated": False}
    ontology = read_cellxgene(write(tmp_path, terms), "x")
    assert ("X:3", "term 2") in branch_types(ontology)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        ([1], "not a table of terms"),
        ({}, "not a table of terms"),
        ({"X:1": {"label": "x"}}, r"not a term: KeyError.*\n.*term X:1"),
        ({"X:1": "x"}, "not a term: "),
        ({"noprefix": {"label": "x", "deprecated": False, "ancestors": {}}}, "no identifier"),
    ],
)
def test_errors(tmp_path, value, message):
    with pytest.raises(DataError, match=message):
        read_cellxgene(write(tmp_path, value), "x")


def test_not_packed_or_cut_off(tmp_path):
    path = write(tmp_path, TERMS)
    data = path.read_bytes()
    for broken in (json.dumps(TERMS).encode(), data[: len(data) // 2]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"x\.json\.zst"):
            read_cellxgene(path, "x")
