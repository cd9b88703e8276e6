import json
from random import Random

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balign.corpus.citation import PARSED_SCHEMA
from balign.corpus.merge import corpus_merge, file_order, live_rows
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
        output = tmp_path / f"live{seed}"
        corpus_merge(paths, output)
        outputs.append(output.read_bytes())
    assert len(set(outputs)) == 1
    table = pq.read_table(output)
    assert table.select(["pmid", "version", "file", "row"]).to_pylist() == [
        {"pmid": 2, "version": 1, "file": "pubmed20n1015", "row": 2},  # revised
        {"pmid": 3, "version": 1, "file": "pubmed20n10000", "row": 0},  # deleted, then added again
        {"pmid": 4, "version": 2, "file": "pubmed20n10000", "row": 1},  # version 1 revised later
        {"pmid": 5, "version": 2, "file": "pubmed21n0001", "row": 2},
    ]
    assert json.loads(table.schema.metadata[b"files"]) == sorted(files, key=file_order)


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
    corpus_merge([write_parsed(tmp_path, "a", [("deletion", 1, 1)])], tmp_path / "live")
    assert pq.read_table(tmp_path / "live").num_rows == 0


def test_two_files_of_one_name_are_refused(tmp_path):
    (tmp_path / "b").mkdir()
    paths = [write_parsed(folder, "a", []) for folder in (tmp_path, tmp_path / "b")]
    with pytest.raises(DataError, match="two files are called a"):
        corpus_merge(paths, tmp_path / "live")
