"""The neighbourhoods of a step's concepts, with the names that stand for the nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from balign.graph.csr import Graph
from balign.graph.sample import Keys, draw_names, sample_subgraphs
from balign.pretrain.data import Arrays, IntArray
from balign.pretrain.packing import Packed, TensorBatch, pack

Stopped = Literal["none", "neighbours", "centres", "all"]


@dataclass(frozen=True)
class SubgraphBatch(TensorBatch):
    """A tree of neighbours for each of n centres; each distinct name is to be encoded once.

    Attributes:
        packed: distinct names that are to be encoded with gradient.
        fixed: those to be encoded without, of nodes that are not to learn alone.
        names: [nodes], for each node its name, counted through both; the centres come first.
        learns: [nodes], whether the node's name is to learn.
        edges: [2, e], from neighbour to what it was drawn for.
        relations: [e].
        centres: [n], the centres' node ids.
    """

    packed: Packed
    fixed: Packed
    names: Tensor
    learns: Tensor
    edges: Tensor
    relations: Tensor
    centres: Tensor


def subgraph_batch(
    arrays: Arrays,
    graph: Graph,
    centres: IntArray,
    keys: Keys,
    neighbours: int,
    hops: int = 1,
    stopped: Stopped = "none",
) -> SubgraphBatch:
    """Draw neighbours and names for centres.

    What is drawn for a centre depends on its key alone, not on the other centres.

    Args:
        arrays: the training arrays.
        graph: the concept graph.
        centres: [n], nodes; one that is there twice draws twice.
        keys: [n], one for each centre.
        neighbours: drawn for a node, at most.
        hops: 1, or 2 to draw for the neighbours too.
        stopped: whose names are encoded without gradient.
    """
    drawn = sample_subgraphs(graph, centres, keys, neighbours, hops)
    centre = np.arange(len(drawn.nodes)) < len(centres)
    learns = {"none": centre | True, "neighbours": centre, "centres": ~centre, "all": centre & 0}
    learn = learns[stopped].astype(bool)
    chosen = draw_names(graph, drawn.nodes, drawn.keys)
    names, back = np.unique(chosen, return_inverse=True)
    fixed = np.bincount(back, weights=learn, minlength=len(names)) == 0
    # First those that learn; in both the order of length, which packs best.
    lengths = arrays.name_indptr[names + 1] - arrays.name_indptr[names]
    order = np.lexsort((lengths, fixed))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    learning, rest = np.split(names[order], [len(names) - int(fixed.sum())])
    return SubgraphBatch(
        packed=pack(arrays.name_tokens, arrays.name_indptr, learning),
        fixed=pack(arrays.name_tokens, arrays.name_indptr, rest),
        names=torch.from_numpy(place[back]),
        learns=torch.from_numpy(learn),
        edges=torch.from_numpy(drawn.edges),
        relations=torch.from_numpy(drawn.relations),
        centres=torch.from_numpy(np.asarray(centres, np.int64)),
    )
