"""Build the dictionary from the names of the knowledge graph.

A name that fails one of these rules is dropped and counted under the rule's name:

1. ``few_letters``: a name without a letter (a number), or of one letter or digit.
2. ``short``: fewer characters than ``min_characters``.
3. ``long``: more tokens than ``max_tokens``.
4. ``stop_word``: a line of the file of stop words. A name compared as written must equal the line
   as written ("AND"), any other name without regard to case and number ("all").

Which names are compared as written is :func:`is_symbol`; all others match without regard to case.
Each name also has the spellings of :mod:`balign.linking.variants`, and all are found in the
singular for the plural and the other way round. A name of several concepts goes
to the one that has it in this spelling, then by the rules of ``ambiguity`` in their order
(``type_prior``: the earliest place in the list of types; ``preferred``: the one whose preferred
name it is; ``rank``: the lowest rank), then to the smallest identifier; the index keeps the number
of those concepts.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from balign.errors import ConfigError, DataError
from balign.files import write_json
from balign.linking.dictionary import FORMAT, Dictionary, sequence_keys
from balign.linking.hashtable import HashTable, Keys
from balign.linking.settings import DictionarySettings
from balign.linking.strings import StringTable
from balign.linking.tokens import Rules, tokenise
from balign.linking.variants import variants

log = logging.getLogger(__name__)

_BATCH = 100_000  # names; some hundred MiB while they are cut
_ABBREVIATION_CHARACTERS = 5
_RANKS = 2**16 - 1
_MADE = np.uint64(2**60)  # in a name's order: the spelling is not the graph's
_REASONS = ("few_letters", "short", "long", "stop_word")


def build_dictionary(database: Path, settings: DictionarySettings, folder: Path) -> None:
    """Write the index into a folder, which exists.

    Args:
        database: kg.duckdb; its names that are not held out are read.
        settings: the dictionary's settings; the path of the stop words is relative to the work
            folder.
        folder: where the files go.

    Raises:
        ConfigError: if the file of stop words cannot be read.
        DataError: if the database cannot be read.
    """
    stop_words = _read_stop_words(Path(settings.stop_words))
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            concepts = _concepts(connection, settings.type_prior)
            batches = _names(connection, concepts)
            dictionary, facts = build(batches, concepts, stop_words, settings)
    except duckdb.Error as error:
        raise DataError(
            f"the names of the knowledge graph cannot be read: {error}",
            where=str(database),
            hint="build it with `balign kg build`",
        ) from None
    dictionary.table.save(folder)
    dictionary.concepts.save(folder, "concepts")
    np.save(folder / "concept.npy", dictionary.concept)
    np.save(folder / "sharing.npy", dictionary.sharing)
    facts = {"format": FORMAT, "settings": settings.model_dump(), **facts}
    write_json(folder / "index.json", {**facts, "rules": asdict(dictionary.rules)})
    log.info("dictionary: %s", facts)


def _concepts(connection: duckdb.DuckDBPyConnection, type_prior: tuple[str, ...]) -> pl.DataFrame:
    """Return ``concept``, sorted, and ``prior``: its best place in the list of types."""
    concepts: pl.DataFrame = connection.sql(
        "SELECT DISTINCT concept FROM atom WHERE NOT held_out ORDER BY concept"
    ).pl()
    if not type_prior:
        return concepts.with_columns(prior=pl.lit(0, pl.UInt8))
    places = connection.sql(
        """
        SELECT concept, min(place) AS prior
        FROM semantic_type, unnest($types) WITH ORDINALITY AS prior(wanted, place)
        WHERE starts_with(semantic_type, wanted) GROUP BY concept
        """,
        params={"types": list(type_prior)},
    ).pl()
    last = len(type_prior) + 1
    joined = concepts.join(places, on="concept", how="left", maintain_order="left")
    return joined.with_columns(pl.col("prior").fill_null(last).cast(pl.UInt8))


def _names(connection: duckdb.DuckDBPyConnection, concepts: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield ``concept`` (its number), ``name``, ``preferred`` and ``rank`` in batches."""
    numbers = concepts.with_row_index("number").select("number", "concept").to_arrow()
    connection.register("numbers", numbers)
    reader = connection.sql(
        "SELECT number AS concept, name, preferred, rank FROM atom JOIN numbers USING (concept) "
        "WHERE NOT held_out"
    ).to_arrow_reader(_BATCH)
    for batch in reader:
        yield pl.DataFrame(pl.from_arrow(batch))


def _read_stop_words(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the file of stop words cannot be read: {error}",
            where=str(path),
            hint="set linking.dictionary.stop_words to a UTF-8 text file, one word a line",
        ) from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


@dataclass
class _Collected:
    """Names as keys, gathered batch by batch.

    A name's ``order`` holds, from the highest bits on: whether the spelling was made (1 bit), what
    ``ambiguity`` lists (together at most 25), the concept (32). The lowest order has the name.
    """

    keys: list[Keys] = field(default_factory=list)
    orders: list[Keys] = field(default_factory=list)
    beginnings: list[Keys] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    read: int = 0
    symbols: int = 0
    made: int = 0


def build(
    batches: Iterable[pl.DataFrame],
    concepts: pl.DataFrame,
    stop_words: list[str],
    settings: DictionarySettings,
) -> tuple[Dictionary, Mapping[str, object]]:
    """Return the dictionary of some names by the rules of this module, and its counts.

    Args:
        batches: ``concept`` (number), ``name``, ``preferred`` and ``rank``, in any order.
        concepts: ``concept`` and ``prior`` by number.
        stop_words: words that are no names.
        settings: the dictionary's settings.
    """
    rules = Rules(settings.hyphens, settings.plurals, settings.greek)
    collected = _Collected()
    prior = concepts["prior"].to_numpy().astype(np.uint64)
    stop_keys = _stop_keys(stop_words, rules)
    for batch in batches:
        _collect(collected, batch, prior, stop_keys, rules, settings)
    keys, order = _joined(collected.keys), _joined(collected.orders)
    collected.keys.clear()
    collected.orders.clear()
    names, concept, sharing = _resolve(keys, order)
    del keys, order
    beginnings = np.unique(_joined(collected.beginnings))
    values = np.full(len(beginnings), -1, np.int32)
    values[np.searchsorted(beginnings, names)] = np.arange(len(names), dtype=np.int32)
    table = HashTable.of(beginnings, values)
    facts = {
        "names_read": collected.read,
        "names_dropped": dict(sorted(collected.reasons.items())),
        "compared_as_written": collected.symbols,
        "spellings_made": collected.made,
        "distinct_names": len(names),
        "ambiguous_names": int((sharing > 1).sum()),
        "concepts": len(np.unique(concept)),
        "beginnings": len(beginnings),
    }
    strings = StringTable.of(concepts["concept"])
    return Dictionary(table, concept, sharing, strings, rules), facts


def _joined(parts: list[Keys]) -> Keys:
    return np.concatenate([np.zeros(0, np.uint64), *parts])


def _stop_keys(stop_words: list[str], rules: Rules) -> Keys:
    tokens = tokenise(stop_words, rules)
    length = np.bincount(tokens.text, minlength=len(stop_words))
    written = np.array([word.isupper() for word in stop_words], np.bool_)
    hashes = np.where(written[tokens.text], tokens.exact, tokens.stemmed)
    return sequence_keys(hashes, length)[0]


def _collect(
    collected: _Collected,
    batch: pl.DataFrame,
    prior: npt.NDArray[np.uint64],
    stop_keys: Keys,
    rules: Rules,
    settings: DictionarySettings,
) -> None:
    """Add a batch of names and their further spellings."""
    made = variants(batch["name"], settings.inverted, settings.greek)
    origin = np.concatenate([np.arange(len(batch)), made["row"].to_numpy().astype(np.int64)])
    table = pl.DataFrame({"name": pl.concat([batch["name"], made["name"]])}).with_columns(
        symbol=is_symbol(pl.col("name"), settings.symbols),
        reason=_drop_reason(settings.min_characters),
    )
    tokens = tokenise(table["name"].to_list(), rules)
    length = np.bincount(tokens.text, minlength=len(table))
    symbol = table["symbol"].to_numpy()
    short = np.where(length <= settings.max_tokens, length, 0)
    of_short = short[tokens.text] > 0
    by_token = symbol[tokens.text]
    hashes = np.where(by_token, tokens.exact, tokens.folded)
    stems = np.where(by_token, tokens.exact, tokens.stemmed)
    keys, _ = sequence_keys(hashes[of_short], short)
    stem_keys, _ = sequence_keys(stems[of_short], short)

    reason = table["reason"].to_numpy().copy()
    reason[(reason == 0) & (length > settings.max_tokens)] = 1 + _REASONS.index("long")
    reason[(reason == 0) & np.isin(stem_keys, stop_keys)] = 1 + _REASONS.index("stop_word")
    original = np.arange(len(table)) < len(batch)
    for number, name in enumerate(_REASONS, 1):
        collected.reasons[name] += int((original & (reason == number)).sum())
    collected.reasons += Counter()  # without zeros
    kept = reason == 0
    kept[len(batch) :] &= kept[origin[len(batch) :]]
    collected.read += len(batch)
    collected.symbols += int((symbol & original & kept).sum())
    collected.made += int((~original & kept).sum())

    concept = batch["concept"].to_numpy().astype(np.uint64)
    rank = batch["rank"].to_numpy().clip(0, _RANKS).astype(np.uint64)
    known = {
        "type_prior": (8, prior[concept.astype(np.int64)]),
        "preferred": (1, (~batch["preferred"].to_numpy()).astype(np.uint64)),
        "rank": (16, rank),
    }
    order = np.zeros(len(batch), np.uint64)
    for rule in settings.ambiguity:
        bits, value = known[rule]
        order = (order << np.uint64(bits)) | value
    order = (order << np.uint64(32)) | concept
    order = order[origin]
    order[~original] |= _MADE
    other = kept & (stem_keys != keys)
    for some, found, tokens_of in ((kept, keys, hashes), (other, stem_keys, stems)):
        _, beginnings = sequence_keys(tokens_of[some[tokens.text]], length[some])
        collected.beginnings.append(np.unique(_joined(beginnings)))
        collected.keys.append(found[some])
        collected.orders.append(order[some])
        order = order | _MADE


def is_symbol(name: pl.Expr, symbols: bool) -> pl.Expr:
    """Return whether a name is compared as written.

    An abbreviation is: at most five characters, a letter among them, every letter a capital. With
    ``symbols`` a symbol of at most eight characters is too: one word with two capitals, or with a
    capital and a digit ("mRNA", "Cdk4", "MAPK14"); elsewhere case tells nothing ("Aspirin").
    """
    capitals = (name == name.str.to_uppercase()) & (name != name.str.to_lowercase())
    found = capitals & (name.str.len_chars() <= _ABBREVIATION_CHARACTERS)
    if not symbols:
        return found
    upper = name.str.count_matches(r"\p{Lu}")
    marked = (upper >= 2) | ((upper >= 1) & name.str.contains(r"\p{N}"))
    one_word = ~name.str.contains(r"\s") & (name.str.len_chars() <= 8)
    return found | (one_word & marked)


def _drop_reason(min_characters: int) -> pl.Expr:
    """Return the number of the rule that a name fails by its characters, 0 for none."""
    name = pl.col("name").str.strip_chars()
    few = (name.str.count_matches(r"\p{L}") == 0) | (name.str.count_matches(r"[\p{L}\p{N}]") < 2)
    return (
        pl.when(few)
        .then(1 + _REASONS.index("few_letters"))
        .when(name.str.len_chars() < min_characters)
        .then(1 + _REASONS.index("short"))
        .otherwise(0)
        .cast(pl.UInt8)
    )


def _resolve(keys: Keys, order: Keys) -> tuple[Keys, npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Return the distinct keys, sorted, the concept of each and how many share it."""
    by_order = np.lexsort((order, keys))
    keys, order = keys[by_order], order[by_order]
    first = np.ones(len(keys), np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    group = np.cumsum(first) - 1
    concept = (order & np.uint64(2**32 - 1)).astype(np.int64)
    # Concepts of a name may repeat (two spellings of one): count distinct pairs.
    pairs = np.unique(group * 2**32 + concept)
    sharing = np.bincount(pairs >> 32, minlength=int(first.sum()))
    return keys[first], concept[first].astype(np.int32), sharing.clip(0, 255).astype(np.uint8)
