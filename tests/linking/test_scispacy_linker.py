import numpy as np
import pytest
import scipy.sparse
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.errors import ConfigError
from balign.linking import scispacy_linker
from balign.linking.scispacy_linker import TOO_LONG, ExactIndex


@pytest.fixture
def pipeline(tmp_path):
    """A spaCy pipeline on disk that calls some words entities."""
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    names = ["heart failures", "bronchial astma", "HF", "weather", "x y"]
    ruler.add_patterns([{"label": "ENTITY", "pattern": name} for name in names])
    nlp.to_disk(tmp_path / "pipeline")
    return str(tmp_path / "pipeline")


def found(mentions):
    return list(mentions.select("surface", "concept").iter_rows())


def test_spans_of_a_pipeline_are_linked_to_the_nearest_names(link_with, pipeline):
    text = "We saw heart failures (HF) and bronchial astma. In bad weather HF grows."
    mentions, dropped = link_with(
        {1: [text]}, backend="scispacy", scispacy={"pipeline": pipeline, "min_score": 0.5}
    )
    assert found(mentions) == [
        ("heart failures", "C0018801"),
        ("HF", "C0018801"),  # by its long form
        ("bronchial astma", "MESH:D001249"),
        ("HF", "C0018801"),
    ]
    assert mentions["score"].is_between(0.5, 0.99).all()
    assert dropped == {"nil": 1}


def test_without_abbreviations_a_short_form_stands_for_itself(link_with, pipeline):
    mentions, dropped = link_with(
        {1: ["heart failures (HF)"]},
        backend="scispacy",
        scispacy={"pipeline": pipeline, "min_score": 0.5, "abbreviations": False},
    )
    assert found(mentions) == [("heart failures", "C0018801")]
    assert dropped == {"nil": 1}


def test_spans_of_the_dictionary_where_there_is_no_pipeline(link_with):
    mentions, dropped = link_with(
        {3: ["Cardiac failure and asthma."], 4: [], 5: ["", "Held out wheeze"]}, backend="scispacy"
    )
    # Two concepts have the name "asthma"; one of them prefers it.
    assert found(mentions) == [("Cardiac failure", "C0018801"), ("asthma", "MESH:D001249")]
    assert mentions["score"].to_list() == [1.0, 1.0]
    assert set(mentions["linker"]) == {"scispacy"}
    assert not dropped


def test_hostile_texts(link_with, pipeline, monkeypatch):
    texts = ["\x00 asthma \u202emhtsa\u202c", "e\u0301" * 50, "((" * 40 + "asthma" + "))" * 40]
    citations = {pmid: [text] for pmid, text in enumerate(texts)} | {9: ["a " * 600_000]}
    mentions, dropped = link_with(citations, backend="scispacy", scispacy={"pipeline": pipeline})
    assert mentions.is_empty()
    assert dropped == {TOO_LONG: 1}


def test_a_pipeline_that_is_none(link_with):
    with pytest.raises(ConfigError, match="en_core_none") as caught:
        link_with({}, backend="scispacy", scispacy={"pipeline": "en_core_none"})
    assert caught.value.where == "linking.scispacy.pipeline"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12))
def test_the_exact_index_returns_the_nearest(seed, k):
    rng = np.random.default_rng(seed)
    names = scipy.sparse.random(30, 40, 0.3, "csr", np.float32, random_state=seed)
    queries = scipy.sparse.csr_matrix(rng.integers(0, 2, (5, 30)).astype(np.float32))
    whole = np.minimum(np.rint((queries @ names).toarray() * 100_000) / 100_000, 1)
    for row, (place, distance) in enumerate(ExactIndex(names).knnQueryBatch(queries, k)):
        wanted = [i for i in np.lexsort((np.arange(40), -whole[row])) if whole[row, i] > 0][:k]
        # Similarities beyond 1 are cut, which makes ties that real cosines do not have.
        np.testing.assert_allclose(1 - distance, whole[row, wanted], atol=1e-5)
        if whole[row].max() < 1:
            assert place.tolist() == wanted


def test_the_size_of_batches_changes_nothing(link_with, monkeypatch):
    citations = {pmid: ["asthma and cardiac failure", "aspirin"] for pmid in range(5)}
    whole = link_with(citations, backend="scispacy")[0]
    monkeypatch.setattr(scispacy_linker, "_QUERIES", 1)
    assert link_with(citations, backend="scispacy")[0].equals(whole)
