from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.corpus.sentences import citation_spans, citation_text, mended, section_spans

TEXT = st.text() | st.text("aB. !?()[]\"'’\u200b\u2009\xa0\n\r\t-_;…,1", max_size=60)


HERE = Path(__file__).parent


def pieces(text):
    return [text[start:end] for start, end in section_spans(text)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["The mice (n = 5) were fed, e.g. corn.", "Fig. 2 shows more."],
        ["Growth of E. coli at 3.5 mg/kg i.v. was slow.", "It stopped."],
        ["Dr. Smith et al. reported p < .05.", "No. 3 was used."],
        ["S. aureus vs. E. coli in approx. 10 cases.", "It works!", "Does it?"],
        ["β-Thalassaemia is common.", "Don't use it."],
        ["An end without a stop"],
    ],
)
def test_sentences_of_biomedical_text(sentences):
    assert pieces(" ".join(sentences)) == sentences


def test_stray_punctuation_is_no_sentence():
    assert pieces("Nothing was found (n = 3). . It is so.")[0] == "Nothing was found (n = 3). ."
    assert pieces(" ... ") == ["..."]


def test_offsets_are_code_points():
    text = "𝛽-cells 😀 grow. Others\u2009do not."
    assert pieces(text) == ["𝛽-cells 😀 grow.", "Others\u2009do not."]


@settings(deadline=None)
@given(TEXT)
def test_spans_hold_every_character_once(text):
    spans = section_spans(text)
    last = 0
    for start, end in spans:
        assert last <= start < end <= len(text)
        assert text[last:start].strip() == ""
        assert text[start:end] == text[start:end].strip()
        last = end
    assert text[last:].strip() == ""


@settings(deadline=None)
@given(
    TEXT, st.lists(st.tuples(st.sampled_from(["abstract", "RESULTS", "title"]), TEXT), max_size=4)
)
def test_spans_stay_in_their_section(title, sections):
    abstract, text = citation_text(title, sections)
    assert text == f"{title}\n{abstract}"
    spans = citation_spans(title, sections)
    borders = [("title", 0, len(title))]
    for name, section in sections:
        start = borders[-1][2] + 1
        borders.append((name, start, start + len(section)))
    assert borders[-1][2] == (len(text) if sections else len(text) - 1)
    assert spans == sorted(spans, key=lambda span: span[:2])
    covered = {place for start, end, _ in spans for place in range(start, end)}
    assert {place for place, c in enumerate(text) if not c.isspace()} <= covered
    for start, end, name in spans:
        assert any(name == n and low <= start < end <= high for n, low, high in borders)


def test_labels_name_the_sections():
    spans = citation_spans("A title.", [("METHODS", "One. Two."), ("abstract", "Three.")])
    _, text = citation_text("A title.", [("METHODS", "One. Two."), ("abstract", "Three.")])
    assert [(text[start:end], name) for start, end, name in spans] == [
        ("A title.", "title"),
        ("One.", "METHODS"),
        ("Two.", "METHODS"),
        ("Three.", "abstract"),
    ]
    assert citation_spans("", [("abstract", "Three.")]) == [(1, 7, "abstract")]


@pytest.mark.parametrize(("name", "faults"), [("sentences.txt", 3), ("sentences_held_out.txt", 6)])
def test_hard_cases(name, faults):
    """Most cases are right; docs/corpus.md has the figures. Each of the rest is a known fault."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    marked = [line.split("\t")[1] for line in lines if line and not line.startswith("#")]
    assert len(marked) >= 40
    wrong = [
        text
        for text in marked
        if pieces(text.replace("‖", "")) != [piece.strip() for piece in text.split("‖")]
    ]
    assert len(wrong) <= faults, wrong


@settings(deadline=None)
@given(TEXT, st.lists(st.integers(0, 60)))
def test_mending_only_moves_beginnings_to_places_in_the_text(text, begins):
    found = mended(text, [place for place in begins if place <= len(text)])
    assert found == sorted(set(found))
    assert all(0 <= place <= len(text) for place in found)
