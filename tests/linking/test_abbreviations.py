"""The rules of Schwartz and Hearst (PSB 2003); cases worked by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.linking.abbreviations import find_definitions, long_form_start


def found(text):
    return [(one.short, text[one.start : one.end]) for one in find_definitions(text)]


@pytest.mark.parametrize(
    ("text", "short", "long"),
    [
        ("patients with heart failure (HF) were", "HF", "heart failure"),
        # The paper's own: letters inside of words count, but the first one must begin a word.
        (
            "the heat shock transcription factor (HSF) binds",
            "HSF",
            "heat shock transcription factor",
        ),
        ("Gcn5-related N-acetyltransferase (GNAT)", "GNAT", "Gcn5-related N-acetyltransferase"),
        (
            "in terminal deoxynucleotidyl transferase (TdT)",
            "TdT",
            "terminal deoxynucleotidyl transferase",
        ),
        (
            "beta-adrenergic receptor kinase-1 (beta-ARK1)",
            "beta-ARK1",
            "beta-adrenergic receptor kinase-1",
        ),
        (
            "acquired immune deficiency syndrome [AIDS]",
            "AIDS",
            "acquired immune deficiency syndrome",
        ),
        ("tumour necrosis factor (TNF; 3 doses)", "TNF", "tumour necrosis factor"),
        # In parentheses the whole must be the long form.
        ("the TNF (a tumour necrosis factor) was", None, None),
        ("the TNF (tumour necrosis factor) was", "TNF", "tumour necrosis factor"),
        ("receptors of dopamine (dopamine)", None, None),
        ("in rats (n = 20)", None, None),
        ("given in water (10 mg)", None, None),
        ("a factor (XYZ) that", None, None),
        ("(HF)", None, None),
        ("heart failure ()", None, None),
        ("heart\nfailure (HF)", None, None),
        ("Straße fur Kinder (SK) was", "SK", "Straße fur Kinder"),
    ],
)
def test_cases(text, short, long):
    assert found(text) == ([] if short is None else [(short, long)])


def test_the_shortest_long_form_is_taken_and_the_first_definition_counts():
    text = "a new heart of heavy failure (HF), then hot food (HF)"
    assert found(text) == [("HF", "heavy failure")]


def test_the_long_form_is_no_shorter_and_does_not_hold_the_short_one():
    assert long_form_start("HF", "h f") == 0
    assert long_form_start("HF", "HF") is None
    assert long_form_start("HF", "heart HF f") is None


def test_no_more_words_back_than_the_paper_allows():
    near, far = "heart " + "x " * 2 + "failure (HF)", "heart " + "x " * 3 + "failure (HF)"
    assert found(near) == [("HF", "heart x x failure")]
    assert found(far) == []


@settings(deadline=None)
@given(st.text(alphabet="aAbB1 ()[]\n,;-İßα", max_size=60))
def test_any_text_gives_spans_inside_it(text):
    for one in find_definitions(text):
        assert 0 <= one.start < one.end <= len(text)
        assert one.short in text
        assert "\n" not in text[one.start : one.end]
