"""The encoder with a head for each kind of answer; how examples become batches.

An item is one example: one sequence of word pieces, or one for each option. The head reads anchors
of a sequence (word pieces chosen by the family) or the mean over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from balign.embedding import mean_pool

Kind = Literal["words", "label", "labels", "option", "number"]
IGNORED = -100  # a target that is not learnt; PyTorch's own default


@dataclass(frozen=True)
class Pieces:
    """A sequence of word pieces.

    Attributes:
        ids: word pieces with the special ones.
        types: segment of each; empty for a model without segments.
        anchors: positions that the head reads; empty for the mean over all.
    """

    ids: Sequence[int]
    types: Sequence[int] = ()
    anchors: Sequence[int] = ()


@dataclass(frozen=True)
class Item:
    """One example for the model.

    Attributes:
        sequences: one; for a choice one for each option.
        target: what :class:`Model` of its kind takes: for ``words`` a list of label positions, one
            an anchor; for ``label`` and ``option`` a position; for ``labels`` a list of 0 and 1;
            for ``number`` a number.
    """

    sequences: Sequence[Pieces]
    target: Any

    @property
    def length(self) -> int:
        """Word pieces of the longest sequence."""
        return max(len(one.ids) for one in self.sequences)


class Model(nn.Module):
    """Encoder, dropout and a linear head.

    Attributes:
        kind: ``words``: a label for each anchor; ``label``: one label; ``labels``: any number;
            ``option``: one of several sequences; ``number``: a number.
    """

    def __init__(
        self, encoder: nn.Module, kind: Kind, outputs: int, anchors: int, dropout: float
    ) -> None:
        """Make a new head.

        Args:
            encoder: a transformer with ``last_hidden_state``.
            kind: kind of answer.
            outputs: labels; 1 for ``option`` and ``number``.
            anchors: states that the head reads together: 2 for a relation, else 1.
            dropout: before the head.
        """
        super().__init__()
        self.encoder = encoder
        self.kind = kind
        self.joined = anchors
        self.dropout = nn.Dropout(dropout)
        size: int = encoder.config.hidden_size  # type: ignore[union-attr, assignment]
        self.head = nn.Linear(anchors * size, outputs)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        inputs: dict[str, torch.Tensor],
        anchors: torch.Tensor | None,
        sizes: list[int],
        targets: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Return ``loss`` and ``logits``.

        Args:
            inputs: what the encoder takes, ``[s, t]`` each.
            anchors: (sequence, position) of each anchor ``[a, 2]``; None for the mean.
            sizes: sequences of each example.
            targets: as :func:`collate` makes them.

        Returns:
            ``logits``: ``words`` ``[a, outputs]``, ``option`` ``[b, most options]`` (minus infinity
            where there is none), else ``[b, outputs]``.
        """
        states = self.encoder(**inputs).last_hidden_state
        if anchors is None:
            pooled = mean_pool(states, inputs["attention_mask"])
        else:
            pooled = states[anchors[:, 0], anchors[:, 1]]
            if self.joined > 1:
                pooled = pooled.reshape(-1, self.joined * pooled.shape[-1])
        logits = self.head(self.dropout(pooled)).float()
        if self.kind == "option":
            parts = torch.split(logits[:, 0], sizes)
            logits = nn.utils.rnn.pad_sequence(
                list(parts), batch_first=True, padding_value=-torch.inf
            )
        return {"loss": self._loss(logits, targets), "logits": logits}

    def _loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.kind == "labels":
            return nn.functional.binary_cross_entropy_with_logits(logits, targets)
        if self.kind == "number":
            return nn.functional.mse_loss(logits[:, 0], targets)
        return nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED)


def collate(items: Sequence[Item], kind: Kind, padding: int) -> dict[str, Any]:
    """Return the arguments of :meth:`Model.forward` for a batch, padded on the right.

    Args:
        items: the examples.
        kind: kind of answer.
        padding: word piece that fills up.
    """
    sequences = [one for item in items for one in item.sequences]
    longest = max(len(one.ids) for one in sequences)
    ids = torch.full((len(sequences), longest), padding, dtype=torch.long)
    mask = torch.zeros((len(sequences), longest), dtype=torch.long)
    types = torch.zeros((len(sequences), longest), dtype=torch.long)
    for row, one in enumerate(sequences):
        ids[row, : len(one.ids)] = torch.tensor(one.ids, dtype=torch.long)
        mask[row, : len(one.ids)] = 1
        types[row, : len(one.types)] = torch.tensor(one.types, dtype=torch.long)
    inputs = {"input_ids": ids, "attention_mask": mask}
    if sequences[0].types:
        inputs["token_type_ids"] = types
    places = [(row, place) for row, one in enumerate(sequences) for place in one.anchors]
    if kind == "words":
        targets = torch.tensor([label for item in items for label in item.target])
    elif kind in ("labels", "number"):
        targets = torch.tensor([item.target for item in items], dtype=torch.float32)
    else:
        targets = torch.tensor([item.target for item in items])
    return {
        "inputs": inputs,
        "anchors": torch.tensor(places) if places else None,
        "sizes": [len(item.sequences) for item in items],
        "targets": targets,
    }
