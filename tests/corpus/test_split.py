"""From XML to sentences and counts: citations, selection, sentences, counts, the command line."""

import json

import polars as pl
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from balign.corpus.abstracts import ABSTRACTS_SCHEMA, corpus_abstracts, text_digest
from balign.corpus.cli import app
from balign.corpus.count import corpus_count
from balign.corpus.merge import corpus_merge
from balign.corpus.parse import corpus_parse
from balign.corpus.select import corpus_select
from balign.corpus.settings import SelectSettings
from balign.corpus.split import corpus_split
from balign.errors import DataError
from balign.files import read_json

LONG = "x" * 60
NAMES = ["pubmed24n0001", "pubmed24n0002"]


@pytest.fixture
def sources(pubmed_file, citation):
    """Two files: the second revises 1, deletes 2, and holds one citation of each kind dropped."""
    mesh = (
        '<MeshHeadingList><MeshHeading><DescriptorName UI="D006801" MajorTopicYN="Y">Humans'
        "</DescriptorName></MeshHeading></MeshHeadingList>"
    )
    first = pubmed_file(citation(2), citation(1), citation(9, title="Nine."), name=NAMES[0])
    second = pubmed_file(
        citation(8, abstract=None),
        citation(7, language="ger"),
        citation(6, abstract="Too short."),
        citation(
            1,
            title="Revised",
            abstract=f'One {LONG}. Two.</AbstractText><AbstractText Label="END">Three α.',
            more=mesh,
        ),
        "<DeleteCitation><PMID Version='1'>2</PMID></DeleteCitation>",
        name=NAMES[1],
    )
    return [first, second]


@pytest.fixture
def folder(sources, tmp_path):
    """Do all steps with the two files; return the folder."""
    parsed = [tmp_path / "parsed" / f"{name}.parquet" for name in NAMES]
    for source, path in zip(sources, parsed, strict=True):
        corpus_parse(source, path)
    corpus_merge(parsed, tmp_path / "live.parquet", tmp_path / "fates.parquet")
    for path in parsed:
        corpus_abstracts(path, tmp_path / "fates.parquet", tmp_path / "abstracts" / path.name)
    select_and_split(tmp_path)
    return tmp_path


def select_and_split(folder, **settings):
    abstracts = sorted((folder / "abstracts").iterdir())
    selection = folder / "selection.parquet"
    corpus_select(abstracts, [], SelectSettings(**settings), selection)
    for path in abstracts:
        corpus_split(path, selection, folder / "sentences" / path.name)


def read(folder, kind, name):
    return pq.read_table(folder / kind / f"{name}.parquet")


def test_abstracts_are_the_live_citations_sorted(folder):
    assert read(folder, "abstracts", NAMES[0])["pmid"].to_pylist() == [9]
    table = read(folder, "abstracts", NAMES[1])
    assert table.schema == ABSTRACTS_SCHEMA
    assert table["pmid"].to_pylist() == [1, 6, 7, 8]
    first = table.slice(0, 1).to_pylist()[0]
    assert first["text"] == f"Revised\nOne {LONG}. Two.\nThree α."
    assert first["text"] == f"{first['title']}\n{first['abstract']}"
    assert [
        (section["name"], first["text"][section["start"] : section["end"]])
        for section in first["sections"]
    ] == [("abstract", f"One {LONG}. Two."), ("END", "Three α.")]
    assert first["characters"] == len(first["abstract"])
    assert (first["year"], first["language"], first["journal"]) == (1979, "eng", "The Journal")
    assert [(item["ui"], item["name"], item["major"]) for item in first["mesh"]] == [
        ("D006801", "Humans", True)
    ]
    last = table.slice(3, 1).to_pylist()[0]
    assert (last["text"], last["digest"], last["characters"]) == ("A title.\n", None, 0)


def test_a_file_of_many_row_groups_in_any_order(pubmed_file, citation, tmp_path, monkeypatch):
    monkeypatch.setattr("balign.corpus.abstracts.ROW_GROUP", 3)
    monkeypatch.setattr("balign.corpus.parse._ROW_GROUP", 4)
    pmids = [5, 3, 12, 1, 9, 8, 2, 11, 10, 4, 7, 6]
    revised = [citation(pmid, title=f"Old {pmid}") for pmid in (3, 9)]
    source = pubmed_file(*revised, *(citation(pmid, title=f"Title {pmid}") for pmid in pmids))
    parsed, fates = tmp_path / "pubmed24n0001.parquet", tmp_path / "fates"
    corpus_parse(source, parsed)
    corpus_merge([parsed], tmp_path / "live", fates)
    corpus_abstracts(parsed, fates, tmp_path / "out")
    table = pq.read_table(tmp_path / "out")
    assert table["pmid"].to_pylist() == sorted(pmids)
    assert table["title"].to_pylist() == [f"Title {pmid}" for pmid in sorted(pmids)]
    assert pq.ParquetFile(tmp_path / "out").num_row_groups == 4


def test_a_digest_is_of_letters_and_digits():
    same = ["Beta-2 agonists, again.", "beta 2  AGONISTS again", "ｂeta-2_agonists again…"]
    assert len({text_digest(text) for text in same}) == 1
    assert text_digest("Beta-3 agonists, again.") != text_digest(same[0])
    assert text_digest("") is text_digest(" .– ") is None


def test_sentences_are_spans_of_text(folder):
    table = read(folder, "sentences", NAMES[1])
    text = read(folder, "abstracts", NAMES[1])["text"][0].as_py()
    rows = table.to_pylist()
    assert {row["pmid"] for row in rows} == {1}
    assert [(row["sentence"], text[row["start"] : row["end"]], row["section"]) for row in rows] == [
        (0, "Revised", "title"),
        (1, f"One {LONG}.", "abstract"),
        (2, "Two.", "abstract"),
        (3, "Three α.", "END"),
    ]


def split_pmids(folder):
    tables = [read(folder, "sentences", name)["pmid"].to_pylist() for name in NAMES]
    return [sorted(set(pmids)) for pmids in tables]


def test_the_selection_decides(folder):
    assert split_pmids(folder) == [[9], [1]]
    select_and_split(folder, languages=None, min_characters=0)
    assert split_pmids(folder) == [[], [1, 6, 7]]  # 9 has the abstract of 7
    select_and_split(folder, languages=None, min_characters=0, deduplicate=False)
    assert split_pmids(folder) == [[9], [1, 6, 7]]
    select_and_split(folder, require_abstract=False)
    assert split_pmids(folder) == [[9], [1, 8]]


def test_same_input_gives_the_same_bytes(folder):
    files = sorted(path for path in folder.rglob("*.parquet") if path.parent.name != "parsed")
    before = [path.read_bytes() for path in files]
    parsed = [folder / "parsed" / f"{name}.parquet" for name in NAMES[::-1]]
    corpus_merge(parsed, folder / "live.parquet", folder / "fates.parquet")
    for path in parsed:
        corpus_abstracts(path, folder / "fates.parquet", folder / "abstracts" / path.name)
    select_and_split(folder)
    assert [path.read_bytes() for path in files] == before


def test_a_file_that_was_not_merged_is_refused(folder, pubmed_file, citation):
    other = folder / "parsed" / "other.parquet"
    corpus_parse(pubmed_file(citation(3)), other)
    with pytest.raises(DataError, match="other is not among the files merged"):
        corpus_abstracts(other, folder / "fates.parquet", folder / "out.parquet")
    corpus_parse(pubmed_file(citation(3)), folder / "parsed" / f"{NAMES[0]}.parquet")
    with pytest.raises(DataError, match="not among the files merged"):
        parsed = folder / "parsed" / f"{NAMES[0]}.parquet"
        corpus_abstracts(parsed, folder / "fates.parquet", folder / "out.parquet")
    assert not (folder / "out.parquet").exists()


def test_a_selection_of_other_citations_is_refused(folder):
    abstracts = folder / "abstracts" / f"{NAMES[0]}.parquet"
    abstracts.rename(folder / "abstracts" / "other.parquet")
    with pytest.raises(DataError, match="other is not the file that the selection was made from"):
        corpus_split(
            folder / "abstracts" / "other.parquet",
            folder / "selection.parquet",
            folder / "out.parquet",
        )


def count(folder):
    sentences = [folder / "sentences" / f"{name}.parquet" for name in NAMES]
    fates, selection = folder / "fates.parquet", folder / "selection.parquet"
    corpus_count(fates, selection, [], sentences, folder / "counts.json")
    return read_json(folder / "counts.json")


def test_counts(folder):
    files = count(folder)["files"]
    assert files[NAMES[0]] == {
        "read": 3,
        "deletions": 0,
        "live": 1,
        "superseded": 1,
        "deleted": 1,
        "dropped": dict.fromkeys(files[NAMES[0]]["dropped"], 0),
        "split": 1,
        "sentences": 3,
    }
    dropped = files[NAMES[1]]["dropped"]
    assert {reason: number for reason, number in dropped.items() if number} == {
        "no_abstract": 1,
        "language": 1,
        "short_abstract": 1,
    }
    second = files[NAMES[1]]
    assert (second["read"], second["live"], second["split"], second["deletions"]) == (4, 4, 1, 1)


def test_counts_that_do_not_add_up_are_an_error(folder):
    selection = folder / "selection.parquet"
    table = pq.read_table(selection)
    pq.write_table(table.slice(1), selection)
    with pytest.raises(DataError, match="1 live citations, but 0 were selected or dropped"):
        count(folder)


def test_polars_and_duckdb_read_the_tables(folder):
    duckdb = pytest.importorskip("duckdb")
    for kind in ("abstracts", "sentences"):
        path = folder / kind / f"{NAMES[1]}.parquet"
        rows = pl.read_parquet(path).height
        assert rows == pq.read_metadata(path).num_rows > 0
        assert duckdb.execute(f"SELECT count(*) FROM '{path}'").fetchone() == (rows,)


def test_command_line(sources, tmp_path):
    def balign(*arguments):
        result = CliRunner().invoke(app, [str(item) for item in arguments])
        assert result.exit_code == 0, result.output

    config = tmp_path / "config.yaml"
    config.write_text("corpus: {select: {min_characters: 5}}\n")
    out = tmp_path / "corpus"
    parsed, abstracts, sentences = (
        [out / kind / f"{name}.parquet" for name in NAMES]
        for kind in ("parsed", "abstracts", "sentences")
    )
    fates, selection, guard = out / "fates.parquet", out / "selection.parquet", out / "task.json"
    for source, path in zip(sources, parsed, strict=True):
        balign("parse", "--source", source, "--output", path)
    balign("merge", "--live", out / "live.parquet", "--fates", fates, *parsed)
    for path, output in zip(parsed, abstracts, strict=True):
        balign("abstracts", "--parsed", path, "--fates", fates, "--output", output)
    drawn = [text for path in abstracts for text in ("--abstracts", path)]
    balign("guard", "task", "--seed", 1, "--count", 5, *drawn, "--output", guard)
    assert json.loads(guard.read_text())["pmids"] == [1]  # the only one that is indexed
    chosen = ("--guard", guard, "--config", config, "--output", selection)
    balign("select", *abstracts, *chosen)
    for path, output in zip(abstracts, sentences, strict=True):
        balign("split", "--abstracts", path, "--selection", selection, "--output", output)
    total = ("--fates", fates, "--selection", selection, "--guard", guard)
    balign("count", *sentences, *total, "--output", out / "counts.json")
    counts = read_json(out / "counts.json")
    assert set(counts.pop("files")) == set(NAMES)
    dropped = counts.pop("dropped")
    assert {reason: number for reason, number in dropped.items() if number} == {
        "no_abstract": 1,
        "language": 1,
        "guarded": 1,
    }
    assert counts == {
        "read": 7,
        "deletions": 1,
        "live": 5,
        "superseded": 1,
        "deleted": 1,
        "split": 2,
        "sentences": 5,
        "guard": {"task": {"status": "ok", "test_pmids": 1, "in_corpus": 1}},
    }
