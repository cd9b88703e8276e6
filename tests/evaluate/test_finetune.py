"""The engine: batches, best weights, early stopping, the grid; and what a batch may not change."""

import numpy as np
import pytest
import torch

from balign.evaluate import finetune
from balign.evaluate.finetune import (
    LengthGrouped,
    Problem,
    fine_tune,
    grid_points,
    inference_batches,
    longest_input,
    open_encoder,
    predict,
)
from balign.evaluate.heads import Item, Model, Pieces, collate
from balign.evaluate.task_settings import FineTuning, Grid
from balign.evaluate.texts import choice_items, text_items

TEXTS = ["heart attack", "asthma", "mice children women patients", "a disease", "heart", "mice"]
FAST = FineTuning(learning_rate=5e-3, batch_size=8, epochs=2)


@pytest.fixture(scope="module")
def encoder(encoder_folder):
    return open_encoder(encoder_folder)


def items(encoder, texts, targets, pooling="mean"):
    return text_items(encoder, [(text, "") for text in texts], targets, 32, pooling)


def problem(encoder, score=None, count=32):
    """Two classes, told by one word."""
    texts = [f"{'mice' if n % 2 else 'women'} {'a b c d'[: 1 + n % 7]}" for n in range(count)]
    made = items(encoder, texts, [n % 2 for n in range(count)])

    def accuracy(logits):
        return float(np.mean([one.argmax() == n % 2 for n, one in enumerate(logits)]))

    return Problem("label", 2, made, made[:8], score or accuracy)


@pytest.mark.parametrize("parts", [1, 2])
def test_batches_hold_texts_of_like_length_and_every_text_once(parts):
    lengths = np.random.default_rng(3).integers(1, 100, 131).tolist()
    sampler = LengthGrouped(lengths, 4, 7, parts)
    first, second = list(sampler), list(sampler)
    for batches in (first, second):
        assert sorted(row for batch in batches for row in batch) == list(range(131))
        assert len(batches) == len(sampler) == 33
        assert {len(batch) for batch in batches[:-1]} == {4}
        spread = [max(lengths[r] for r in b) - min(lengths[r] for r in b) for b in batches]
        assert np.mean(spread) < 15  # about 58 in random batches
        for step in range(0, 32, parts):  # the parts of a step are of like length too
            rows = [row for batch in batches[step : step + parts] for row in batch]
            assert max(lengths[r] for r in rows) - min(lengths[r] for r in rows) < 45
    assert first != second
    assert list(LengthGrouped(lengths, 4, 7, parts)) == first
    assert list(LengthGrouped(lengths, 4, 8, parts)) != first


def test_inference_batches_are_bounded(monkeypatch):
    monkeypatch.setattr(finetune, "_TOKENS_A_BATCH", 20)
    rows = [Item([Pieces([1] * size)], 0) for size in (9, 2, 30, 7, 3, 10)]
    batches = inference_batches(rows)
    assert sorted(row for batch in batches for row in batch) == list(range(6))
    for batch in batches:
        assert len(batch) == 1 or max(rows[r].length for r in batch) * len(batch) <= 20
    assert inference_batches([]) == []


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_batch_composition_does_not_change_predictions(encoder, monkeypatch, pooling):
    torch.manual_seed(3)
    model = Model(encoder.model, "label", 3, 1, 0.1)
    made = items(encoder, TEXTS, [0] * len(TEXTS), pooling)
    together = np.stack(predict(model, encoder, "label", made, ""))
    monkeypatch.setattr(finetune, "_TOKENS_A_BATCH", 1)
    alone = np.stack(predict(model, encoder, "label", made, ""))
    np.testing.assert_allclose(together, alone, atol=1e-5)
    turned = np.stack(predict(model, encoder, "label", made[::-1], ""))[::-1]
    np.testing.assert_array_equal(alone, turned)


def test_choices_of_unequal_number(encoder, monkeypatch):
    torch.manual_seed(3)
    model = Model(encoder.model, "option", 1, 1, 0.0)
    questions = [("which disease", ["asthma", "mice"]), ("who", ["women", "mice", "children"])]
    made = choice_items(encoder, questions, [0, 2], 32, "cls")
    logits = predict(model, encoder, "option", made, "")
    assert [len(one) for one in logits] == [2, 3]
    batch = collate(made, "option", 0)
    loss = model(**batch)["loss"].item()
    by_hand = [-np.log(np.exp(one[gold]) / np.exp(one).sum())
               for one, gold in zip(logits, [0, 2], strict=True)]  # fmt: skip
    assert loss == pytest.approx(np.mean(by_hand), rel=1e-4)
    assert encoder.tokenizer.truncation_side == "right"


def test_a_long_question_keeps_its_end(encoder):
    made = choice_items(encoder, [("asthma " * 50 + "women", ["mice", "heart"])], [0], 12, "cls")
    pieces = encoder.tokenizer.convert_ids_to_tokens(made[0].sequences[0].ids)
    assert len(pieces) == 12
    assert pieces[-4:] == ["women", "[SEP]", "mice", "[SEP]"]


def test_a_long_context_is_cut_and_not_the_question(encoder):
    made = text_items(encoder, [("mice women", "asthma " * 50)], [0], 12, "cls")
    pieces = encoder.tokenizer.convert_ids_to_tokens(made[0].sequences[0].ids)
    assert pieces[:4] == ["[CLS]", "mice", "women", "[SEP]"]
    assert made[0].sequences[0].types[:5] == [0, 0, 0, 0, 1]


def test_it_learns_and_a_seed_fixes_the_run(encoder_folder):
    def run(seed):
        encoder = open_encoder(encoder_folder)
        tuned = fine_tune(lambda: encoder, problem(encoder), FAST, seed)
        return tuned, np.stack(tuned.predict(problem(encoder).dev))

    (first, one), (_, two), (_, three) = run(1), run(1), run(2)
    assert max(first.history) == 1.0
    assert first.facts["steps"] == 8
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, three)


def test_accumulated_parts_make_the_same_step(encoder_folder):
    found = []
    for parts in (1, 2, 4):
        encoder = open_encoder(encoder_folder)
        for one in encoder.model.modules():
            if isinstance(one, torch.nn.Dropout):
                one.p = 0.0
        settings = FAST.model_copy(update={"accumulation": parts, "dropout": 0.0, "epochs": 1})
        plain = problem(encoder)
        plain = Problem("label", 2, plain.train, (), plain.score)
        tuned = fine_tune(lambda encoder=encoder: encoder, plain, settings, 1)
        assert tuned.facts["steps"] == 4
        found.append(np.stack(tuned.predict(plain.train)))
    np.testing.assert_allclose(found[0], found[1], atol=2e-3)
    np.testing.assert_allclose(found[0], found[2], atol=2e-3)


def test_the_best_weights_are_kept_and_patience_ends_the_run(encoder_folder):
    figures = iter([0.1, 0.9, 0.2, 0.3, 0.4])
    seen = []

    def score(logits):
        seen.append(np.stack(logits))
        return next(figures)

    encoder = open_encoder(encoder_folder)
    settings = FAST.model_copy(update={"epochs": 5, "patience": 2})
    wanted = problem(encoder, score)
    tuned = fine_tune(lambda: encoder, wanted, settings, 1)
    assert tuned.history == [0.1, 0.9, 0.2, 0.3]
    assert (tuned.facts["best_pass"], tuned.facts["passes"]) == (2, 4)
    np.testing.assert_array_equal(np.stack(tuned.predict(wanted.dev)), seen[1])


def test_the_grid_takes_the_best_on_development(encoder_folder):
    settings = FAST.model_copy(
        update={"epochs": 1, "grid": Grid(learning_rate=(1e-5, 1e-3), batch_size=(4, 8))}
    )
    points = [(one.learning_rate, one.batch_size) for one in grid_points(settings)]
    assert points == [(1e-5, 4), (1e-5, 8), (1e-3, 4), (1e-3, 8)]
    figures = iter([0.1, 0.2, 0.7, 0.3])
    encoder = open_encoder(encoder_folder)
    made = problem(encoder, lambda _: next(figures), count=8)
    tuned = fine_tune(lambda: open_encoder(encoder_folder), made, settings, 1)
    assert (tuned.facts["learning_rate"], tuned.facts["batch_size"]) == (1e-3, 4)
    assert [one["dev"] for one in tuned.facts["trials"]] == [0.1, 0.2, 0.7, 0.3]


def test_markers_become_pieces_that_start_at_the_mean_of_theirs(encoder_folder):
    plain = open_encoder(encoder_folder)
    marked = open_encoder(encoder_folder, ["xab", "yab"])
    pieces = plain.tokenizer("xab", add_special_tokens=False)["input_ids"]
    old = plain.model.get_input_embeddings().weight[pieces].mean(dim=0)
    new = marked.tokenizer.convert_tokens_to_ids("xab")
    torch.testing.assert_close(marked.model.get_input_embeddings().weight[new], old)
    assert marked.tokenizer("mice xab mice", add_special_tokens=False)["input_ids"][1] == new
    assert longest_input(marked, 512) == 128


def test_bf16_trains(encoder_folder):
    encoder = open_encoder(encoder_folder)
    settings = FAST.model_copy(update={"precision": "bf16", "epochs": 1})
    tuned = fine_tune(lambda: encoder, problem(encoder, count=8), settings, 1)
    assert all(one.dtype == torch.float32 for one in tuned.model.parameters())
