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

from balign.errors import DataError
from balign.progress import track

log = logging.getLogger(__name__)

FloatMatrix = npt.NDArray[np.float32]

MAX_NAME_TOKENS = 32  # as in the original BALI
_TOKENS_A_BATCH = 2048  # some 200 names of like length
_QUERIES_A_BLOCK = 256
_SCALE = 100_000  # scores count in steps of 1e-5: coarser than float rounding, finer than meaning


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

    # A pooler that is missing in the file, and a head that is left over, are as they should be.
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise DataError(
            "not a model folder: it needs config.json, a tokenizer and *.safetensors",
            where=str(folder),
        )
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
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"the model cannot be loaded: {error}", where=str(folder)) from error
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
    encoder: Encoder, names: Sequence[str], what: str, pooling: Literal["mean", "cls"] = "mean"
) -> FloatMatrix:
    """Return the L2-normalised vectors of ``names``, ``[len(names), d]``.

    A vector is the mean of a name's word pieces, or with ``cls`` the state of its first one.

    Names of equal word pieces (such as case variants, where the tokenizer lower-cases) are encoded
    once. Batches are cut from the pieces sorted by length, so the vectors do not depend on the
    order of ``names``, and little is padded.
    """
    ids: list[list[int]] = encoder.tokenizer(
        list(names), truncation=True, max_length=MAX_NAME_TOKENS
    )["input_ids"]
    pieces = [tuple(one) for one in ids]
    distinct = sorted(set(pieces), key=lambda one: (len(one), one))
    place = {one: row for row, one in enumerate(distinct)}
    batches = list(_batches(distinct))
    vectors = []
    with torch.inference_mode():
        for batch in track(batches, what):
            tokens, mask = pad(batch, encoder.tokenizer.pad_token_id)
            tokens, mask = tokens.to(encoder.device), mask.to(encoder.device)
            states = encoder.model(input_ids=tokens, attention_mask=mask).last_hidden_state
            pooled = mean_pool(states, mask) if pooling == "mean" else states[:, 0]
            pooled = torch.nn.functional.normalize(pooled, dim=-1)
            vectors.append(pooled.cpu().numpy())
    log.info("%s: %d names, %d encoded", what, len(names), len(distinct))
    rows = np.array([place[one] for one in pieces], dtype=np.int64)
    found: FloatMatrix = np.concatenate(vectors)[rows]
    return found


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
        names: ``[n, d]``, normalised.
        concept_of: concept position of each name, ascending, every position from 0 used.
        k: concepts wanted; fewer come back where there are fewer.
    """
    starts = np.flatnonzero(np.diff(concept_of, prepend=-1))
    ends = np.append(starts[1:], len(names))
    count = len(starts)
    k = min(k, count)
    tie = np.arange(count - 1, -1, -1, dtype=np.int64)  # a lower position gives a higher key
    top, best_names, best_scores = [], [], []
    for begin in range(0, len(queries), _QUERIES_A_BLOCK):
        similarity = queries[begin : begin + _QUERIES_A_BLOCK] @ names.T
        steps = np.rint(similarity * _SCALE).astype(np.int32)
        keys = np.maximum.reduceat(steps, starts, axis=1).astype(np.int64) * count + tie
        some = np.argpartition(-keys, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(keys, some, axis=1), axis=1)
        found = np.take_along_axis(some, order, axis=1)
        top.append(found)
        for row, concept in enumerate(found[:, 0]):
            name = starts[concept] + int(steps[row, starts[concept] : ends[concept]].argmax())
            best_names.append(name)
            best_scores.append(steps[row, name] / _SCALE)
    return Nearest(
        np.concatenate(top),
        np.array(best_names, dtype=np.int64),
        np.array(best_scores, dtype=np.float32),
    )
