import json
import tempfile
from pathlib import Path
from random import Random

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.corpus.merge import corpus_merge, file_order, live_rows
from balign.corpus.schema import PARSED_SCHEMA
from balign.errors import DataError

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("citation"), st.integers(1, 4), st.integers(1, 3)),
        st.tuples(st.just("deletion"), st.integers(1, 4), st.none() | st.integers(1, 3)),
    ),
    max_size=25,
)


def brute_force(events):
    """Replay the events one by one: the definition of what lives."""
    records = {}
    for place, (kind, pmid, version) in enumerate(events):
        if kind == "citation":
            records[pmid, version] = place
        elif version is not None:
            records.pop((pmid, version), None)
        else:
            records = {key: value for key, value in records.items() if key[0] != pmid}
    live = {}
    for pmid, version in sorted(records):  # the highest version comes last
        live[pmid] = (pmid, version, records[pmid, version])
    return [live[pmid] for pmid in sorted(live)]


@given(EVENTS)
def test_live_rows_agree_with_a_replay(events):
    frame = pl.DataFrame(
        [(p, v, kind == "deletion", place) for place, (kind, p, v) in enumerate(events)],
        schema={"pmid": pl.Int64, "version": pl.Int32, "deleted": pl.Boolean, "place": pl.Int64},
        orient="row",
    )
    assert live_rows(frame).rows() == brute_force(events)


def write_parsed(folder, name, events):
    rows = [{"kind": kind, "pmid": pmid, "version": version} for kind, pmid, version in events]
    path = folder / f"{name}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=PARSED_SCHEMA), path)
    return path


def merge(paths, folder):
    """Merge files; return the rows of both tables."""
    corpus_merge(paths, folder / "live", folder / "fates")
    return pq.read_table(folder / "live").to_pylist(), pq.read_table(folder / "fates").to_pylist()


SPREAD = (-(10**12), -1, 1, 2, (1 << 18) - 1, 1 << 18, 999_999_999)  # several buckets


@given(st.lists(EVENTS, min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_merge_agrees_with_a_replay_over_all_files(files):
    files = [[(kind, SPREAD[pmid], version) for kind, pmid, version in file] for file in files]
    places = [
        (f"pubmed26n{n:04d}", row) for n, file in enumerate(files) for row in range(len(file))
    ]
    events = [event for file in files for event in file]
    expected = brute_force(events)
    with tempfile.TemporaryDirectory() as name:
        paths = [write_parsed(Path(name), f"pubmed26n{n:04d}", f) for n, f in enumerate(files)]
        live, fates = merge(paths[::-1], Path(name))
        assert not list(Path(name).glob(".*"))
    assert [(row["pmid"], row["version"], row["file"], row["row"]) for row in live] == [
        (pmid, version, *places[place]) for pmid, version, place in expected
    ]
    assert [(row["file"], row["row"]) for row in fates] == places
    alive = {place: pmid for pmid, _, place in expected}
    for place, ((kind, pmid, _), row) in enumerate(zip(events, fates, strict=True)):
        if kind == "deletion":
            assert row["fate"] == "deletion"
        elif place in alive:
            assert row["fate"] == "live"
        else:
            assert row["fate"] == ("superseded" if pmid in alive.values() else "deleted")


def test_files_count_in_pubmeds_order_whatever_the_order_given(tmp_path):
    files = {
        "pubmed20n0014": [("citation", 1, 1), ("citation", 2, 1), ("citation", 3, 1)],
        "pubmed20n1015": [("deletion", 1, 1), ("deletion", 3, 1), ("citation", 2, 1)],
        "pubmed20n10000": [("citation", 3, 1), ("citation", 4, 2)],
        "pubmed21n0001": [("citation", 4, 1), ("citation", 5, 1), ("citation", 5, 2)],
        "pubmed21n0002": [],
    }
    paths = [write_parsed(tmp_path, name, events) for name, events in files.items()]
    outputs = []
    for seed in range(3):
        Random(seed).shuffle(paths)
        rows, _ = merge(paths, tmp_path)
        outputs.append([(tmp_path / name).read_bytes() for name in ("live", "fates")])
    assert outputs[0] == outputs[1] == outputs[2]
    assert rows == [
        {"pmid": 2, "version": 1, "file": "pubmed20n1015", "row": 2},  # revised
        {"pmid": 3, "version": 1, "file": "pubmed20n10000", "row": 0},  # deleted, then added again
        {"pmid": 4, "version": 2, "file": "pubmed20n10000", "row": 1},  # version 1 revised later
        {"pmid": 5, "version": 2, "file": "pubmed21n0001", "row": 2},
    ]
    for name in ("live", "fates"):
        metadata = pq.read_schema(tmp_path / name).metadata
        assert json.loads(metadata[b"files"]) == sorted(files, key=file_order)
    assert pq.ParquetFile(tmp_path / "fates").num_row_groups == len(files)


def test_file_order():
    names = ["own", "pubmed21n0001", "pubmed20n10000", "pubmed20n9999", "another", "pubmed09n0300"]
    assert sorted(names, key=file_order) == [
        "pubmed09n0300",
        "pubmed20n9999",
        "pubmed20n10000",
        "pubmed21n0001",
        "another",
        "own",
    ]


def test_nothing_lives(tmp_path):
    live, fates = merge([write_parsed(tmp_path, "a", [("deletion", 1, 1)])], tmp_path)
    assert live == []
    assert fates == [{"file": "a", "row": 0, "fate": "deletion"}]


def test_nothing_at_all(tmp_path):
    assert merge([write_parsed(tmp_path, "a", [])], tmp_path) == ([], [])


def test_what_a_killed_merge_left_is_no_hindrance(tmp_path):
    (tmp_path / ".live.spill").mkdir()
    (tmp_path / ".live.spill" / "0.records").write_bytes(b"half a record")
    path = write_parsed(tmp_path, "a", [("citation", 1, 1)])
    live, _ = merge([path], tmp_path)
    assert [row["pmid"] for row in live] == [1]


def test_two_files_of_one_name_are_refused(tmp_path):
    (tmp_path / "b").mkdir()
    paths = [write_parsed(folder, "a", []) for folder in (tmp_path, tmp_path / "b")]
    with pytest.raises(DataError, match="two files are called a"):
        merge(paths, tmp_path)
