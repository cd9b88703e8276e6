import json

import polars as pl
import pytest

from balign.errors import DataError
from balign.linking.count import add_up, around, linking_count
from balign.linking.groups import group_rules
from balign.linking.mentions import SCHEMA

TEXT = "Asthma and aspirin.\nHeart failure: asthma again."


@pytest.fixture
def files(tmp_path):
    """Two files of one citation each; the second has the same text."""
    found = {"abstracts": [], "mentions": [], "counts": []}
    for pmid, file in ((7, "one"), (3, "two")):
        rows = [
            (pmid, 0, 0, 6, "Asthma", "MESH:D001249", 1.0, "dense"),
            (pmid, 0, 11, 18, "aspirin", "MESH:D000068", 1.0, "dense"),
            (pmid, 1, 20, 33, "Heart failure", "C0018801", 1.0, "dense"),
            (pmid, 1, 35, 41, "asthma", "MESH:D001249", 1.0, "dense"),
        ]
        counts = {"linker": "dense", "mentions": 4, "concepts": 3, "nil": 1, "dropped": {"x": 2}}
        paths = {kind: tmp_path / f"{file}.{kind}" for kind in found}
        pl.DataFrame({"pmid": [pmid], "text": [TEXT]}).write_parquet(paths["abstracts"])
        pl.DataFrame(rows, schema=SCHEMA, orient="row").write_parquet(paths["mentions"])
        paths["counts"].write_text(json.dumps(counts))
        for kind, path in paths.items():
            found[kind].append(path)
    return found


def test_counts_of_all_files(graph, files, tmp_path):
    linking_count(graph, **files, output=tmp_path / "counts.json")
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["linker"] == "dense"
    assert (counts["mentions"], counts["concepts"], counts["nil"]) == (8, 3, 2)
    assert counts["dropped"] == {"x": 4}
    assert counts["ambiguous"] == 4  # "asthma" is a name of two concepts
    assert counts["by_semantic_group"] == {
        "Disorders": {"concepts": 2, "mentions": 6},
        "Chemicals & Drugs": {"concepts": 1, "mentions": 2},
    }
    assert counts["by_source"] == {"one": {"concepts": 3, "mentions": 8}}
    assert counts["sentences_of_a_concept"] == {"50": 2, "90": 4, "99": 4, "100": 4}
    first = counts["most_frequent"][0]
    assert (first["concept"], first["mentions"], first["sentences"]) == ("MESH:D001249", 4, 4)
    assert first["surfaces"] == {"asthma": 4}
    assert first["example"] == {
        "pmid": 3,
        "text": "[Asthma] and aspirin. Heart failure: asthma again.",
    }
    # Nothing but what the linkers wrote: names of the graph may be restricted by licence.
    assert "name" not in first


def test_no_mention_at_all(graph, files, tmp_path):
    for path in files["mentions"]:
        SCHEMA.to_frame().write_parquet(path)
    linking_count(graph, **files, output=tmp_path / "counts.json")
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["concepts"] == counts["ambiguous"] == 0
    assert counts["by_source"] == counts["by_semantic_group"] == {}
    assert counts["most_frequent"] == []


def test_a_file_that_is_none(graph, files, tmp_path):
    files["mentions"][0].write_bytes(b"no parquet")
    with pytest.raises(DataError, match="cannot be counted"):
        linking_count(graph, **files, output=tmp_path / "counts.json")
    assert not (tmp_path / "counts.json").exists()


def test_distinct_things_are_not_added():
    assert add_up([]) == {"linker": None, "dropped": {}}
    parts = [{"linker": "x", "mentions": n, "concepts": 9, "dropped": {}} for n in (1, 2)]
    assert add_up(parts) == {"linker": "x", "mentions": 3, "dropped": {}}


def test_words_around_a_span():
    text = "a" * 30 + " " + "word " * 20
    start = text.index("word ", 60)
    assert around(text, start, start + 4).count("[word]") == 1
    assert len(around(text, start, start + 4)) < 140
    assert around("only", 0, 4) == "[only]"


def test_all_types_of_umls_have_a_group():
    rules = group_rules()
    assert sum(priority == 0 for priority, *_ in rules) == 127
    assert len({name for *_, name in rules}) == 15
