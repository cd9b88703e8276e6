"""Build the dictionary from the names of the knowledge graph.

Rules, in this order; a name that fails one is dropped and counted under the rule's name:

1. ``few_letters``: a name without a letter (a number), or of one letter or digit.
2. ``short``: fewer characters than ``min_characters``.
3. ``long``: more tokens than ``max_tokens``.
4. ``stop_word``: a line of the file of stop words. An abbreviation must equal the line as written
   ("AND"), any other name in lower case ("all").

A name of at most five characters, all of its letters capitals, is an abbreviation and matches
as written only: "ALL" is a leukaemia, "all" is a word. Every other name matches without regard to
case. A name of several concepts goes to the one whose preferred name it is, then to the lowest
rank, then to the smallest identifier; the index keeps the number of those concepts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from balign.errors import ConfigError, DataError
from balign.files import atomic_path, write_json
from balign.linking.dictionary import FORMAT
from balign.linking.settings import LinkingSettings
from balign.linking.strings import StringTable, Vocabulary
from balign.linking.tokens import exact, folded, tokenise

log = logging.getLogger(__name__)

_ABBREVIATION_CHARACTERS = 5


def linking_index(database: Path, settings: LinkingSettings, output: Path) -> None:
    """Write the index folder.

    Args:
        database: kg.duckdb; its names that are not held out are read.
        settings: the stage's settings; the path of the stop words is relative to the work folder.
        output: the folder, replaced as a whole.

    Raises:
        ConfigError: if the file of stop words cannot be read.
        DataError: if the database cannot be read.
    """
    stop_words = _read_stop_words(Path(settings.stop_words))
    names = read_names(database)
    log.info("%s names read", f"{len(names):,}")
    index = build(names, stop_words, settings.min_characters, settings.max_tokens)
    with atomic_path(output) as folder:
        folder.mkdir()
        index.vocabulary.save(folder)
        index.concepts.save(folder, "concepts")
        np.save(folder / "edges.npy", index.edges)
        np.save(folder / "concept.npy", index.concept)
        np.save(folder / "sharing.npy", index.sharing)
        facts = {"format": FORMAT, "settings": settings.model_dump(), **index.facts}
        write_json(folder / "index.json", facts)
    log.info("dictionary: %s", index.facts)


def read_names(database: Path) -> pl.DataFrame:
    """Return ``concept``, ``name``, ``preferred``, ``rank`` of the names not held out.

    Raises:
        DataError: if the database cannot be read.
    """
    query = "SELECT concept, name, preferred, rank FROM atom WHERE NOT held_out"
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            names: pl.DataFrame = connection.sql(query).pl()
    except duckdb.Error as error:
        raise DataError(
            f"the names of the knowledge graph cannot be read: {error}",
            where=str(database),
            hint="build it with `balign kg build`",
        ) from None
    return names


def _read_stop_words(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the file of stop words cannot be read: {error}",
            where=str(path),
            hint="set linking.stop_words to a UTF-8 text file, one word a line",
        ) from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


@dataclass(frozen=True)
class Index:
    """What the files of an index hold; see :class:`balign.linking.dictionary.Dictionary`."""

    vocabulary: Vocabulary
    edges: npt.NDArray[np.int64]
    concept: npt.NDArray[np.int32]
    sharing: npt.NDArray[np.int32]
    concepts: StringTable
    facts: Mapping[str, object]


def build(
    names: pl.DataFrame, stop_words: list[str], min_characters: int, max_tokens: int
) -> Index:
    """Return the index of ``names`` by the rules of this module.

    Args:
        names: ``concept``, ``name``, ``preferred`` and ``rank``, in any order.
        stop_words: words that are no names, in lower case or as an abbreviation.
        min_characters: shortest name.
        max_tokens: longest name, in tokens.
    """
    names = names.sort("concept", "name")
    concepts = names["concept"].unique().sort()
    tokens = tokenise(names["name"])
    length = np.bincount(tokens.text, minlength=len(names))
    names = names.with_columns(length=pl.Series(length), exact=_is_abbreviation(pl.col("name")))
    names = names.with_columns(dropped=_drop_reason(stop_words, min_characters, max_tokens))

    kept = names["dropped"].is_null().to_numpy()
    of_kept = kept[tokens.text]
    vocabulary, numbers = _number_tokens(
        tokens.forms, tokens.form[of_kept], names["exact"].to_numpy()[tokens.text[of_kept]]
    )
    edges, node = _trie(numbers, length[kept], len(vocabulary.strings))
    entries = _resolve(
        names.filter(kept).with_columns(
            node=pl.Series(node),
            number=pl.Series(concepts.search_sorted(names["concept"])).filter(kept),
        )
    )
    concept = np.full(len(edges) + 1, -1, np.int32)
    sharing = np.zeros(len(edges) + 1, np.int32)
    concept[entries["node"].to_numpy()] = entries["number"].to_numpy()
    sharing[entries["node"].to_numpy()] = entries["sharing"].to_numpy()
    reasons = names.drop_nulls("dropped").group_by("dropped").len().sort("dropped")
    facts = {
        "names_read": len(names),
        "names_dropped": dict(reasons.iter_rows()),
        "abbreviations": int((names["exact"].to_numpy() & kept).sum()),
        "distinct_names": len(entries),
        "ambiguous_names": entries.filter(pl.col("sharing") > 1).height,
        "concepts": entries["number"].n_unique(),
        "longest_name_tokens": int(length[kept].max(initial=0)),
        "vocabulary": len(vocabulary.strings),
        "nodes": len(edges) + 1,
    }
    return Index(vocabulary, edges, concept, sharing, StringTable.of(concepts), facts)


def _is_abbreviation(name: pl.Expr) -> pl.Expr:
    """Short, with a letter, and every letter a capital."""
    capitals = (name == name.str.to_uppercase()) & (name != name.str.to_lowercase())
    return capitals & (name.str.len_chars() <= _ABBREVIATION_CHARACTERS)


def _drop_reason(stop_words: list[str], min_characters: int, max_tokens: int) -> pl.Expr:
    """Return the rule that a name fails, null for none; see the module."""
    name = pl.col("name").str.strip_chars()
    few = (name.str.count_matches(r"\p{L}") == 0) | (name.str.count_matches(r"[\p{L}\p{N}]") < 2)
    compared = pl.when("exact").then(name).otherwise(name.str.to_lowercase())
    return (
        pl.when(few)
        .then(pl.lit("few_letters"))
        .when(name.str.len_chars() < min_characters)
        .then(pl.lit("short"))
        .when(pl.col("length") > max_tokens)
        .then(pl.lit("long"))
        .when(compared.is_in(stop_words))
        .then(pl.lit("stop_word"))
    )


def _number_tokens(
    forms: list[str], form: npt.NDArray[np.int64], as_written: npt.NDArray[np.bool_]
) -> tuple[Vocabulary, npt.NDArray[np.int64]]:
    """Return the vocabulary of the keys of tokens, and each token's number in it.

    Args:
        forms: distinct tokens.
        form: [tokens] position of each token in ``forms``.
        as_written: [tokens] whether it belongs to an abbreviation.
    """
    wanted = form * 2 + as_written
    distinct, inverse = np.unique(wanted, return_inverse=True)
    keys = [(exact if code % 2 else folded)(forms[code // 2]) for code in distinct.tolist()]
    vocabulary = Vocabulary.of(set(keys))
    return vocabulary, vocabulary.find(keys)[inverse]


def _trie(
    numbers: npt.NDArray[np.int64], length: npt.NDArray[np.int64], vocabulary: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Build the trie level by level.

    Args:
        numbers: tokens of all names, one name after another.
        length: [names] tokens of each name.
        vocabulary: number of distinct tokens.

    Returns:
        ``edges`` as in :mod:`balign.linking.dictionary`, and [names] the node each name ends on.
    """
    first = np.cumsum(length) - length
    node = np.zeros(len(length), np.int64)
    levels = [np.zeros(0, np.int64)]
    count = 1
    for depth in range(int(length.max(initial=0))):
        going = np.flatnonzero(length > depth)
        edge = node[going] * vocabulary + numbers[first[going] + depth]
        level, inverse = np.unique(edge, return_inverse=True)
        node[going] = count + inverse
        count += len(level)
        levels.append(level)
    return np.concatenate(levels), node


def _resolve(names: pl.DataFrame) -> pl.DataFrame:
    """Return one row a ``node``: the ``number`` of its concept and how many are ``sharing`` it."""
    order = ["node", "preferred", "rank", "number"]
    return (
        names.sort(order, descending=[False, True, False, False])
        .group_by("node", maintain_order=True)
        .agg(pl.col("number").first(), sharing=pl.col("number").n_unique())
    )
