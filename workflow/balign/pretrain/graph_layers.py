"""Layers of graph neural networks that know relations: GATv2, R-GCN and GraphSAGE.

A layer takes ``states`` [nodes, d], ``edges`` [2, e] from neighbour to target and ``relations`` [e]
and returns what it computes for each node, [nodes, d]. Relation ids run over both directions. No
layer's work grows with the number of relations, of which UMLS has about a thousand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv

from balign.pretrain.losses import mean_rows
from balign.pretrain.settings import Gatv2Settings, GnnSettings, RgcnSettings, SageSettings


class BuildLayer(Protocol):
    """What makes a layer."""

    def __call__(
        self, width: int, relations: int, settings: GnnSettings, scale: float
    ) -> nn.Module:
        """Build a layer.

        Args:
            width: d.
            relations: number of relation ids, of both directions.
            settings: of the network.
            scale: of the initial weights, against their usual size.
        """


class Gatv2Layer(nn.Module):
    """GATv2, with the relation as a feature of the attention and a relation for the node itself."""

    def __init__(self, width: int, relations: int, settings: GnnSettings, scale: float) -> None:
        """Build it; see :class:`BuildLayer`.

        Raises:
            ValueError: if the heads do not divide the width.
        """
        super().__init__()
        assert isinstance(settings, Gatv2Settings)
        if width % settings.heads:
            raise ValueError(f"{settings.heads} heads do not divide the width {width}")
        part = width // settings.heads
        self.itself = relations
        self.relation = nn.Embedding(relations + 1, part) if settings.relations else None
        self.convolution = GATv2Conv(
            width,
            part,
            heads=settings.heads,
            dropout=settings.dropout,
            edge_dim=part if settings.relations else None,
            add_self_loops=False,  # ours carry a relation of their own
        )
        with torch.no_grad():
            self.convolution.lin_l.weight.mul_(scale)

    def forward(self, states: Tensor, edges: Tensor, relations: Tensor) -> Tensor:
        """Return what the layer computes."""
        loops = torch.arange(states.shape[0], device=states.device)
        edges = torch.cat([edges, loops.expand(2, -1)], dim=1)
        features = None
        if self.relation is not None:
            own = relations.new_full(loops.shape, self.itself)
            features = self.relation(torch.cat([relations, own]))
        out: Tensor = self.convolution(states, edges, features)
        return out


class RgcnLayer(nn.Module):
    """R-GCN with basis decomposition: W_r = sum over b of a_rb V_b, and the mean over neighbours.

    The neighbours are summed once for each basis before the matrices are applied, which is the
    same and needs no product for each relation or edge. PyTorch Geometric's RGCNConv loops over the
    relations, and its FastRGCNConv makes a matrix for each edge: a layer with 20 relations and 180
    edges of width 384 takes them 450 and 504 ms, forward and backward, and this one 130 (measured).
    """

    def __init__(self, width: int, relations: int, settings: GnnSettings, scale: float) -> None:
        """Build it; see :class:`BuildLayer`."""
        super().__init__()
        assert isinstance(settings, RgcnSettings)
        self.bases = nn.Parameter(torch.empty(settings.bases, width, width))
        self.coefficients = nn.Parameter(torch.empty(relations, settings.bases))
        self.itself = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.coefficients)
        with torch.no_grad():
            for matrix in self.bases:
                nn.init.xavier_uniform_(matrix).mul_(scale)
            self.itself.weight.mul_(scale)

    def forward(self, states: Tensor, edges: Tensor, relations: Tensor) -> Tensor:
        """Return what the layer computes."""
        source, target = edges
        parts = self.coefficients[relations][:, :, None] * states[source][:, None, :]
        mean = mean_rows(parts.flatten(1), target, len(states))
        out: Tensor = mean @ self.bases.flatten(0, 1) + self.itself(states)
        return out


class SageLayer(nn.Module):
    """GraphSAGE with the mean; a relation adds a vector to the neighbour it leads from."""

    def __init__(self, width: int, relations: int, settings: GnnSettings, scale: float) -> None:
        """Build it; see :class:`BuildLayer`."""
        super().__init__()
        assert isinstance(settings, SageSettings)
        self.relation = nn.Embedding(relations, width) if settings.relations else None
        self.neighbours = nn.Linear(width, width)
        self.itself = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            self.neighbours.weight.mul_(scale)
            self.itself.weight.mul_(scale)
            if self.relation is not None:  # as large as a feature would be too loud at first
                self.relation.weight.mul_(scale)

    def forward(self, states: Tensor, edges: Tensor, relations: Tensor) -> Tensor:
        """Return what the layer computes."""
        source, target = edges
        messages = states[source]
        if self.relation is not None:
            messages = messages + self.relation(relations)
        mean = mean_rows(messages, target, len(states))
        out: Tensor = self.neighbours(mean) + self.itself(states)
        return out


GRAPH_LAYERS: Mapping[str, BuildLayer] = {
    "gatv2": Gatv2Layer,
    "rgcn": RgcnLayer,
    "sage": SageLayer,
}
