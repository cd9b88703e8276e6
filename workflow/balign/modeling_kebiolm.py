"""KeBioLM (Yuan et al., BioNLP 2021): a BERT that finds mentions, links them and reads on.

On the states of the lower layers, which see text alone, each piece is tagged as beginning a
mention, being inside one, or neither. A mention m has the vector v_m = W_l [h_first ; h_last]; its
scores are the dot products with the rows E_k of a table of entities. Over the K entities that score
best, e_m = sum_k softmax(v_m . E_k) E_k, and for each piece t of the mention, and for no other,
x_t = LayerNorm(h_t + W_p e_m). The upper layers go on from there.

A folder of such a model holds a copy of this file, so that transformers can load it without balign
(``trust_remote_code=True``); it imports nothing else for that reason.
"""

# mypy: disable-error-code="no-untyped-call"

from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions
from transformers.models.bert.modeling_bert import BertEncoder

OUTSIDE, BEGIN, INSIDE = range(3)  # the tags
_BLOCK = 1 << 18  # rows of the table scored at once


class KebiolmConfig(BertConfig):
    """Configuration of BERT, and of what lies between its layers.

    Attributes:
        text_layers: lower layers, which see text alone.
        entities: rows of the table.
        entity_size: width of the table.
        top_entities: entities of which a mention reads the weighted mean.
    """

    model_type = "kebiolm"

    text_layers: int = 8
    entities: int = 1
    entity_size: int = 100
    top_entities: int = 100


class Mentions(NamedTuple):
    """m mentions; positions are those in the flattened batch.

    Attributes:
        first, last: [m], the first and the last piece of each.
        pieces: [p], all pieces of the mentions.
        owner: [p], the mention of each.
    """

    first: Tensor
    last: Tensor
    pieces: Tensor
    owner: Tensor


def find_mentions(tags: Tensor, starts: Tensor) -> Mentions:
    """Return the runs of a beginning and what is inside after it; no run goes over a text's start.

    Args:
        tags: [t], of pieces laid end to end.
        starts: bool [t], where a text starts.
    """
    opens = (tags != INSIDE) | starts
    segment = opens.cumsum(0) - 1
    heads = opens.nonzero()[:, 0]
    begins = tags[heads] == BEGIN
    pieces = begins[segment].nonzero()[:, 0]
    owner = (begins.cumsum(0) - 1)[segment[pieces]]
    first = heads[begins]
    return Mentions(first, first + torch.bincount(owner, minlength=len(first)) - 1, pieces, owner)


class Knowledge(nn.Module):
    """Detection, linking and fusion."""

    def __init__(self, config: KebiolmConfig) -> None:
        super().__init__()
        self.detection = nn.Linear(config.hidden_size, 3)
        self.linking = nn.Linear(2 * config.hidden_size, config.entity_size)
        self.entities = nn.Embedding(config.entities, config.entity_size)
        self.projection = nn.Linear(config.entity_size, config.hidden_size, bias=False)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.top = min(config.top_entities, config.entities)

    def vectors(self, states: Tensor, mentions: Mentions) -> Tensor:
        """Return v_m [m, entity_size] from the states [t, d]."""
        ends = [states.index_select(0, one) for one in (mentions.first, mentions.last)]
        vectors: Tensor = self.linking(torch.cat(ends, dim=1))
        return vectors

    @torch.no_grad()
    def nearest(self, vectors: Tensor) -> Tensor:
        """Return the entities [m, K] that score best, best first."""
        table = self.entities.weight
        scores = vectors.new_zeros(len(vectors), 0)
        found = vectors.new_zeros(len(vectors), 0, dtype=torch.long)
        for start in range(0, len(table), _BLOCK):
            block = vectors @ table[start : start + _BLOCK].T
            some, rows = block.topk(min(self.top, block.shape[1]))
            scores, found = torch.cat([scores, some], 1), torch.cat([found, rows + start], 1)
            scores, rows = scores.topk(min(self.top, scores.shape[1]))
            found = found.gather(1, rows)
        return found

    def read(self, vectors: Tensor) -> Tensor:
        """Return e_m [m, entity_size], the weighted mean of the entities that score best."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.to(self.entities.weight.dtype)
            rows = self.entities(self.nearest(vectors))
            scores = torch.einsum("mke,me->mk", rows, vectors)
            read: Tensor = torch.einsum("mk,mke->me", scores.softmax(1), rows)
        return read

    def fuse(self, states: Tensor, vectors: Tensor, mentions: Mentions) -> Tensor:
        """Return the states [t, d], new ones where pieces of mentions are."""
        known = self.projection(self.read(vectors)).index_select(0, mentions.owner)
        mixed = self.norm(states.index_select(0, mentions.pieces) + known)
        return states.index_copy(0, mentions.pieces, mixed.to(states.dtype))


class KebiolmEncoder(BertEncoder):
    """The layers of BERT with :class:`Knowledge` after the first ``text_layers``."""

    def __init__(self, config: KebiolmConfig) -> None:
        super().__init__(config)
        self.knowledge = Knowledge(config)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        position_ids: Tensor | None = None,
        attended: Tensor | None = None,
        mentions: Mentions | None = None,
        seen: list[tuple[Tensor, Tensor]] | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """Return the last states; see :meth:`KebiolmModel.forward`."""
        states = hidden_states
        for layer in self.layer[: self.config.text_layers]:
            states = layer(states, attention_mask, **kwargs)
        flat = states.flatten(0, 1)
        if mentions is None:
            mentions = self._detect(flat, states.shape[:2], position_ids, attended)
        vectors = self.knowledge.vectors(flat, mentions)
        if seen is not None:
            seen.append((flat, vectors))
        states = self.knowledge.fuse(flat, vectors, mentions).view_as(states)
        for layer in self.layer[self.config.text_layers :]:
            states = layer(states, attention_mask, **kwargs)
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=states)

    def _detect(
        self, flat: Tensor, shape: torch.Size, places: Tensor | None, attended: Tensor | None
    ) -> Mentions:
        """Return the mentions that the tags tell."""
        tags = self.knowledge.detection(flat).argmax(1)
        if attended is not None:
            tags = tags.masked_fill(attended.flatten() == 0, OUTSIDE)
        starts = torch.ones(shape, dtype=torch.bool, device=flat.device)
        # Several texts may share a row; the places begin anew at each.
        starts[:, 1:] = False if places is None else places.diff(dim=1) != 1
        return find_mentions(tags, starts.flatten())


class KebiolmModel(BertModel):
    """The encoder."""

    config_class = KebiolmConfig
    config: KebiolmConfig

    def __init__(self, config: KebiolmConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config, add_pooling_layer)
        self.encoder = KebiolmEncoder(config)
        self.post_init()

    def forward(
        self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """Encode texts as BERT does.

        Args:
            input_ids: [b, t].
            attention_mask: [b, t], 0 where there is padding.
            kwargs: those of BERT; ``mentions`` (:class:`Mentions`), where they are known and need
                not be detected; ``seen``, a list that gets the states [b * t, d] of the lower
                layers and the mentions' vectors [m, entity_size].
        """
        if attention_mask is not None and attention_mask.dim() == 2:
            kwargs["attended"] = attention_mask
        return super().forward(input_ids, attention_mask=attention_mask, **kwargs)


class KebiolmForMaskedLM(BertForMaskedLM):
    """With the head of masked language modelling."""

    config_class = KebiolmConfig

    def __init__(self, config: KebiolmConfig) -> None:
        super().__init__(config)
        self.bert = KebiolmModel(config, add_pooling_layer=False)
        self.post_init()


class KebiolmForTokenClassification(BertForTokenClassification):
    """With a label for each piece."""

    config_class = KebiolmConfig

    def __init__(self, config: KebiolmConfig) -> None:
        super().__init__(config)
        self.bert = KebiolmModel(config, add_pooling_layer=False)
        self.post_init()


class KebiolmForSequenceClassification(BertForSequenceClassification):
    """With a label for each text."""

    config_class = KebiolmConfig

    def __init__(self, config: KebiolmConfig) -> None:
        super().__init__(config)
        self.bert = KebiolmModel(config)
        self.post_init()


_CLASSES: dict[str, Any] = {
    "AutoModel": KebiolmModel,
    "AutoModelForMaskedLM": KebiolmForMaskedLM,
    "AutoModelForTokenClassification": KebiolmForTokenClassification,
    "AutoModelForSequenceClassification": KebiolmForSequenceClassification,
}


def auto_map() -> dict[str, str]:
    """Return what a folder's config.json says of the classes in its copy of this file."""
    classes = {"AutoConfig": KebiolmConfig, **_CLASSES}
    return {auto: f"modeling_kebiolm.{kind.__name__}" for auto, kind in classes.items()}


def register() -> None:
    """Let transformers' Auto classes load such folders by this module, without remote code."""
    transformers.AutoConfig.register("kebiolm", KebiolmConfig, exist_ok=True)
    for auto, kind in _CLASSES.items():
        getattr(transformers, auto).register(KebiolmConfig, kind, exist_ok=True)
