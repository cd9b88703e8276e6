"""Numbers for concepts and edges, against a way that needs none."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.errors import DataError
from balign.kg import edges as module
from balign.kg.cui import SIZE, cui_numbers
from balign.kg.edges import Edges, RelationDoc
from balign.kg.relations import fold_relations

CUI = st.one_of(
    st.from_regex(r"\AC[0-9]{7}\Z"),
    st.from_regex(r"\ACN[0-9]{6}\Z"),
    st.from_regex(r"\A[1-9][0-9]{0,6}\Z"),
)
OTHER = st.one_of(
    st.none(), st.text(max_size=9).filter(lambda text: not text.isalnum()), st.just("C12345678")
)


@settings(deadline=None)
@given(st.lists(CUI, unique=True), st.lists(OTHER))
def test_each_identifier_has_its_own_number(good, bad):
    names = [*good, *bad]
    numbers = cui_numbers(pa.array(names, pa.string())).tolist()
    found, rest = numbers[: len(good)], numbers[len(good) :]
    assert len(set(found)) == len(found)
    assert all(0 <= number < SIZE for number in found)
    assert set(rest) <= {-1}
    # Within a form of one length the order of the numbers is that of the strings.
    lettered = sorted(name for name in good if name.startswith("C"))
    assert [n for _, n in sorted(zip(good, found, strict=True)) if n >= 1 << 24] == sorted(
        n for n in found if n >= 1 << 24
    )
    assert len(lettered) == sum(number >= 1 << 24 for number in found)


def test_a_slice_of_a_column_is_numbered_like_its_copy():
    column = pa.array(["C0000001", "C0000002", "x", "C0000003", "CN000004"])
    assert cui_numbers(column[1:4]).tolist() == [16_777_218, -1, 16_777_219]
    assert cui_numbers(column[3:]).tolist() == [16_777_219, 26_777_220]


CONCEPTS = [f"C000000{number}" for number in range(8)]
RELATIONS = ["isa", "inverse_isa", "treats", "treated_by", "RO", "has_part", "part_of", "odd"]
DOC = RelationDoc([("treats", "treated_by"), ("treated_by", "treats")], {"treats": "Treats"})
ROWS = st.lists(
    st.tuples(
        st.sampled_from(CONCEPTS),
        st.sampled_from(RELATIONS),
        st.sampled_from(CONCEPTS),
        st.sampled_from(["A", "B", "C"]),
    ).filter(lambda row: row[0] != row[2]),
    max_size=40,
)


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_edges_are_folded_as_one_by_one(rows):
    order = {"A": 1, "B": 0, "C": 2}  # by restriction
    folds = {fold.relation: fold for fold in fold_relations({row[1] for row in rows}, DOC.inverses)}
    expected: dict[tuple[str, str, str], str] = {}
    for head, relation, tail, source in rows:
        fold = folds[relation]
        if fold.swap or (fold.symmetric and head > tail):
            head, tail = tail, head
        edge = (head, fold.canonical, tail)
        expected[edge] = min(expected.get(edge, source), source, key=order.__getitem__)

    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS kg")
        connection.execute("CREATE TABLE kg.concept (concept VARCHAR, preferred_name VARCHAR)")
        connection.executemany(
            "INSERT INTO kg.concept VALUES (?, ?)", [(concept, "x") for concept in CONCEPTS]
        )
        connection.execute(
            "CREATE TABLE stage_edge (head TEXT, relation TEXT, tail TEXT, source TEXT)"
        )
        connection.execute(
            "CREATE TABLE stage_source (source TEXT, version TEXT, licence TEXT, "
            "restriction INTEGER, precedence INTEGER)"
        )
        for source, level in order.items():
            connection.execute("INSERT INTO stage_source VALUES (?, '', '', ?, 0)", [source, level])
        if rows:
            connection.executemany("INSERT INTO stage_edge VALUES (?, ?, ?, ?)", rows)
        edges = Edges()
        edges.add_ontologies(connection)
        edges.write(connection, DOC)
        found = connection.execute("FROM kg.edge").fetchall()
        counted = connection.execute("SELECT relation, edges FROM kg.relation").fetchall()
    assert found == sorted((*edge, source) for edge, source in expected.items())
    assert dict(counted) == {
        name: sum(edge[1] == name for edge in expected) for name in {edge[1] for edge in expected}
    }
    assert edges.counts["rows folded into an edge with another row"] == len(rows) - len(expected)


def test_too_many_relations_are_an_error(monkeypatch):
    monkeypatch.setattr(module, "RELATIONS", 1)
    edges = Edges()
    edges._relations = {"a": 0, "b": 1}
    with pytest.raises(DataError, match="relations"):
        edges._add(*(np.zeros(1, np.int64) for _ in range(4)))
