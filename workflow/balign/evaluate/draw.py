"""Draws that depend on a seed and on the thing drawn, and on nothing else."""

from __future__ import annotations

from hashlib import blake2b


def draw_key(seed: int, text: str) -> bytes:
    """Return a key for ``text``; the order of the keys is a draw fixed by ``seed``.

    What else there is to draw from does not move a text's key: with a few names more or less in
    the graph most of the draw stays.
    """
    return blake2b(text.encode(), digest_size=8, key=str(seed).encode()).digest()
