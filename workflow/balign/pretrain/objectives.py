"""The objectives of pre-training: what a step needs, which losses it has, what validation tells.

One class an objective; :data:`OBJECTIVES` maps the name in the configuration to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from balign.graph.csr import Graph
from balign.pretrain.batches import (
    AnchorBatch,
    StarBatch,
    Stream,
    TextBatch,
    Vocabulary,
    anchor_batch,
    generator,
    star_batch,
    text_batch,
)
from balign.pretrain.data import Arrays, IntArray
from balign.pretrain.encoder import TextEncoder
from balign.pretrain.graph_encoder import GraphEncoder, save_graph_encoder
from balign.pretrain.losses import (
    alignment_loss,
    mlm_loss,
    pool_mentions,
    pool_tokens,
    retrieval_ranks,
)
from balign.pretrain.settings import ModelSettings

_NODES_AT_ONCE = 128  # centres of a validation batch


@dataclass(frozen=True)
class TrainingData:
    """What objectives read.

    Attributes:
        arrays: the tokenised text.
        graph: the concept graph.
        vocabulary: of the tokenizer.
    """

    arrays: Arrays
    graph: Graph
    vocabulary: Vocabulary


@dataclass(frozen=True)
class Batch:
    """What a step computes on.

    Attributes:
        text: corrupted sentences.
        anchors: the concepts they mention, for `bali`.
        stars: the neighbourhoods of those, for `bali`.
        pieces: real word pieces that the text encoder sees, padding left out.
    """

    text: TextBatch
    anchors: AnchorBatch | None = None
    stars: StarBatch | None = None
    pieces: int = 0

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        anchors, stars = self.anchors, self.stars
        return Batch(
            self.text.to(device),
            anchors and anchors.to(device),
            stars and stars.to(device),
            self.pieces,
        )


class MlmObjective(nn.Module):
    """Masked language modelling: the control, and the base of the objectives that add to it."""

    def __init__(self, text: TextEncoder, data: TrainingData, settings: ModelSettings) -> None:
        """Take a text encoder; other objectives build their own parts here.

        Args:
            text: the encoder, trained in place.
            data: what to train on.
            settings: of the run.
        """
        super().__init__()
        self.text, self.data, self.settings = text, data, settings

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of each part of the loss."""
        return {"mlm": self.settings.mlm_weight}

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def prepare(self, rows: IntArray, stream: Stream, step: int) -> Batch:
        """Make the batch of some sentences; a function of (seed, stream, step) and the rows.

        Called in a thread beside training: it reads the data and no parameter.

        Args:
            rows: [batch], sentences.
            stream: training or validation; each draws its own random numbers.
            step: number of the step or validation batch.
        """
        text = text_batch(
            self.data.arrays,
            rows,
            self.data.vocabulary,
            self.settings.mlm_probability,
            generator(self.settings.seed, stream, step),
        )
        return Batch(text, pieces=int(text.mask.sum()))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the parts of the loss, unweighted, each a scalar."""
        return {"mlm": self._mlm(self.text.states(batch.text.ids, batch.text.mask), batch.text)}

    def _mlm(self, states: Tensor, text: TextBatch) -> Tensor:
        return mlm_loss(self.text.logits(states, text.masked), text.labels)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the figures on the validation sentences; masks and draws are always the same.

        Returns:
            The parts of the loss, and other figures of the objective.
        """
        mean = _Mean()
        for batch in self._validation_batches():
            states = self.text.states(batch.text.ids, batch.text.mask)
            mean.add(self._mlm(states, batch.text), len(batch.text.labels))
        return {"mlm": mean.value}

    def _validation_batches(self) -> Iterator[Batch]:
        arrays, size = self.data.arrays, self.settings.batch_sentences
        lengths = np.diff(arrays.token_indptr)[arrays.validation]
        rows = np.asarray(arrays.validation)[np.argsort(lengths, kind="stable")]
        for number in range(-(-len(rows) // size)):
            part = rows[number * size : (number + 1) * size]
            yield self.prepare(part, Stream.VALIDATION, number).to(self.device)

    def save(self, folder: Path) -> None:
        """Write what belongs beside the text encoder in a model's folder: nothing for MLM."""


class BaliObjective(MlmObjective):
    """MLM, and alignment of mentions in text with nodes of the graph (BALI, GNN variant)."""

    def __init__(self, text: TextEncoder, data: TrainingData, settings: ModelSettings) -> None:
        """Add a graph encoder of the text encoder's width."""
        super().__init__(text, data, settings)
        self.graph_encoder = GraphEncoder(text.hidden, len(data.graph.relations), settings.graph)

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of each part of the loss."""
        return {**super().weights, "alignment": self.settings.alignment_weight}

    def prepare(self, rows: IntArray, stream: Stream, step: int) -> Batch:
        """Add to the text the anchors and, drawn anew at each visit, their neighbourhoods."""
        text = super().prepare(rows, stream, step)
        anchors = anchor_batch(self.data.arrays, rows, text.text.ids.shape[1])
        stars = self._stars(anchors.nodes.numpy(), stream, step)
        names = sum(int(mask.sum()) for mask in stars.name_masks)
        return Batch(text.text, anchors, stars, text.pieces + names)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return MLM and alignment; the sentences are encoded once for both."""
        assert batch.anchors is not None and batch.stars is not None
        states = self.text.states(batch.text.ids, batch.text.mask)
        mentions = _pool(states, batch.anchors)
        nodes = self.encode_nodes(batch.stars)
        aligned = alignment_loss(mentions, nodes, batch.anchors.nodes, self.settings.temperature)
        return {"mlm": self._mlm(states, batch.text), "alignment": aligned}

    def encode_nodes(self, stars: StarBatch) -> Tensor:
        """Return the vectors [n, d] of the centres: names by the text encoder, then the graph's."""
        pooled = [
            pool_tokens(self.text.states(ids, mask), mask)
            for ids, mask in zip(stars.name_ids, stars.name_masks, strict=True)
        ]
        features = torch.cat(pooled).index_select(0, stars.names)
        nodes: Tensor = self.graph_encoder(
            features, stars.edges, stars.relations, len(stars.centres)
        )
        return nodes

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Add the alignment, and how often a mention finds its node among all validation nodes.

        A node has one draw of neighbours here, so the alignment differs a little from training's.
        """
        mean, mentions, labels = _Mean(), [], []
        for batch in self._validation_batches():
            assert batch.anchors is not None
            states = self.text.states(batch.text.ids, batch.text.mask)
            mean.add(self._mlm(states, batch.text), len(batch.text.labels))
            mentions.append(_pool(states, batch.anchors))
            labels.append(batch.anchors.nodes)
        queries, concepts = torch.cat(mentions), torch.cat(labels)
        nodes, places = np.unique(concepts.cpu().numpy(), return_inverse=True)
        targets = torch.from_numpy(places).to(self.device)
        parts = np.split(nodes, range(_NODES_AT_ONCE, len(nodes), _NODES_AT_ONCE))
        vectors = torch.cat(
            [
                self.encode_nodes(self._stars(part, Stream.VALIDATION, number).to(self.device))
                for number, part in enumerate(parts)
            ]
        )
        ranks = retrieval_ranks(queries, vectors, targets)
        aligned = alignment_loss(queries, vectors[targets], concepts, self.settings.temperature)
        return {
            "mlm": mean.value,
            "alignment": float(aligned),
            "recall_at_1": float((ranks < 1).float().mean()),
            "recall_at_10": float((ranks < 10).float().mean()),
        }

    def save(self, folder: Path) -> None:
        """Write the graph encoder."""
        save_graph_encoder(self.graph_encoder, self.data.graph.relations, folder)

    def _stars(self, nodes: IntArray, stream: Stream, step: int) -> StarBatch:
        return star_batch(
            self.data.arrays,
            self.data.graph,
            nodes,
            self.settings.graph.neighbours,
            self.data.vocabulary.padding,
            (self.settings.seed, stream, step),
        )


def _pool(states: Tensor, anchors: AnchorBatch) -> Tensor:
    return pool_mentions(states, anchors.positions, anchors.owner, len(anchors.nodes))


class _Mean:
    """A weighted mean."""

    def __init__(self) -> None:
        self.total, self.weight = 0.0, 0

    def add(self, value: Tensor, weight: int) -> None:
        self.total += float(value) * weight
        self.weight += weight

    @property
    def value(self) -> float:
        return self.total / max(1, self.weight)


OBJECTIVES: Mapping[str, type[MlmObjective]] = {"mlm": MlmObjective, "bali": BaliObjective}
