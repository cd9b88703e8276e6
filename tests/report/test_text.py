from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balign.report import text


@given(st.integers())
def test_whole_keeps_the_value(value: int) -> None:
    written = text.whole(value)
    assert int(written.replace(text.THIN, "").replace(text.MINUS, "-")) == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"),
        (True, "yes"),
        (1234567, "1\u202f234\u202f567"),
        (-12, "−12"),
        (3.0, "3"),
        (0.00012345, "0.0001234"),
        (12345.6, "12\u202f346"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ("as it is", "as it is"),
    ],
)
def test_number(value: object, written: str) -> None:
    assert text.number(value) == written


def test_scores() -> None:
    assert text.percent(0.6112) == "61.1"
    assert text.percent(None) == "–"
    assert text.points(-0.022) == "−2.2"
    assert text.points(0.013) == "+1.3"
    assert text.points(-0.0001) == "0.0"
    assert (text.p_value(0.0004), text.p_value(0.0123)) == ("< 0.001", "0.012")
    assert (text.p_value(0.5), text.p_value(None)) == ("0.50", "–")


def test_sizes_and_durations() -> None:
    assert text.size(999) == "999\u202fB"
    assert text.size(1234567) == "1.2\u202fMB"
    assert text.size(5 * 10**15) == "5\u202f000\u202fTB"
    assert text.duration(4.21) == "4.2\u202fs"
    assert text.duration(59.99) == "1\u202fmin 00\u202fs"
    assert text.duration(185) == "3\u202fmin 05\u202fs"
    assert text.duration(3599.9) == "1\u202fh 00\u202fmin"
    assert text.duration(7800) == "2\u202fh 10\u202fmin"


def test_labels() -> None:
    assert text.label("with_abstract") == "With abstract"
    assert text.label("mlm_loss") == "MLM loss"
    assert text.label("xref") == "Cross-reference"
    for name in ("MRCONSO", "pubmed20n0014", "HP:0000118", ""):
        assert text.label(name) == name
    assert text.label("self loops of aspect C") == "Self loops of aspect C"
    assert text.metric_label("accuracy@1") == "Accuracy@1"
    assert text.metric_label("micro_f1") == "Micro F1"


def test_lists_and_plurals() -> None:
    assert text.listed(["a", "b", "c"]) == "a, b and c"
    assert (text.listed(["a"]), text.listed([])) == ("a", "")
    assert (text.plural(1, "task"), text.plural(2, "task")) == ("1 task", "2 tasks")
