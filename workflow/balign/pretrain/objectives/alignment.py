"""Alignment of mentions in text with nodes of the graph (BALI, arXiv 2509.07588)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from balign.pretrain.batches import (
    AnchorBatch,
    Purpose,
    Stream,
    TextBatch,
    Visit,
    anchor_batch,
)
from balign.pretrain.data import IntArray
from balign.pretrain.encoder import TextEncoder
from balign.pretrain.graph_encoder import Relations, build_graph_encoder, save_graph_encoder
from balign.pretrain.linearise import LinearBatch
from balign.pretrain.losses import alignment_loss, pool_mentions, retrieval_ranks
from balign.pretrain.objectives.base import Objective, Sentences, TrainingData, Validation
from balign.pretrain.packing import TensorBatch
from balign.pretrain.processes import process_count
from balign.pretrain.settings import AlignmentSettings
from balign.pretrain.subgraphs import SubgraphBatch

_NODES_AT_ONCE = 128  # centres of a validation batch


@dataclass(frozen=True)
class AlignmentBatch(TensorBatch):
    """The concepts that the sentences mention, and the neighbourhood drawn for each."""

    anchors: AnchorBatch
    stars: SubgraphBatch | LinearBatch


class AlignmentObjective(Objective):
    """A mention's vector and its node's are near, those of other concepts far.

    The mention's is the mean over its word pieces in the encoded sentence, the node's that of a
    graph encoder over text encoded by the same text encoder.
    """

    settings: AlignmentSettings

    def __init__(self, settings: AlignmentSettings, text: TextEncoder, data: TrainingData) -> None:
        """Add a graph encoder of the text encoder's width."""
        super().__init__(settings, text, data)
        relations = Relations(data.graph.relations, data.graph.relation_labels)
        self.graph_encoder = build_graph_encoder(
            settings.graph, text.hidden, relations, data.tokenizer
        )

    def prepare(self, rows: IntArray, text: TextBatch, visit: Visit) -> AlignmentBatch:
        """Find the anchors and draw, anew at each visit, their neighbourhoods."""
        anchors = anchor_batch(self.data.arrays, rows)
        stars = self.neighbourhoods(anchors.nodes.numpy(), anchors.sentences.numpy(), visit)
        return AlignmentBatch(anchors, stars)

    def losses(
        self, text: TextEncoder, part: Any, sentences: Sentences | None
    ) -> dict[str, Tensor]:
        """Return ``alignment``, with the negatives of all processes."""
        assert isinstance(part, AlignmentBatch) and sentences is not None
        loss = alignment_loss(
            pool(sentences.states, part.anchors, self.settings.reproduce_original_pooling),
            self.graph_encoder(text, part.stars),
            part.anchors.nodes,
            self.settings.temperature,
            gather=process_count() > 1,
        )
        return {"alignment": loss}

    def validation(self) -> AlignmentValidation:
        """Return what finds nodes for mentions among validation's, and mentions for nodes."""
        return AlignmentValidation(self)

    def save(self, folder: Path) -> None:
        """Write the graph encoder."""
        save_graph_encoder(self.graph_encoder, folder)

    def neighbourhoods(
        self, nodes: IntArray, sentences: IntArray, visit: Visit
    ) -> SubgraphBatch | LinearBatch:
        """Draw the neighbourhoods of nodes; a node draws anew in each sentence and at each step."""
        keys = visit.keys(Purpose.NEIGHBOURS, sentences, nodes)
        return self.graph_encoder.prepare(self.data.arrays, self.data.graph, nodes, keys)


class AlignmentValidation(Validation):
    """The loss and the recall of retrieval over all validation sentences at once.

    A node has one draw of neighbours here, so the loss differs a little from training's.
    """

    def __init__(self, objective: AlignmentObjective) -> None:
        super().__init__(objective)
        self.alignment = objective
        self.mentions: list[Tensor] = []
        self.labels: list[Tensor] = []

    @torch.no_grad()
    def add(self, text: TextEncoder, part: Any, sentences: Sentences | None) -> None:
        """Take in a batch."""
        assert sentences is not None
        self.mentions.append(pool(sentences.states, part.anchors))
        self.labels.append(part.anchors.nodes)

    @torch.no_grad()
    def figures(self, text: TextEncoder) -> dict[str, float]:
        """Return the loss, and recall at 1 and 10 of node by mention and of mention by node."""
        mentions, labels = torch.cat(self.mentions), torch.cat(self.labels)
        nodes, places = np.unique(labels.cpu().numpy(), return_inverse=True)
        targets = torch.from_numpy(places).to(labels.device)
        seed = 0  # the same draws at every validation, whatever the run's seed
        found = []
        for number, part in enumerate(_parts(nodes)):
            visit = Visit(seed, Stream.VALIDATION, number)
            stars = self.alignment.neighbourhoods(part, part, visit).to(labels.device)
            found.append(self.alignment.graph_encoder(text, stars))
        vectors = torch.cat(found)
        numbers = torch.arange(len(nodes), device=labels.device)
        loss = alignment_loss(
            mentions, vectors[targets], labels, self.alignment.settings.temperature
        )
        figures = {"alignment": float(loss)}
        for name, ranks in (
            ("recall", retrieval_ranks(mentions, vectors, targets, numbers)),
            ("node_recall", retrieval_ranks(vectors, mentions, numbers, targets)),
        ):
            for k in (1, 10):
                figures[f"{name}_at_{k}"] = float((ranks < k).float().mean())
        return figures


def _parts(nodes: IntArray) -> list[IntArray]:
    return np.split(nodes, range(_NODES_AT_ONCE, len(nodes), _NODES_AT_ONCE))


def pool(states: Tensor, anchors: AnchorBatch, reproduce_original: bool = False) -> Tensor:
    """Return the vectors [n, d] of the anchors."""
    count = len(anchors.nodes)
    return pool_mentions(states, anchors.positions, anchors.owner, count, reproduce_original)
