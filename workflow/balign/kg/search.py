"""Search for concepts by name, as people type it: no index, one pass over the names.

Case, accents and punctuation do not count. Best first: the name itself, names that begin with the
text, names with all its words in any order (a word may be cut short: "myocard infarct"), and only
where these give nothing, names that are spelled much the same (Jaro-Winkler similarity).
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

import duckdb

_WORD = re.compile(r"[^\W_]+")
# The same form in SQL: white space in place of all but letters and digits.
_PLAIN = r"trim(regexp_replace(lower(strip_accents(name)), '[^\p{L}\p{N}]+', ' ', 'g'))"
_LEAST_SIMILARITY = 0.85
KINDS = ("identifier", "exact", "prefix", "words", "similar")


class Hit(NamedTuple):
    """A concept found: ``name`` is its name that fits best, ``kind`` one of :data:`KINDS`."""

    concept: str
    preferred_name: str
    name: str
    kind: str


def plain(text: str) -> str:
    """Return a text's words without case and accents, one space between two."""
    bare = "".join(
        letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter)
    )
    return " ".join(_WORD.findall(bare.lower()))


def search(connection: duckdb.DuckDBPyConnection, text: str, limit: int = 10) -> list[Hit]:
    """Return the concepts that a text may mean, each once, best first.

    Args:
        connection: an open knowledge graph.
        text: a name, part of one, or an identifier.
        limit: number of concepts at most.
    """
    if limit < 1:
        return []
    hits = [(concept, concept, 0) for concept in concepts_of(connection, text)]
    wanted = plain(text)
    if wanted:
        hits += _by_words(connection, wanted, limit + len(hits))
        if not hits:
            hits = _by_spelling(connection, wanted, limit)
    best: dict[str, tuple[str, int]] = {}
    for concept, name, kind in hits:
        best.setdefault(concept, (name, kind))
    rows = connection.execute(
        "SELECT concept, preferred_name FROM concept WHERE concept IN (SELECT unnest($1))",
        [list(best)],
    ).fetchall()
    preferred = dict(rows)
    found = list(best.items())[:limit]
    return [Hit(one, preferred[one], name, KINDS[kind]) for one, (name, kind) in found]


def concepts_of(connection: duckdb.DuckDBPyConnection, text: str) -> list[str]:
    """Return the concepts that have a text as id or as xref, upper case or lower; sorted."""
    rows = connection.execute(
        """SELECT concept FROM concept WHERE upper(concept) = upper($1)
        UNION SELECT concept FROM xref WHERE upper(identifier) = upper($1) ORDER BY concept""",
        [text.strip()],
    ).fetchall()
    return [str(row[0]) for row in rows]


def _by_words(
    connection: duckdb.DuckDBPyConnection, wanted: str, limit: int
) -> list[tuple[str, str, int]]:
    words = wanted.split()
    # The longest word passes few names, which spares the costlier form; letters with accents and
    # what a dictionary folds otherwise are left to the second look.
    longest = max(words, key=len)
    return connection.execute(
        rf"""WITH near AS (
            SELECT concept, name, rank FROM atom
            WHERE contains(strip_accents(lower(name)), $longest)),
        formed AS (SELECT *, {_PLAIN} AS plain FROM near),
        fitting AS (
            SELECT *, CASE
                WHEN plain = $wanted THEN 1 WHEN starts_with(plain, $wanted) THEN 2 ELSE 3
                END AS kind
            FROM formed
            WHERE list_bool_and(list_transform($words, lambda word:
                starts_with(plain, word) OR contains(plain, ' ' || word)))),
        best AS (
            SELECT * FROM fitting QUALIFY row_number() OVER (PARTITION BY concept
                ORDER BY kind, length(plain), rank) = 1)
        SELECT concept, name, kind FROM best
        ORDER BY kind, length(plain), rank, concept LIMIT $limit""",
        {"longest": longest, "wanted": wanted, "words": words, "limit": limit},
    ).fetchall()


def _by_spelling(
    connection: duckdb.DuckDBPyConnection, wanted: str, limit: int
) -> list[tuple[str, str, int]]:
    return connection.execute(
        f"""WITH scored AS (
            SELECT concept, name, rank,
                jaro_winkler_similarity({_PLAIN}, $wanted, {_LEAST_SIMILARITY}) AS score
            FROM atom WHERE abs(length(name) - length($wanted)) <= 3 + length($wanted) // 3)
        SELECT concept, name, 4 FROM scored WHERE score > 0
        QUALIFY row_number() OVER (PARTITION BY concept ORDER BY score DESC, rank) = 1
        ORDER BY score DESC, rank, concept LIMIT $limit""",
        {"wanted": wanted, "limit": limit},
    ).fetchall()
