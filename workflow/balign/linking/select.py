"""Which of a linker's mentions are kept: the same rules for every backend."""

from __future__ import annotations

from collections import Counter

import polars as pl

from balign.linking.settings import LinkingSettings

NIL = "nil"
BEYOND = "beyond max_mentions_per_sentence"


def select_mentions(
    mentions: pl.DataFrame, settings: LinkingSettings
) -> tuple[pl.DataFrame, Counter[str]]:
    """Drop mentions without a concept, then the weakest of a crowded sentence.

    A mention is NIL when the backend found no concept, or when its best one scores less than the
    backend's ``min_score``. Of a sentence with more than ``max_mentions_per_sentence`` mentions
    those of the best score stay, of equal ones the longest, then the first.

    Args:
        mentions: what a linker returned, whole sentences of it.
        settings: the stage's settings; the configured backend's threshold counts.

    Returns:
        The mentions kept, in their order, and how many were dropped by reason.
    """
    min_score = settings.of(settings.backend).min_score
    # In the column's own precision, so that a score of exactly the threshold is kept.
    known = mentions.filter(
        pl.col("concept").is_not_null() & (pl.col("score") >= pl.lit(min_score, pl.Float32))
    )
    dropped = Counter({NIL: len(mentions) - len(known)})
    limit = settings.max_mentions_per_sentence
    if limit is None:
        return known, dropped
    length = pl.col("end") - pl.col("start")
    best_first = ["pmid", "sentence", -pl.col("score"), -length, "start"]
    place = pl.int_range(pl.len()).over("pmid", "sentence")
    kept = known.sort(best_first).filter(place < limit).sort("pmid", "start", "end")
    dropped[BEYOND] = len(known) - len(kept)
    return kept, dropped
