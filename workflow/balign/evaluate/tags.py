"""Entities of IOB2 tags."""

from __future__ import annotations

from collections.abc import Sequence


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Return the entities (type, first word, word after the last) of IOB2 tags.

    As seqeval's strict IOB2: an entity begins with ``B-`` and goes on with ``I-`` of its type;
    an ``I-`` that follows neither belongs to none.
    """
    found = set()
    kind, start = "", 0
    for place, tag in enumerate([*tags, "O"]):
        if kind and tag != f"I-{kind}":
            found.add((kind, start, place))
            kind = ""
        if tag.startswith("B-"):
            kind, start = tag[2:], place
    return found
