"""Derive the list of everyday words from a corpus that is indexed with MeSH.

A word is everyday when many citations have it in small letters and yet indexers do not give these
citations any heading more than others: "asthma" goes with a heading, "group" with none. No
annotated mention is looked at.

1. Words are runs of small Latin letters, a plural with its singular; ``share`` is the share of the
   citations, of those that have headings, that a word is in.
2. ``indexed`` is the share of its citations that have a heading which the word names in the graph,
   or one below it in MeSH's tree; 0 for a word that names no concept with a MeSH id.
3. ``lift`` is how much more frequent a heading (or one below it) is among its citations than among
   all; the most of all headings that at least ``LIFT_INDEXED`` of its citations have. It saves
   words whose concept has no MeSH id, or one younger than the citations.
4. A word is everyday at ``indexed < MAX_INDEXED`` and ``lift < MAX_LIFT``, if it names a concept
   and ``share >= MIN_SHARE``, or names none (it may in another graph) and ``share >= OTHER_SHARE``.
5. A word at ``share > CAPITALS_SHARE`` is also listed in capitals: what is printed in capitals then
   is hardly ever an abbreviation.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl

from balign.errors import DataError
from balign.files import atomic_path

log = logging.getLogger(__name__)

MIN_SHARE = 0.001
MAX_INDEXED = 0.1
OTHER_SHARE = 0.01
LIFT_INDEXED = 0.3
MAX_LIFT = 8.0
CAPITALS_SHARE = 0.2

_HEAD = """\
# Everyday words that the dictionary never links, though some concept has them as a name: written by
# `balign linking stop-words`, whose module says how they were found. A line in small letters drops
# a name that equals it without regard to case and number; a line in capitals drops an abbreviation
# of exactly this spelling.
"""


def linking_stop_words(database: Path, abstracts: Sequence[Path], output: Path) -> None:
    """Write the list.

    Args:
        database: kg.duckdb with MeSH among its sources.
        abstracts: abstracts (Parquet) with ``pmid``, ``text`` and ``mesh``.
        output: the list, one word a line.

    Raises:
        DataError: if no citation has headings.
    """
    citations = pl.concat(
        [pl.read_parquet(path, columns=["pmid", "text", "mesh"]) for path in abstracts]
    ).filter(pl.col("mesh").list.len() > 0)
    if citations.is_empty():
        raise DataError("no citation has MeSH headings", where=", ".join(map(str, abstracts)))
    words = everyday_words(citations, *_names(database))
    common = words.filter(pl.col("share") > CAPITALS_SHARE)["word"].str.to_uppercase().sort()
    lines = [*common.unique().sort().to_list(), *words["word"].unique().sort().to_list()]
    with atomic_path(output) as temporary:
        temporary.write_text(_HEAD + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    log.info("%s: %s everyday words", output, f"{len(words):,}")


def _names(database: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the one-word names with their concepts' MeSH ids, and the tree numbers of MeSH ids."""
    with duckdb.connect(str(database), read_only=True) as graph:
        carried = (
            "SELECT DISTINCT concept, substr(identifier, 6) AS ui FROM (SELECT concept, identifier "
            "FROM xref UNION ALL SELECT concept, concept FROM concept) "
            "WHERE starts_with(identifier, 'MESH:')"
        )
        names = graph.sql(
            f"SELECT DISTINCT lower(name) AS word, ui FROM atom LEFT JOIN ({carried}) USING "
            "(concept) WHERE NOT held_out AND regexp_full_match(lower(name), '[a-z]+')"
        ).pl()
        trees = graph.sql(
            f"SELECT ui, substr(semantic_type, 11) AS tree FROM ({carried}) JOIN semantic_type "
            "USING (concept) WHERE starts_with(semantic_type, 'MESH_TREE:')"
        ).pl()
    return names, trees


def everyday_words(
    citations: pl.DataFrame, names: pl.DataFrame, trees: pl.DataFrame
) -> pl.DataFrame:
    """Return ``word``, ``share``, ``indexed`` and ``lift`` of the everyday words, sorted by word.

    Args:
        citations: ``pmid``, ``text`` and ``mesh`` (structs with ``ui``).
        names: ``word`` and ``ui``, the MeSH ids that a word names (null for none).
        trees: ``ui`` and ``tree``.
    """
    held = (
        citations.select("pmid", word=pl.col("text").str.extract_all(r"\b[a-z]+\b").list.unique())
        .explode("word")
        .drop_nulls()
        .with_columns(word=_singular(pl.col("word")))
        .unique()
    )
    names = names.with_columns(word=_singular(pl.col("word"))).unique()
    share = held.group_by("word").agg(share=pl.len() / len(citations))
    candidates = share.filter(pl.col("share") >= MIN_SHARE)

    # Headings of each citation, and all that are above them in the tree.
    headings = citations.select("pmid", "mesh").explode("mesh").unnest("mesh").select("pmid", "ui")
    number = pl.col("tree").str.split(".")
    above = trees.with_columns(
        above=pl.int_ranges(1, number.list.len() + 1).list.eval(pl.element())
    ).explode("above")
    above = above.with_columns(tree=number.list.head(pl.col("above")).list.join("."))
    ancestors = above.join(trees, on="tree", suffix="_above").select("ui", ui_above="ui_above")
    given = pl.concat(
        [headings, headings.join(ancestors, on="ui").select("pmid", ui="ui_above")]
    ).unique()
    together = (
        held.join(candidates.select("word"), on="word")
        .join(given, on="pmid")
        .group_by("word", "ui")
        .agg(both=pl.len() / len(citations))
        .join(candidates, on="word")
        .join(given.group_by("ui").agg(given=pl.len() / len(citations)), on="ui")
        .with_columns(among=pl.col("both") / pl.col("share"))
    )
    lift = (
        together.filter(pl.col("among") >= LIFT_INDEXED)
        .group_by("word")
        .agg(lift=(pl.col("among") / pl.col("given")).max())
    )
    indexed = (
        together.join(names.drop_nulls("ui"), on=["word", "ui"])
        .group_by("word")
        .agg(indexed=pl.col("among").max())
    )
    is_name = pl.col("word").is_in(names["word"].implode())
    return (
        candidates.join(indexed, on="word", how="left")
        .join(lift, on="word", how="left")
        .with_columns(pl.col("indexed", "lift").fill_null(0))
        .filter(
            (pl.col("indexed") < MAX_INDEXED)
            & (pl.col("lift") < MAX_LIFT)
            & (is_name | (pl.col("share") >= OTHER_SHARE))
        )
        .select("word", "share", "indexed", "lift")
        .sort("word")
    )


def _singular(word: pl.Expr) -> pl.Expr:
    """Return a word without the "s" of a plural, as :mod:`balign.linking.tokens` has it, or so."""
    short = word.str.len_chars() <= 3
    return (
        pl.when(short | word.str.contains(r"(?:s|u|i)s$"))
        .then(word)
        .when(word.str.contains(r"[^ae]ies$"))
        .then(word.str.replace(r"ies$", "y"))
        .otherwise(word.str.replace(r"s$", ""))
    )
