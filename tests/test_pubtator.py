import pytest
from hypothesis import given
from hypothesis import strategies as st

from balign.errors import DataError
from balign.pubtator import read_annotations


def write(folder, text):
    path = folder / "corpus.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


CORPUS = """1|t|Heart attack
1|a|They felt sick.
1\t0\t12\tHeart attack\tDisease\tD1
1\t23\t27\tsick\tDisease\t-1
1\t0\t27\tsick heart attack\tDisease\tD1|D2\tsick|heart attack
1\tCID\tD3\tD1
"""


def test_annotations(tmp_path):
    assert read_annotations(write(tmp_path, CORPUS)) == [
        ("Heart attack", "Disease", ("D1",)),
        ("sick", "Disease", ()),
        ("sick heart attack", "Disease", ("D1", "D2")),
    ]


def test_windows_line_ends(tmp_path):
    path = write(tmp_path, "1|t|x\r\n1\t0\t1\tx\tDisease\tD1\r\n\r\n")
    assert read_annotations(path) == [("x", "Disease", ("D1",))]


def test_a_text_line_with_tabs_is_no_annotation(tmp_path):
    assert read_annotations(write(tmp_path, "1|a|one\ttwo\tthree\n")) == []


@pytest.mark.parametrize(
    "line", ["nonsense", "1\t0\tx\tmention\tDisease\tD1", "1\t0\t4\tmention\tDisease", "1|x|text"]
)
def test_a_broken_line_is_named(tmp_path, line):
    path = write(tmp_path, f"1|t|x\n{line}\n")
    with pytest.raises(DataError, match="not a PubTator line") as error:
        read_annotations(path)
    assert error.value.where.endswith("corpus.txt, line 2")


def test_bytes_that_are_no_utf8(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_annotations(write(tmp_path, b"1|t|\xff\n"))


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_annotations(tmp_path / "none.txt")


WORD = st.text(st.characters(blacklist_characters="\t\n\r|", blacklist_categories=("Cs",)))


@given(st.lists(st.tuples(WORD, WORD, st.lists(st.sampled_from(["D1", "C22", "-1"]), max_size=3))))
def test_whatever_is_written_is_read(tmp_path_factory, annotations):
    lines = [
        f"12\t3\t9\t{mention}\t{kind}\t{'|'.join(identifiers)}\n"
        for mention, kind, identifiers in annotations
    ]
    found = read_annotations(write(tmp_path_factory.mktemp("corpus"), "".join(lines)))
    assert found == [
        (mention, kind, tuple(one for one in identifiers if one != "-1"))
        for mention, kind, identifiers in annotations
    ]
