"""Texts as they stand in PubMed's XML, cleaned many at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_UNESCAPED = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}
_ENTITY = re.compile("&(?:lt|gt|quot|apos|amp);")
# What str.split() takes for white space and XML allows, but the space; and what is not flat.
_SPACES = r"\t\n\r\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
_RUN = rf"[{_SPACES}][ {_SPACES}]*| [ {_SPACES}]+"
_NOT_FLAT = rf"[&{_SPACES}]|  |^ | $"
_INLINE = re.compile(rb"<(i|b|u|sup|sub)>([^<]*)</\1>")
_TAG_IN_VALUE = re.compile(rb'="[^"]*<')


def flat_texts(raw: Sequence[bytes]) -> pa.Array:
    """Return texts without markup as :func:`balign.corpus.citation.flat_text` gives them.

    Args:
        raw: UTF-8, as it stands in a file: entities are read, white space is collapsed.
    """
    sizes = np.fromiter(map(len, raw), np.int32, len(raw))
    buffers = [None, pa.py_buffer(sums(sizes)), pa.py_buffer(b"".join(raw))]
    texts = pa.Array.from_buffers(pa.string(), len(raw), buffers)
    odd = pc.match_substring_regex(texts, _NOT_FLAT)
    flat = pc.ascii_trim(pc.replace_substring_regex(texts.filter(odd), _RUN, " "), " ")
    for entity, character in _UNESCAPED.items():  # &amp; last, which makes none of the others
        flat = pc.replace_substring(flat, entity, character)
    return pc.replace_with_mask(texts, odd, flat)


def or_null(texts: pa.Array) -> pa.Array:
    """Return texts with null for those that are empty."""
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def flat(text: str) -> str:
    """Return one text as :func:`flat_texts` does."""
    text = " ".join(text.split())
    return _ENTITY.sub(lambda found: _UNESCAPED[found[0]], text) if "&" in text else text


def raw_text(text: str | None) -> bytes:
    """Return a text as it would stand in a file; nothing for None."""
    return escape(text or "", quote=False).encode()


def without_markup(xml: bytes, tags: int = 0) -> bytes:
    """Take the inline markup away whose tags are in order, two levels deep.

    Args:
        xml: the content of an element.
        tags: how many are there without it.
    """
    if xml.count(b"<") != tags and not _TAG_IN_VALUE.search(xml):  # which XML forbids
        xml = _without_leaves(xml)
        if xml.count(b"<") != tags:
            xml = _without_leaves(xml)
    return xml


def _without_leaves(xml: bytes) -> bytes:
    parts = _INLINE.split(xml)  # of three the second is a tag's name; ``sub`` takes thrice the time
    del parts[1::3]
    return b"".join(parts)


def sums(counts: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Return the sums of the first 0, 1, 2, ... numbers."""
    return np.concatenate([np.zeros(1, np.int32), np.cumsum(counts, dtype=np.int32)])


def offsets_of(lists: Sequence[Sequence[Any]]) -> npt.NDArray[np.int32]:
    """Return where each list begins among the items of all, and where the last ends."""
    return sums(np.fromiter(map(len, lists), np.int32, len(lists)))
