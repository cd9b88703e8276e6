"""From XML to sentences and counts, through the functions and through the command line."""

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from balign.corpus.cli import app
from balign.corpus.merge import corpus_merge
from balign.corpus.parse import corpus_parse
from balign.corpus.split import corpus_split, drop_reason
from balign.errors import DataError
from balign.files import read_json

LONG = "x" * 60


@pytest.fixture
def sources(pubmed_file, citation):
    """Two files: the second revises 1, deletes 2, and holds one citation of each kind dropped."""
    mesh = (
        '<MeshHeadingList><MeshHeading><DescriptorName UI="D006801" MajorTopicYN="Y">Humans'
        "</DescriptorName></MeshHeading></MeshHeadingList>"
    )
    first = pubmed_file(citation(2), citation(1), citation(9, title="Nine."), name="pubmed24n0001")
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
        name="pubmed24n0002",
    )
    return [first, second]


@pytest.fixture
def split(sources, tmp_path):
    """Parse, merge and split the two files; return the folder."""
    parsed = [tmp_path / "parsed" / f"{path.name[:-7]}.parquet" for path in sources]
    for source, path in zip(sources, parsed, strict=True):
        corpus_parse(source, path)
    corpus_merge(parsed, tmp_path / "live.parquet")
    for path in parsed:
        run_split(tmp_path, path.stem)
    return tmp_path


def run_split(folder, name, languages=("eng",), min_characters=50):
    corpus_split(
        folder / "parsed" / f"{name}.parquet",
        folder / "live.parquet",
        languages,
        min_characters,
        folder / "abstracts" / f"{name}.parquet",
        folder / "sentences" / f"{name}.parquet",
        folder / "sentences" / f"{name}.counts.json",
    )


def read(folder, kind, name):
    return pq.read_table(folder / kind / f"{name}.parquet")


def test_abstracts_are_the_live_citations_sorted(split):
    assert read(split, "abstracts", "pubmed24n0001")["pmid"].to_pylist() == [9]
    table = read(split, "abstracts", "pubmed24n0002")
    assert table.column_names == [
        *("pmid", "version", "title", "abstract", "text", "year", "language", "journal"),
        *("publication_types", "mesh", "doi", "pmcid"),
    ]
    assert table["pmid"].to_pylist() == [1, 6, 7, 8]
    first = table.slice(0, 1).to_pylist()[0]
    assert first["text"] == f"Revised\nOne {LONG}. Two.\nThree α."
    assert first["text"] == f"{first['title']}\n{first['abstract']}"
    assert (first["year"], first["language"], first["journal"]) == (1979, "eng", "The Journal")
    assert first["mesh"] == [{"ui": "D006801", "name": "Humans", "major": True, "qualifiers": []}]
    assert table["text"].to_pylist()[3] == "A title.\n"


def test_sentences_are_spans_of_text(split):
    table = read(split, "sentences", "pubmed24n0002")
    text = read(split, "abstracts", "pubmed24n0002")["text"][0].as_py()
    rows = table.to_pylist()
    assert {row["pmid"] for row in rows} == {1}
    assert [(row["sentence"], text[row["start"] : row["end"]], row["section"]) for row in rows] == [
        (0, "Revised", "title"),
        (1, f"One {LONG}.", "abstract"),
        (2, "Two.", "abstract"),
        (3, "Three α.", "END"),
    ]


def test_counts(split):
    assert read_json(split / "sentences" / "pubmed24n0001.counts.json") == {
        "read": 3,
        "with_abstract": 3,
        "deletions": 0,
        "live": 1,
        "superseded": 1,
        "deleted": 1,
        "dropped": {"no_abstract": 0, "language": 0, "short_abstract": 0},
        "split": 1,
        "sentences": 3,
    }
    second = read_json(split / "sentences" / "pubmed24n0002.counts.json")
    assert second["dropped"] == {"no_abstract": 1, "language": 1, "short_abstract": 1}
    assert (second["read"], second["live"], second["split"], second["deletions"]) == (4, 4, 1, 1)


def test_all_languages_and_lengths(split):
    run_split(split, "pubmed24n0002", languages=None, min_characters=0)
    pmids = read(split, "sentences", "pubmed24n0002")["pmid"].to_pylist()
    assert sorted(set(pmids)) == [1, 6, 7]


def test_same_input_gives_the_same_bytes(split):
    files = [split / kind / "pubmed24n0002.parquet" for kind in ("abstracts", "sentences")]
    before = [path.read_bytes() for path in files]
    run_split(split, "pubmed24n0002")
    assert [path.read_bytes() for path in files] == before


def test_a_file_that_was_not_merged_is_refused(split, pubmed_file, citation):
    corpus_parse(pubmed_file(citation(3)), split / "parsed" / "other.parquet")
    with pytest.raises(DataError, match="other is not among the files merged"):
        run_split(split, "other")
    assert not (split / "abstracts" / "other.parquet").exists()
    pq.write_table(pq.read_table(split / "live.parquet").replace_schema_metadata(), split / "bare")
    (split / "bare").replace(split / "live.parquet")
    with pytest.raises(DataError, match="not among the files merged"):
        run_split(split, "pubmed24n0001")


@pytest.mark.parametrize(
    ("abstract", "written", "languages", "reason"),
    [
        ("", ["ger"], ("eng",), "no_abstract"),
        (LONG, ["ger"], ("eng",), "language"),
        ("x" * 49, ["ger"], ("eng",), "language"),
        ("x" * 49, ["eng"], ("eng",), "short_abstract"),
        ("x" * 50, ["ger", "eng"], ("eng",), None),
        (LONG, [], None, None),
    ],
)
def test_the_first_reason_counts(abstract, written, languages, reason):
    assert drop_reason(abstract, written, languages, 50) == reason


def test_command_line(sources, tmp_path):
    def balign(*arguments):
        result = CliRunner().invoke(app, [str(item) for item in arguments])
        assert result.exit_code == 0, result.output

    config = tmp_path / "config.yaml"
    config.write_text("corpus: {min_characters: 5}\n")
    out = tmp_path / "corpus"
    names = ["pubmed24n0001", "pubmed24n0002"]
    parsed = [out / "parsed" / f"{name}.parquet" for name in names]
    counts = [out / "sentences" / f"{name}.counts.json" for name in names]
    for source, path in zip(sources, parsed, strict=True):
        balign("parse", "--source", source, "--output", path)
    balign("merge", "--output", out / "live.parquet", *parsed)
    for path, count in zip(parsed, counts, strict=True):
        outputs = ("--abstracts", out / "abstracts" / path.name, "--counts", count)
        outputs += ("--sentences", out / "sentences" / path.name)
        live = out / "live.parquet"
        balign("split", "--parsed", path, "--live", live, *outputs, "--config", config)
    balign("count", "--output", out / "counts.json", *counts)
    total = read_json(out / "counts.json")
    assert total.pop("files") == {
        name: read_json(count) for name, count in zip(names, counts, strict=True)
    }
    assert total == {
        "read": 7,
        "with_abstract": 6,
        "deletions": 1,
        "live": 5,
        "superseded": 1,
        "deleted": 1,
        "dropped": {"no_abstract": 1, "language": 1, "short_abstract": 0},
        "split": 3,
        "sentences": 9,
    }
