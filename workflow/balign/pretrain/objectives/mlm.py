"""Masked language modelling (Devlin et al., NAACL 2019): the control, and a part of BALI."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from balign.pretrain.encoder import TextEncoder
from balign.pretrain.losses import mlm_loss
from balign.pretrain.objectives.base import Objective, Sentences
from balign.pretrain.processes import share


class MlmObjective(Objective):
    """Cross entropy of the word pieces that were chosen, at their positions only."""

    def losses(
        self, text: TextEncoder, part: Any, sentences: Sentences | None
    ) -> dict[str, Tensor]:
        """Return ``mlm``."""
        assert sentences is not None
        labels = sentences.text.labels
        logits = text.logits(sentences.states, sentences.text.masked)
        return {"mlm": mlm_loss(logits, labels) * share(len(labels), logits)}

    def examples(self, part: Any, sentences: Sentences | None) -> int:
        """Return the number of chosen pieces."""
        assert sentences is not None
        return len(sentences.text.labels)
