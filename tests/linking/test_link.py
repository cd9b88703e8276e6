import json

import polars as pl
import pytest

import balign.linking.link as link_module
from balign.errors import DataError
from balign.linking.link import linking_link
from balign.linking.mentions import SCHEMA
from balign.linking.settings import LinkingSettings

ATOMS = [
    ("C1", "heart failure", True, 0, False),
    ("C2", "failure", True, 0, False),
    ("C3", "β-actin", True, 0, False),
    ("C4", "β-Actin", False, 1, False),
]
CITATIONS = {
    7: ["Heart failure in 😀 men.", "", "Weak heart", "failure β-actin"],
    3: ["No name here.", "Failure, again heart failure."],
    9: [],
}


@pytest.fixture
def linked(make_index, make_corpus, tmp_path):
    def run(citations=CITATIONS, name="mentions"):
        abstracts, sentences = make_corpus(citations)
        output, counts = tmp_path / f"{name}.parquet", tmp_path / f"{name}.counts.json"
        linking_link(make_index(ATOMS), abstracts, sentences, LinkingSettings(), output, counts)
        return pl.read_parquet(output), json.loads(counts.read_text()), output

    return run


def test_mentions_by_contract(linked):
    mentions, counts, _ = linked()
    assert mentions.schema == SCHEMA
    assert mentions.equals(mentions.sort("pmid", "start", "end"))
    assert set(mentions["linker"]) == {"dictionary"}
    found = mentions.select("pmid", "sentence", "surface", "concept", "score")
    assert list(found.iter_rows()) == [
        (3, 1, "Failure", "C2", 1.0),
        (3, 1, "heart failure", "C1", 1.0),
        (7, 0, "Heart failure", "C1", 1.0),
        (7, 3, "failure", "C2", 1.0),  # a name never crosses the border of a sentence
        (7, 3, "β-actin", "C3", 0.5),
    ]
    texts = {pmid: " ".join(sentences) for pmid, sentences in CITATIONS.items()}
    for pmid, start, end, surface in mentions.select("pmid", "start", "end", "surface").iter_rows():
        assert texts[pmid][start:end] == surface
    assert counts == {
        "linker": "dictionary",
        "documents": 3,
        "documents_with_mention": 2,
        "sentences": 6,
        "sentences_with_mention": 3,
        "mentions": 5,
        "concepts": 3,
        "nil": 0,
        "dropped": {},
    }


def test_a_file_without_sentences(linked):
    mentions, counts, _ = linked({})
    assert mentions.schema == SCHEMA
    assert len(mentions) == counts["mentions"] == counts["sentences"] == 0


def test_the_size_of_batches_changes_nothing(linked, monkeypatch):
    whole = linked(name="whole")[2].read_bytes()
    monkeypatch.setattr(link_module, "_BATCH", 1)
    assert linked(name="single")[2].read_bytes() == whole


def test_a_sentence_beyond_its_text(linked, make_corpus, make_index, tmp_path):
    abstracts, sentences = make_corpus({1: ["short"]})
    table = pl.read_parquet(sentences)
    index = make_index(ATOMS)
    out = (tmp_path / "m.parquet", tmp_path / "m.json")
    table.with_columns(end=pl.lit(9, pl.Int32)).write_parquet(sentences)
    with pytest.raises(DataError, match="PMID 1 ends beyond its text"):
        linking_link(index, abstracts, sentences, LinkingSettings(), *out)
    table.with_columns(pmid=pl.lit(2, pl.Int64)).write_parquet(sentences)
    with pytest.raises(DataError, match="PMID 2 has no citation"):
        linking_link(index, abstracts, sentences, LinkingSettings(), *out)
    assert not any(path.exists() for path in out)


@pytest.mark.parametrize("content", [b"", b"PAR1 but no more"])
def test_a_file_that_is_no_parquet(make_corpus, make_index, tmp_path, content):
    abstracts, sentences = make_corpus({1: ["short"]})
    sentences.write_bytes(content)
    with pytest.raises(DataError, match="Parquet") as caught:
        out = (tmp_path / "m.parquet", tmp_path / "m.json")
        linking_link(make_index(ATOMS), abstracts, sentences, LinkingSettings(), *out)
    assert caught.value.where == str(sentences)
