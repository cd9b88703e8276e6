"""Zero-shot linking: what its families share.

A query is linked to the concept of the nearest name, as in SapBERT (NAACL 2021).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from balign.draw import draw_key
from balign.embedding import Encoder, Pooling, embed_names, load_encoder, nearest_concepts
from balign.errors import DataError

METRICS = ("accuracy@1", "accuracy@5")
NAME_SCHEMA = {"concept": pl.String, "name": pl.String, "rank": pl.Int32}
_DEPTH = 5
_NAMES_IN_MEMORY = 1_000_000
_NAMES_A_BLOCK = 65_536  # embedded at once where they are more
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Query:
    """A string to link.

    Attributes:
        text: the string.
        gold: right concepts, sorted; empty where no candidate is right, which counts as a miss.
        identifier: what the annotators wrote; empty where the gold is a concept itself.
        subsets: named subsets that the query belongs to.
    """

    text: str
    gold: tuple[str, ...]
    identifier: str = ""
    subsets: tuple[str, ...] = ()


@contextmanager
def open_graph(database: Path | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open kg.duckdb read-only.

    Raises:
        DataError: if it is not given, or is no such database.
    """
    if database is None:
        raise DataError("this task reads the knowledge graph", hint="give --database kg.duckdb")
    try:
        connection = duckdb.connect(str(database), read_only=True)
    except duckdb.Error as error:
        raise DataError(
            f"the knowledge graph cannot be opened: {error}", where=str(database)
        ) from None
    try:
        yield connection
    except duckdb.CatalogException as error:
        raise DataError(
            f"the knowledge graph lacks a table or column: {error}", where=str(database)
        ) from None
    finally:
        connection.close()


def distinct_names(names: pl.DataFrame) -> pl.DataFrame:
    """Keep one of a concept's names that differ only in case, punctuation and order of words.

    Much of MeSH is such ("Infarction, Myocardial"). On BC5CDR diseases with MiniLM 36,372 names
    instead of 65,855 give the same accuracies (66.7 and 82.7), and two thirds as many are encoded.

    Args:
        names: columns ``concept``, ``name`` and ``rank``; the name of the lowest rank is kept.
    """
    seen = set()
    kept = []
    names = names.sort("concept", "rank", "name")
    for row, (concept, name) in enumerate(names.select("concept", "name").iter_rows()):
        key = (concept, " ".join(sorted(_WORD.findall(name.casefold()))))
        if key not in seen:
            seen.add(key)
            kept.append(row)
    return names[kept]


def draw_candidates(
    names: pl.DataFrame, gold: set[str], count: int | None, seed: int
) -> pl.DataFrame:
    """Keep all names of the gold concepts and fill up to ``count`` with drawn names of others.

    Args:
        names: columns ``concept``, ``name`` and ``rank``.
        gold: concepts that some query should be linked to.
        count: names to keep; None keeps all.
        seed: of the draw.
    """
    if count is None:
        return names
    right = names["concept"].is_in(list(gold))
    kept, others = names.filter(right), names.filter(~right)
    missing = max(0, count - len(kept))
    keys = [draw_key(seed, f"{concept}\t{name}") for concept, name, _ in others.iter_rows()]
    drawn = sorted(range(len(keys)), key=keys.__getitem__)[:missing]
    return pl.concat([kept, others[drawn]])


def _name_vectors(
    encoder: Encoder, names: Sequence[str], pooling: Pooling, folder: Path
) -> npt.NDArray[np.float32]:
    """Return the vectors of names, ``[n, d]``; of very many as a file in ``folder``.

    Seven million names of 384 numbers are 10.8 GB.
    """
    what = "candidate names embedded"
    if len(names) <= _NAMES_IN_MEMORY:
        return embed_names(encoder, names, what, pooling)
    shape = (len(names), encoder.model.config.hidden_size)
    mapped: npt.NDArray[np.float32] = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
        folder / "names.npy", "w+", np.float32, shape
    )
    for first in range(0, len(names), _NAMES_A_BLOCK):
        some = names[first : first + _NAMES_A_BLOCK]
        mapped[first : first + len(some)] = embed_names(
            encoder, some, f"{what} from {first:,} on", pooling
        )
    return mapped


def link(
    model: Path, queries: Sequence[Query], candidates: pl.DataFrame, pooling: Pooling = "mean"
) -> pl.DataFrame:
    """Link every query to the concepts of the nearest names.

    Args:
        model: folder of the text encoder.
        queries: distinct queries.
        candidates: columns ``concept`` and ``name``.
        pooling: how a vector comes of word pieces.

    Returns:
        One row a query: ``example`` (position), ``query``, ``identifier``, ``gold``, ``predicted``
        (concept), ``name`` (the winning name), ``score``, ``rank`` (of the first right concept
        among the five best, null where there is none), ``correct``, ``subsets``.
    """
    candidates = candidates.sort("concept", "name")
    concepts = candidates["concept"].unique(maintain_order=True).to_list()
    position = {concept: row for row, concept in enumerate(concepts)}
    names = candidates["name"].to_list()
    concept_of = np.array([position[one] for one in candidates["concept"]], dtype=np.int64)
    encoder = load_encoder(model)
    texts = [one.text for one in queries]
    query_vectors = embed_names(encoder, texts, "queries embedded", pooling)
    with tempfile.TemporaryDirectory(prefix="balign-names-") as folder:
        name_vectors = _name_vectors(encoder, names, pooling, Path(folder))
        found = nearest_concepts(query_vectors, name_vectors, concept_of, _DEPTH)
        del name_vectors
    ranks = []
    for query, best in zip(queries, found.concepts, strict=True):
        gold = {position[one] for one in query.gold if one in position}
        ranks.append(next((r for r, one in enumerate(best.tolist(), 1) if one in gold), None))
    return pl.DataFrame(
        {
            "example": np.arange(len(queries), dtype=np.int64),
            "query": [one.text for one in queries],
            "identifier": [one.identifier for one in queries],
            "gold": pl.Series([list(one.gold) for one in queries], dtype=pl.List(pl.String)),
            "predicted": [concepts[one] for one in found.concepts[:, 0]],
            "name": [names[one] for one in found.names],
            "score": found.scores,
            "rank": pl.Series(ranks, dtype=pl.Int32),
            "correct": [rank == 1 for rank in ranks],
            "subsets": pl.Series([list(one.subsets) for one in queries], dtype=pl.List(pl.String)),
        }
    )
