"""Scores of edges by the vectors of names.

``text``: cosine of the vectors of ``head label`` and of the tail's name; for a head that is asked
for, of ``label tail`` and the head's name. Nothing is learnt.

``bilinear``: ``(P x_h) * r`` times ``Q x_t``, which is DistMult (Yang et al., ICLR 2015) on two
linear maps of the frozen vectors; learnt with cross entropy against the other tails, and the other
heads, of a batch. The pass with the lowest loss on development is kept.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from balign.embedding import FloatMatrix, embed_names, load_encoder
from balign.evaluate.graph_edges import EdgeSets, IntArray
from balign.evaluate.zero_shot_settings import ScoredEdgesTask
from balign.progress import track

log = logging.getLogger(__name__)

_RANK = 128  # width of the bilinear form
_BATCH = 512
_PASSES = 30
_RATE = 2e-3
_STEPS = 100_000  # scores count in steps of 1e-5, as in balign.embedding


class Scorer(Protocol):
    """What scores edges."""

    def queries(self, edges: IntArray, side: str) -> FloatMatrix:
        """Return the vectors that ask for the ``tail`` or ``head`` of edges, ``[n, k]``."""

    def answers(self, side: str) -> FloatMatrix:
        """Return the vectors of all concepts as ``tail`` or ``head``, ``[concepts, k]``."""


def make_scorer(task: ScoredEdgesTask, model: Path, sets: EdgeSets, seed: int) -> Scorer:
    """Embed the names with a model, and learn the scorer where the task wants one."""
    encoder = load_encoder(model)
    vectors = embed_names(encoder, sets.names, "concept names embedded", task.pooling)
    if task.scorer == "bilinear":
        return fit(vectors, sets, seed)

    def embed(texts: list[str]) -> FloatMatrix:
        return embed_names(encoder, texts, "queries embedded", task.pooling, max_tokens=64)

    return TextScorer(vectors, sets, embed)


@dataclass(frozen=True)
class TextScorer:
    """Vectors of names against vectors of texts."""

    vectors: FloatMatrix
    sets: EdgeSets
    embed: object

    def queries(self, edges: IntArray, side: str) -> FloatMatrix:
        """See :class:`Scorer`."""
        names, labels = self.sets.names, self.sets.labels
        texts = [
            f"{names[head]} {labels[relation]}"
            if side == "tail"
            else f"{labels[relation]} {names[tail]}"
            for head, relation, tail in edges.tolist()
        ]
        assert callable(self.embed)
        found: FloatMatrix = self.embed(texts)
        return found

    def answers(self, side: str) -> FloatMatrix:
        """See :class:`Scorer`."""
        return self.vectors


class Bilinear(torch.nn.Module):
    """The bilinear form; starts near the cosine of the two vectors."""

    def __init__(self, width: int, relations: int, generator: torch.Generator) -> None:
        super().__init__()
        start = torch.randn(width, _RANK, generator=generator) / _RANK**0.5
        self.head = torch.nn.Parameter(start.clone())
        self.tail = torch.nn.Parameter(start.clone())
        self.relation = torch.nn.Parameter(torch.ones(relations, _RANK))
        self.scale = torch.nn.Parameter(torch.tensor(10.0))

    def loss(self, vectors: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        """Return the cross entropy of the right tails and heads within the batch."""
        asked = (vectors[edges[:, 0]] @ self.head) * self.relation[edges[:, 1]]
        scores = self.scale * asked @ (vectors[edges[:, 2]] @ self.tail).T
        same_tail = edges[:, 2, None] == edges[None, :, 2]
        same_head = (edges[:, 0, None] == edges[None, :, 0]) & (
            edges[:, 1, None] == edges[None, :, 1]
        )
        own = torch.eye(len(edges), dtype=torch.bool)
        # Another edge of the same head and relation is no wrong answer; nor is an equal tail.
        scores = scores.masked_fill((same_tail | same_head) & ~own, float("-inf"))
        right = torch.arange(len(edges))
        cross = torch.nn.functional.cross_entropy
        return cross(scores, right) + cross(scores.T, right)


@dataclass(frozen=True)
class BilinearScorer:
    """A learnt form and the vectors that it was learnt on."""

    vectors: FloatMatrix
    head: FloatMatrix
    tail: FloatMatrix
    relation: FloatMatrix

    def queries(self, edges: IntArray, side: str) -> FloatMatrix:
        """See :class:`Scorer`."""
        column, matrix = (0, self.head) if side == "tail" else (2, self.tail)
        found: FloatMatrix = (self.vectors[edges[:, column]] @ matrix) * self.relation[edges[:, 1]]
        return found

    def answers(self, side: str) -> FloatMatrix:
        """See :class:`Scorer`."""
        found: FloatMatrix = self.vectors @ (self.tail if side == "tail" else self.head)
        return found


def fit(vectors: FloatMatrix, sets: EdgeSets, seed: int) -> BilinearScorer:
    """Learn the bilinear form on the training edges.

    One thread: the sums of small matrices would else depend on the number of threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        best = _fitted(torch.from_numpy(vectors), sets, seed)
    finally:
        torch.set_num_threads(threads)
    parts = (getattr(best, name).detach().numpy() for name in ("head", "tail", "relation"))
    return BilinearScorer(vectors, *parts)


def _fitted(vectors: torch.Tensor, sets: EdgeSets, seed: int) -> Bilinear:
    form = Bilinear(vectors.shape[1], len(sets.relations), torch.Generator().manual_seed(seed))
    optimiser = torch.optim.Adam(form.parameters(), lr=_RATE)
    rng = np.random.default_rng(seed)
    train, dev = torch.from_numpy(sets.train), torch.from_numpy(sets.dev)
    lowest, best, losses = float("inf"), form, []
    for _ in track(range(_PASSES), "passes over the training edges"):
        for batch in np.array_split(rng.permutation(len(train)), max(1, len(train) // _BATCH)):
            optimiser.zero_grad(set_to_none=True)
            loss = form.loss(vectors, train[torch.from_numpy(batch)])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.inference_mode():
            blocks = torch.split(dev, _BATCH)
            losses.append(sum(float(form.loss(vectors, one)) * len(one) for one in blocks))
        if losses[-1] < lowest:
            lowest, best = losses[-1], copy.deepcopy(form)
    log.info("loss on development: %.3f at first, %.3f at best", losses[0], lowest)
    return best


def score_steps(queries: FloatMatrix, answers: FloatMatrix) -> IntArray:
    """Return the scores of every answer to every query in steps of 1e-5, ``[q, a]``."""
    found: IntArray = np.rint(queries @ answers.T * _STEPS).astype(np.int64)
    return found


def edge_scores(scorer: Scorer, edges: IntArray) -> FloatMatrix:
    """Return the score of each edge, ``[n]``: the tail as the answer."""
    answers = scorer.answers("tail")[edges[:, 2]]
    steps = np.rint((scorer.queries(edges, "tail") * answers).sum(axis=1) * _STEPS)
    found: FloatMatrix = (steps / _STEPS).astype(np.float32)
    return found
