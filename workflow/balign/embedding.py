"""Names to vectors with a text encoder, and the nearest concepts by matrix product."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError

from balign.errors import DataError
from balign.progress import track

log = logging.getLogger(__name__)

FloatMatrix = npt.NDArray[np.float32]

Pooling = Literal["mean", "cls", "first_last"]

MAX_NAME_TOKENS = 32  # as in the original BALI
_TOKENS_A_BATCH = 2048  # some 200 names of like length
_QUERIES_A_BLOCK = 256
_NAMES_A_BLOCK = 32_768  # with the queries 64 MiB of similarities and steps
_NONE = np.iinfo(np.int64).min + 1  # may be negated
_SCALE = 100_000  # scores count in steps of 1e-5: coarser than float rounding, finer than meaning
_HINT = "it needs config.json, a tokenizer and *.safetensors (pickled weights are never opened)"


@dataclass(frozen=True)
class Encoder:
    """A text encoder with its tokenizer, in evaluation mode."""

    model: Any
    tokenizer: Any
    device: torch.device


def load_encoder(folder: Path) -> Encoder:
    """Load a Hugging Face folder: safetensors only, no remote code, no network.

    Raises:
        DataError: if the folder is not a model that transformers can read.
    """
    import transformers
    from transformers.utils import logging as transformers_logging

    from balign import modeling_kebiolm

    # A pooler that is missing in the file, and a head that is left over, are as they should be.
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise DataError(
            f"not a model folder: {_HINT}",
            where=str(folder),
        )
    modeling_kebiolm.register()
    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), **options)
        model = transformers.AutoModel.from_pretrained(
            str(folder),
            use_safetensors=True,
            attn_implementation="sdpa",
            dtype=torch.float32,
            **options,
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DataError(
            f"the model cannot be loaded: {error}", where=str(folder), hint=_HINT
        ) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Encoder(model.to(device).eval(), tokenizer, device)


def mean_pool(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average ``states`` ``[b, t, d]`` over the tokens of ``mask`` ``[b, t]``: ``[b, d]``."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def pad(ids: Sequence[Sequence[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids ``[b, t]`` padded on the right, and their mask ``[b, t]``."""
    longest = max(map(len, ids))
    tokens = torch.full((len(ids), longest), padding, dtype=torch.long)
    mask = torch.zeros((len(ids), longest), dtype=torch.long)
    for row, one in enumerate(ids):
        tokens[row, : len(one)] = torch.tensor(one, dtype=torch.long)
        mask[row, : len(one)] = 1
    return tokens, mask


def embed_names(
    encoder: Encoder,
    names: Sequence[str],
    what: str,
    pooling: Pooling = "mean",
    max_tokens: int = MAX_NAME_TOKENS,
) -> FloatMatrix:
    """Return the L2-normalised vectors of ``names``, ``[len(names), d]``.

    A vector is the mean of a name's word pieces; with ``cls`` the state of its first one; with
    ``first_last`` the mean of the word pieces' states after the first and after the last layer
    (Li et al., EMNLP 2020; SimCSE's ``avg_first_last``).

    Names of equal word pieces (such as case variants, where the tokenizer lower-cases) are encoded
    once. Batches are cut from the pieces sorted by length, so the vectors do not depend on the
    order of ``names``, and little is padded.
    """
    ids: list[list[int]] = encoder.tokenizer(list(names), truncation=True, max_length=max_tokens)[
        "input_ids"
    ]
    pieces = [tuple(one) for one in ids]
    distinct = sorted(set(pieces), key=lambda one: (len(one), one))
    place = {one: row for row, one in enumerate(distinct)}
    batches = list(_batches(distinct))
    vectors = []
    with torch.inference_mode():
        for batch in track(batches, what):
            tokens, mask = pad(batch, encoder.tokenizer.pad_token_id)
            tokens, mask = tokens.to(encoder.device), mask.to(encoder.device)
            pooled = torch.nn.functional.normalize(_pooled(encoder, tokens, mask, pooling), dim=-1)
            vectors.append(pooled.cpu().numpy())
    log.info("%s: %d names, %d encoded", what, len(names), len(distinct))
    rows = np.array([place[one] for one in pieces], dtype=np.int64)
    found: FloatMatrix = np.concatenate(vectors)[rows]
    return found


def _pooled(
    encoder: Encoder, tokens: torch.Tensor, mask: torch.Tensor, pooling: Pooling
) -> torch.Tensor:
    """Return one vector for each row of ``tokens`` ``[b, t]``: ``[b, d]``."""
    both = pooling == "first_last"
    found = encoder.model(input_ids=tokens, attention_mask=mask, output_hidden_states=both)
    states: torch.Tensor = found.last_hidden_state
    if pooling == "cls":
        return states[:, 0]
    if both:
        states = (found.hidden_states[1] + states) / 2
    return mean_pool(states, mask)


def _batches(pieces: Sequence[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    """Cut pieces sorted by length into batches of about ``_TOKENS_A_BATCH`` tokens."""
    batch: list[tuple[int, ...]] = []
    for one in pieces:
        if batch and (len(batch) + 1) * len(one) > _TOKENS_A_BATCH:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


@dataclass(frozen=True)
class Nearest:
    """The best distinct concepts of each query, best first.

    Attributes:
        concepts: positions in the list of concepts, int64 ``[queries, k]``.
        names: positions of the name that won the first concept, int64 ``[queries]``.
        scores: cosine similarity of that name, float32 ``[queries]``.
    """

    concepts: npt.NDArray[np.int64]
    names: npt.NDArray[np.int64]
    scores: FloatMatrix


def nearest_concepts(
    queries: FloatMatrix, names: FloatMatrix, concept_of: npt.NDArray[np.int64], k: int
) -> Nearest:
    """Find for each query the ``k`` concepts whose best name is nearest.

    Similarities are rounded to 1e-5; of equal ones the concept with the lower position wins, then
    the name with the lower position. So rounding in the encoder decides no tie.

    Args:
        queries: ``[q, d]``, normalised.
        names: ``[n, d]``, normalised; float32 or float16, in memory or mapped from a file.
        concept_of: concept position of each name, ascending, every position from 0 used.
        k: concepts wanted; fewer come back where there are fewer.
    """
    starts = np.flatnonzero(np.diff(concept_of, prepend=-1))
    ends = np.append(starts[1:], len(names))
    count = len(starts)
    k = min(k, count)
    keys = np.full((len(queries), k), _NONE, dtype=np.int64)
    concepts = np.zeros((len(queries), k), dtype=np.int64)
    best = np.zeros(len(queries), dtype=np.int64)
    blocks = list(_blocks_of_concepts(starts, ends))
    # A few blocks are no news; millions of names are.
    for first, last in track(blocks, "blocks of names compared") if len(blocks) > 8 else blocks:
        begin = int(starts[first])
        # The names may be mapped from a file: each block is read once, for all queries.
        block = np.ascontiguousarray(names[begin : ends[last - 1]], dtype=np.float32)
        inner = starts[first:last] - begin
        tie = np.arange(count - 1 - first, count - 1 - last, -1, dtype=np.int64)
        for row in range(0, len(queries), _QUERIES_A_BLOCK):
            rows = slice(row, row + _QUERIES_A_BLOCK)
            steps = np.rint(queries[rows] @ block.T * _SCALE).astype(np.int32)
            found = np.maximum.reduceat(steps, inner, axis=1).astype(np.int64) * count + tie
            top = found.argmax(axis=1)
            better = np.flatnonzero(found[np.arange(len(top)), top] > keys[rows, 0])
            for one in better.tolist():
                begins, stops = inner[top[one]], ends[first + top[one]] - begin
                best[row + one] = begin + begins + int(steps[one, begins:stops].argmax())
            if found.shape[1] > k:
                some = np.argpartition(-found, k - 1, axis=1)[:, :k]
                found = np.take_along_axis(found, some, axis=1)
            else:
                some = np.broadcast_to(np.arange(found.shape[1]), found.shape)
            every = np.concatenate([keys[rows], found], axis=1)
            which = np.concatenate([concepts[rows], some + first], axis=1)
            order = np.argsort(-every, axis=1, kind="stable")[:, :k]
            keys[rows] = np.take_along_axis(every, order, axis=1)
            concepts[rows] = np.take_along_axis(which, order, axis=1)
    scores = ((keys[:, 0] - (count - 1 - concepts[:, 0])) // count / _SCALE).astype(np.float32)
    return Nearest(concepts, best, scores)


def _blocks_of_concepts(
    starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """Cut the concepts into ranges that have about ``_NAMES_A_BLOCK`` names."""
    first = 0
    while first < len(starts):
        wanted = starts[first] + _NAMES_A_BLOCK
        last = max(first + 1, int(np.searchsorted(ends, wanted, side="right")))
        yield first, last
        first = last
