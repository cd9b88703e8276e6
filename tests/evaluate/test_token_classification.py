"""Windows and tags of named entities."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from balign.evaluate import finetune
from balign.evaluate.examples import Tagged
from balign.evaluate.finetune import open_encoder, predict
from balign.evaluate.heads import Model
from balign.evaluate.token_classification import cuts, decode, label_names, windows

LABELS = ["O", "B-X", "I-X", "B-Y", "I-Y"]


@pytest.fixture(scope="module")
def encoder(encoder_folder):
    return open_encoder(encoder_folder)


def sentence(words, tags=None):
    words = words.split()
    return Tagged("1", tuple(words), tuple(tags or ["O"] * len(words)))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(4, 20))
def test_each_word_is_labelled_once_in_a_window_that_fits(sizes, room):
    found = list(cuts(sizes, room))
    assert [word for _, _, first, last in found for word in range(first, last)] == list(
        range(len(sizes))
    )
    for start, end, first, last in found:
        assert start <= first <= last <= end
        assert sum(sizes[start:end]) <= room or end - start == 1
    if sum(sizes) <= room:
        assert found == [(0, len(sizes), 0, len(sizes))]


def test_windows_overlap_by_a_quarter():
    assert list(cuts([1] * 20, 8)) == [
        (0, 8, 0, 7), (6, 14, 7, 13), (12, 20, 13, 20)]  # fmt: skip


def test_items_of_a_sentence(encoder):
    made = windows(encoder, [sentence("mice had asthma", ["O", "O", "B-X"])], LABELS, 32)
    (item,) = made.items
    pieces = encoder.tokenizer.convert_ids_to_tokens(item.sequences[0].ids)
    assert pieces == ["[CLS]", "mice", "h", "##a", "##d", "asthma", "[SEP]"]
    assert [pieces[place] for place in item.sequences[0].anchors] == ["mice", "h", "asthma"]
    assert item.target == [0, 0, 1]


def test_a_word_that_the_tokenizer_drops_and_a_tag_that_training_has_not(encoder):
    odd = sentence("mice \u200b asthma", ["O", "B-Z", "B-Y"])
    (item,) = windows(encoder, [odd], LABELS, 32).items
    assert len(item.sequences[0].anchors) == 3
    assert item.target == [0, -100, 3]
    assert encoder.tokenizer.unk_token_id in item.sequences[0].ids


def test_windows_are_whole_sentences_where_they_fit(encoder, monkeypatch):
    torch.manual_seed(2)
    model = Model(encoder.model, "words", len(LABELS), 1, 0.1)
    long = sentence("mice women asthma heart " * 8)
    short = sentence("a disease")
    whole = windows(encoder, [long, short], LABELS, 100)
    assert whole.of == [1, 1]
    logits = whole.joined(predict(model, encoder, "words", whole.items, ""))
    assert [len(one) for one in logits] == [32, 2]
    cut = windows(encoder, [long, short], LABELS, 12)
    assert cut.of[0] > 3 and cut.of[1] == 1
    parts = cut.joined(predict(model, encoder, "words", cut.items, ""))
    assert [len(one) for one in parts] == [32, 2]
    np.testing.assert_allclose(parts[1], logits[1], atol=1e-5)
    # Batch composition: each item alone.
    monkeypatch.setattr(finetune, "_TOKENS_A_BATCH", 1)
    alone = cut.joined(predict(model, encoder, "words", cut.items, ""))
    for one, other in zip(parts, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_labels_are_those_of_training():
    parts = [sentence("a b", ["B-Y", "I-Y"]), sentence("a b", ["O", "B-X"])]
    assert label_names(parts) == LABELS


def valid(tags):
    return all(
        not tag.startswith("I-") or before[2:] == tag[2:]
        for before, tag in itertools.pairwise(["O", *tags])
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_decoding_is_the_best_valid_sequence_of_brute_force(words, seed):
    logits = np.random.default_rng(seed).normal(size=(words, len(LABELS))).astype(np.float32)
    (found,) = decode([logits], LABELS)
    assert valid(found)

    def total(tags):
        return sum(logits[word, LABELS.index(tag)] for word, tag in enumerate(tags))

    sequences = itertools.product(LABELS, repeat=words)
    assert total(found) == pytest.approx(max(total(one) for one in sequences if valid(one)))
