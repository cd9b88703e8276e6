"""Texts laid end to end without padding, and the attention that keeps them apart.

All of an encoder but its attention works token by token, so a batch of texts may be one long row.
The attention then runs in each text by itself: on a GPU in half precision by PyTorch's kernel for
variable lengths (``torch.nn.attention.varlen``), elsewhere by the usual one on all texts of one
length at a time. For MiniLM on two cores a step of sentences of 22 pieces and names of 7 takes as
long as one on as many pieces in 32 each, and three quarters of the time of sub-batches padded to
like lengths (measured).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn

from balign.pretrain.data import Int32Array, IntArray, ranges

_NAME = "balign_packed"
_HALF = (torch.bfloat16, torch.float16)
_PADDED_STEP = 8  # texts whose lengths differ by less share a padded sub-batch


class TensorBatch:
    """A dataclass of tensors, other such batches, tuples and mappings of these, and values."""

    @property
    def pieces(self) -> int:
        """Real word pieces that the text encoder sees for it, padding left out."""
        return sum(text.pieces for text in self.packs())

    def packs(self) -> Iterator[Packed]:
        """Yield the packed texts in it."""
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            for part in value.values() if isinstance(value, Mapping) else [value]:
                if isinstance(part, TensorBatch):
                    yield from part.packs()

    def to(self, device: torch.device) -> Self:
        """Return the batch on a device; a pinned one travels while the device works on."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=tensor.is_pinned()))

    def pin(self) -> Self:
        """Return the batch in page-locked memory, for a GPU."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        def mapped(value: Any) -> Any:
            if isinstance(value, Tensor):
                return change(value)
            if isinstance(value, TensorBatch):
                return value._map(change)
            if isinstance(value, tuple):
                return tuple(mapped(part) for part in value)
            if isinstance(value, Mapping):
                return {name: mapped(part) for name, part in value.items()}
            return value

        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return replace(self, **{name: mapped(value) for name, value in values.items()})  # type: ignore[type-var]


@dataclass(frozen=True)
class Packed(TensorBatch):
    """n texts of t pieces together, one after the other.

    Attributes:
        ids: [t], the pieces.
        places: [t], the place of each piece in its text, from 0.
        owner: [t], the text of each piece.
        offsets: int32 [n + 1], where each text begins.
        lengths: (number of texts, their length) for each run of neighbours of one length. They are
            plain numbers so that no step waits for the device to tell them.
    """

    ids: Tensor
    places: Tensor
    owner: Tensor
    offsets: Tensor
    lengths: tuple[tuple[int, int], ...]

    @property
    def texts(self) -> int:
        """The number of texts, n."""
        return sum(count for count, _ in self.lengths)

    def packs(self) -> Iterator[Packed]:
        """Yield itself."""
        yield self

    @property
    def pieces(self) -> int:
        """The number of pieces, t."""
        return sum(count * length for count, length in self.lengths)


def pack(pieces: Int32Array, indptr: IntArray, rows: IntArray) -> Packed:
    """Lay some rows of a ragged array end to end; rows in the order of length cost least.

    Args:
        pieces: all rows' pieces.
        indptr: [rows + 1], where each row begins.
        rows: [n], the chosen ones; each has at least one piece.
    """
    lengths = indptr[rows + 1] - indptr[rows]
    values, owner = ranges(indptr[rows], indptr[rows + 1])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    first = np.flatnonzero(np.diff(lengths, prepend=0))  # of each run
    counts = np.diff(first, append=len(rows))
    return Packed(
        torch.from_numpy(pieces[values].astype(np.int64)),
        torch.from_numpy(np.arange(len(values)) - offsets[owner]),
        torch.from_numpy(owner),
        torch.from_numpy(offsets.astype(np.int32)),
        tuple(zip(counts.tolist(), lengths[first].tolist(), strict=True)),
    )


def enable_packing(model: Any) -> bool:
    """Let a model of transformers take packed text if it can; :func:`encode_packed` then uses it.

    Whether it can is tried out: its states of a few packed texts must be those of the same texts
    padded. DeBERTa, whose attention is its own, cannot.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    base = model.base_model
    if not getattr(base, "_supports_attention_backend", False):
        return False
    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    text = _trial(base)
    before, training = base.config._attn_implementation, base.training
    base.eval()
    with torch.no_grad():
        padded = _encode_padded(base, text)
        base.set_attn_implementation(_NAME)
        packed = _encode_packed(base, text)
    base.train(training)
    if not torch.allclose(padded, packed, atol=1e-3, rtol=1e-3):
        base.set_attn_implementation(before)
        return False
    return True


def encode_packed(model: Any, text: Packed, **given: Any) -> Tensor:
    """Return the last layer's states [t, d] of packed texts.

    Args:
        model: of transformers; one for which :func:`enable_packing` was true sees no padding,
            another one sub-batches of texts of like length.
        text: the texts.
        given: what else the model takes; only one that sees no padding may take something.
    """
    base = model.base_model
    if not text.lengths:
        return torch.zeros(0, base.config.hidden_size, device=text.ids.device)
    if base.config._attn_implementation == _NAME:
        return _encode_packed(base, text, **given)
    assert not given
    return _encode_padded(base, text)


def _encode_packed(base: Any, text: Packed, **given: Any) -> Tensor:
    # RoBERTa counts places from the padding piece's id plus one.
    first = getattr(getattr(base, "embeddings", None), "padding_idx", None)
    places = text.places if first is None else text.places + (first + 1)
    # Masks of four dimensions are passed on as they are: this one spares the making of another.
    mask = text.ids.new_ones((1, 1, 1, 1))
    out = base(
        input_ids=text.ids[None],
        attention_mask=mask,
        position_ids=places[None],
        packing=text,
        **given,
    )
    states: Tensor = out.last_hidden_state[0]
    return states


def _encode_padded(base: Any, text: Packed) -> Tensor:
    padding = base.config.pad_token_id or 0
    parts, groups = [], _groups(text.lengths)
    sizes = [pieces for _, _, pieces in groups]
    owners, places = torch.split(text.owner, sizes), torch.split(text.places, sizes)
    first, begin = 0, 0
    for (count, longest, pieces), owner, place in zip(groups, owners, places, strict=True):
        row = owner - first
        ids = text.ids.new_full((count, longest), padding)
        ids[row, place] = text.ids[begin : begin + pieces]
        mask = torch.zeros_like(ids)
        mask[row, place] = 1
        parts.append(base(input_ids=ids, attention_mask=mask).last_hidden_state[row, place])
        first, begin = first + count, begin + pieces
    return torch.cat(parts)


def _groups(lengths: tuple[tuple[int, int], ...]) -> list[tuple[int, int, int]]:
    """Join neighbouring runs of like length to (texts, longest, pieces)."""
    groups: list[tuple[int, int, int]] = []
    size = None
    for count, length in lengths:
        if (length - 1) // _PADDED_STEP == size:
            texts, longest, pieces = groups.pop()
        else:
            texts, longest, pieces = 0, 0, 0
            size = (length - 1) // _PADDED_STEP
        groups.append((texts + count, max(longest, length), pieces + count * length))
    return groups


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packing: Packed | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Attend in each text; query, key and value are [1, heads, t, d/heads].

    Without packed text it is the usual attention, so that the model takes padded text as before.

    The interface is transformers' (docs: "Attention interface"); ``sliding_window`` is one more
    than the farthest piece seen to each side. The kernel of the GPU has no dropout of attention
    weights: there it is not applied (as in ModernBERT's own training).

    Returns:
        [1, t, heads, d/heads], and no weights.
    """
    if packing is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **rest
        )
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # [t, heads, d/heads]
    reach = -1 if sliding_window is None else sliding_window - 1
    if query.is_cuda and query.dtype in _HALF:
        begins, longest = packing.offsets, max(length for _, length in packing.lengths)
        window = (reach, reach)
        found = varlen_attn(
            q, k, v, begins, begins, longest, longest, scale=scaling, window_size=window
        )
        assert isinstance(found, Tensor)
        return found[None], None
    sizes = [count * length for count, length in packing.lengths]
    # `split` and not slices: the gradient of a slice is as long as the whole.
    runs = zip(packing.lengths, *(torch.split(x, sizes) for x in (q, k, v)), strict=True)
    parts = []
    for shape, *run in runs:
        q, k, v = (x.unflatten(0, shape).transpose(1, 2) for x in run)
        mask = None
        if 0 <= reach < shape[1] - 1:
            places = torch.arange(shape[1], device=query.device)
            mask = (places[:, None] - places[None, :]).abs() <= reach
        out = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling
        )
        parts.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(parts)[None], None


def _trial(base: Any) -> Packed:
    """Return four texts of random pieces, one longer than ModernBERT's window of 128."""
    longest = min(200, getattr(base.config, "max_position_embeddings", 200) - 2)
    lengths = np.array([3, 5, 5, longest])
    size = base.config.vocab_size
    ids = np.random.default_rng(0).integers(0, size, lengths.sum())
    padding = base.config.pad_token_id or 0
    ids[ids == padding] = (padding + 1) % size
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    device = next(base.parameters()).device
    return pack(ids.astype(np.int32), indptr, np.arange(4)).to(device)
