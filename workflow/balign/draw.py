"""Draws that depend on a seed and on the thing drawn, and on nothing else."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T", str, int)


def draw_key(seed: int, text: str) -> bytes:
    """Return a key for ``text``; the order of the keys is a draw fixed by ``seed``.

    What else there is to draw from does not move a text's key: with a few names more or less to
    draw from most of the draw stays.
    """
    return blake2b(text.encode(), digest_size=8, key=str(seed).encode()).digest()


def draw(seed: int, items: Iterable[T], count: int) -> list[T]:
    """Return ``count`` of the items, or all if there are fewer, in the order of their keys."""
    return heapq.nsmallest(count, items, key=lambda item: draw_key(seed, str(item)))
