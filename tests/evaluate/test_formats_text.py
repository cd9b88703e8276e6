"""Readers of tagged words, of tables and of JSON lines."""

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.errors import DataError
from balign.evaluate.examples import Tagged
from balign.evaluate.formats_iob import iob2, only_types, read_iob, read_tagged_jsonl
from balign.evaluate.formats_table import many_labels, number, one_label, read_examples, read_table
from balign.evaluate.formats_text import read_json_file
from balign.evaluate.task_settings import Columns

WORD = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=5)
TAG = st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"])
SENTENCES = st.lists(st.lists(st.tuples(WORD, TAG), min_size=1, max_size=6), max_size=5)
CELL = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=6)
CELL = CELL.filter(str.strip)


def write(path, text):
    path.write_bytes(text.encode())
    return path


@settings(max_examples=50, deadline=None)
@given(SENTENCES)
def test_iob_round_trip(tmp_path_factory, sentences):
    path = tmp_path_factory.mktemp("iob") / "x.tsv"
    blocks = ["".join(f"{word}\t{tag}\n" for word, tag in one) for one in sentences]
    found = read_iob(write(path, "\n".join(blocks)))
    expected = [one for one in sentences if one[0][0] != "-DOCSTART-"]
    assert [one.words for one in found] == [tuple(w for w, _ in one) for one in expected]
    assert [one.tags for one in found] == [iob2([t for _, t in one]) for one in expected]


def test_iob_shapes(tmp_path):
    lines = [
        "-DOCSTART- X X O",
        "",
        "EU NNP I-NP I-ORG",
        "wins VB O O",
        "",
        "",
        "Paris X X B-LOC",
        "",
    ]
    text = "\r\n".join(lines)
    found = read_iob(write(tmp_path / "a", "\ufeff" + text))
    assert found == [
        Tagged("3", ("EU", "wins"), ("B-ORG", "O")),
        Tagged("7", ("Paris",), ("B-LOC",)),
    ]
    assert read_iob(write(tmp_path / "b", "B-X\tword\n"), 1, 0)[0].words == ("word",)


@pytest.mark.parametrize(
    ("text", "message"),
    [("word\n", "column for the word"), ("word\tX-1\n", "not a tag: 'X-1'"), ("w\tB-\n", "'B-'")],
)
def test_iob_errors_name_the_line(tmp_path, text, message):
    path = write(tmp_path / "bad.tsv", "fine\tO\n" + text)
    with pytest.raises(DataError, match=message) as error:
        read_iob(path)
    assert error.value.where == f"{path}, line 2"


def test_iob1_becomes_iob2():
    assert iob2(["I-X", "I-X", "B-X", "I-Y", "O", "I-Y"]) == (
        "B-X", "I-X", "B-X", "B-Y", "O", "B-Y")  # fmt: skip


def test_types_are_chosen_and_merged():
    sentence = Tagged("1", ("a", "b", "c"), ("B-DNA", "I-DNA", "B-RNA"))
    assert next(iter(only_types([sentence], ["RNA"], None))).tags == ("O", "O", "B-RNA")
    assert next(iter(only_types([sentence], [], "entity"))).tags == (
        "B-entity", "I-entity", "B-entity")  # fmt: skip


def test_tagged_json_lines(tmp_path):
    good = {"tokens": ["a", "b"], "ner_tags": ["B-X", "O"], "id": 7}
    path = write(tmp_path / "x.jsonl", json.dumps(good) + "\n\n")
    assert read_tagged_jsonl(path, "tokens", "ner_tags", "id") == [
        Tagged("7", ("a", "b"), ("B-X", "O"))
    ]
    for bad in ({**good, "ner_tags": ["O"]}, {**good, "tokens": "a b"}, [1], {"tokens": []}):
        write(path, json.dumps(good) + "\n" + json.dumps(bad))
        with pytest.raises(DataError) as error:
            read_tagged_jsonl(path, "tokens", "ner_tags", None)
        assert error.value.where.endswith("line 2")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5))
def test_csv_is_read_as_it_was_written(tmp_path_factory, rows):
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("first", "second"), *rows])
    path = write(tmp_path_factory.mktemp("csv") / "x.csv", buffer.getvalue())
    found = [(cells["first"], cells["second"]) for _, cells in read_table(path, "csv", True)]
    assert found == list(rows)


def test_tsv_has_no_quotes_and_may_have_no_header(tmp_path):
    path = write(tmp_path / "x.tsv", '1\tthe "odd" one\t0\n2\t"quoted\t1\n')
    columns = Columns(id=0, text=1, label=2)
    found = read_examples(path, "tsv", False, columns, one_label)
    assert [(one.id, one.text, one.labels) for one in found] == [
        ("1", 'the "odd" one', ("0",)),
        ("2", '"quoted', ("1",)),
    ]


def test_a_missing_column_is_named_with_the_nearest(tmp_path):
    path = write(tmp_path / "x.tsv", "index\tsentence\tlabels\n1\ta text\tA\n")
    with pytest.raises(DataError, match="no column 'label'") as error:
        read_examples(path, "tsv", True, Columns(text="sentence"), one_label)
    assert (error.value.where, error.value.hint) == (f"{path}, line 2", "did you mean 'labels'?")


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("tsv", "text\tlabel\na\tb\tc\n", "3 columns, the first line has 2"),
        ("csv", 'text,label\n"a,b\n', "not a table"),
        ("tsv", "text\tlabel\n \tx\n", "has no text"),
        ("tsv", "text\tlabel\na\t \n", "not a label"),
        ("jsonl", "{'a': 1}\n", "not JSON"),
    ],
)
def test_table_errors_name_the_line(tmp_path, kind, text, message):
    path = write(tmp_path / "x", text)
    with pytest.raises(DataError, match=message) as error:
        read_examples(path, kind, True, Columns(), one_label)
    assert f"{path}, line " in error.value.where


def test_answers():
    assert number("1.5", "").value == 1.5
    assert many_labels(",")("0_1,1_0,2_1", "").labels == ("0", "2")
    assert many_labels("|")(" b | a|", "").labels == ("a", "b")
    assert many_labels(",")("", "").labels == ()
    assert many_labels(",")(["x_1", "y"], "").labels == ("x_1", "y")
    for bad in ("nan", "x", None):
        with pytest.raises(DataError, match="not a number"):
            number(bad, "here")


def test_options_and_pairs_of_json_lines(tmp_path):
    value = {"question": "Which?", "options": {"A": "x", "B": "y"}, "answer": 1}
    path = write(tmp_path / "x.jsonl", json.dumps(value))
    columns = Columns(text="question", label="answer", options="options")
    found = read_examples(path, "jsonl", False, columns, one_label)[0]
    assert (found.options, found.labels, found.id) == (("x", "y"), ("1",), "0")
    write(path, json.dumps({**value, "options": ["x"]}))
    with pytest.raises(DataError, match="must list the answers"):
        read_examples(path, "jsonl", False, columns, one_label)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_iob(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"caf\xe9\tO\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_iob(tmp_path / "latin")
    with pytest.raises(DataError, match="not JSON") as error:
        read_json_file(write(tmp_path / "x.json", "{\n 1}"))
    assert error.value.where.endswith("line 2")
