"""The selection against a plain replay of its rules, and the leakage guard's lists."""

import tempfile
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.corpus.guard import corpus_guard
from balign.corpus.select import SELECTION_SCHEMA, corpus_select
from balign.corpus.settings import SelectSettings
from balign.draw import draw
from balign.errors import DataError
from balign.files import read_json, write_json

CITATION = st.fixed_dictionaries(
    {
        "languages": st.lists(st.sampled_from(["eng", "ger"]), max_size=2),
        "year": st.none() | st.integers(1999, 2003),
        "publication_types": st.lists(
            st.sampled_from(["Review", "Letter", "Retraction"]), max_size=2
        ),
        "characters": st.integers(0, 3),
        "digest": st.none() | st.integers(-3, 3),
    }
)
SETTINGS = st.builds(
    SelectSettings,
    languages=st.sampled_from([None, ("eng",), ("eng", "ger"), ()]),
    first_year=st.sampled_from([None, 2000]),
    last_year=st.sampled_from([None, 2001]),
    publication_types=st.sampled_from([None, ("Review",), ("Review", "Letter")]),
    exclude_publication_types=st.sampled_from([(), ("Retraction",)]),
    require_abstract=st.booleans(),
    min_characters=st.integers(0, 2),
    deduplicate=st.booleans(),
)
SCHEMA = {
    "pmid": pl.Int64,
    "languages": pl.List(pl.String),
    "year": pl.Int32,
    "publication_types": pl.List(pl.String),
    "characters": pl.Int32,
    "digest": pl.Int64,
}


def filtered(pmid, row, chosen):
    if row["characters"] == 0 and chosen.require_abstract:
        return "no_abstract"
    if pmid > 0:  # a citation of PubMed
        languages, types = set(row["languages"]), set(row["publication_types"])
        if chosen.languages is not None and not languages & set(chosen.languages):
            return "language"
        if chosen.first_year and (row["year"] is None or row["year"] < chosen.first_year):
            return "year"
        if chosen.last_year and (row["year"] is None or row["year"] > chosen.last_year):
            return "year"
        if chosen.publication_types is not None and not types & set(chosen.publication_types):
            return "publication_type"
        if types & set(chosen.exclude_publication_types):
            return "publication_type"
    return "short_abstract" if 0 < row["characters"] < chosen.min_characters else None


def replay(citations, guarded, chosen):
    """Go through the rules citation by citation, lowest PMID first."""
    tested = {row["digest"] for pmid, row in citations.items() if pmid in guarded} - {None}
    seen, reasons = set(), {}
    for pmid, row in sorted(citations.items()):
        reason = filtered(pmid, row, chosen)
        if reason is None and pmid in guarded:
            reason = "guarded"
        if reason is None and row["digest"] in tested:
            reason = "guarded_copy"
        if reason is None and chosen.deduplicate and row["digest"] in seen:
            reason = "duplicate"
        if reason is None and row["digest"] is not None:
            seen.add(row["digest"])
        reasons[pmid] = reason
    return reasons


@given(
    st.dictionaries(st.integers(-3, 20), CITATION, max_size=12),
    st.lists(st.integers(1, 20), max_size=3),
    SETTINGS,
)
@settings(max_examples=150, deadline=None)
def test_selection_agrees_with_a_replay(citations, guarded, chosen):
    with tempfile.TemporaryDirectory() as name:
        folder, files = Path(name), {"b": [], "a": [], "empty": []}
        for pmid in sorted(citations):
            files["ab"[pmid % 2]].append({"pmid": pmid, **citations[pmid]})
        paths = [folder / f"{file}.parquet" for file in files]
        for path, rows in zip(paths, files.values(), strict=True):
            pl.DataFrame(rows, schema=SCHEMA, orient="row").write_parquet(path)
        write_json(folder / "guard", {"pmids": guarded})
        corpus_select(paths, [folder / "guard"], chosen, folder / "out")
        table = pq.read_table(folder / "out")
        assert table.schema == SELECTION_SCHEMA
        rows = table.to_pylist()
    assert [(row["file"], row["pmid"]) for row in rows] == sorted(
        ("ab"[pmid % 2], pmid) for pmid in citations
    )
    assert {row["pmid"]: row["reason"] for row in rows} == replay(citations, guarded, chosen)


def manifest(folder, files, status="ok"):
    """Write a source and return its manifest."""
    for name, text in files.items():
        (folder / name).write_text(text)
    entries = {name: {"sha256": "0", "bytes": 0, "place": "x"} for name in files}
    words = dict.fromkeys(("version", "format", "licence", "homepage"), "x")
    found = {"name": "toy", "status": status, "reason": "no network", "files": entries}
    write_json(folder / "MANIFEST.json", {**words, **found})
    return folder / "MANIFEST.json"


def guard(folder, *arguments, manifest=None, abstracts=(), seed=0, count=0):
    corpus_guard("task", manifest, abstracts, seed, count, folder / "out.json")
    return read_json(folder / "out.json")


def test_the_test_part_of_a_source_is_guarded(tmp_path):
    files = {
        "train.txt": "7|t|Not this\n",
        "test_corpus.txt": "9|t|Title\n9|a|Text 5|t|x\n9\t0\t5\tTitle\tDisease\tD1\n\n12|t|More\n",
        "test_ground_truth.json": '{"30": "yes", "9": "no"}',
    }
    assert guard(tmp_path, manifest=manifest(tmp_path, files)) == {
        "task": "task",
        "status": "ok",
        "reason": None,
        "pmids": [9, 12, 30],
    }


def test_what_cannot_be_guarded_is_said(tmp_path):
    tagged = guard(tmp_path, manifest=manifest(tmp_path, {"test.tsv": "word\tO\n"}))
    assert (tagged["status"], tagged["pmids"]) == ("skipped", [])
    assert tagged["reason"] == "the test part of toy has no PMIDs"
    missing = guard(tmp_path, manifest=manifest(tmp_path, {}, "skipped"))
    assert missing["reason"] == "the source is missing: no network"


def test_a_broken_test_set_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"test set cannot be read(.|\n)*test\.json"):
        guard(tmp_path, manifest=manifest(tmp_path, {"test.json": "{"}))


def test_a_drawn_test_set_is_that_of_the_evaluation(tmp_path):
    check_tags = pytest.importorskip("balign.evaluate.check_tags")
    from balign.evaluate.settings import CheckTagTask

    humans = [{"name": "Humans"}]
    rows = [
        {
            "pmid": pmid,
            "text": "t",
            "abstract": "a" * (pmid % 5),
            "characters": pmid % 5,
            "mesh": humans if pmid % 3 else [],
        }
        for pmid in range(1, 300)
    ]
    paths = [tmp_path / name for name in "ab"]
    for start, path in enumerate(paths):
        pl.DataFrame(rows[start::2]).write_parquet(path)
    sizes = {f"{part}_citations": 20 for part in ("train", "development", "test")}
    task = CheckTagTask(name="task", family="check_tags", split_seed=4, **sizes)
    citations, _ = check_tags.read_citations(paths)
    _, _, test = check_tags.split(citations, task)
    guarded = guard(tmp_path, abstracts=paths, seed=4, count=20)
    assert guarded["pmids"] == sorted(test.pmids.tolist())


def test_a_draw_is_fixed_by_its_seed():
    assert draw(1, range(100), 5) == draw(1, reversed(range(100)), 5) != draw(2, range(100), 5)
    assert sorted(draw(1, ["b", "a"], 5)) == ["a", "b"]
