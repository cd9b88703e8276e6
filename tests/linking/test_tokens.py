import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.linking.tokens import Rules, tokenise

ALL = Rules()
NONE = Rules(hyphens=False, plurals=False, greek=False)


def spans(*texts, rules=NONE):
    tokens = tokenise(texts, rules)
    return [
        (int(text), int(start), int(end), texts[text][start:end])
        for text, start, end in zip(tokens.text, tokens.start, tokens.end, strict=True)
    ]


def forms(text, rules=NONE):
    return [form for *_, form in spans(text, rules=rules)]


def hashes(text, kind="folded", rules=ALL):
    return getattr(tokenise([text], rules), kind).tolist()


def test_runs_of_letters_and_digits_and_single_other_characters():
    assert forms("IL-2 (β-actin), p<0.05") == [
        "IL", "-", "2", "(", "β", "-", "actin", ")", ",", "p", "<", "0", ".", "05",
    ]  # fmt: skip


def test_by_the_rules_hyphens_inside_words_and_borders_of_digits_are_nothing():
    assert forms("IL-2 IL2 α-actin αβ", ALL) == ["IL", "2", "IL", "2", "α", "actin", "α", "β"]
    assert forms("- a -b c- 5 - 6", ALL) == ["-", "a", "-", "b", "c", "-", "5", "-", "6"]
    joined = tokenise(["IL-2 IL2 αβ"], ALL).joined.tolist()
    assert joined == [False, False, False, True, False, True]


def test_possessives_and_primes_are_nothing():
    assert forms("Crohn's boys' 5'-end 'x'", ALL) == ["Crohn", "boys", "5", "-", "end", "'", "x"]


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
    assert forms("cafe\u0301 noir") == ["cafe\u0301", "noir"]


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=5),
    st.booleans(),
)
def test_tokens_lie_apart_at_their_offsets(texts, rules_on):
    found = spans(*texts, rules=ALL if rules_on else NONE)
    ends = {}
    for number, start, end, _ in found:
        assert ends.get(number, 0) <= start < end <= len(texts[number])
        ends[number] = end
    if not rules_on:
        for number, text in enumerate(texts):
            covered = {i for t, a, b, _ in found if t == number for i in range(a, b)}
            # Python calls four control characters white space, Unicode does not.
            assert all(text[i].isspace() for i in set(range(len(text))) - covered)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.text(max_size=5))
def test_a_hash_does_not_depend_on_the_place(text, before):
    before = before.encode("utf-8", "ignore").decode()
    alone = tokenise([text], ALL)
    after = tokenise([before, text], ALL)
    mine = after.text == 1
    for name in ("folded", "stemmed", "exact"):
        assert np.array_equal(getattr(alone, name), getattr(after, name)[mine])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"),
        ("é", "E\u0301"),
        ("ﬁbrosis", "FIBROSIS"),
        ("İzmir", "i\u0307zmir"),
        ("α", "alpha"),
        ("Α", "ALPHA"),
        ("µ", "mu"),
    ],
)
def test_equal_without_regard_to_case(one, other):
    assert hashes(one) == hashes(other)


def test_different_as_written():
    assert hashes("ALL", "exact") != hashes("All", "exact")
    assert hashes("É", "exact") == hashes("E\u0301", "exact")
    assert hashes("all") != hashes("all", "exact")


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("tumours", "tumour"),
        ("Arteries", "artery"),
        ("diseases", "disease"),
        ("metastases", "metastasis"),
        ("thromboses", "thrombosis"),
        ("paralyses", "paralysis"),
        ("TUMOURS", "tumour"),
    ],
)
def test_plurals(plural, singular):
    assert hashes(plural, "stemmed") == hashes(singular, "stemmed")
    assert hashes(plural) != hashes(singular)


@pytest.mark.parametrize("word", ["virus", "arthritis", "process", "his", "gas", "AIDS"])
def test_what_is_no_plural(word):
    kind = "exact" if word.isupper() else "stemmed"
    assert hashes(word, kind) != hashes(word[:-1], kind)


def test_capital_plurals_as_written():
    assert hashes("NSAIDs", "exact") == hashes("NSAID", "exact")
    assert hashes("NSAIDS", "exact") != hashes("NSAID", "exact")


def test_a_small_letter_before_a_hyphen_is_not_the_article():
    assert hashes("a-tocopherol")[0] != hashes("a tocopherol")[0]
    assert hashes("B-cell") == hashes("B cell")
