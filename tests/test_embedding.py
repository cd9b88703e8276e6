import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from balign import embedding as embed
from balign.embedding import (
    embed_names,
    load_encoder,
    mean_pool,
    nearest_concepts,
    pad,
)
from balign.errors import DataError

NAMES = ["asthma", "Heart Attack", "a", "acute disease of the heart in mice", "heart attack", "b c"]


@pytest.fixture(scope="module")
def encoder(encoder_folder):
    return load_encoder(encoder_folder)


def test_vectors_are_the_mean_over_tokens_normalised(encoder):
    found = embed_names(encoder, NAMES, "names")
    for name, vector in zip(NAMES, found, strict=True):
        tokens = encoder.tokenizer(name, return_tensors="pt")
        with torch.no_grad():
            states = encoder.model(**tokens).last_hidden_state[0]
        mean = states.mean(dim=0)
        np.testing.assert_allclose(vector, mean / mean.norm(), atol=1e-5)


def test_pooling_of_first_and_last_layer_and_of_the_first_state(encoder):
    tokens = encoder.tokenizer(NAMES[3], return_tensors="pt")
    with torch.no_grad():
        states = encoder.model(**tokens, output_hidden_states=True).hidden_states
    wanted = {"first_last": (states[1] + states[-1])[0].mean(dim=0), "cls": states[-1][0, 0]}
    for pooling, vector in wanted.items():
        found = embed_names(encoder, [NAMES[3]], "names", pooling)[0]
        np.testing.assert_allclose(found, vector / vector.norm(), atol=1e-5)


def test_equal_word_pieces_get_the_same_vector(encoder):
    found = embed_names(encoder, NAMES, "names")
    np.testing.assert_array_equal(found[1], found[4])


def test_order_of_names_does_not_matter(encoder):
    forward = embed_names(encoder, NAMES, "names")
    np.testing.assert_array_equal(embed_names(encoder, NAMES[::-1], "names"), forward[::-1])


def test_batches_do_not_change_predictions(encoder, monkeypatch):
    names = [f"{word} {letter}" for word in ("heart", "mice", "old") for letter in "abcdefgh"]
    concept_of = np.arange(len(names)) // 2
    found = []
    for tokens in (1, 64, 100_000):
        monkeypatch.setattr(embed, "_TOKENS_A_BATCH", tokens)
        queries, vectors = (embed_names(encoder, one, "names") for one in (NAMES, names))
        found.append(nearest_concepts(queries, vectors, concept_of, 5))
    for other in found[1:]:
        np.testing.assert_array_equal(other.concepts, found[0].concepts)
        np.testing.assert_array_equal(other.names, found[0].names)


def test_long_names_are_cut(encoder):
    long = "a" * 500
    assert np.isfinite(embed_names(encoder, [long], "names")).all()


def test_padding_is_not_pooled():
    states = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    assert mean_pool(states, torch.tensor([[1, 1, 0]])).tolist() == [[2.0, 3.0]]


def test_pad():
    tokens, mask = pad([[5, 6], [7]], 9)
    assert tokens.tolist() == [[5, 6], [7, 9]]
    assert mask.tolist() == [[1, 1], [1, 0]]


def brute_force(queries, names, concept_of, k):
    found = []
    for query in queries:
        best = {}
        for row, name in enumerate(names):
            score = round(float(query @ name) * 100_000)
            concept = int(concept_of[row])
            if concept not in best or score > best[concept]:
                best[concept] = score
        found.append(sorted(best, key=lambda one: (-best[one], one))[:k])
    return found


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 6))
def test_nearest_is_that_of_brute_force(seed, concepts, k):
    rng = np.random.default_rng(seed)
    concept_of = np.sort(np.concatenate([np.arange(concepts), rng.integers(0, concepts, 20)]))
    # Few directions, so that many scores are equal.
    names = rng.integers(-1, 2, (len(concept_of), 3)).astype(np.float32) / 2
    queries = rng.integers(-1, 2, (7, 3)).astype(np.float32) / 2
    found = nearest_concepts(queries, names, concept_of, k)
    wanted = brute_force(queries, names, concept_of, min(k, concepts))
    assert found.concepts.tolist() == wanted
    for row, name in enumerate(found.names):
        assert concept_of[name] == wanted[row][0]
        assert found.scores[row] == pytest.approx(float(queries[row] @ names[name]))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_nearest_over_several_blocks(monkeypatch, tmp_path, dtype):
    rng = np.random.default_rng(1)
    names, queries = (rng.normal(size=(n, 4)).astype(np.float32) for n in (30, 5))
    names[20:25] = names[3]  # equal scores in several blocks
    names = names.astype(dtype)
    concept_of = np.sort(np.concatenate([np.arange(11), rng.integers(0, 11, 19)]))
    whole = nearest_concepts(queries, names, concept_of, 3)
    np.save(tmp_path / "names.npy", names)
    mapped = np.load(tmp_path / "names.npy", mmap_mode="r")
    monkeypatch.setattr(embed, "_QUERIES_A_BLOCK", 2)
    for size in (1, 4, 11):
        monkeypatch.setattr(embed, "_NAMES_A_BLOCK", size)
        found = nearest_concepts(queries, mapped, concept_of, 3)
        np.testing.assert_array_equal(found.concepts, whole.concepts)
        np.testing.assert_array_equal(found.names, whole.names)
        np.testing.assert_array_equal(found.scores, whole.scores)


def test_a_folder_that_is_no_model_is_an_error(tmp_path):
    with pytest.raises(DataError, match="not a model folder"):
        load_encoder(tmp_path)


def test_a_model_of_unknown_type_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "no-such-type"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be loaded"):
        load_encoder(tmp_path)


def test_pickled_weights_are_not_loaded(encoder_folder, tmp_path):
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((encoder_folder / name).read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match="safetensors"):
        load_encoder(tmp_path)


def test_pooling_by_the_first_state(encoder):
    (vector,) = embed_names(encoder, ["asthma"], "names", "cls")
    with torch.no_grad():
        states = encoder.model(**encoder.tokenizer("asthma", return_tensors="pt")).last_hidden_state
    first = states[0, 0]
    np.testing.assert_allclose(vector, first / first.norm(), atol=1e-5)
