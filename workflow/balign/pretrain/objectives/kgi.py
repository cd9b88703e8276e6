"""Triples of the graph as text, three tasks (UMLS-KGI-BERT: Mannion et al., arXiv 2307.11170)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from balign.errors import DataError
from balign.graph.sample import draw_names
from balign.pretrain.batches import Purpose, TextBatch, Visit
from balign.pretrain.data import IntArray
from balign.pretrain.encoder import TextEncoder
from balign.pretrain.linearise import label_pieces
from balign.pretrain.losses import mlm_loss
from balign.pretrain.objectives.base import Objective, Sentences, TrainingData
from balign.pretrain.objectives.examples import draw, join_spans, places
from balign.pretrain.packing import Packed, TensorBatch
from balign.pretrain.processes import share
from balign.pretrain.settings import KgiSettings

_ENTITY, _RELATION, _TRIPLE = range(3)  # the tasks; an example's number tells its task
_HEAD, _LABEL, _TAIL = range(3)  # the spans of a text


@dataclass(frozen=True)
class TripleBatch(TensorBatch):
    """Triples as packed text: `[CLS] head [SEP] relation tail [SEP]`.

    Attributes:
        packed: the texts; those for the relation have no relation in them.
        masked: [m], pieces of an end that is to be predicted. labels: [m], what they were.
        asked: [a], texts whose relation is to be predicted. relations: [a], the answers.
        judged: [b], texts of triples that are true or not. truth: [b], 1 where true.
    """

    packed: Packed
    masked: Tensor
    labels: Tensor
    asked: Tensor
    relations: Tensor
    judged: Tensor
    truth: Tensor


class KgiObjective(Objective):
    """Entity prediction, link prediction and triple classification, a third of the triples each.

    - entity prediction: all pieces of one end are masked; cross entropy of the MLM head;
    - link prediction: two names, and from [CLS] which relation holds; cross entropy;
    - triple classification: in half of the triples the tail is another concept; from [CLS] whether
      the triple is true; binary cross entropy.
    """

    reads_sentences = False
    settings: KgiSettings

    def __init__(self, settings: KgiSettings, text: TextEncoder, data: TrainingData) -> None:
        """Take the triples and tokenise the relations' labels.

        Raises:
            DataError: if the graph has no edge.
        """
        super().__init__(settings, text, data)
        self.triples = data.graph.triples()
        if len(self.triples) == 0:
            raise DataError(
                "the graph has no edge to learn from",
                where=str(data.graph.path),
                hint=f"leave `{settings.type}` out of pretrain.models[...]",
            )
        labels = label_pieces(data.tokenizer, data.graph.relation_labels)
        self.shift = len(data.arrays.name_tokens)  # labels are numbered after the names' pieces
        self.pieces = np.concatenate([data.arrays.name_tokens, labels.pieces])
        self.label_indptr = labels.indptr + self.shift
        self.relation_head = nn.Linear(text.hidden, len(data.graph.relations))
        self.truth_head = nn.Linear(text.hidden, 1)

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of each task's loss."""
        name, weight = self.settings.type, self.settings.weight
        return {f"{name}_{task}": weight for task in ("entity", "relation", "triple")}

    def prepare(self, rows: IntArray, text: TextBatch, visit: Visit) -> TripleBatch:
        """Draw triples and write them as text."""
        numbers = places(visit, self.settings.triples)
        return self.write(self.choose(visit, numbers), numbers, visit)

    def choose(self, visit: Visit, numbers: IntArray) -> IntArray:
        """Return the triples [n, 3] of the examples with these numbers."""
        chosen: IntArray = self.triples[draw(visit, numbers, 4, len(self.triples))]
        return chosen

    def write(self, triples: IntArray, numbers: IntArray, visit: Visit) -> TripleBatch:
        """Write triples as text, each for the task that its number tells."""
        graph, arrays = self.data.graph, self.data.arrays
        head, relation, tail = triples.T
        task = numbers % 3
        false = (task == _TRIPLE) & (draw(visit, numbers, 5, 2) == 0)
        other = (tail + 1 + draw(visit, numbers, 6, max(1, len(graph) - 1))) % len(graph)
        tail = np.where(false, other, tail)
        ends = np.stack([head, tail], axis=1)
        keys = visit.keys(Purpose.EXAMPLE, np.stack([numbers, numbers + (1 << 40)], axis=1).ravel())
        names = draw_names(graph, ends.ravel(), keys).reshape(-1, 2)
        first, last = arrays.name_indptr[names], arrays.name_indptr[names + 1]
        label = np.stack([self.label_indptr[relation], self.label_indptr[relation + 1]])
        label[1] = np.where(task == _RELATION, label[0], label[1])  # no label in the question
        starts = np.stack([first[:, 0], label[0], first[:, 1] + 1], axis=1)
        stops = np.stack([last[:, 0], label[1], last[:, 1]], axis=1)
        joined = join_spans(self.pieces, starts, stops)
        task, truth = task[joined.order], ~false[joined.order]
        # Of an entity to predict all pieces but [CLS] and [SEP] are masked, in head or tail.
        hidden = np.where(draw(visit, numbers, 7, 2) == 0, _HEAD, _TAIL)[joined.order]
        owner, ids = joined.packed.owner.numpy(), joined.packed.ids.numpy()
        ordinary = ~np.isin(ids, self.data.vocabulary.special)
        masked = np.flatnonzero(
            (task[owner] == _ENTITY) & (joined.span == hidden[owner]) & ordinary
        )
        answers = ids[masked]
        ids[masked] = self.data.vocabulary.mask
        asked, judged = np.flatnonzero(task == _RELATION), np.flatnonzero(task == _TRIPLE)
        found = (
            masked, answers, asked, relation[joined.order][asked], judged,
            truth[judged].astype(np.float32),
        )  # fmt: skip
        return TripleBatch(joined.packed, *map(torch.from_numpy, found))

    def losses(
        self, text: TextEncoder, part: Any, sentences: Sentences | None
    ) -> dict[str, Tensor]:
        """Return ``kgi_entity``, ``kgi_relation`` and ``kgi_triple``."""
        assert isinstance(part, TripleBatch)
        states = text.encode(part.packed)
        first = states.index_select(0, part.packed.offsets[:-1].long())
        logits = text.logits(states, part.masked)
        relation = self.relation_head(first.index_select(0, part.asked)).float()
        truth = self.truth_head(first.index_select(0, part.judged))[:, 0].float()
        found = {
            "entity": mlm_loss(logits, part.labels),
            "relation": functional.cross_entropy(relation, part.relations, reduction="sum")
            / max(1, len(part.relations)),
            "triple": functional.binary_cross_entropy_with_logits(
                truth, part.truth, reduction="sum"
            )
            / max(1, len(part.truth)),
        }
        sizes = (len(part.labels), len(part.relations), len(part.truth))
        return {
            f"{self.settings.type}_{name}": loss * share(size, loss)
            for (name, loss), size in zip(found.items(), sizes, strict=True)
        }
