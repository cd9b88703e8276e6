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
    assert find({"rat": "A"}, "ratio, separate, rat2, 2rat, ratα") == []
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


@pytest.mark.parametrize(
    ("switch", "name", "text", "surface"),
    [
        ("hyphens", "IL-2", "human IL2 and", "IL2"),
        ("hyphens", "IL2", "human IL-2 and", "IL-2"),
        ("hyphens", "T cell line", "a T-cell line", "T-cell line"),
        ("plurals", "liver metastasis", "liver metastases", "liver metastases"),
        ("plurals", "Seizures", "a seizure", "seizure"),
        ("plurals", "Crohn disease", "in Crohn's disease", "Crohn's disease"),
        ("plurals", "Crohn's disease", "in Crohns disease", "Crohns disease"),
        ("plurals", "NSAID", "two NSAIDs", "NSAIDs"),
        ("greek", "alpha-tocopherol", "of α-tocopherol", "α-tocopherol"),
        ("greek", "β-carotene", "of beta-carotene", "beta-carotene"),
        ("greek", "alpha-tocopherol", "of a-tocopherol", "a-tocopherol"),
        ("inverted", "Syndrome, Marfan", "the Marfan syndrome", "Marfan syndrome"),
        ("inverted", "Leukemia, Lymphocytic, Chronic", "chronic lymphocytic leukemia", None),
        ("inverted", "Diabetes Mellitus, Type 2", "type 2 diabetes mellitus", None),
        ("inverted", "Diabetes Mellitus, Type 2", "diabetes mellitus type 2", None),
        ("inverted", "Gout, NOS", "no gout", "gout"),
    ],
)
def test_each_variant_and_its_switch(find, switch, name, text, surface):
    assert find({name: "A"}, text) == [(surface or text, "A")]
    assert find({name: "A"}, text, **{switch: False}) == []


def test_the_article_is_no_alpha(find):
    assert find({"alpha-tocopherol": "A"}, "a tocopherol") == []


def test_an_inverted_name_whose_tail_binds_backwards_stays(find):
    assert find({"Anemia, with fever": "A"}, "with fever anemia") == []


def test_symbols_match_as_written_and_other_names_do_not(find):
    names = {"Cdk4": "gene", "mRNA": "acid", "Aspirin": "drug", "Influenza A": "flu"}
    text = "Cdk4 CDK4 cdk4 mRNA MRNA aspirin ASPIRIN influenza a"
    found = [("Cdk4", "gene"), ("mRNA", "acid")]
    rest = [("aspirin", "drug"), ("ASPIRIN", "drug"), ("influenza a", "flu")]
    assert find(names, text) == found + rest
    assert len(find(names, text, symbols=False)) == 8


def test_the_text_s_own_number_wins(find):
    names = {"seizure": "one", "seizures": "many"}
    assert find(names, "Seizures, seizure") == [("Seizures", "many"), ("seizure", "one")]


def test_stop_words_are_dropped_in_both_numbers_and_abbreviations_as_written(find):
    names = {"Leads": "A", "AND": "B", "ALL": "C"}
    text = "lead leads AND and ALL"
    assert find(names, text, stop_words=["lead", "AND", "all"]) == [("ALL", "C")]


def test_an_abbreviation_takes_the_concept_of_its_long_form_everywhere(find):
    names = {"mitral insufficiency": "heart", "MIN": "minute"}
    text = "MIN was old.\nWe saw mitral insufficiency (MIN). Two MINs, MIN-free; ADMIN."
    expected = [("MIN", "heart"), ("mitral insufficiency", "heart"), ("MIN", "heart")]
    expected += [("MINs", "heart"), ("MIN", "heart")]
    assert find(names, text) == expected
    assert {
        concept for surface, concept in find(names, text, abbreviations=False) if "I" in surface
    } == {"minute"}


def test_an_abbreviation_of_no_concept_is_not_linked(find):
    text = "multi institutional networks (MIN) and the MIN"
    assert find({"MIN": "minute"}, text) == []
    assert len(find({"MIN": "minute"}, text, abbreviations=False)) == 2


def test_a_longer_name_keeps_the_abbreviation_in_it(find):
    names = {"human virus": "V", "HV infection": "I"}
    assert find(names, "human virus (HV): HV infection")[-1] == ("HV infection", "I")


def test_names_of_punctuation_and_nothing_else_are_dropped(find):
    assert (
        find({"...": "A", "(-)": "B", "--": "C", "'s": "D", "real name": "E"}, "... (-) -- 's")
        == []
    )


def test_text_outside_of_sentences_is_not_linked_and_no_name_crosses_their_border(find):
    text = "rat fever rat fever rat"
    assert find({"rat fever": "A", "fever rat": "B"}, text, sentences=[(4, 13), (14, 23)]) == [
        ("fever rat", "B"),
        ("fever rat", "B"),
    ]
    assert find({"rat": "A"}, text, sentences=[]) == []
    assert find({"human rat": "A"}, "human rat (HR)", sentences=[]) == []
    assert find({"rat": "A"}, "rats", sentences=[(0, 3)]) == []


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
    found = find({n: n for n in known.values()}, " ".join(tokens), min_characters=1)
    assert [surface for surface, _ in found] == expected
    assert all(surface == concept for surface, concept in found)
