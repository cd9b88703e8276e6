"""Names and identifiers of a release, against a way that takes the atoms one by one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.kg import edge_keys
from balign.kg import held_out as held_out_module
from balign.kg.atoms import ATOMS, Words, one_concept_each, rank_atoms

WORDS = Words(["A", "MSH", "HPO", "A-B"], ["MH", "PT", "SY"])
ATOM = st.tuples(
    st.sampled_from(["C0000001", "C0000002", "C0000003", "CN000001", "9", "10"]),
    st.sampled_from(["a", "b", "B", "ä", "a b", "z"]),
    st.sampled_from(["NOCODE", "1", "2", "10", "HP:1", "HP:10", "A:1", "GO:2"]),
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(0, 40),
    st.integers(0, 3),
)


def identifier(source: str, code: str) -> str:
    prefix = {"MSH": "MESH"}.get(source, source)
    return code if ":" in code and source != "MSH" else f"{prefix}:{code}"


def one_by_one(atoms):
    """Return the names and the identifiers, by the text of rank_atoms."""
    names, claims, own = {}, {}, set()
    for row, (concept, name, code, source, kind, position, level) in enumerate(atoms):
        atom = (level, position, row, WORDS.sources[source], code, WORDS.term_types[kind])
        found, best = names.get((concept, name), (atom, position))
        names[concept, name] = min(found, atom), min(best, position)
        own.add((concept, f"UMLS:{concept}"))
        if code != "NOCODE":
            claim = (kind, position % 8, concept)
            text = identifier(WORDS.sources[source], code)
            claims[text] = min(claims.get(text, claim), claim)
    order = sorted((concept, best, name) for (concept, name), (_, best) in names.items())
    rows, rank = [], {}
    for concept, best, name in order:
        level, _, _, source, code, kind = names[concept, name][0]
        rank[concept] = rank.get(concept, -1) + 1
        rows.append((concept, name, source, code, kind, best, level, rank[concept]))
    return rows, sorted(own | {(claim[2], text) for text, claim in claims.items()})


@settings(deadline=None, max_examples=200)
@given(st.lists(ATOM, max_size=60), st.integers(1, 20), st.booleans(), st.integers(1, 3))
def test_names_and_identifiers_are_those_found_one_by_one(atoms, size, in_order, threads):
    if in_order:
        atoms = sorted(atoms, key=lambda atom: atom[0])
    columns = list(zip(*atoms, strict=True)) or [()] * len(ATOMS)
    table = pa.table([list(column) for column in columns], schema=ATOMS)
    blocks = [table.slice(start, size) for start in range(0, len(table), size)]
    concepts, names, found = rank_atoms(blocks, WORDS, threads)
    identifiers = one_concept_each(found)
    expected_names, expected_identifiers = one_by_one(atoms)
    assert concepts.to_pylist() == sorted({atom[0] for atom in atoms})
    assert [tuple(row.values()) for row in names.to_pylist()] == expected_names
    assert [tuple(row.values()) for row in identifiers.to_pylist()] == expected_identifiers


@given(st.lists(st.text(max_size=12), max_size=8), st.integers(0, 3))
@settings(deadline=None, max_examples=40)
def test_the_quick_form_of_ascii_names_is_the_form(names, start):
    with duckdb.connect() as connection:
        connection.execute(held_out_module._MACROS)
        chunk = pa.array(names, pa.string())[start:]
        forms, cased = held_out_module._forms(connection, pa.chunked_array([chunk]))
        expected = [
            connection.execute(
                "SELECT hash(form($name)), lower($name) <> upper($name)", {"name": name}
            ).fetchone()
            for name in names[start:]
        ]
    assert list(zip(forms.tolist(), cased.tolist(), strict=True)) == expected


@pytest.mark.parametrize("batch", [1, 7, 400, 1000])
def test_edges_of_long_numbers_are_the_same_as_of_short_ones(monkeypatch, batch):
    monkeypatch.setattr(edge_keys, "_PART", batch)
    draw = np.random.default_rng(3)
    keys = draw.integers(0, 50, 400).astype(np.uint64)
    sources = draw.integers(0, 5, 400).astype(np.uint16)
    with ThreadPoolExecutor(2) as pool:
        short, long = (
            edge_keys.distinct(
                zip(np.split(keys, 4), np.split(sources, 4), strict=True),
                *(400, edge_keys.Layout(3, 2, bits), pool),
            )
            for bits in (8, 60)
        )
    assert all((a == b).all() for a, b in zip(short, long, strict=True))
    assert len(short.head) == len(set(keys.tolist()))
