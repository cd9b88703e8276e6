"""Find mentions of the dictionary's names in sentences."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import polars as pl

from balign.errors import DataError
from balign.files import atomic_path, write_json
from balign.linking.dictionary import Dictionary
from balign.linking.tokens import tokenise
from balign.progress import track

log = logging.getLogger(__name__)

LINKER = "dictionary"
_BATCH = 50_000  # sentences; about 150 MiB of tokens
_MOST_FREQUENT = 20

SCHEMA = pl.Schema(
    {
        "pmid": pl.Int64,
        "sentence": pl.Int32,
        "start": pl.Int32,
        "end": pl.Int32,
        "surface": pl.String,
        "concept": pl.String,
        "score": pl.Float32,
        "linker": pl.String,
    }
)


def linking_link(index: Path, abstracts: Path, sentences: Path, output: Path, counts: Path) -> None:
    """Link one file of the corpus.

    Args:
        index: folder written by ``balign linking index``.
        abstracts: Parquet with ``pmid`` and ``text``.
        sentences: Parquet with ``pmid``, ``sentence``, ``start`` and ``end``.
        output: Parquet of mentions.
        counts: JSON of counts.

    Raises:
        DataError: if a file cannot be read, a sentence has no citation, or ends beyond its text.
    """
    dictionary = Dictionary.open(index)
    spans = _read(sentences, ["pmid", "sentence", "start", "end"])
    texts = _read(abstracts, ["pmid", "text"])
    parts = [
        find_mentions(dictionary, _with_text(spans[first : first + _BATCH], texts, sentences))
        for first in track(range(0, len(spans), _BATCH), f"batches of {_BATCH:,} sentences linked")
    ]
    mentions = pl.concat([SCHEMA.to_frame(), *parts]).sort("pmid", "start", "end")
    with atomic_path(output) as temporary:
        mentions.write_parquet(temporary)
    facts = _count(mentions, len(spans))
    write_json(counts, facts)
    log.info(
        "%s: %s mentions of %s concepts in %s sentences",
        output.name,
        f"{facts['mentions']:,}",
        f"{facts['concepts']:,}",
        f"{facts['sentences']:,}",
    )


def _read(path: Path, columns: list[str]) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, columns=columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"not a readable Parquet file: {error}", where=str(path)) from None


def _with_text(spans: pl.DataFrame, texts: pl.DataFrame, where: Path) -> pl.DataFrame:
    """Add to each span of a sentence its ``text``; offsets count code points."""
    length = pl.col("end") - pl.col("start")
    joined = spans.join(texts, on="pmid", how="left", maintain_order="left").with_columns(
        pl.col("text").str.slice(pl.col("start"), length)
    )
    wrong = joined.filter(pl.col("text").is_null() | (pl.col("text").str.len_chars() != length))
    if len(wrong):
        row = wrong.row(0, named=True)
        problem = "has no citation" if row["text"] is None else "ends beyond its text"
        raise DataError(
            f"sentence {row['sentence']} of PMID {row['pmid']} {problem}",
            where=str(where),
            hint="abstracts and sentences must come from one run of `balign corpus split`",
        )
    return joined


def find_mentions(dictionary: Dictionary, sentences: pl.DataFrame) -> pl.DataFrame:
    """Return the mentions in ``sentences``, in their order.

    The score is 1 / (number of concepts that have the name): how likely the concept is if each of
    them were as likely as the others.

    Args:
        dictionary: an opened index.
        sentences: ``pmid``, ``sentence``, ``start`` (of the sentence in its citation) and ``text``
            (the sentence's own).
    """
    tokens = tokenise(sentences["text"])
    matches = dictionary.find(tokens)
    start = tokens.start[matches.first]
    end = tokens.end[matches.last]
    numbers = dictionary.concept[matches.node]
    distinct, which = np.unique(numbers, return_inverse=True)
    concepts = pl.Series([dictionary.concepts[i] for i in distinct.tolist()], dtype=pl.String)
    which_text = tokens.text[matches.first]
    # Python finds a code point in constant time; Polars would read the text from its beginning.
    texts = sentences["text"].to_list()
    places = zip(which_text.tolist(), start.tolist(), end.tolist(), strict=True)
    return (
        sentences[which_text]
        .select(
            pl.col("pmid"),
            pl.col("sentence"),
            start=pl.col("start") + pl.Series(start),
            end=pl.col("start") + pl.Series(end),
            surface=pl.Series([texts[i][first:last] for i, first, last in places], dtype=pl.String),
            concept=concepts.gather(which),
            score=pl.Series(1 / dictionary.sharing[matches.node]),
            linker=pl.lit(LINKER),
        )
        .cast(SCHEMA)
        .select(SCHEMA.names())
    )


def _count(mentions: pl.DataFrame, sentences: int) -> dict[str, object]:
    top = (
        mentions.group_by("concept", pl.col("surface").str.to_lowercase())
        .len("mentions")
        .sort(["mentions", "surface", "concept"], descending=[True, False, False])
        .head(_MOST_FREQUENT)
    )
    return {
        "linker": LINKER,
        "sentences": sentences,
        "sentences_with_mention": mentions.select("pmid", "sentence").n_unique(),
        "mentions": len(mentions),
        "ambiguous": mentions.filter(pl.col("score") < 1).height,
        "concepts": mentions["concept"].n_unique(),
        "most_frequent": top.to_dicts(),
    }
