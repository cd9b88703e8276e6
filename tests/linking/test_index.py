import json
from pathlib import Path

import duckdb
import polars as pl
import pytest

from balign.errors import ConfigError, DataError
from balign.linking.backends import linking_index, open_linker
from balign.linking.dictionary import Dictionary
from balign.linking.settings import DictionarySettings, LinkingSettings


def with_stop_words(path) -> LinkingSettings:
    return LinkingSettings(dictionary=DictionarySettings(stop_words=str(path)))


def concepts_in(index: Path, text: str) -> list[tuple[str, float]]:
    documents = pl.DataFrame({"pmid": [1], "text": [text]})
    sentences = pl.DataFrame({"pmid": [1], "sentence": [0], "start": [0], "end": [len(text)]})
    found = open_linker("dictionary", index, LinkingSettings()).link(documents, sentences)
    return [(c, round(s, 3)) for c, s in found.select("concept", "score").iter_rows()]


def facts(index: Path) -> dict:
    return json.loads((index / "index.json").read_text())


def test_ambiguous_names_go_to_preferred_then_rank_then_identifier(make_index):
    index = make_index(
        [
            ("C9", "cold", True, 3, False),
            ("C1", "Cold", False, 0, False),
            ("C2", "cold", False, 0, False),
            ("C3", "chill", False, 2, False),
            ("C4", "chill", False, 1, False),
            ("C6", "shiver", False, 1, False),
            ("C5", "Shiver", False, 1, False),
            ("C7", "fever", True, 0, False),
            ("C7", "Fever", False, 1, False),
        ]
    )
    assert concepts_in(index, "cold") == [("C9", 0.333)]
    assert concepts_in(index, "chill") == [("C4", 0.5)]
    assert concepts_in(index, "shiver") == [("C5", 0.5)]
    assert concepts_in(index, "fever") == [("C7", 1.0)]
    assert facts(index)["ambiguous_names"] == 3
    assert facts(index)["distinct_names"] == 4


def test_names_are_dropped_by_rule_and_counted(make_index):
    index = make_index(
        [
            ("C1", "10 000", True, 0, False),
            ("C2", "(A)--", True, 0, False),
            ("C3", "MS", True, 0, False),
            ("C4", "one two three four", True, 0, False),
            ("C5", "Lead", True, 0, False),
            ("C6", "AND", True, 0, False),
            ("C7", "And", True, 0, False),
            ("C8", "LEAD", True, 0, False),
            ("C9", "kept name", True, 0, False),
        ],
        stop_words="# comment\n\nlead\nAND\n",
        max_tokens=3,
    )
    assert facts(index)["names_dropped"] == {
        "few_letters": 2,
        "long": 1,
        "short": 1,
        "stop_word": 2,
    }
    assert facts(index)["names_read"] == 9
    text = "10 000 (A)-- MS one two three four lead Lead AND and LEAD kept name"
    # "And" is no abbreviation, so it matches "AND" as well as "and".
    assert [c for c, _ in concepts_in(index, text)] == ["C7", "C7", "C8", "C9"]


def test_held_out_names_are_not_read(make_index):
    index = make_index([("C1", "fever", True, 0, False), ("C1", "high heat", False, 1, True)])
    assert concepts_in(index, "high heat and fever") == [("C1", 1.0)]
    assert facts(index)["names_read"] == 1


def test_same_bytes_whatever_the_order_of_rows(make_index, tmp_path):
    atoms = [(f"C{i % 7}", f"name {i % 11} of {i}", i < 7, i, False) for i in range(60)]
    first = {p.name: p.read_bytes() for p in make_index(atoms).iterdir()}
    second = {p.name: p.read_bytes() for p in make_index(atoms[::-1]).iterdir()}
    assert first == second


def test_a_graph_without_names(make_index):
    assert concepts_in(make_index([]), "any text") == []


def test_a_missing_file_of_stop_words(make_database, tmp_path):
    with pytest.raises(ConfigError, match="stop words") as caught:
        linking_index(make_database([]), with_stop_words("nowhere.txt"), tmp_path / "index")
    assert caught.value.where == "nowhere.txt"
    assert not (tmp_path / "index").exists()


def test_a_database_that_is_none(tmp_path):
    (tmp_path / "stop.txt").touch()
    (tmp_path / "kg.duckdb").write_text("not a database")
    with pytest.raises(DataError, match="cannot be read"):
        linking_index(
            tmp_path / "kg.duckdb", with_stop_words(tmp_path / "stop.txt"), tmp_path / "index"
        )


def test_an_index_that_is_none_or_of_another_format(make_index, tmp_path):
    with pytest.raises(DataError, match="no dictionary"):
        Dictionary.open(tmp_path / "nowhere")
    index = make_index([("C1", "fever", True, 0, False)])
    (index / "index.json").write_text('{"format": 0}')
    with pytest.raises(DataError, match="format 0"):
        Dictionary.open(index)


def test_the_shipped_stop_words_are_in_order():
    file = Path(__file__).parents[2] / "resources" / "stop_words.txt"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    capitals = [line for line in lines if line.isupper()]
    words = [line for line in lines if not line.isupper()]
    assert lines == sorted(set(capitals)) + sorted(set(words))
    assert all(word == word.lower() == word.strip() for word in words)
    assert {"all", "was", "group", "can"} <= set(words)
    assert {"AND", "THE"} <= set(capitals)
    assert not {"asthma", "tumor", "hypotension"} & set(words)


def test_ambiguity_by_type_first_then_preference_and_each_can_go(make_database, tmp_path):
    database = make_database(
        [
            ("C1", "cold", True, 0, False),
            ("C2", "cold", False, 3, False),
            ("C3", "cold", False, 1, False),
        ]
    )
    with duckdb.connect(str(database)) as connection:
        connection.execute("INSERT INTO semantic_type VALUES ('C2', 'MESH_TREE:C01.5')").fetchall()
    stop = tmp_path / "stop.txt"
    stop.touch()
    for number, (ambiguity, winner) in enumerate(
        [
            (("type_prior", "preferred", "rank"), "C2"),
            (("preferred", "rank"), "C1"),
            (("type_prior",), "C2"),
            (("rank",), "C1"),
            ((), "C1"),
        ]
    ):
        values = DictionarySettings(stop_words=str(stop), ambiguity=ambiguity)
        index = tmp_path / str(number)
        linking_index(database, LinkingSettings(dictionary=values), index)
        assert concepts_in(index, "a cold") == [(winner, 0.333)]


def test_a_spelling_of_the_graph_goes_before_a_made_one(make_index):
    index = make_index(
        [("C1", "Fever, Yellow", True, 0, False), ("C2", "yellow fever", False, 9, False)]
    )
    assert concepts_in(index, "yellow fever") == [("C2", 0.5)]


def test_duplicate_names_of_one_concept_are_no_ambiguity(make_index):
    names = ["T cell", "T-cell", "t cells", "Cell, T"]
    index = make_index([("C1", name, i == 0, i, False) for i, name in enumerate(names)])
    assert concepts_in(index, "T cells") == [("C1", 1.0)]
