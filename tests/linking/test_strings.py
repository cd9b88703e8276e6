from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.linking.hashtable import HashTable
from balign.linking.strings import StringTable

KEYS = st.integers(1, 2**64 - 1) | st.integers(0, 40).map(lambda i: (i << 20) + 1)


@settings(deadline=None)
@given(st.sets(KEYS), st.lists(KEYS))
def test_finds_what_is_there_and_nothing_else(known, others):
    keys = np.array(sorted(known), np.uint64)
    table = HashTable.of(keys, np.arange(len(keys), dtype=np.int32))
    wanted = np.array([*sorted(known), *others], np.uint64)
    found, values = table.find(wanted)
    expected = [i for i, key in enumerate(wanted.tolist()) if key in known]
    assert found.tolist() == expected
    assert keys[values].tolist() == wanted[expected].tolist()


def test_survives_the_disk_mapped_into_memory(tmp_path: Path):
    HashTable.of(np.array([3, 9], np.uint64), np.array([1, -1], np.int32)).save(tmp_path)
    table = HashTable.open(tmp_path)
    assert isinstance(table.keys.base, np.memmap)
    found, values = table.find(np.array([9, 4, 3], np.uint64))
    assert (found.tolist(), values.tolist()) == ([0, 2], [-1, 1])


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_strings_come_back(texts):
    table = StringTable.of(texts)
    assert [table[i] for i in range(len(table))] == texts


def test_an_empty_table(tmp_path: Path):
    StringTable.of([]).save(tmp_path, "none")
    assert len(StringTable.open(tmp_path, "none")) == 0
