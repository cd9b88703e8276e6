import polars as pl
import pytest

from balign.errors import DataError
from balign.evaluate.gold_corpus import read_gold
from balign.evaluate.heading_recall import heading_recall
from balign.evaluate.linking_gold import Score, score_mentions

CORPUS = """1|t|Heart attack
1|a|They felt sick. Pain.
1\t0\t12\tHeart attack\tDisease\tD1
1\t23\t27\tsick\tDisease\t-1
1\t29\t33\tPain\tDisease\tD2|D3\tPain|Pain
1\tCID\tD3\tD1
"""


def write(folder, text):
    path = folder / "corpus.txt"
    path.write_text(text)
    return path


def test_documents_sentences_and_annotations(tmp_path):
    documents, sentences, gold = read_gold(write(tmp_path, CORPUS))
    assert documents.rows() == [(1, "Heart attack\nThey felt sick. Pain.")]
    assert sentences.rows() == [(1, 0, 0, 12), (1, 1, 13, 28), (1, 2, 29, 34)]
    assert gold["identifiers"].to_list() == [["D1"], [], ["D2", "D3"]]


@pytest.mark.parametrize(
    "text",
    [
        CORPUS.replace("\t23\t27", "\t22\t26"),
        CORPUS.replace("1|a|", "2|a|"),
        "1|t|title alone\n",
    ],
)
def test_a_corpus_that_contradicts_itself(tmp_path, text):
    with pytest.raises(DataError):
        read_gold(write(tmp_path, text))


def test_scores_counted_by_hand(tmp_path):
    gold = read_gold(write(tmp_path, CORPUS))[2]
    mesh = pl.DataFrame({"concept": ["A", "A", "B", "X"], "mesh": ["D1", "D7", "D3", "D8"]})
    mentions = pl.DataFrame(
        [
            (1, 0, 12, "A"),  # right
            (1, 23, 27, "N"),  # right place; its concept has no MeSH id
            (1, 29, 33, "B"),  # one of a composite annotation's ids
            (1, 13, 17, "X"),  # wrong
        ],
        schema=["pmid", "start", "end", "concept"],
        orient="row",
    )
    scores = score_mentions(mentions, gold, mesh)
    assert scores["span"] == Score(4, 3, 3, 3)
    assert scores["concept"] == Score(3, 2, 2, 2)
    assert scores["overlap"] == Score(3, 2, 2, 2)
    assert scores["document"] == Score(3, 3, 2, 2)
    assert scores["document"].precision == scores["document"].recall == scores["document"].f1


def test_nothing_found_and_nothing_annotated(tmp_path):
    empty = Score(0, 0, 0, 0)
    assert (empty.precision, empty.recall, empty.f1) == (0, 0, 0)


def test_recall_of_headings_without_check_tags(tmp_path):
    headings = [("D1", "Asthma", True), ("D2", "Rhinitis", False), ("D6", "Humans", False)]
    mesh = [{"ui": ui, "name": name, "major": major} for ui, name, major in headings]
    pl.DataFrame({"pmid": [1, 2], "mesh": [mesh, []]}, schema_overrides={
        "mesh": pl.List(pl.Struct({"ui": pl.String, "name": pl.String, "major": pl.Boolean}))
    }).write_parquet(tmp_path / "a.parquet")  # fmt: skip
    pl.DataFrame({"pmid": [1, 1, 2], "concept": ["A", "A", "A"]}).write_parquet(
        tmp_path / "m.parquet"
    )
    carried = pl.DataFrame({"concept": ["A"], "mesh": ["D1"]})
    found = heading_recall([(tmp_path / "a.parquet", tmp_path / "m.parquet")], carried)
    assert found["headings"] == 2
    assert found["found"] == found["major_found"] == 1
    assert (found["recall"], found["major_recall"]) == (0.5, 1.0)
