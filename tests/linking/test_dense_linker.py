import numpy as np
import pytest
import torch

from balign.errors import DataError
from balign.linking import dense_linker
from balign.linking.backends import linking_index, open_linker
from balign.linking.dense_linker import nearest_names
from balign.linking.settings import LinkingSettings

CITATIONS = {
    3: ["Cardiac failure and asthma.", "ASPIRIN, asthma"],
    4: [],
    5: ["", "held out wheeze"],
}


@pytest.fixture
def dense(encoder_folder):
    return {"backend": "dense", "dense": {"model": str(encoder_folder), "min_score": 0.9}}


def test_a_name_of_the_graph_is_its_own_nearest(link_with, dense):
    mentions, dropped = link_with(CITATIONS, **dense)
    assert list(mentions.select("surface", "concept", "score").iter_rows()) == [
        ("Cardiac failure", "C0018801", 1.0),
        ("asthma", "MESH:D001249", 1.0),  # the concept that prefers the name
        ("ASPIRIN", "MESH:D000068", 1.0),
        ("asthma", "MESH:D001249", 1.0),
    ]
    assert set(mentions["linker"]) == {"dense"}
    assert not dropped


def test_the_spans_may_be_scispacys_and_the_vector_the_first_state(link_with, dense):
    dense["dense"] |= {"spans": "scispacy", "pooling": "cls"}
    assert len(link_with(CITATIONS, **dense)[0]) == 4


def test_the_size_of_blocks_changes_nothing(link_with, dense, monkeypatch):
    whole = link_with(CITATIONS, **dense)[0]
    monkeypatch.setattr(dense_linker, "_NAMES", 2)
    monkeypatch.setattr(dense_linker, "_QUERIES", 1)
    assert link_with(CITATIONS, **dense)[0].equals(whole)


def test_an_index_of_other_vectors_is_refused(graph, root, encoder_folder, tmp_path, dense):
    stop = {"stop_words": str(root / "resources/stop_words.txt")}
    settings = LinkingSettings(**dense, dictionary=stop)
    linking_index(graph, settings, tmp_path / "index")
    other = settings.model_copy(
        update={"dense": settings.dense.model_copy(update={"pooling": "cls"})}
    )
    with pytest.raises(DataError, match="embedded otherwise"):
        open_linker("dense", tmp_path / "index", other)


def test_a_model_that_is_none(link_with, tmp_path):
    with pytest.raises(DataError, match="not a model folder"):
        link_with({}, backend="dense", dense={"model": str(tmp_path)})


def test_of_equal_names_the_first_wins_across_blocks(monkeypatch):
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((50, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = np.concatenate([vectors, vectors])
    for size in (7, 64, 1000):
        monkeypatch.setattr(dense_linker, "_NAMES", size)
        place, score = nearest_names(vectors, names, torch.device("cpu"))
        assert place.tolist() == list(range(50))
        np.testing.assert_allclose(score, 1)
    place, score = nearest_names(-vectors[:1], vectors[:1], torch.device("cpu"))
    assert score.tolist() == [0.0]  # a score is from 0 to 1


@pytest.mark.gpu
def test_the_accelerator_finds_the_same():
    rng = np.random.default_rng(1)
    names = rng.standard_normal((5000, 64)).astype(np.float32)
    names /= np.linalg.norm(names, axis=1, keepdims=True)
    found = [nearest_names(names[:99], names, torch.device(one))[0] for one in ("cpu", "cuda")]
    np.testing.assert_array_equal(*found)
