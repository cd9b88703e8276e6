import unicodedata

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from balign.linking.tokens import exact, folded, tokenise


def spans(*texts):
    tokens = tokenise(pl.Series(texts, dtype=pl.String))
    return [
        (int(text), int(start), int(end), tokens.forms[form])
        for text, start, end, form in zip(
            tokens.text, tokens.start, tokens.end, tokens.form, strict=True
        )
    ]


def test_runs_of_letters_and_digits_and_single_other_characters():
    assert [form for *_, form in spans("IL-2 (β-actin), p<0.05")] == [
        "IL", "-", "2", "(", "β", "-", "actin", ")", ",", "p", "<", "0", ".", "05",
    ]  # fmt: skip


def test_offsets_begin_anew_in_each_text_and_empty_texts_have_no_tokens():
    assert spans("", " a b", "", "\n", "c", "") == [
        (1, 1, 2, "a"),
        (1, 3, 4, "b"),
        (4, 0, 1, "c"),
    ]


def test_no_texts_at_all():
    assert spans() == []
    assert spans("") == []


def test_a_combining_mark_belongs_to_its_letter():
    assert [form for *_, form in spans("cafe\u0301 noir")] == ["cafe\u0301", "noir"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=5))
def test_every_character_but_white_space_is_in_one_token_at_its_offset(texts):
    found = spans(*texts)
    for number, start, end, form in found:
        assert texts[number][start:end] == form
    for number, text in enumerate(texts):
        covered = [i for t, start, end, _ in found if t == number for i in range(start, end)]
        assert covered == sorted(set(covered))
        for i in set(range(len(text))) - set(covered):
            # Python calls four control characters (U+001C to U+001F) white space, Unicode does not.
            assert text[i].isspace()


def test_keys():
    assert folded("Straße") == folded("STRASSE")
    assert folded("é") == folded("E\u0301")
    assert exact("É") == exact("E\u0301")
    assert exact("ALL") != exact("All")
    assert folded("all") != exact("all")
    assert unicodedata.is_normalized("NFC", folded("E\u0301"))
