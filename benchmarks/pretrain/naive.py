"""BALI-GNN as one would write it by following the paper (arXiv 2509.07588): the baseline.

Sentences padded to 128 word pieces, names to 32, one name encoded for every node of every star
graph; the MLM head of transformers on all positions; GATv2 of PyTorch Geometric; NTXentLoss of
pytorch-metric-learning, which compares each pair of equal labels with each pair of different ones;
AdamW as it comes; one DataLoader. It is written to be right and plain, and to be slow by no other
means. It takes its text, mentions and neighbours from the arrays that balign trains on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from pytorch_metric_learning.losses import NTXentLoss
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch_geometric.nn import GATv2Conv

from balign.graph.csr import Graph
from balign.pretrain.batches import Vocabulary
from balign.pretrain.data import Arrays

LENGTH = 128
NAME_LENGTH = 32
LAYERS = 5
HEADS = 2
DROPOUT = 0.1

Example = tuple[list[int], dict[int, list[int]]]  # word pieces; places of each concept's mentions


class LinkedSentences(Dataset[Example]):
    """The training sentences."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays.train)

    def __getitem__(self, index: int) -> Example:
        arrays = self.arrays
        row = int(arrays.train[index])
        ids = arrays.tokens[arrays.token_indptr[row] : arrays.token_indptr[row + 1]].tolist()
        concepts: dict[int, list[int]] = {}
        for mention in range(arrays.mention_indptr[row], arrays.mention_indptr[row + 1]):
            places = concepts.setdefault(int(arrays.mention_node[mention]), [])
            for place in range(arrays.mention_start[mention], arrays.mention_end[mention]):
                if place not in places:
                    places.append(place)
        return ids, concepts


class Collate:
    """From sentences to padded tensors."""

    def __init__(self, arrays: Arrays, graph: Graph, vocabulary: Vocabulary, count: int) -> None:
        """Remember what is drawn from; ``count`` is the number of neighbours."""
        self.arrays, self.graph, self.vocabulary, self.count = arrays, graph, vocabulary, count

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return a batch."""
        anchors = [
            (row, concept, places)
            for row, (_, concepts) in enumerate(examples)
            for concept, places in concepts.items()
        ]
        nodes = [concept for _, concept, _ in anchors]
        edges: list[tuple[int, int]] = []
        for centre, (_, concept, _) in enumerate(anchors):
            near = self.graph.neighbours(concept)[0].tolist()
            for neighbour in random.sample(near, min(self.count, len(near))):
                edges.append((len(nodes), centre))
                nodes.append(neighbour)
        ids, mask = _pad([ids for ids, _ in examples], LENGTH, self.vocabulary.padding)
        names = [self._name(node) for node in nodes]
        name_ids, name_mask = _pad(names, NAME_LENGTH, self.vocabulary.padding)
        corrupted, labels = self._corrupt(ids, mask)
        return {
            "ids": corrupted,
            "mask": mask,
            "labels": labels,
            "mentions": [(row, places) for row, _, places in anchors],
            "concepts": torch.tensor([concept for _, concept, _ in anchors]),
            "name_ids": name_ids,
            "name_mask": name_mask,
            "edges": torch.tensor(edges).reshape(-1, 2).T.contiguous(),
        }

    def _name(self, node: int) -> list[int]:
        indptr = self.graph.name_indptr
        name = random.randrange(int(indptr[node]), int(indptr[node + 1]))
        begin, end = self.arrays.name_indptr[name : name + 2]
        pieces: list[int] = self.arrays.name_tokens[begin:end].tolist()
        return pieces

    def _corrupt(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        special = torch.isin(ids, torch.from_numpy(self.vocabulary.special))
        chosen = (torch.rand(ids.shape) < 0.15) & (mask == 1) & ~special
        labels = ids.masked_fill(~chosen, -100)
        how = torch.rand(ids.shape)
        other = torch.randint(self.vocabulary.size, ids.shape)
        ids = torch.where(chosen & (how < 0.8), self.vocabulary.mask, ids)
        return torch.where(chosen & (how >= 0.8) & (how < 0.9), other, ids), labels


def _pad(texts: Sequence[Sequence[int]], length: int, padding: int) -> tuple[Tensor, Tensor]:
    ids = torch.full((len(texts), length), padding)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)
        mask[row, : len(text)] = 1
    return ids, mask


def batches(dataset: LinkedSentences, collate: Collate, size: int) -> Iterator[dict[str, Any]]:
    """Yield shuffled batches for ever; where there is a GPU to feed, worker processes make them."""
    workers = 4 if torch.cuda.is_available() else 0
    loader = DataLoader(
        dataset, size, shuffle=True, drop_last=True, collate_fn=collate, num_workers=workers
    )
    while True:
        yield from loader


def to(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return a batch on a device."""
    return {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}


class NaiveBali(nn.Module):
    """Text encoder, graph encoder and the two losses."""

    def __init__(self, bert: Any, temperature: float = 0.07) -> None:
        """Take a ``BertForMaskedLM``."""
        super().__init__()
        self.bert = bert
        hidden = bert.config.hidden_size
        self.layers = nn.ModuleList(
            GATv2Conv(hidden, hidden // HEADS, heads=HEADS, dropout=DROPOUT) for _ in range(LAYERS)
        )
        self.output = nn.Sequential(
            nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.Dropout(DROPOUT)
        )
        self.contrast = NTXentLoss(temperature=temperature)

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return the MLM and the alignment loss."""
        out = self.bert(
            input_ids=batch["ids"],
            attention_mask=batch["mask"],
            labels=batch["labels"],
            output_hidden_states=True,
        )
        states = out.hidden_states[-1]
        mentions = torch.stack([states[row, places].mean(0) for row, places in batch["mentions"]])
        mask = batch["name_mask"]
        names = self.bert.bert(input_ids=batch["name_ids"], attention_mask=mask).last_hidden_state
        nodes = (names * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        for number, layer in enumerate(self.layers):
            nodes = layer(nodes, batch["edges"])
            if number + 1 < len(self.layers):
                nodes = nn.functional.gelu(nodes)
        centres = self.output(nodes[: len(mentions)])
        concepts = batch["concepts"]
        vectors = torch.cat([mentions, centres]).float()
        return out.loss, self.contrast(vectors, torch.cat([concepts, concepts]))


def step(model: NaiveBali, optimiser: torch.optim.Optimizer, batch: dict[str, Any]) -> float:
    """Do one step of training in the precision that is set, and return the loss."""
    optimiser.zero_grad()
    mlm, alignment = model(batch)
    loss = mlm + alignment
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def real_pieces(batch: dict[str, Any]) -> int:
    """Return the word pieces of a batch that are no padding."""
    return int(np.sum([batch["mask"].sum(), batch["name_mask"].sum()]))
