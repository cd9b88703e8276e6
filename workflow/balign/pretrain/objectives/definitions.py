"""A concept's name near its definition, other definitions far (contrastive, as in BALI's loss)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from balign.errors import DataError
from balign.graph.sample import draw_names
from balign.pretrain.batches import Purpose, TextBatch, Visit
from balign.pretrain.data import IntArray
from balign.pretrain.encoder import TextEncoder
from balign.pretrain.losses import alignment_loss
from balign.pretrain.objectives.base import Objective, Sentences, TrainingData
from balign.pretrain.objectives.examples import TextRows, draw, places, text_rows
from balign.pretrain.packing import TensorBatch
from balign.pretrain.processes import process_count
from balign.pretrain.settings import DefinitionSettings


@dataclass(frozen=True)
class DefinitionBatch(TensorBatch):
    """n names and as many definitions, row by row of one concept.

    Attributes:
        names: of the concepts.
        definitions: of the concepts.
        labels: [n], the concepts.
    """

    names: TextRows
    definitions: TextRows
    labels: Tensor


class DefinitionObjective(Objective):
    """InfoNCE with cosine similarity between names and definitions, both by the text encoder."""

    reads_sentences = False
    settings: DefinitionSettings

    def __init__(self, settings: DefinitionSettings, text: TextEncoder, data: TrainingData) -> None:
        """Tokenise the definitions.

        Raises:
            DataError: if the graph has none.
        """
        super().__init__(settings, text, data)
        frame = data.graph.definitions
        if frame.is_empty():
            raise DataError(
                "no concept of the graph has a definition",
                where=str(data.graph.path),
                hint="take an ontology with definitions into kg.sources (such as hpo), or UMLS "
                "with MRDEF, or leave `definitions` out of pretrain.models[...]",
            )
        self.nodes = frame["node"].to_numpy().astype(np.int64)
        cut = {"truncation": True, "max_length": settings.max_tokens, "padding": False}
        found = data.tokenizer(frame["definition"].to_list(), **cut)["input_ids"]
        self.pieces = np.concatenate([np.array(one, dtype=np.int32) for one in found])
        lengths = [len(one) for one in found]
        self.indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    def prepare(self, rows: IntArray, text: TextBatch, visit: Visit) -> DefinitionBatch:
        """Draw definitions, and a name for each."""
        numbers = places(visit, self.settings.pairs)
        chosen = draw(visit, numbers, 3, len(self.nodes))
        nodes = self.nodes[chosen]
        keys = visit.keys(Purpose.EXAMPLE, numbers)
        arrays, names = self.data.arrays, draw_names(self.data.graph, nodes, keys)
        return DefinitionBatch(
            text_rows(arrays.name_tokens, arrays.name_indptr, names),
            text_rows(self.pieces, self.indptr, chosen),
            torch.from_numpy(nodes),
        )

    def losses(
        self, text: TextEncoder, part: Any, sentences: Sentences | None
    ) -> dict[str, Tensor]:
        """Return ``definitions``, with the negatives of all processes."""
        assert isinstance(part, DefinitionBatch)
        pooling = self.settings.pooling
        loss = alignment_loss(
            part.names.vectors(text, pooling),
            part.definitions.vectors(text, pooling),
            part.labels,
            self.settings.temperature,
            gather=process_count() > 1,
        )
        return {"definitions": loss}
