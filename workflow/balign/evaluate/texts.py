"""Texts and pairs of texts as items for the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from balign.embedding import Encoder
from balign.evaluate.heads import Item, Pieces

Pooling = Literal["cls", "mean"]


def text_items(
    encoder: Encoder,
    texts: Sequence[tuple[str, str]],
    targets: Sequence[Any],
    most: int,
    pooling: Pooling,
) -> list[Item]:
    """Return an item for each text, or pair where the second text is not empty.

    What is longer than ``most`` word pieces loses its end; of a pair the longer text does.
    """
    sequences = text_sequences(encoder, texts, most, pooling)
    return [Item([one], target) for one, target in zip(sequences, targets, strict=True)]


def choice_items(
    encoder: Encoder,
    questions: Sequence[tuple[str, Sequence[str]]],
    targets: Sequence[int],
    most: int,
    pooling: Pooling,
) -> list[Item]:
    """Return an item for each question, with a sequence for each option.

    A long question loses its beginning: what is asked stands at its end.
    """
    side = encoder.tokenizer.truncation_side
    encoder.tokenizer.truncation_side = "left"
    pairs = [(text, option) for text, options in questions for option in options]
    sequences = iter(text_sequences(encoder, pairs, most, pooling))
    encoder.tokenizer.truncation_side = side
    return [
        Item([next(sequences) for _ in options], target)
        for (_, options), target in zip(questions, targets, strict=True)
    ]


def text_sequences(
    encoder: Encoder, texts: Sequence[tuple[str, str]], most: int, pooling: Pooling
) -> list[Pieces]:
    """Return the word pieces of texts and pairs, at most ``most`` each."""
    anchors = (0,) if pooling == "cls" else ()
    found: list[Pieces | None] = [None] * len(texts)
    for paired in (False, True):
        rows = [row for row, (_, second) in enumerate(texts) if bool(second) == paired]
        if not rows:
            continue
        parts = [[texts[row][0] for row in rows]]
        if paired:
            parts.append([texts[row][1] for row in rows])
        encoded = encoder.tokenizer(*parts, truncation="longest_first", max_length=most)
        types = encoded.get("token_type_ids") or [()] * len(rows)
        for row, ids, one in zip(rows, encoded["input_ids"], types, strict=True):
            found[row] = Pieces(ids, one, anchors)
    return [one for one in found if one is not None]
