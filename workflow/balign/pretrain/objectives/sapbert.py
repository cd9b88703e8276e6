"""Synonyms of one concept near, those of others far (SapBERT: Liu et al., NAACL 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from balign.errors import DataError
from balign.pretrain.batches import TextBatch, Visit
from balign.pretrain.data import IntArray
from balign.pretrain.encoder import TextEncoder
from balign.pretrain.losses import exchange_sizes, gather_with_gradient, multi_similarity_loss
from balign.pretrain.objectives.base import Objective, Sentences, TrainingData
from balign.pretrain.objectives.examples import TextRows, draw, places, text_rows
from balign.pretrain.packing import TensorBatch
from balign.pretrain.processes import process_count
from balign.pretrain.settings import SapbertSettings


@dataclass(frozen=True)
class SynonymBatch(TensorBatch):
    """Names of concepts, two of each that is drawn.

    Attributes:
        names: 2 n of them.
        labels: [2 n], their concepts.
    """

    names: TextRows
    labels: Tensor


class SapbertObjective(Objective):
    """The Multi-Similarity loss over pairs of names that a triplet miner finds hard."""

    reads_sentences = False
    settings: SapbertSettings

    def __init__(self, settings: SapbertSettings, text: TextEncoder, data: TrainingData) -> None:
        """Find the concepts with two names.

        Raises:
            DataError: if there is none.
        """
        super().__init__(settings, text, data)
        self.nodes = np.flatnonzero(np.diff(data.graph.name_indptr) > 1)
        if len(self.nodes) == 0:
            raise DataError(
                "no concept of the graph has two names",
                where=str(data.graph.path),
                hint="raise graph.max_names, or leave `sapbert` out of pretrain.models[...]",
            )

    def prepare(self, rows: IntArray, text: TextBatch, visit: Visit) -> SynonymBatch:
        """Draw concepts, and two different names of each."""
        numbers = places(visit, self.settings.pairs)
        nodes = self.nodes[draw(visit, numbers, 0, len(self.nodes))]
        first = self.data.graph.name_indptr[nodes]
        count = self.data.graph.name_indptr[nodes + 1] - first
        one = draw(visit, numbers, 1, count)
        other = (one + 1 + draw(visit, numbers, 2, count - 1)) % count
        arrays = self.data.arrays
        names = np.concatenate([first + one, first + other])
        return SynonymBatch(
            text_rows(arrays.name_tokens, arrays.name_indptr, names),
            torch.from_numpy(np.concatenate([nodes, nodes])),
        )

    def losses(
        self, text: TextEncoder, part: Any, sentences: Sentences | None
    ) -> dict[str, Tensor]:
        """Return ``sapbert``, over the names of all processes."""
        assert isinstance(part, SynonymBatch)
        vectors, labels = part.names.vectors(text, self.settings.pooling), part.labels
        if process_count() > 1:
            sizes = exchange_sizes(len(labels))
            vectors = gather_with_gradient(vectors, sizes)
            labels = gather_with_gradient(labels, sizes)
        one = self.settings
        loss = multi_similarity_loss(vectors, labels, one.alpha, one.beta, one.base, one.margin)
        return {"sapbert": loss}
