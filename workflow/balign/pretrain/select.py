"""Which sentences and mentions are trained on: balancing over concepts, validation split."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from balign.graph.sample import Keys, counter_keys
from balign.pretrain.data import IntArray


def balance(
    sentence: IntArray, node: IntArray, keys: Keys, limit: int | None
) -> npt.NDArray[np.bool_]:
    """Choose the mentions to keep so that no concept has them in more than ``limit`` sentences.

    The sentences are put in one random order and each concept keeps its mentions in the first
    ``limit`` of its sentences. A rare concept thus never loses a sentence to a frequent one beside
    it (as it would if whole sentences were dropped), and because the order is shared, kept
    mentions share sentences. A sentence without a kept mention is of no use and falls out.

    Args:
        sentence: [m], sentence of each mention, a row of ``keys``.
        node: [m], concept of each mention.
        keys: [sentences], pseudo-random; they give the order.
        limit: sentences for a concept; None keeps all.

    Returns:
        [m], true where the mention is kept.
    """
    if limit is None or len(node) == 0:
        return np.ones(len(node), dtype=bool)
    place = np.empty(len(keys), dtype=np.int64)
    place[np.argsort(keys, kind="stable")] = np.arange(len(keys))
    pairs, back = np.unique(node * len(keys) + place[sentence], return_inverse=True)
    owner = pairs // len(keys)
    nth = np.arange(len(pairs)) - np.searchsorted(owner, owner)
    kept: npt.NDArray[np.bool_] = (nth < limit)[back]
    return kept


def split(pmid: IntArray, wanted: int, seed: int) -> tuple[IntArray, IntArray]:
    """Split sentences by citation, so that no citation is on both sides.

    Citations go to validation in the order of a hash of their PMID until they hold ``wanted``
    sentences; a small corpus gives at most a tenth of its sentences.

    Args:
        pmid: [sentences].
        wanted: validation sentences.
        seed: of the hash.

    Returns:
        The sentences of training, and those of validation, in their order on disk.
    """
    wanted = min(wanted, len(pmid) // 10)
    citations, counts = np.unique(pmid, return_counts=True)
    order = np.argsort(counter_keys(seed, citations), kind="stable")
    enough = int(np.searchsorted(np.cumsum(counts[order]), wanted)) + 1 if wanted else 0
    held = np.isin(pmid, citations[order[:enough]])
    return np.flatnonzero(~held), np.flatnonzero(held)[:wanted]
