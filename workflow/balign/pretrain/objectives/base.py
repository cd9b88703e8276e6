"""What every objective is: a part of a run that makes its own batch, losses and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from balign.graph.csr import Graph
from balign.pretrain.batches import TextBatch, Visit, Vocabulary
from balign.pretrain.data import Arrays, IntArray
from balign.pretrain.encoder import TextEncoder
from balign.pretrain.packing import TensorBatch
from balign.pretrain.settings import ObjectiveSettings


@dataclass(frozen=True)
class TrainingData:
    """What objectives read.

    Attributes:
        arrays: the tokenised text.
        graph: the concept graph.
        vocabulary: of the tokenizer.
        tokenizer: of transformers, for text that is not in the arrays.
        entities: float32 [nodes, d], vectors of the concepts by ``pretrain_kge``, where the run
            reads some.
    """

    arrays: Arrays
    graph: Graph
    vocabulary: Vocabulary
    tokenizer: Any
    entities: Tensor | None = None


@dataclass(frozen=True)
class Sentences:
    """The sentences of a step, encoded once for all objectives that read them.

    Attributes:
        text: the sentences, corrupted where the run has masked language modelling.
        states: [t, d], the encoder's last layer.
    """

    text: TextBatch
    states: Tensor


class Objective(nn.Module):
    """A part of a run.

    Subclasses add their own parameters. The text encoder belongs to the run and is handed in, so
    that an objective holds no parameter of another part.
    """

    reads_sentences: ClassVar[bool] = True
    """Whether it reads the encoded sentences; a run of objectives that do not encodes none."""

    def __init__(self, settings: Any, text: TextEncoder, data: TrainingData) -> None:
        """Build it.

        Args:
            settings: its own, a subclass of ``ObjectiveSettings``.
            text: the run's encoder, for its width; not to be kept.
            data: what to train on.
        """
        super().__init__()
        self.settings: Any = settings
        self.data = data

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of each loss that it returns."""
        settings: ObjectiveSettings = self.settings
        return {settings.type: settings.weight}

    def prepare(self, rows: IntArray, text: TextBatch, visit: Visit) -> TensorBatch | None:
        """Make what it needs besides the sentences; a function of its arguments alone.

        Called in a thread beside training: it reads the data and no parameter.

        Args:
            rows: [batch], sentences.
            text: the same as pieces, corrupted.
            visit: the step; the source of all random choices.
        """
        return None

    def losses(
        self, text: TextEncoder, part: Any, sentences: Sentences | None
    ) -> dict[str, Tensor]:
        """Return its losses, unweighted, each a scalar.

        Several processes average them, and their gradients: where a loss is a mean over examples
        of which a process may have more than another, it scales its share by ``balign.pretrain.
        processes.share``.

        Args:
            text: the run's encoder.
            part: what :meth:`prepare` returned.
            sentences: None for an objective that does not read them.
        """
        raise TypeError(f"{type(self).__name__} does not define its losses")

    def examples(self, part: Any, sentences: Sentences | None) -> int:
        """Return by how many examples a batch weighs in the means of validation."""
        return 1 if sentences is None else sentences.text.packed.texts

    def validation(self) -> Validation:
        """Return what collects its figures over the batches of validation."""
        return Validation(self)

    def finish(self, text: TextEncoder) -> None:
        """Do what is left to do to the encoder before it is written: nothing by default."""
        return None

    def save(self, folder: Path) -> None:
        """Write what belongs beside the text encoder in a model's folder: nothing by default."""
        return None


class Validation:
    """Figures of an objective on the validation sentences: by default the means of its losses."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.totals: dict[str, float] = {}
        self.weight = 0

    @torch.no_grad()
    def add(self, text: TextEncoder, part: Any, sentences: Sentences | None) -> None:
        """Take in a batch."""
        size = self.objective.examples(part, sentences)
        for name, value in self.objective.losses(text, part, sentences).items():
            self.totals[name] = self.totals.get(name, 0.0) + float(value) * size
        self.weight += size

    @torch.no_grad()
    def figures(self, text: TextEncoder) -> dict[str, float]:
        """Return its losses, and other figures if it has any."""
        return {name: total / max(1, self.weight) for name, total in self.totals.items()}
