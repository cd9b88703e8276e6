"""Corpora other than PubMed: the same table, numbers of their own, bad input refused."""

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balign.corpus.read import corpus_read, document_number
from balign.corpus.schema import PARSED_SCHEMA
from balign.corpus.settings import TextSettings
from balign.errors import DataError
from balign.files import write_json

PUBTATOR = """227508|t|Naloxone  reverses the effect.
227508|a|In rats it was reversed.
227508\t0\t8\tNaloxone\tChemical\tD009270
227508\tCID\tD009270\tD007022

1|t|Only a title.
"""


@pytest.fixture
def read(tmp_path):
    """Read an input as a corpus called `own` and return its rows."""

    def run(form, path, name="own"):
        output = tmp_path / "parsed" / f"{name}.parquet"
        corpus_read(name, form, path, "eng", output)
        table = pq.read_table(output)
        assert table.schema.equals(PARSED_SCHEMA)
        return table.to_pylist()

    return run


def brief(rows):
    return [(r["document"], r["title"], [part["text"] for part in r["abstract"]]) for r in rows]


@pytest.fixture
def graph(tmp_path):
    path = tmp_path / "kg.duckdb"
    with duckdb.connect(str(path)) as database:
        database.execute(
            "CREATE TABLE concept (concept VARCHAR, preferred_name VARCHAR, source VARCHAR)"
        )
        database.execute(
            "CREATE TABLE definition (concept VARCHAR, definition VARCHAR, source VARCHAR)"
        )
        database.execute(
            "INSERT INTO concept VALUES ('C2', 'Fever', 'hpo'), ('C1', 'Cough', 'hpo'), "
            "('C3', 'No definition', 'hpo')"
        )
        database.execute(
            "INSERT INTO definition VALUES ('C2', 'High\n temperature.', 'mondo'), "
            "('C2', 'Heat.', 'doid'), ('C2', 'Heat.', 'hpo'), ('C1', 'A reflex.', 'hpo')"
        )
    return path


def test_definitions(read, graph):
    rows = read("definitions", graph)
    assert brief(rows) == [
        ("C1", "Cough", ["A reflex."]),
        ("C2", "Fever", ["Heat.", "High temperature."]),
    ]
    assert {row["kind"] for row in rows} == {"citation"}
    assert all(row["languages"] == ["eng"] and row["version"] == 1 for row in rows)
    assert [row["pmid"] for row in rows] == [document_number("own", c) for c in ("C1", "C2")]


def test_a_file_that_is_no_graph_is_refused(read, tmp_path):
    with pytest.raises(DataError, match="not a graph"):
        read("definitions", tmp_path / "none.duckdb")


def test_paragraphs_of_text_files(read, tmp_path):
    (tmp_path / "notes" / "sub").mkdir(parents=True)
    (tmp_path / "notes" / "b.txt").write_text("\ufeffOne\nline.\r\n \r\n\r\nTwo.\n\n")
    (tmp_path / "notes" / "sub" / "a.txt").write_text("Three.")
    (tmp_path / "notes" / "other.md").write_text("Not read.")
    rows = read("text", tmp_path / "notes")
    expected = [
        ("b.txt:1", "", ["One line."]),
        ("b.txt:2", "", ["Two."]),
        ("sub/a.txt:1", "", ["Three."]),
    ]
    assert brief(rows) == expected
    assert brief(read("text", tmp_path / "notes" / "b.txt")) == expected[:2]


def test_jsonl(read, tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text(
        '{"text": "First.\\nSecond.", "other": 1}\n\n'
        '{"id": 7, "title": "T", "abstract": "A  b."}\n'
        '{"id": "x", "title": "Only", "abstract": null}\n'
    )
    assert brief(read("jsonl", path)) == [
        ("own.jsonl:1", "", ["First.", "Second."]),
        ("7", "T", ["A b."]),
        ("x", "Only", []),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not a document"),
        ("[1]", "no object"),
        ('{"text": 1}', "`text` is no text"),
        ('{"id": 1}', "neither"),
        ('{"text": " "}', "neither"),
        ('{"text": "a", "abstract": "b"}', "both"),
        ('{"text": "a", "id": 1.5}', "`id`"),
        ('{"text": "a", "id": true}', "`id`"),
    ],
)
def test_a_line_that_is_no_document_is_refused(read, tmp_path, line, message):
    path = tmp_path / "own.jsonl"
    path.write_text('{"text": "fine"}\n' + line + "\n")
    with pytest.raises(DataError, match=message) as caught:
        read("jsonl", path)
    assert "own.jsonl, line 2" in str(caught.value)
    assert list((tmp_path / "parsed").iterdir()) == []


@pytest.mark.parametrize("form", ["text", "jsonl", "pubtator"])
def test_missing_and_undecodable_files(read, tmp_path, form):
    with pytest.raises(DataError, match="no file"):
        read(form, tmp_path / "nowhere")
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read(form, path)


def test_pubtator_keeps_the_pmids_and_gives_way_to_pubmed(read, tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(PUBTATOR)
    rows = read("pubtator", path)
    assert brief(rows) == [
        ("pmid:227508", "Naloxone reverses the effect.", ["In rats it was reversed."]),
        ("pmid:1", "Only a title.", []),
    ]
    assert [(row["pmid"], row["version"]) for row in rows] == [(227508, 0), (1, 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1|t|A\nstray\n", "line 2"),
        ("1|t|A\n1|t|B\n", "line 2"),
        ("1|t|A\n\n2|t|B\n1|a|C\n", "pmid:1"),
    ],
)
def test_broken_pubtator_is_refused(read, tmp_path, text, message):
    path = tmp_path / "corpus.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read("pubtator", path)


def test_a_source_of_the_registry(read, tmp_path, caplog):
    (tmp_path / "b.txt").write_text(PUBTATOR)
    record = {"sha256": "", "bytes": 1, "place": ""}
    values = {
        **dict.fromkeys(("version", "licence", "homepage"), ""),
        **{"name": "set", "format": "pubtator", "status": "ok", "reason": None},
        "files": {"b.txt": record},
    }
    manifest = tmp_path / "MANIFEST.json"
    write_json(manifest, values)
    assert len(read("pubtator", manifest)) == 2
    with pytest.raises(DataError, match="format pubtator, not text"):
        read("text", manifest)
    write_json(manifest, {**values, "status": "skipped", "reason": "offline", "files": {}})
    assert read("pubtator", manifest) == []


def test_two_documents_of_one_name_are_refused(read, tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text('{"id": 1, "text": "a"}\n{"id": "2", "text": "b"}\n{"id": "1", "text": "c"}\n')
    with pytest.raises(DataError, match="two documents are called 1"):
        read("jsonl", path)
    assert list((tmp_path / "parsed").iterdir()) == []


@given(st.text(), st.text())
def test_numbers_are_negative_and_fit(corpus, name):
    number = document_number(corpus, name)
    assert -(2**62) <= number < 0
    assert number == document_number(corpus, name)
    assert number != document_number(corpus + "x", name)


def test_a_known_number_never_changes():
    assert document_number("definitions", "C0000731") == -3139764559245999248


@pytest.mark.parametrize(
    "values",
    [
        {"format": "definitions", "path": "x"},
        {"format": "text"},
        {"format": "jsonl", "source": "bc5cdr"},
        {"format": "pubtator", "path": "x", "source": "y"},
        {"format": "csv", "path": "x"},
        {"format": "text", "path": "x", "name": "a/b"},
    ],
)
def test_settings_that_make_no_sense_are_refused(values):
    with pytest.raises(ValueError, match=r"format|path|name|source"):
        TextSettings(**{"name": "own", **values})


def test_the_table_opens_in_duckdb_and_polars(read, graph, tmp_path):
    import polars

    read("definitions", graph)
    path = tmp_path / "parsed" / "own.parquet"
    assert polars.read_parquet(path)["document"].to_list() == ["C1", "C2"]
    query = f"SELECT document, abstract[1].text FROM '{path}' ORDER BY 1"
    assert duckdb.sql(query).fetchall() == [("C1", "A reflex."), ("C2", "Heat.")]
