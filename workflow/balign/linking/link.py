"""Link one file of the corpus with the configured backend."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import polars as pl

from balign.errors import DataError
from balign.files import atomic_path, write_json
from balign.linking.backends import Linker, open_linker
from balign.linking.mentions import SCHEMA
from balign.linking.select import NIL, select_mentions
from balign.linking.settings import LinkingSettings
from balign.linking.texts import check_sentences
from balign.progress import track

log = logging.getLogger(__name__)

_BATCH = 5_000  # documents; about 150 MiB of tokens


def linking_link(
    index: Path,
    abstracts: Path,
    sentences: Path,
    settings: LinkingSettings,
    output: Path,
    counts: Path,
) -> None:
    """Link one file of the corpus.

    Args:
        index: folder written by ``balign linking index``.
        abstracts: Parquet with ``pmid`` and ``text``, sorted by pmid.
        sentences: Parquet with ``pmid``, ``sentence``, ``start`` and ``end``, sorted.
        settings: the stage's settings.
        output: Parquet of mentions.
        counts: JSON of counts.

    Raises:
        DataError: if a file cannot be read, a sentence has no citation, or ends beyond its text.
    """
    linker = open_linker(settings.backend, index, settings)
    documents = _read(abstracts, ["pmid", "text"])
    spans = _read(sentences, ["pmid", "sentence", "start", "end"])
    try:
        mentions, dropped = link_documents(linker, documents, spans, settings)
    except DataError as error:
        raise DataError(error.what, where=error.where or str(sentences), hint=error.hint) from None
    with atomic_path(output) as temporary:
        mentions.write_parquet(temporary)
    nil = dropped.pop(NIL, 0)
    facts = {
        "linker": linker.name,
        "documents": len(documents),
        "documents_with_mention": mentions["pmid"].n_unique(),
        "sentences": len(spans),
        "sentences_with_mention": mentions.select("pmid", "sentence").n_unique(),
        "mentions": len(mentions),
        "concepts": mentions["concept"].n_unique(),
        "nil": nil,
        "dropped": {reason: n for reason, n in sorted(dropped.items()) if n},
    }
    write_json(counts, facts)
    log.info(
        "%s: %s mentions of %s concepts in %s sentences; dropped: %s NIL, %s",
        output.name,
        f"{len(mentions):,}",
        f"{facts['concepts']:,}",
        f"{len(spans):,}",
        f"{nil:,}",
        facts["dropped"] or "nothing else",
    )


def link_documents(
    linker: Linker, documents: pl.DataFrame, sentences: pl.DataFrame, settings: LinkingSettings
) -> tuple[pl.DataFrame, Counter[str]]:
    """Find mentions batch by batch and keep those that the settings want.

    Args:
        linker: an opened backend.
        documents: ``pmid`` and ``text``, sorted by pmid.
        sentences: ``pmid``, ``sentence``, ``start`` and ``end``, sorted by (pmid, sentence).
        settings: the stage's settings.

    Returns:
        The mentions by :data:`balign.linking.mentions.SCHEMA`, sorted by (pmid, start, end), and
        how many were dropped by reason.

    Raises:
        DataError: if a sentence has no document or ends beyond its text.
    """
    check_sentences(documents, sentences)
    before = Counter(linker.dropped)
    dropped: Counter[str] = Counter()
    parts = [SCHEMA.to_frame()]
    batches = list(_batches(documents, sentences))
    for some, spans in track(batches, f"batches of {_BATCH:,} documents linked"):
        kept, lost = select_mentions(linker.link(some, spans), settings)
        parts.append(kept.select(SCHEMA.names()).cast(SCHEMA))
        dropped += lost
    return pl.concat(parts), dropped + (linker.dropped - before)


def _batches(
    documents: pl.DataFrame, sentences: pl.DataFrame
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Cut documents, and their sentences with them, into batches."""
    firsts = range(0, len(documents), _BATCH)
    begins = [
        int(sentences["pmid"].search_sorted(documents["pmid"][first], "left")) for first in firsts
    ]
    for first, (begin, end) in zip(firsts, pairwise([*begins, len(sentences)]), strict=True):
        yield documents[first : first + _BATCH], sentences[begin:end]


def _read(path: Path, columns: list[str]) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, columns=columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"not a readable Parquet file: {error}", where=str(path)) from None
