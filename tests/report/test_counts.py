from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from balign.report.counts import count_tables

KEYS = st.text(min_size=1, max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
COUNTS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS | st.lists(SCALARS, max_size=3),
        lambda inner: st.dictionaries(KEYS, inner, max_size=4) | st.lists(inner, max_size=3),
        max_leaves=12,
    ),
    max_size=5,
)


def test_scalars_come_first_in_the_chosen_order() -> None:
    (table,) = count_tables({"zebra_stripes": 3, "sentences": 278766, "read": 50788}, "")
    assert table.rows == (
        ("Read", "50\u202f788"),
        ("Sentences", "278\u202f766"),
        ("Zebra stripes", "3"),
    )


def test_mapping_of_mappings_is_one_table() -> None:
    counts = {"dropped": {"hpo": {"loop": 2}, "mesh": {"loop": 1, "suppressed": 4}}}
    (table,) = count_tables(counts, "")
    assert table.caption == "Dropped"
    assert table.head == ("", "Loop", "Suppressed")
    assert table.rows == (("HPO", "2", ""), ("MeSH", "1", "4"))


def test_wide_table_is_turned() -> None:
    counts = {"files": {"one": {"read": 1, "live": 2, "dropped": {"language": 3}}}}
    (table,) = count_tables(counts, "")
    assert table.head == ("", "One")
    assert table.rows == (("Read", "1"), ("Live", "2"), ("Dropped: language", "3"))


def test_counts_of_one_group_stay_together() -> None:
    dropped = {"hpo": {"dropped": {"loops": 1}, "terms": 5}, "mondo": {"dropped": {"Aspect C": 2}}}
    (table,) = count_tables({"sources": {**dropped, "doid": {"terms": 1}}}, "")
    rows = [row[0] for row in table.rows]
    assert rows == ["DOID", "HPO", "MONDO"]
    assert table.head == ("", "Terms", "Dropped: loops", "Dropped: aspect C")


def test_long_digests_are_cut() -> None:
    (table,) = count_tables({"digest": "ab" * 32, "code": "0123456789abcdef"}, "")
    assert table.rows == (("Code", "0123456789abcdef"), ("Digest", "ab" * 8 + "…"))


def test_numbers_as_keys_are_in_order() -> None:
    (table,) = count_tables({"percentiles": {"100": 9, "50": 2, "0": 1}}, "")
    assert [row[0] for row in table.rows] == ["0", "50", "100"]


def test_lists_of_examples_are_not_shown() -> None:
    assert count_tables({"hubs": [{"name": "Secretonym", "degree": 3}]}, "") == []
    (table,) = count_tables({"a": {"x": {"n": 1, "hubs": [{"name": "Secretonym"}]}}}, "")
    assert table.rows == (("X", "1"),)


def test_long_tables_and_lists_are_cut_and_say_so() -> None:
    (table,) = count_tables({f"k{number}": number for number in range(75)}, "")
    assert (len(table.rows), table.more) == (60, 15)
    (table,) = count_tables({"seeds": list(range(40))}, "")
    assert table.rows[0][1].endswith("11, …")


@given(COUNTS)
def test_any_counts_make_regular_tables(counts) -> None:
    for table in count_tables(counts, ""):
        assert {len(row) for row in table.rows} <= {len(table.head)}
        assert all(isinstance(cell, str) for row in table.rows for cell in row)
