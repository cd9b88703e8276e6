"""What is matched and what is not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def test_longest_name_wins_and_names_do_not_overlap(find):
    names = {"breast": "A", "breast cancer": "B", "cancer cell line": "C", "cell line": "D"}
    text = "Breast cancer cell line; breast, cancer cell line."
    assert find(names, text) == [
        ("Breast cancer", "B"),
        ("cell line", "D"),
        ("breast", "A"),
        ("cancer cell line", "C"),
    ]


def test_a_longer_name_that_breaks_off_leaves_the_shorter(find):
    names = {"heart": "A", "heart failure with effusion": "B"}
    assert find(names, "heart failure with edema") == [("heart", "A")]


def test_only_whole_tokens_match(find):
    assert find({"rat": "A"}, "ratio, separate, rat2, rats") == []
    assert find({"rat": "A"}, "(rat)-like") == [("rat", "A")]
    assert find({"cafe": "A"}, "cafe\u0301") == []


def test_white_space_between_tokens_is_free(find):
    assert find({"T cell": "A"}, "T\n  cell") == [("T\n  cell", "A")]


def test_abbreviations_match_as_written_only(find):
    names = {"ALL": "leukaemia", "AIDS": "aids", "Asthma": "asthma", "SARS-CoV-2": "virus"}
    text = "All had all; ALL and AIDS, hearing aids, ASTHMA, sars-cov-2"
    assert find(names, text) == [
        ("ALL", "leukaemia"),
        ("AIDS", "aids"),
        ("ASTHMA", "asthma"),
        ("sars-cov-2", "virus"),
    ]


def test_a_name_as_written_goes_before_one_of_the_same_length_in_any_case(find):
    names = {"CAT": "catalase", "cat": "animal", "CAT scan": "tomography"}
    assert find(names, "CAT Cat cat; CAT scan") == [
        ("CAT", "catalase"),
        ("Cat", "animal"),
        ("cat", "animal"),
        ("CAT scan", "tomography"),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Straße", "die STRASSE"),
        ("İzmir fever", "İZMIR FEVER"),
        ("Sjögren syndrome", "SJO\u0308GREN Syndrome"),
        ("ﬁbrosis", "FIBROSIS"),
    ],
)
def test_folding_that_changes_the_length_keeps_offsets_exact(find, name, text):
    padded = f"ßİ ﬁ {text} İß end"
    ((surface, _),) = find({name: "A"}, padded)
    assert surface.casefold().endswith(text.casefold()[-4:])
    assert padded.index(surface) >= 5


def test_right_to_left_text_and_text_beyond_the_basic_plane(find):
    names = {"سرطان الثدي": "A", "fever": "B"}
    assert find(names, "\u202b😀 سرطان الثدي 😀 fever") == [("سرطان الثدي", "A"), ("fever", "B")]


def test_null_characters_are_tokens_like_any_other(find):
    assert find({"heart failure": "A"}, "x\x00heart failure\x00") == [("heart failure", "A")]
    assert find({"heart failure": "A"}, "heart\x00failure") == []


def test_a_sentence_of_a_megabyte(find):
    text = "the rat ran " * 90_000
    assert len(text) > 1_000_000
    assert find({"rat": "A"}, text) == [("rat", "A")] * 90_000


def test_empty_text(find):
    assert find({"rat": "A"}, "") == []
    assert find({"rat": "A"}, " \n ") == []


def test_an_empty_dictionary(find):
    assert find({}, "some text") == []
    assert find({"42": "number"}, "some 42") == []


WORDS = st.lists(st.sampled_from(["a1", "b1", "c1", "d1"]), min_size=1, max_size=4)


@settings(deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=8), st.lists(st.sampled_from("abcdx"), max_size=25))
def test_equals_a_naive_search(find, names, text):
    known = {tuple(name): " ".join(name) for name in names}
    tokens = [f"{letter}1" for letter in text]
    expected, at = [], 0
    while at < len(tokens):
        length = next(
            (n for n in range(len(tokens) - at, 0, -1) if tuple(tokens[at : at + n]) in known), 0
        )
        if length:
            expected.append(" ".join(tokens[at : at + length]))
        at += max(length, 1)
    found = find({name: name for name in known.values()}, " ".join(tokens), min_characters=1)
    assert [surface for surface, _ in found] == expected
    assert all(surface == concept for surface, concept in found)
