"""A Metathesaurus in Rich Release Format, read into staging tables.

DuckDB projects and filters while it reads; the raw columns are never stored. Chapter 3 of the UMLS
Reference Manual describes the files; METHODS of the project's blueprint the direction: a row
(CUI1, REL, RELA, CUI2) of MRREL says that CUI2 has the relation to CUI1, so the head is CUI2.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from balign.kg.rrf_files import check_folder, quoted, run, scan
from balign.kg.settings import RrfSettings

log = logging.getLogger(__name__)

# A code of one source may stand in several concepts: a MeSH descriptor's entry terms do. The
# concept of its main heading is the code's; nothing else says so than the term type.
_HEAD = "CASE WHEN tty IN ('MH', 'NM') THEN 0 WHEN tty IN ('PT', 'PF') THEN 1 ELSE 2 END"
_IDENTIFIER = """CASE
    WHEN code = 'NOCODE' THEN NULL
    WHEN sab = 'MSH' THEN 'MESH:' || code
    WHEN sab = 'NCI' THEN 'NCIT:' || code
    WHEN sab = 'SNOMEDCT_US' THEN 'SNOMEDCT:' || code
    WHEN sab = 'MDR' THEN 'MEDDRA:' || code
    WHEN contains(code, ':') THEN code
    ELSE sab || ':' || code END"""


def read_rrf(
    connection: duckdb.DuckDBPyConnection, settings: RrfSettings
) -> dict[str, dict[str, int]]:
    """Read a release into tables of the connection.

    Writes ``rrf_atom`` (concept, name, source, code, term_type, best (bool), position,
    restriction), ``rrf_edge`` (head, relation, tail, source), ``rrf_type`` (concept,
    semantic_type), ``rrf_definition`` (concept, definition, source), ``rrf_source`` (source,
    version, licence, restriction), ``rrf_xref`` (concept, identifier; one concept an identifier)
    and ``rrf_inverse`` (relation, inverse).

    Returns:
        file → "lines" and rows dropped by reason.

    Raises:
        DataError: for a missing file or one that breaks the format; it names the file and the line.
    """
    assert settings.folder is not None
    folder = Path(settings.folder)
    lines = check_folder(folder)
    counts = {name: {"lines": number} for name, number in lines.items()}
    _read_sources(connection, folder)
    _read_atoms(connection, folder, settings, "MRRANK" in lines, counts["MRCONSO"])
    _read_edges(connection, folder, settings, counts["MRREL"])
    keep = _in("SUPPRESS", settings.suppress)
    run(
        connection,
        folder,
        "MRSTY",
        f"""CREATE TABLE rrf_type AS SELECT DISTINCT CUI AS concept, STY AS semantic_type
        FROM {scan(folder, "MRSTY")} WHERE CUI IN (SELECT concept FROM rrf_atom)""",
    )
    run(
        connection,
        folder,
        "MRDEF",  # it has no language of its own, so the atom it belongs to decides
        f"""CREATE TABLE rrf_definition AS
        SELECT DISTINCT CUI AS concept, trim(DEF) AS definition, SAB AS source
        FROM {scan(folder, "MRDEF")}
        WHERE {keep} AND trim(DEF) <> '' AND AUI IN (SELECT aui FROM rrf_atom)""",
    )
    inverse = "SELECT '' AS relation, '' AS inverse WHERE false"
    if "MRDOC" in lines:
        inverse = f"""SELECT DISTINCT VALUE AS relation, EXPL AS inverse
        FROM {scan(folder, "MRDOC")}
        WHERE TYPE IN ('rela_inverse', 'rel_inverse') AND VALUE <> '' AND EXPL <> ''"""
    run(connection, folder, "MRDOC", f"CREATE TABLE rrf_inverse AS {inverse}")
    return counts


def _in(column: str, values: Iterable[str] | None) -> str:
    if values is None:
        return "true"
    listed = ", ".join(map(quoted, values))
    return f"coalesce({column}, '') IN ({listed})" if listed else "false"


def _reasons(conditions: dict[str, str]) -> str:
    cases = " ".join(f"WHEN NOT ({test}) THEN {quoted(why)}" for why, test in conditions.items())
    return f"CASE {cases} END"


def _count_dropped(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    name: str,
    conditions: dict[str, str],
    counts: dict[str, int],
) -> None:
    rows = connection.execute(
        f"SELECT {_reasons(conditions)} AS reason, count(*) FROM {scan(folder, name)} "
        "GROUP BY reason HAVING reason IS NOT NULL ORDER BY reason"
    ).fetchall()
    counts.update(rows)


def _read_sources(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    run(
        connection,
        folder,
        "MRSAB",
        f"""CREATE TABLE rrf_source AS
        SELECT RSAB AS source, max(coalesce(SVER, IMETA, '')) AS version,
            'UMLS Metathesaurus License, category ' || max(coalesce(SRL, '?')) AS licence,
            max(coalesce(try_cast(SRL AS INTEGER), 0)) AS restriction
        FROM {scan(folder, "MRSAB")} WHERE CURVER = 'Y' GROUP BY RSAB""",
    )


def _read_atoms(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    settings: RrfSettings,
    ranked: bool,
    counts: dict[str, int],
) -> None:
    conditions = {
        "rows of other languages": _in("LAT", settings.languages),
        "rows suppressed": _in("SUPPRESS", settings.suppress),
        "rows of other sources": _in("SAB", settings.sources),
        "rows without a name": "trim(coalesce(STR, '')) <> ''",
    }
    rank = "SELECT '' AS sab, '' AS tty, 0 AS rank WHERE false"
    if ranked:
        rank = f"""SELECT SAB AS sab, TTY AS tty, max(try_cast(RANK AS INTEGER)) AS rank
        FROM {scan(folder, "MRRANK")} GROUP BY ALL"""
    run(connection, folder, "MRRANK", f"CREATE TABLE rrf_rank AS {rank}")
    run(
        connection,
        folder,
        "MRCONSO",
        f"""CREATE TABLE rrf_conso AS
        SELECT CUI AS concept, trim(STR) AS name, SAB AS sab, CODE AS code, TTY AS tty, AUI AS aui,
            (TS = 'P')::UTINYINT * 4 + (STT = 'PF')::UTINYINT * 2 + (ISPREF = 'Y')::UTINYINT
                AS form, try_cast(SRL AS INTEGER) AS srl
        FROM {scan(folder, "MRCONSO")} WHERE {" AND ".join(conditions.values())}""",
    )
    _count_dropped(connection, folder, "MRCONSO", conditions, counts)
    # The preferred form of the preferred term (TS, STT, ISPREF) names the concept; where the
    # filters took it away, the source and term type that MRRANK puts first.
    connection.execute(
        """CREATE TABLE rrf_atom AS
        SELECT concept, name, sab AS source, coalesce(code, 'NOCODE') AS code, tty AS term_type,
            row_number() OVER (PARTITION BY concept
                ORDER BY form DESC, coalesce(rank, 0) DESC, aui) AS position,
            coalesce(restriction, srl, 0) AS restriction, aui
        FROM rrf_conso LEFT JOIN rrf_rank USING (sab, tty)
            LEFT JOIN rrf_source ON source = sab"""
    )
    connection.execute(
        f"""CREATE TABLE rrf_xref AS
        SELECT first(concept ORDER BY {_HEAD}, form DESC, concept) AS concept, identifier
        FROM (SELECT *, {_IDENTIFIER} AS identifier FROM rrf_conso)
        WHERE identifier IS NOT NULL GROUP BY identifier"""
    )
    connection.execute("DROP TABLE rrf_conso; DROP TABLE rrf_rank")


def _read_edges(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    settings: RrfSettings,
    counts: dict[str, int],
) -> None:
    conditions = {
        "rows suppressed": _in("SUPPRESS", settings.suppress),
        "rows of other sources": _in("SAB", settings.sources),
        "rows of excluded relations": f"NOT {_in('REL', settings.exclude_relations)}",
        "self loops": "CUI1 <> CUI2",
        "rows of a concept without a kept name": "CUI1 IN (SELECT concept FROM rrf_atom) "
        "AND CUI2 IN (SELECT concept FROM rrf_atom)",
    }
    run(
        connection,
        folder,
        "MRREL",
        f"""CREATE TABLE rrf_edge AS
        SELECT CUI2 AS head, coalesce(RELA, REL) AS relation, CUI1 AS tail, min(SAB) AS source
        FROM {scan(folder, "MRREL")} WHERE {" AND ".join(conditions.values())}
        GROUP BY ALL""",
    )
    _count_dropped(connection, folder, "MRREL", conditions, counts)


def cui_of(connection: duckdb.DuckDBPyConnection, identifiers: set[str]) -> dict[str, str]:
    """Return identifier → ``UMLS:`` CUI for those that the Metathesaurus lists."""
    return _look_up(
        connection,
        identifiers,
        "SELECT identifier, 'UMLS:' || concept FROM rrf_xref JOIN asked USING (identifier) "
        "ORDER BY identifier",
    )


def names_of(connection: duckdb.DuckDBPyConnection, cuis: set[str]) -> dict[str, list[str]]:
    """Return ``UMLS:`` CUI → its names, for those that the Metathesaurus has."""
    return _look_up(
        connection,
        cuis,
        "SELECT identifier, list(DISTINCT name) FROM rrf_atom "
        "JOIN asked ON identifier = 'UMLS:' || concept GROUP BY identifier ORDER BY identifier",
    )


def _look_up(
    connection: duckdb.DuckDBPyConnection, identifiers: set[str], query: str
) -> dict[str, Any]:
    """Return the rows (key, value) of a query over ``asked``, a table of the identifiers."""
    asked = pl.DataFrame({"identifier": sorted(identifiers)}, schema={"identifier": pl.String})
    connection.register("asked", asked.to_arrow())
    rows = connection.execute(query).fetchall()
    connection.unregister("asked")
    return dict(rows)
