"""A run's model: one text encoder, and the objectives that train it together."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from balign.pretrain.batches import Stream, TextBatch, Visit, text_batch
from balign.pretrain.data import IntArray
from balign.pretrain.encoder import TextEncoder
from balign.pretrain.objectives.base import Objective, Sentences, TrainingData
from balign.pretrain.packing import TensorBatch
from balign.pretrain.settings import MlmSettings, ModelSettings
from balign.pretrain.speed import TextCost


@dataclass(frozen=True)
class Batch(TensorBatch):
    """What a step computes on.

    Attributes:
        text: sentences, corrupted where the run has masked language modelling.
        parts: what each objective made for itself, by its type.
        seen: real word pieces that the text encoder sees for it.
        flops: operations that the text encoder and its head need for it (``speed.TextCost``).
    """

    text: TextBatch
    parts: Mapping[str, TensorBatch | None]
    seen: int
    flops: int


class PretrainModel(nn.Module):
    """The text encoder and the objectives; calling it with a batch returns all losses."""

    def __init__(self, text: TextEncoder, data: TrainingData, settings: ModelSettings) -> None:
        """Build the objectives.

        Args:
            text: the encoder, trained in place.
            data: what to train on.
            settings: of the run.
        """
        super().__init__()
        self.text, self.data, self.settings = text, data, settings
        self.cost = TextCost.of(text.model)
        self.objectives = nn.ModuleDict()
        for one in settings.objectives:
            module, _, name = one.code.partition(":")
            kind: type[Objective] = getattr(importlib.import_module(module), name)
            self.objectives[one.type] = kind(one, text, data)
        masked = [one.probability for one in settings.objectives if isinstance(one, MlmSettings)]
        self.corruption = masked[0] if masked else 0.0
        self.reads_sentences = any(one.reads_sentences for one in self._each().values())

    def _each(self) -> dict[str, Objective]:
        return dict(self.objectives.items())  # type: ignore[arg-type]

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each loss."""
        return {
            name: weight for one in self._each().values() for name, weight in one.weights.items()
        }

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def prepare(self, rows: IntArray, visit: Visit) -> Batch:
        """Make the batch of some sentences; a function of its arguments alone.

        Called in a thread beside training: it reads the data and no parameter.

        Args:
            rows: [batch], sentences.
            visit: the step.
        """
        arrays, vocabulary = self.data.arrays, self.data.vocabulary
        text = text_batch(arrays, rows, vocabulary, self.corruption, visit)
        parts = {name: one.prepare(rows, text, visit) for name, one in self._each().items()}
        read = [packed for part in parts.values() if part for packed in part.packs()]
        read += [text.packed] if self.reads_sentences else []
        flops = sum(self.cost.flops(packed) for packed in read)
        flops += self.cost.label * len(text.labels)
        return Batch(text, parts, sum(packed.pieces for packed in read), flops)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses, unweighted; the sentences are encoded once for all objectives."""
        sentences = self._encode(batch.text)
        found: dict[str, Tensor] = {}
        for name, one in self._each().items():
            read = sentences if one.reads_sentences else None
            found |= one.losses(self.text, batch.parts[name], read)
        return found

    def _encode(self, text: TextBatch) -> Sentences | None:
        if not self.reads_sentences:
            return None
        return Sentences(text, self.text.encode(text.packed))

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return losses and other figures on the validation sentences, always drawn the same."""
        found = {name: one.validation() for name, one in self._each().items()}
        for batch in self._validation_batches():
            sentences = self._encode(batch.text)
            for name, one in found.items():
                read = sentences if one.objective.reads_sentences else None
                one.add(self.text, batch.parts[name], read)
        return {key: x for one in found.values() for key, x in one.figures(self.text).items()}

    def _validation_batches(self) -> Iterator[Batch]:
        arrays, size = self.data.arrays, self.settings.batch_sentences
        lengths = np.diff(arrays.token_indptr)[arrays.validation]
        rows = np.asarray(arrays.validation)[np.argsort(lengths, kind="stable")]
        for number in range(-(-len(rows) // size)):
            part = rows[number * size : (number + 1) * size]
            visit = Visit(self.settings.seed, Stream.VALIDATION, number)
            yield self.prepare(part, visit).to(self.device)

    def finish(self) -> None:
        """Make the trained encoder ready to be written."""
        for one in self._each().values():
            one.finish(self.text)

    def save(self, folder: Path) -> None:
        """Write what belongs beside the text encoder in a model's folder."""
        for one in self._each().values():
            one.save(folder)
