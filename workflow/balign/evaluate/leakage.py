"""Leakage check of a task: test texts that stand in its training part too.

Families that train merge :func:`text_overlap` into the counts of their outcome; the rule
``evaluate_score`` adds how many test citations the text of pre-training holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_NO_WORD = re.compile(r"[\W_]+")

# What the counts of a result tell about leakage, by pairs: how many there are, how many leaked.
PAIRS = (("test_texts", "test_texts_in_train"), ("test_pmids", "test_pmids_in_pretraining"))


def normalised(text: str) -> str:
    """Return the letters and digits of a text, case aside, one blank for all that is between."""
    return _NO_WORD.sub(" ", text.casefold()).strip()


def text_overlap(train: Iterable[str], test: Iterable[str]) -> dict[str, int]:
    """Return ``test_texts`` (number of test examples) and ``test_texts_in_train``.

    Args:
        train: texts that a model trains or is chosen on.
        test: text of each test example.
    """
    known = set(map(normalised, train))
    texts = list(map(normalised, test))
    return {"test_texts": len(texts), "test_texts_in_train": sum(one in known for one in texts)}


def leakage_line(task: str, counts: Mapping[str, int]) -> str:
    """Say in a line what the counts of a result tell; empty where they tell nothing."""
    words = {
        "test_texts": "test texts are in the training part too",
        "test_pmids": "test citations are in the text of pre-training",
    }
    parts = [
        f"{counts[leaked]:,} of {counts[total]:,} {words[total]}"
        for total, leaked in PAIRS
        if total in counts
    ]
    return f"{task}: {'; '.join(parts)}" if parts else ""
