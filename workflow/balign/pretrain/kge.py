"""The rule ``pretrain_kge``: vectors of concepts and relations from the graph's edges alone.

TransE (Bordes et al., NeurIPS 2013), DistMult (Yang et al., ICLR 2015) and RotatE (Sun et al., ICLR
2019) are torch-geometric's; here are the batches, the checkpoints and the filtered ranking.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from balign.digest import code_digest
from balign.errors import DataError
from balign.files import atomic_path, canonical_json, sha256_file, text_digest, write_json
from balign.graph.csr import Graph
from balign.pretrain.batches import generator
from balign.pretrain.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from balign.pretrain.data import IntArray
from balign.pretrain.kge_scores import GRAPH_FILES, KgeTables, Scorer
from balign.pretrain.settings import KgeSettings
from balign.progress import track

log = logging.getLogger(__name__)

_CUTS = (1, 3, 10)
_EDGES_AT_ONCE = 64


def pretrain_kge(
    settings: KgeSettings,
    graph_folder: Path,
    output: Path,
    checkpoints: Path,
    threads: int | None = None,
) -> None:
    """Train the vectors and rank the held-out edges with them.

    Writes ``entities.npy`` [nodes, d] and ``relations.npy`` [relations, d'] (float32; for RotatE
    the real parts and then the imaginary, and the angles), and ``kge.json`` with the filtered mean
    reciprocal rank and Hits@k of both directions. The same settings and graph give the same bytes.

    Args:
        settings: of the run.
        graph_folder: folder of the graph.
        output: the folder to write.
        checkpoints: where the state after each pass is kept while training.
        threads: processor threads; None leaves PyTorch's choice.

    Raises:
        DataError: if the graph has no edge.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    graph = Graph.open(graph_folder)
    triples = graph.triples()
    if len(triples) == 0:
        raise DataError("the graph has no edge to learn from", where=str(graph_folder))
    torch.manual_seed(settings.seed)
    model = build_kge(settings, len(graph), len(graph.relations)).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
    facts: dict[str, Any] = {
        "settings": settings.model_dump(mode="json"),
        "graph": {name: sha256_file(graph_folder / name) for name in GRAPH_FILES},
        "code": code_digest(__name__),
    }
    digest = text_digest(canonical_json(facts))
    folder = checkpoints / f"{settings.name}-{digest}"
    state = load_checkpoint(folder, model, optimiser) or TrainingState()
    for epoch in track(range(state.step, settings.epochs), f"passes of {settings.name}"):
        loss = _pass(model, optimiser, triples, settings, epoch, device)
        state.step += 1
        state.lines.append({"epoch": epoch + 1, "loss": loss})
        log.info("%s: pass %d, loss %.4f", settings.name, epoch + 1, loss)
        save_checkpoint(folder, model, optimiser, state, keep=1)
    figures = rank_edges(model, triples, graph.held_out, device)
    log.info("%s: %s", settings.name, figures)
    found = tables(model)
    with atomic_path(output) as temporary:
        temporary.mkdir()
        np.save(temporary / "entities.npy", found.entities.cpu().numpy())
        np.save(temporary / "relations.npy", found.relations.cpu().numpy())
        facts |= {"digest": digest, "nodes": len(graph), "edges": len(triples)}
        write_json(temporary / "kge.json", facts | {"losses": state.lines, "metrics": figures})
    shutil.rmtree(folder, ignore_errors=True)


def build_kge(settings: KgeSettings, nodes: int, relations: int) -> Any:
    """Return torch-geometric's model."""
    from torch_geometric.nn import DistMult, RotatE, TransE

    kinds: dict[str, Any] = {"transe": TransE, "distmult": DistMult, "rotate": RotatE}
    return kinds[settings.model](nodes, relations, settings.size)


def tables(model: Any) -> KgeTables:
    """Return the tables of torch-geometric's model."""
    parts = [model.node_emb.weight]
    if hasattr(model, "node_emb_im"):
        parts.append(model.node_emb_im.weight)
    entities = torch.cat(parts, dim=1).detach()
    return KgeTables(type(model).__name__.lower(), entities, model.rel_emb.weight.detach())


def _pass(
    model: Any,
    optimiser: torch.optim.Optimizer,
    triples: IntArray,
    settings: KgeSettings,
    epoch: int,
    device: torch.device,
) -> float:
    """Go over all edges once, one corrupted edge against each; return the mean loss."""
    random = generator(settings.seed, epoch)
    torch.manual_seed(int(random.integers(2**62)))  # torch-geometric draws the corrupted edges
    order = random.permutation(len(triples))
    total = torch.zeros((), device=device)
    for start in range(0, len(order), settings.batch_edges):
        batch = torch.from_numpy(triples[order[start : start + settings.batch_edges]]).to(device)
        head, relation, tail = batch.unbind(1)
        optimiser.zero_grad(set_to_none=True)
        loss = model.loss(head, relation, tail)
        loss.backward()
        optimiser.step()
        total += loss.detach() * len(batch)
    return float(total) / len(triples)


@dataclass(frozen=True)
class _Known:
    """Which ends complete an (end, relation), sorted by that key."""

    keys: IntArray
    ends: IntArray

    def of(self, key: int) -> IntArray:
        first, last = np.searchsorted(self.keys, [key, key + 1])
        return self.ends[first:last]


def _known(ends: IntArray, relation: IntArray, others: IntArray, relations: int) -> _Known:
    keys = ends * relations + relation
    order = np.argsort(keys, kind="stable")
    return _Known(keys[order], others[order])


def ranks(score: Scorer, known: IntArray, edges: IntArray, device: torch.device) -> IntArray:
    """Return the filtered ranks [m, 2] of each edge's tail among all nodes, and of its head.

    Other ends that the graph has, held out or not, do not count (Bordes et al., 2013, "filtered");
    of equal scores half count, rounded up, so that a constant score is no good one.

    Args:
        score: of the tables.
        known: [n, 3], the graph's edges.
        edges: [m, 3], the edges to rank.
        device: of the model.
    """
    every = np.concatenate([known, edges])
    relations = int(every[:, 1].max(initial=0)) + 1
    tails = _known(every[:, 0], every[:, 1], every[:, 2], relations)
    heads = _known(every[:, 2], every[:, 1], every[:, 0], relations)
    found = np.zeros((len(edges), 2), dtype=np.int64)
    for start in range(0, len(edges), _EDGES_AT_ONCE):
        part = np.array(edges[start : start + _EDGES_AT_ONCE])
        head, relation, tail = torch.from_numpy(part).to(device).unbind(1)
        for column, (scores, given, right, others) in enumerate(
            (
                (score(head, relation, True), 0, 2, tails),
                (score(tail, relation, False), 2, 0, heads),
            )
        ):
            for place, (row, edge) in enumerate(zip(scores, part.tolist(), strict=True)):
                same = others.of(edge[given] * relations + edge[1])
                found[start + place, column] = _rank(row, edge[right], same)
    return found


def _rank(scores: Tensor, right: int, known: IntArray) -> int:
    best = scores[right].clone()
    scores[torch.from_numpy(known).to(scores.device)] = -torch.inf
    above, level = int((scores > best).sum()), int((scores == best).sum())
    return 1 + above + (level + 1) // 2


def rank_edges(
    model: nn.Module, known: IntArray, edges: IntArray, device: torch.device
) -> dict[str, float]:
    """Return the mean reciprocal rank and Hits@k over both directions; empty without edges."""
    found = ranks(Scorer(tables(model)), known, edges, device).ravel().astype(np.float64)
    if len(found) == 0:
        return {}
    hits = {f"hits@{k}": float((found <= k).mean()) for k in _CUTS}
    return {"mrr": float((1 / found).mean()), **hits, "n": len(found)}
