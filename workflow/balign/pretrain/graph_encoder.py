"""The graph encoders: from a concept and the neighbours drawn for it to one vector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from balign.errors import ConfigError
from balign.files import read_json, write_json
from balign.graph.csr import Graph
from balign.graph.sample import Keys
from balign.pretrain.data import Arrays, IntArray
from balign.pretrain.encoder import TextEncoder, load_tokenizer
from balign.pretrain.graph_layers import GRAPH_LAYERS
from balign.pretrain.linearise import LinearBatch, label_pieces, linear_batch
from balign.pretrain.losses import pool_texts
from balign.pretrain.packing import Packed
from balign.pretrain.settings import GnnSettings, GraphEncoderSettings, LinearSettings
from balign.pretrain.subgraphs import SubgraphBatch, subgraph_batch

_START = 0.3  # of what a residual layer adds, against its usual initial size


@dataclass(frozen=True)
class Relations:
    """The relations of a graph, in the order of their ids.

    Attributes:
        names: of the relations.
        labels: what a person reads.
    """

    names: Sequence[str]
    labels: Sequence[str]


class GraphEncoder(nn.Module, ABC):
    """What every graph encoder is: it makes its own batches and turns them into vectors."""

    def __init__(self, hidden: int, relations: Relations, settings: Any) -> None:
        """Build it.

        Args:
            hidden: width d of the vectors, the text encoder's.
            relations: of the graph.
            settings: of its own kind.
        """
        super().__init__()
        self.hidden, self.relations, self.settings = hidden, relations, settings

    def set_tokenizer(self, tokenizer: Any) -> None:
        """Take the text encoder's tokenizer, for text of its own."""
        return None

    @abstractmethod
    def prepare(
        self, arrays: Arrays, graph: Graph, centres: IntArray, keys: Keys
    ) -> SubgraphBatch | LinearBatch:
        """Draw the neighbourhoods of some nodes; called in a thread, so it reads no parameter.

        Args:
            arrays: the training arrays, for names.
            graph: the concept graph.
            centres: [n], nodes.
            keys: [n], what the draw for each depends on, and nothing else.
        """

    @abstractmethod
    def forward(self, text: TextEncoder, batch: Any) -> Tensor:
        """Return the vectors [n, d] of what :meth:`prepare` drew.

        Args:
            text: the encoder of all text.
            batch: what :meth:`prepare` returned.
        """


class GnnEncoder(GraphEncoder):
    """Names by the text encoder, layers of a graph network, Linear, LayerNorm and Dropout.

    With residual connections a node's vector begins near its name's, so that the text encoder is
    not pulled towards a random space in the first steps: the last linear map starts as the
    identity, and what a layer adds starts at 0.3 of its usual size. For untouched MiniLM on 256
    linked sentences the alignment loss with GATv2 then starts at 2.98 instead of 3.85, and at 2.89
    without any graph; a mention finds its node in 72.4 % instead of 70.5 % (71.5 %; two layers,
    measured).
    """

    settings: GnnSettings

    def __init__(self, hidden: int, relations: Relations, settings: Any) -> None:
        """Build the layers.

        Raises:
            ValueError: if the attention heads do not divide the width.
        """
        super().__init__(hidden, relations, settings)
        build = GRAPH_LAYERS[settings.type]
        scale = _START if settings.residual else 1.0
        ids = 2 * len(relations.names)  # both directions
        self.layers = nn.ModuleList(
            build(hidden, ids, settings, scale) for _ in range(settings.layers)
        )
        self.linear = nn.Linear(hidden, hidden)
        if settings.residual:
            nn.init.eye_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)
        self.norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(settings.dropout)

    def prepare(self, arrays: Arrays, graph: Graph, centres: IntArray, keys: Keys) -> SubgraphBatch:
        """Draw subgraphs and names; see :class:`GraphEncoder`."""
        return subgraph_batch(
            arrays,
            graph,
            centres,
            keys,
            self.settings.neighbours,
            self.settings.hops,
            self.settings.stop_gradient_names,
        )

    def forward(self, text: TextEncoder, batch: SubgraphBatch) -> Tensor:
        """Encode names, each once, then the subgraphs; see :class:`GraphEncoder`."""
        parts = [_encode_names(text, batch.packed)]
        if batch.fixed.texts:
            with torch.no_grad():
                parts.append(_encode_names(text, batch.fixed))
        features = torch.cat(parts).index_select(0, batch.names)
        if self.settings.stop_gradient_names != "none":
            features = torch.where(batch.learns[:, None], features, features.detach())
        return self.aggregate(features, batch.edges, batch.relations, len(batch.centres))

    def aggregate(self, features: Tensor, edges: Tensor, relations: Tensor, centres: int) -> Tensor:
        """Return the vectors of the centres.

        Args:
            features: [nodes, d]; the centres come first.
            edges: [2, e], from a neighbour to what it was drawn for.
            relations: [e], relation ids, of both directions.
            centres: the number of centres, n.

        Returns:
            [n, d].
        """
        states = features
        for position, layer in enumerate(self.layers):
            update = layer(states, edges, relations)
            if position < len(self.layers) - 1:
                update = nn.functional.gelu(update)
            states = states + update if self.settings.residual else update
        out: Tensor = self.dropout(self.norm(self.linear(states[:centres])))
        return out


def _encode_names(text: TextEncoder, names: Packed) -> Tensor:
    if not names.texts:
        return torch.zeros(0, text.hidden, device=names.ids.device)
    return pool_texts(text.encode(names), names.owner, names.texts)


class LinearEncoder(GraphEncoder):
    """The neighbourhood as one text, whose first state, [CLS], is the vector; no parameters."""

    settings: LinearSettings

    def set_tokenizer(self, tokenizer: Any) -> None:
        """Tokenise the relations' labels.

        Raises:
            ConfigError: if texts may be longer than the text encoder takes.
        """
        if self.settings.max_tokens > tokenizer.model_max_length:
            raise ConfigError(
                f"max_tokens is {self.settings.max_tokens}, but the text encoder takes at most "
                f"{tokenizer.model_max_length} word pieces",
                where="pretrain.models[].objectives[].graph.max_tokens",
            )
        self.labels = label_pieces(tokenizer, self.relations.labels)

    def prepare(self, arrays: Arrays, graph: Graph, centres: IntArray, keys: Keys) -> LinearBatch:
        """Draw neighbours and write them as text; see :class:`GraphEncoder`."""
        neighbours, longest = self.settings.neighbours, self.settings.max_tokens
        return linear_batch(arrays, graph, self.labels, centres, keys, neighbours, longest)

    def forward(self, text: TextEncoder, batch: LinearBatch) -> Tensor:
        """Encode the texts; see :class:`GraphEncoder`."""
        if not batch.packed.texts:
            return torch.zeros(0, text.hidden, device=batch.rows.device)
        first = batch.packed.offsets[:-1].long().index_select(0, batch.rows)
        return text.encode(batch.packed).index_select(0, first)


GRAPH_ENCODERS: Mapping[str, type[GraphEncoder]] = {
    **dict.fromkeys(GRAPH_LAYERS, GnnEncoder),
    "linear": LinearEncoder,
}


def build_graph_encoder(
    settings: GraphEncoderSettings, hidden: int, relations: Relations, tokenizer: Any
) -> GraphEncoder:
    """Build the encoder that the settings name.

    Args:
        settings: its kind and what belongs to it.
        hidden: width d.
        relations: of the graph.
        tokenizer: the text encoder's, of transformers.
    """
    encoder = GRAPH_ENCODERS[settings.type](hidden, relations, settings)
    encoder.set_tokenizer(tokenizer)
    return encoder


def save_graph_encoder(encoder: GraphEncoder, folder: Path) -> None:
    """Write ``graph_encoder.json``, what builds it again, and ``graph_encoder.safetensors``.

    Args:
        encoder: the graph encoder.
        folder: the model's folder, which exists; the tokenizer is in it too.
    """
    save_model(encoder, str(folder / "graph_encoder.safetensors"))
    facts = {
        "hidden": encoder.hidden,
        "relations": list(encoder.relations.names),
        "relation_labels": list(encoder.relations.labels),
        "settings": encoder.settings.model_dump(mode="json"),
    }
    write_json(folder / "graph_encoder.json", facts)


def load_graph_encoder(folder: Path) -> GraphEncoder:
    """Read the graph encoder from a model's folder, in evaluation mode."""
    facts = read_json(folder / "graph_encoder.json")
    settings = TypeAdapter[Any](GraphEncoderSettings).validate_python(facts["settings"])
    relations = Relations(facts["relations"], facts["relation_labels"])
    encoder = build_graph_encoder(settings, facts["hidden"], relations, load_tokenizer(folder))
    load_model(encoder, str(folder / "graph_encoder.safetensors"))
    return encoder.eval()
