"""The reader of RRF lines against an independent splitter, and each fault it must name."""

from __future__ import annotations

import io
from collections import deque

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.errors import DataError
from balign.kg import lines as module
from balign.kg.lines import Block, Tally, is_good, sift, whole_lines
from balign.kg.release import COLUMNS, open_release
from balign.kg.scan import ReleaseReader

WIDTH = len(COLUMNS["MRSTY"].split())
# Every legal character: all of Unicode but NUL, the two line breaks and the column mark.
FIELD = st.text(
    st.characters(blacklist_characters="\0\r\n|", blacklist_categories=["Cs"]), max_size=8
)
ROW = st.lists(FIELD, min_size=WIDTH, max_size=WIDTH)


def read_types(folder, quarantine=False):
    for name in ("MRCONSO", "MRREL"):
        (folder / f"{name}.RRF").touch()
    with open_release(folder) as release, duckdb.connect() as connection:
        reader = ReleaseReader(connection, release, quarantine, threads=2)
        columns = COLUMNS["MRSTY"].split()
        tables = reader.read("MRSTY", columns, (), lambda table: table)
        rows = [row for table in tables for row in table.to_pylist()]
        return [tuple(row.values()) for row in rows], reader.tallies["MRSTY"]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(ROW, max_size=30),
    ending=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    size=st.sampled_from([1, 2, 7, 64, 1 << 22]),
)
def test_every_legal_line_is_read_as_an_independent_splitter_reads_it(
    tmp_path_factory, rows, ending, last, size
):
    text = "".join("".join(f"{field}|" for field in row) + ending for row in rows)
    if rows and not last:
        text = text.removesuffix(ending)
    folder = tmp_path_factory.mktemp("rrf")
    (folder / "MRSTY.RRF").write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", size)
        found, tally = read_types(folder)
    expected = [tuple(field or None for field in row) for row in rows]
    assert found == expected
    assert tally.lines == len(rows)
    assert not tally.rejects


BAD = {
    b"too|few|\n": "2 columns instead of 6",
    b"1|2|3|4|5|6|7|\n": "7 columns instead of 6",
    b"1|2|3|4|5|6|not closed\n": "7 columns instead of 6, each closed by '|', the last not closed",
    b"\n": "0 columns instead of 6",
    b"1|\0|3|4|5|6|\n": "a NUL byte",
    b"1|2|\xff|4|5|6|\n": "not UTF-8 at byte 5 of the line",
    b"1|\xed\xa0\x80|3|4|5|6|\n": "not UTF-8 at byte 3 of the line",
    b"1|2\r3|3|4|5|6|\n": "a carriage return inside the line",
}
GOOD = b"C1|T047|A1|Disease|AT1|256|\n"


@pytest.mark.parametrize("bad", BAD, ids=BAD.values())
@pytest.mark.parametrize("before", [0, 1, 2000])
def test_each_fault_is_an_error_with_line_and_content(tmp_path, bad, before):
    (tmp_path / "MRSTY.RRF").write_bytes(GOOD * before + bad + GOOD)
    with pytest.raises(DataError) as error:
        read_types(tmp_path)
    text = str(error.value)
    assert BAD[bad] in text
    assert f"MRSTY.RRF, line {before + 1}\n" in text
    assert "quarantine" in text
    assert bad[:2].decode().strip() in text


def test_quarantine_sets_all_bad_lines_aside_and_nothing_else(tmp_path):
    content = b"".join(GOOD + bad for bad in BAD)
    (tmp_path / "MRSTY.RRF").write_bytes(content + b"cut off at the e")
    found, tally = read_types(tmp_path, quarantine=True)
    assert len(found) == len(BAD)
    assert tally.lines == 2 * len(BAD) + 1
    assert [reject.line for reject in tally.rejects] == [
        *range(2, 2 * len(BAD) + 1, 2),
        tally.lines,
    ]
    assert tally.rejects[4].content == "1|\0|3|4|5|6|"
    assert tally.rejects[5].content == "1|2|\\xff|4|5|6|"
    assert tally.rejects[-1].problem.startswith("1 columns instead of 6")
    assert all(reject.file.endswith("MRSTY.RRF") for reject in tally.rejects)


@pytest.mark.parametrize("bad", [b"1|2|3|4|5|\n1|2|3|4|5|6|7|\n", b"1|2|3|4|5|6\n|" + GOOD])
def test_missing_and_surplus_columns_do_not_cancel_out(tmp_path, bad):
    assert is_good(Block(GOOD * 3, 3 * len(GOOD)))
    (tmp_path / "MRSTY.RRF").write_bytes(GOOD + bad)
    with pytest.raises(DataError, match=r"columns instead of 6.*\n.*line 2"):
        read_types(tmp_path)


def test_an_empty_line_of_medgen_is_no_row_of_constants(tmp_path):
    (tmp_path / "MGCONSO.RRF").write_text(
        "#CUI|TS|STT|ISPREF|AUI|SAUI|SCUI|SDUI|SAB|TTY|CODE|STR|SUPPRESS|\n"
        "C1|P|PF|Y|A1||||GTR|PT|x|name|N|\n\nC2|P|PF|Y|A2||||GTR|PT|y|other|N|\n"
    )
    (tmp_path / "MGREL.RRF").write_text(
        "#CUI1|AUI1|STYPE1|REL|CUI2|AUI2|RELA|RUI|SAB|SL|SUPPRESS|\n"
    )
    columns = ("CUI", "LAT")  # MedGen leaves LAT out: it is put into every row
    with open_release(tmp_path) as release:
        reader = ReleaseReader(duckdb.connect(), release, True, 1)
        (found,) = reader.read("MRCONSO", columns, (), lambda table: table.to_pylist())
    assert found == [{"CUI": "C1", "LAT": "ENG"}, {"CUI": "C2", "LAT": "ENG"}]
    assert [reject.line for reject in reader.tallies["MRCONSO"].rejects] == [3]


def test_a_line_may_be_very_long_but_not_endless(tmp_path, monkeypatch):
    name = "ä" * 1_000_000
    (tmp_path / "MRSTY.RRF").write_text(f"C1|T1|A|{name}|AT1||\n", encoding="utf-8")
    ((*_, found, _, _),), _ = read_types(tmp_path)
    assert found == name
    monkeypatch.setattr(module, "LONGEST", 100)
    tally = Tally()
    with pytest.raises(DataError, match="lost its line feeds"):
        list(whole_lines(io.BytesIO(b"x" * 120), "file", tally, deque()))


def test_sift_counts_on_from_the_lines_before():
    tally = Tally(lines=41)
    block = Block(b"bad\n" + GOOD + b"what was there before", 4 + len(GOOD))
    assert sift(block, 6, "file", tally, quarantine=True).data == GOOD
    assert tally.rejects[0].line == 42
    assert tally.lines == 43
