"""The graph's names as the backends that compare strings need them."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import polars as pl

from balign.errors import DataError

_WORD = re.compile(r"\w+")


def query_graph(database: Path, query: str) -> pl.DataFrame:
    """Return the rows of a query.

    Raises:
        DataError: if the database cannot be read, or holds no row that the query wants.
    """
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            found: pl.DataFrame = connection.sql(query).pl()
    except duckdb.Error as error:
        raise DataError(
            f"the knowledge graph cannot be read: {error}",
            where=str(database),
            hint="build it with `balign kg build`",
        ) from None
    if found.is_empty():
        raise DataError("the knowledge graph has nothing to link to", where=str(database))
    return found


def distinct_names(database: Path) -> pl.DataFrame:
    """Return ``name`` and its ``concept``, sorted by name; held-out names are left out.

    Of a concept's names that differ in case, punctuation and order of words only, the one of the
    lowest rank stays: much of MeSH is such ("Infarction, Myocardial"). A name of several concepts
    goes to the one whose preferred name it is, then to the lowest rank, then to the smallest
    identifier.

    Raises:
        DataError: if the database cannot be read, or has no names.
    """
    atoms = query_graph(
        database,
        "SELECT name, concept FROM atom WHERE NOT held_out"
        " ORDER BY preferred DESC, rank, concept, name",
    )
    seen: set[tuple[str, str]] = set()
    concept_of: dict[str, str] = {}
    for name, concept in atoms.iter_rows():
        key = (concept, " ".join(sorted(_WORD.findall(name.casefold()))))
        if key not in seen:
            seen.add(key)
            concept_of.setdefault(name, concept)
    found = sorted(concept_of.items())
    return pl.DataFrame(found, schema={"name": pl.String, "concept": pl.String}, orient="row")
