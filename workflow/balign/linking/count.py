"""Count the mentions of the whole corpus: by concept, semantic group and source, with examples."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from balign.errors import DataError
from balign.files import read_json, write_json
from balign.linking.groups import OTHER, group_rules

log = logging.getLogger(__name__)

_MOST_FREQUENT = 20
_SURFACES = 3
_PERCENTILES = (50, 90, 99, 100)
# Two files may name the same concept: what is distinct is counted over all of them.
_DISTINCT = ("concepts",)
_BY = """
    SELECT coalesce({column}, $other) AS part, sum(mentions)::BIGINT AS mentions,
        count(*) AS concepts
    FROM linked LEFT JOIN {table} USING (concept) GROUP BY part ORDER BY mentions DESC, part
"""


def linking_count(
    database: Path,
    abstracts: Sequence[Path],
    mentions: Sequence[Path],
    counts: Sequence[Path],
    output: Path,
) -> None:
    """Write the counts of all files together.

    ``ambiguous`` counts mentions whose surface, case aside, is a name of several concepts, whatever
    the linker made of it.

    Args:
        database: kg.duckdb.
        abstracts: Parquet files with ``pmid`` and ``text``, for the examples.
        mentions: Parquet files of mentions.
        counts: what ``balign linking link`` wrote beside each of them.
        output: JSON of counts.

    Raises:
        DataError: if a file cannot be read.
    """
    found = add_up([read_json(path) for path in counts])
    try:
        with duckdb.connect(str(database), read_only=True) as connection:
            found |= _count(connection, [str(x) for x in abstracts], [str(x) for x in mentions])
    except duckdb.Error as error:
        raise DataError(
            f"the mentions cannot be counted: {error}",
            where=str(database),
            hint="the graph and the mentions must be of one run",
        ) from None
    write_json(output, found)
    log.info(
        "%s mentions of %s concepts, %s ambiguous",
        f"{found['mentions']:,}",
        f"{found['concepts']:,}",
        f"{found['ambiguous']:,}",
    )


def add_up(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Add up the counts of files; ``linker`` is the same in all."""
    total: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for part in parts:
        total.update({k: v for k, v in part.items() if isinstance(v, int) and k not in _DISTINCT})
        dropped.update(part["dropped"])
    linker = parts[0]["linker"] if parts else None
    return {"linker": linker, **total, "dropped": dict(sorted(dropped.items()))}


def _count(
    connection: duckdb.DuckDBPyConnection, abstracts: list[str], mentions: list[str]
) -> dict[str, Any]:
    def rows(query: str, **values: Any) -> list[tuple[Any, ...]]:
        used = {name: value for name, value in values.items() if f"${name}" in query}
        return connection.execute(query, used).fetchall()

    rows(
        """
        CREATE TEMP TABLE linked AS
        SELECT concept, count(*) AS mentions, count(DISTINCT (pmid, sentence)) AS sentences
        FROM read_parquet($mentions) GROUP BY concept
        """,
        mentions=mentions,
    )
    _make_groups(connection)
    ambiguous = rows(
        """
        WITH shared AS (
            SELECT lower(name) AS name FROM atom WHERE NOT held_out
            GROUP BY ALL HAVING count(DISTINCT concept) > 1
        )
        SELECT count(*) FROM read_parquet($mentions) m SEMI JOIN shared ON lower(surface) = name
        """,
        mentions=mentions,
    )
    spread = rows(
        "SELECT quantile_disc(sentences, $shares) FROM linked",
        shares=[p / 100 for p in _PERCENTILES],
    )
    of_concept: dict[str, dict[str, Any]] = {
        concept: {"concept": concept, "mentions": count, "sentences": sentences}
        for concept, count, sentences in rows(
            f"SELECT * FROM linked ORDER BY mentions DESC, concept LIMIT {_MOST_FREQUENT}"
        )
    }
    _add_examples(of_concept, rows, abstracts, mentions)
    return {
        "concepts": rows("SELECT count(*) FROM linked")[0][0],
        "ambiguous": ambiguous[0][0],
        "sentences_of_a_concept": {
            str(p): value for p, value in zip(_PERCENTILES, spread[0][0] or [], strict=False)
        },
        "by_semantic_group": _parts(rows(_BY.format(column="name", table="grouped"), other=OTHER)),
        "by_source": _parts(rows(_BY.format(column="source", table="concept"), other=OTHER)),
        "most_frequent": list(of_concept.values()),
    }


def _parts(found: list[tuple[Any, ...]]) -> dict[str, dict[str, int]]:
    return {part: {"mentions": mentions, "concepts": n} for part, mentions, n in found}


def _make_groups(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table ``grouped``: the ``name`` of each concept's semantic group."""
    connection.execute(
        "CREATE TEMP TABLE rule (priority INTEGER, source VARCHAR, type VARCHAR, "
        "beginning BOOLEAN, name VARCHAR)"
    )
    connection.executemany("INSERT INTO rule VALUES (?, ?, ?, ?, ?)", group_rules())
    connection.execute(
        """
        CREATE TEMP TABLE grouped AS
        WITH kind AS (SELECT DISTINCT semantic_type, source FROM semantic_type), fitting AS (
            SELECT kind.*, min_by(rule.name, priority) AS name, min(priority) AS priority
            FROM kind JOIN rule ON CASE
                WHEN beginning THEN rule.source = kind.source AND starts_with(semantic_type, type)
                ELSE semantic_type = type END
            GROUP BY ALL
        )
        SELECT concept, first(name ORDER BY priority, name) AS name
        FROM semantic_type JOIN fitting USING (semantic_type, source) GROUP BY concept
        """
    )


def _add_examples(
    of_concept: dict[str, dict[str, Any]], rows: Any, abstracts: list[str], mentions: list[str]
) -> None:
    """Add to concepts their commonest ``surfaces`` and, as ``example``, the first mention."""
    wanted = list(of_concept)
    found = rows(
        """
        SELECT concept, lower(surface) AS surface, count(*) AS n FROM read_parquet($mentions)
        WHERE concept IN (SELECT unnest($wanted)) GROUP BY ALL ORDER BY n DESC, surface
        """,
        mentions=mentions,
        wanted=wanted,
    )
    for concept, surface, count in found:
        surfaces = of_concept[concept].setdefault("surfaces", {})
        if len(surfaces) < _SURFACES:
            surfaces[surface] = count
    first = rows(
        """
        WITH first AS (
            SELECT concept, min({'pmid': pmid, 'start': start, 'end': "end"}) AS place
            FROM read_parquet($mentions) WHERE concept IN (SELECT unnest($wanted)) GROUP BY concept
        )
        SELECT concept, pmid, place.start, place."end", text
        FROM first JOIN read_parquet($abstracts) a ON a.pmid = place.pmid ORDER BY concept
        """,
        mentions=mentions,
        abstracts=abstracts,
        wanted=wanted,
    )
    for concept, pmid, start, end, text in first:
        of_concept[concept]["example"] = {"pmid": pmid, "text": around(text, start, end)}


def around(text: str, start: int, end: int, width: int = 60) -> str:
    """Return the words of ``text`` around a span, which stands in brackets."""
    before, after = text[:start], text[end:]
    if len(before) > width:
        before = "… " + before[-width:].partition(" ")[2]
    if len(after) > width:
        after = after[:width].rpartition(" ")[0] + " …"
    return " ".join(f"{before}[{text[start:end]}]{after}".split())
