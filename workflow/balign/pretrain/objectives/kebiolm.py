"""Entities between the layers of the encoder (KeBioLM: Yuan et al., BioNLP 2021)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from balign import modeling_kebiolm
from balign.errors import DataError
from balign.modeling_kebiolm import (
    BEGIN,
    INSIDE,
    KebiolmConfig,
    KebiolmForMaskedLM,
    Knowledge,
    Mentions,
    find_mentions,
)
from balign.pretrain.batches import Purpose, TextBatch, Visit, text_batch
from balign.pretrain.data import Arrays, IntArray, ranges
from balign.pretrain.encoder import TextEncoder
from balign.pretrain.losses import linking_loss, mlm_loss
from balign.pretrain.objectives.base import Objective, Sentences, TrainingData, Validation
from balign.pretrain.packing import TensorBatch
from balign.pretrain.processes import share
from balign.pretrain.settings import KebiolmSettings


@dataclass(frozen=True)
class KebiolmBatch(TensorBatch):
    """Sentences with m mentions, none overlapping; positions are those in the packed sentences.

    Attributes:
        text: the sentences, whole mentions and other pieces masked.
        tags: [t], outside a mention, its beginning, or inside.
        known: the four tensors of ``Mentions``.
        spans: [e], mentions. entities: [e], what they name: a mention may name several.
        candidates: [n], entities that the softmax of linking is over; None for all.
    """

    text: TextBatch
    tags: Tensor
    known: tuple[Tensor, ...]
    spans: Tensor
    entities: Tensor
    candidates: Tensor | None

    @property
    def mentions(self) -> Mentions:
        """The mentions."""
        return Mentions(*self.known)


@dataclass(frozen=True)
class Read:
    """What the model makes of a batch.

    Attributes:
        logits: [m, vocabulary], of the masked pieces.
        tags: [t, 3], logits of the tags.
        vectors: [m, entity_size], of the mentions.
    """

    logits: Tensor
    tags: Tensor
    vectors: Tensor


class KebiolmObjective(Objective):
    """MLM of a KeBioLM, detection of mentions and linking; the encoder becomes a KeBioLM.

    - MLM: cross entropy; a mention's pieces are masked together;
    - detection: cross entropy of each piece's tag, from the lower layers;
    - linking: cross entropy of the right entities over the whole table, from the lower layers.

    What lies between the layers is ``balign.modeling_kebiolm``'s. The upper layers read the given
    mentions here, and the detected ones wherever the model is used.
    """

    reads_sentences = False
    settings: KebiolmSettings

    def __init__(self, settings: KebiolmSettings, text: TextEncoder, data: TrainingData) -> None:
        """Put the entities into the encoder.

        Raises:
            DataError: if it is no BERT, or has too few layers.
        """
        super().__init__(settings, text, data)
        size = settings.entity_size if data.entities is None else data.entities.shape[1]
        old = text.model.config
        if old.model_type != "bert":
            raise DataError(
                f"a '{old.model_type}' cannot become a KeBioLM",
                hint="use a BERT as pretrain.models[...].encoder, such as PubMedBERT or minilm",
            )
        lower = settings.text_layers or max(1, 2 * old.num_hidden_layers // 3)
        if lower >= old.num_hidden_layers:
            raise DataError(
                f"{lower} layers for text alone leave none of {old.num_hidden_layers} for entities",
                where="pretrain.models[...].objectives[kebiolm].text_layers",
            )
        config = KebiolmConfig(
            **{key: value for key, value in old.to_dict().items() if key != "model_type"},
            text_layers=lower,
            entities=len(data.graph),
            entity_size=size,
            top_entities=settings.top_entities,
        )
        config.auto_map = modeling_kebiolm.auto_map()
        model = KebiolmForMaskedLM(config)
        share_parameters(text.model, model)
        text.adopt(model)
        table = knowledge_of(text).entities.weight
        with torch.no_grad():
            # The three models' vectors are of different lengths; all start at length 1.
            start = torch.randn_like(table) if data.entities is None else data.entities
            table.copy_(functional.normalize(start))

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of each loss."""
        one = self.settings
        return {
            "kebiolm_mlm": one.weight * one.mlm_weight,
            "kebiolm_detection": one.weight * one.detection_weight,
            "kebiolm_linking": one.weight * one.linking_weight,
        }

    def prepare(self, rows: IntArray, text: TextBatch, visit: Visit) -> KebiolmBatch:
        """Find the mentions, mask, and draw the candidates of linking if there are too many."""
        data = self.data
        first, last, spans, entities = mention_spans(data.arrays, rows)
        pieces, owner = ranges(first, last + 1)
        places = text.packed.places.numpy()
        unit, tags = places.copy(), np.zeros(len(places), dtype=np.int64)
        unit[pieces] = places[first[owner]]
        tags[pieces] = INSIDE
        tags[first] = BEGIN
        masked = text_batch(
            data.arrays, rows, data.vocabulary, self.settings.probability, visit, unit
        )
        candidates = None
        if len(data.graph) > self.settings.softmax_entities:
            drawn = draw_candidates(visit, self.settings.softmax_entities, len(data.graph))
            candidates = torch.from_numpy(drawn)
        known = tuple(map(torch.from_numpy, (first, last, pieces, owner)))
        labels, *links = map(torch.from_numpy, (tags, spans, entities))
        return KebiolmBatch(masked, labels, known, links[0], links[1], candidates)

    def losses(
        self, text: TextEncoder, part: Any, sentences: Sentences | None
    ) -> dict[str, Tensor]:
        """Return ``kebiolm_mlm``, ``kebiolm_detection`` and ``kebiolm_linking``."""
        assert isinstance(part, KebiolmBatch)
        return self.losses_of(self.read(text, part), knowledge_of(text), part)

    def read(self, text: TextEncoder, part: KebiolmBatch) -> Read:
        """Encode the sentences with their mentions."""
        seen: list[tuple[Tensor, Tensor]] = []
        states = text.encode(part.text.packed, mentions=part.mentions, seen=seen)
        ((lower, vectors),) = seen
        tags = knowledge_of(text).detection(lower)
        return Read(text.logits(states, part.text.masked), tags, vectors)

    def losses_of(self, read: Read, knowledge: Knowledge, part: KebiolmBatch) -> dict[str, Tensor]:
        """Return the losses of what was read."""
        table = knowledge.entities.weight
        vectors = read.vectors.index_select(0, part.spans)
        found = {
            "mlm": (mlm_loss(read.logits, part.text.labels), len(part.text.labels)),
            "detection": (mlm_loss(read.tags, part.tags), len(part.tags)),
            "linking": (
                linking_loss(vectors, part.entities, table, part.candidates),
                len(part.entities),
            ),
        }
        return {f"kebiolm_{name}": loss * share(size, loss) for name, (loss, size) in found.items()}

    def validation(self) -> KebiolmValidation:
        """Return what tells how many mentions are found and linked."""
        return KebiolmValidation(self)

    def save(self, folder: Path) -> None:
        """Write the model's code, and the concept of each row of the table."""
        shutil.copyfile(modeling_kebiolm.__file__, folder / "modeling_kebiolm.py")
        text = "".join(f"{concept}\n" for concept in self.data.graph.concepts)
        (folder / "entities.txt").write_text(text, encoding="utf-8")


class KebiolmValidation(Validation):
    """The means of the losses, the F1 of exact mentions, and how many given ones link right."""

    def __init__(self, objective: KebiolmObjective) -> None:
        super().__init__(objective)
        self.kebiolm = objective
        self.counts = np.zeros(5, dtype=np.int64)  # given, found, both; named, linked right

    @torch.no_grad()
    def add(self, text: TextEncoder, part: Any, sentences: Sentences | None) -> None:
        """Take in a batch."""
        assert isinstance(part, KebiolmBatch)
        read, knowledge = self.kebiolm.read(text, part), knowledge_of(text)
        size = part.text.packed.texts
        for name, value in self.kebiolm.losses_of(read, knowledge, part).items():
            self.totals[name] = self.totals.get(name, 0.0) + float(value) * size
        self.weight += size
        found = find_mentions(read.tags.argmax(1), part.text.packed.places == 0)
        given, count = part.mentions, len(part.tags)
        both = torch.isin(given.first * count + given.last, found.first * count + found.last)
        nearest = knowledge.nearest(read.vectors.float())[:, 0].index_select(0, part.spans)
        right = nearest == part.entities
        self.counts += [len(given.first), len(found.first), int(both.sum()), len(right),
                        int(right.sum())]  # fmt: skip

    @torch.no_grad()
    def figures(self, text: TextEncoder) -> dict[str, float]:
        """Return the losses, ``mention_f1`` and ``linked_at_1``."""
        given, found, both, named, right = self.counts.tolist()
        f1, linked = 2 * both / max(1, given + found), right / max(1, named)
        return {**super().figures(text), "mention_f1": f1, "linked_at_1": linked}


def knowledge_of(text: TextEncoder) -> Knowledge:
    """Return what lies between the layers of an encoder that has become a KeBioLM."""
    found: Knowledge = text.model.bert.encoder.knowledge
    return found


def share_parameters(one: torch.nn.Module, other: torch.nn.Module) -> None:
    """Put the parameters of a model in place of those of the same names in another."""
    for name, parameter in one.named_parameters(remove_duplicate=False):
        module, _, last = name.rpartition(".")
        setattr(other.get_submodule(module), last, parameter)


def mention_spans(arrays: Arrays, rows: IntArray) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Find the mentions of packed sentences.

    Of those that overlap the first stays, and of these the longest; several linkers may find such.

    Args:
        arrays: the training arrays.
        rows: [batch], sentences, in the order in which they are packed.

    Returns:
        The first and the last piece of each mention [m], in order; and for each entity that a
        mention names the mention and the entity [e].
    """
    chosen, sentence = ranges(arrays.mention_indptr[rows], arrays.mention_indptr[rows + 1])
    lengths = arrays.token_indptr[rows + 1] - arrays.token_indptr[rows]
    base = (np.cumsum(lengths) - lengths)[sentence]
    start = base + arrays.mention_start[chosen]
    last = base + arrays.mention_end[chosen] - 1
    order = np.lexsort((-last, start))
    start, last, node = start[order], last[order], arrays.mention_node[chosen][order]
    before = np.maximum.accumulate(np.concatenate([[-1], last[:-1]]))[: len(start)]
    opens = start > before
    mention = np.cumsum(opens) - 1
    first_of, last_of = start[opens], last[opens]
    same = (start == first_of[mention]) & (last == last_of[mention])
    far = np.int64(1) << 32
    pairs = np.unique(mention[same] * far + node[same])
    return first_of, last_of, pairs // far, pairs % far


def draw_candidates(visit: Visit, count: int, entities: int) -> IntArray:
    """Return ``count`` entities, one of each of as many equal shares, the same in all parts.

    Each entity is expected equally often; with as many as there are each comes once.
    """
    number = np.arange(count)
    drawn = number + visit.uniform(Purpose.NEGATIVE, number)
    found: IntArray = np.minimum((drawn * (entities / count)).astype(np.int64), entities - 1)
    return found
