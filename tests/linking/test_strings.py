from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import balign.linking.strings as strings
from balign.linking.strings import StringTable, Vocabulary

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.sets(TEXT), st.lists(TEXT))
def test_finds_what_is_there_and_nothing_else(known, others):
    vocabulary = Vocabulary.of(known)
    texts = [*known, *others]
    numbers = vocabulary.find(texts).tolist()
    for text, number in zip(texts, numbers, strict=True):
        assert (number >= 0) == (text in known)
        if number >= 0:
            assert vocabulary.strings[number] == text


def test_strings_of_one_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(strings, "string_hash", lambda text: len(text))
    vocabulary = Vocabulary.of(["aa", "bb", "cc", "d"])
    numbers = vocabulary.find(["bb", "cc", "xx", "d", "e", "aaa"])
    assert [None if n < 0 else vocabulary.strings[n] for n in numbers.tolist()] == [
        "bb", "cc", None, "d", None, None,
    ]  # fmt: skip


def test_survives_the_disk_mapped_into_memory(tmp_path: Path):
    Vocabulary.of(["α", "beta", ""]).save(tmp_path)
    vocabulary = Vocabulary.open(tmp_path)
    assert isinstance(vocabulary.hashes, np.memmap)
    assert (vocabulary.find(["beta", "α", "", "γ"]) >= 0).tolist() == [True, True, True, False]


def test_an_empty_table(tmp_path: Path):
    StringTable.of([]).save(tmp_path, "none")
    assert len(StringTable.open(tmp_path, "none")) == 0
    assert Vocabulary.of([]).find(["a"]).tolist() == [-1]
