"""Adapters on parts of the graph, the encoder frozen (knowledge adapters, arXiv 2312.13881)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peft import LoraConfig, LoraModel, PeftConfig
from safetensors.torch import save_file
from torch import Tensor

from balign.files import write_json
from balign.pretrain.batches import TextBatch, Visit
from balign.pretrain.data import IntArray
from balign.pretrain.encoder import TextEncoder
from balign.pretrain.objectives.base import Sentences, TrainingData
from balign.pretrain.objectives.examples import draw, places
from balign.pretrain.objectives.kgi import KgiObjective, TripleBatch
from balign.pretrain.packing import TensorBatch
from balign.pretrain.settings import AdapterSettings

_MERGED = "merged"


@dataclass(frozen=True)
class PartBatch(TensorBatch):
    """Triples of one part of the graph.

    Attributes:
        triples: as text.
        number: of the part.
    """

    triples: TripleBatch
    number: int


class AdapterObjective(KgiObjective):
    """The tasks of ``kgi``, each part of the graph learnt by an adapter of its own.

    The relations are shared out over so many parts of about equal numbers of edges; step i trains
    the adapter of part i modulo their number. The adapters are peft's LoRA (Hu et al., ICLR 2022)
    on all linear maps of the encoder, whose own weights stay as they are; the heads are shared. At
    the end the mean of all adapters is added to the weights, so that what is written is an
    ordinary encoder, and the adapters are written beside it.
    """

    settings: AdapterSettings  # type: ignore[assignment]

    def __init__(self, settings: AdapterSettings, text: TextEncoder, data: TrainingData) -> None:
        """Put the adapters into the encoder and share out the relations."""
        super().__init__(settings, text, data)  # type: ignore[arg-type]
        counts = np.bincount(self.triples[:, 1], minlength=len(data.graph.relations))
        self.part_of = share_out(counts, settings.parts)
        part = self.part_of[self.triples[:, 1]]
        chosen = [self.triples[part == number] for number in range(settings.parts)]
        self.chosen = [triples for triples in chosen if len(triples)]
        self.names = [f"part{number}" for number in range(len(self.chosen))]
        configs: dict[str, PeftConfig] = {
            name: LoraConfig(
                r=settings.rank, lora_alpha=2 * settings.rank, lora_dropout=settings.dropout,
                target_modules="all-linear",
            )
            for name in self.names
        }  # fmt: skip
        base = text.model.base_model
        tuner = LoraModel(base, configs, self.names[0])
        for name in self.names[1:]:
            tuner.inject_adapter(base, name)
        tuner.set_adapter(self.names)  # all are to learn; each step uses one
        self._tuner = (tuner,)  # in a tuple, or its parameters would be registered twice
        self._saved: dict[str, Tensor] = {}

    def prepare(self, rows: IntArray, text: TextBatch, visit: Visit) -> PartBatch:  # type: ignore[override]
        """Draw triples of the step's part and write them as text."""
        number = visit.step % len(self.chosen)
        numbers = places(visit, self.settings.triples)
        triples = self.chosen[number]
        triples = triples[draw(visit, numbers, 4, len(triples))]
        return PartBatch(self.write(triples, numbers, visit), number)

    def losses(
        self, text: TextEncoder, part: Any, sentences: Sentences | None
    ) -> dict[str, Tensor]:
        """Return ``adapter_entity``, ``adapter_relation`` and ``adapter_triple``."""
        assert isinstance(part, PartBatch)
        self._tuner[0].set_adapter(self.names[part.number])
        return super().losses(text, part.triples, sentences)

    def finish(self, text: TextEncoder) -> None:
        """Add the mean of the adapters to the encoder's weights and take them out."""
        (tuner,) = self._tuner
        self._saved = {
            name: value.detach().cpu().clone()
            for name, value in tuner.model.named_parameters()
            if "lora_" in name
        }
        equal = [1 / len(self.names)] * len(self.names)
        tuner.add_weighted_adapter(self.names, equal, _MERGED, combination_type="cat")
        tuner.merge_and_unload(adapter_names=[_MERGED])

    def save(self, folder: Path) -> None:
        """Write the adapters, and which relations each has learnt."""
        save_file(self._saved, str(folder / "adapters.safetensors"))
        relations = self.data.graph.relations
        parts = {
            name: [relations[int(i)] for i in np.flatnonzero(self.part_of == number)]
            for number, name in enumerate(self.names)
        }
        write_json(folder / "adapters.json", {"rank": self.settings.rank, "parts": parts})


def share_out(counts: IntArray, parts: int) -> IntArray:
    """Share relations out over parts of about equal numbers of edges, largest first.

    Args:
        counts: [relations], edges of each.
        parts: wanted; fewer where there are fewer relations with edges.

    Returns:
        [relations], the part of each; -1 for one without edges.
    """
    load = np.zeros(min(parts, int((counts > 0).sum())), dtype=np.int64)
    found = np.full(len(counts), -1, dtype=np.int64)
    for relation in np.argsort(-counts, kind="stable"):
        if counts[relation]:
            found[relation] = int(load.argmin())
            load[found[relation]] += counts[relation]
    return found
