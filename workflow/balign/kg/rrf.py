"""A Metathesaurus release into the staging tables: sources, types, names, definitions.

Columns are projected and rows filtered while they are read; the raw columns are never stored.
Chapter 3 of the UMLS Reference Manual describes the files. The relations follow in
:mod:`balign.kg.edges`, once all concepts are known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import duckdb
import numpy as np
import polars as pl

from balign.errors import DataError
from balign.kg.cui import cui_numbers
from balign.kg.scan import ReleaseReader
from balign.kg.semantic_groups import SEMANTIC_TYPES
from balign.kg.settings import RrfSettings

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

# The best name of a concept comes first: by MRRANK, which ranks pairs of source and term type, and
# by the Metathesaurus' own choice among equals (TS, STT, ISPREF).
_POSITION = "(9999 - coalesce(rank, 0)) * 8 + 7 - form"

# One row a (concept, name): its best place in that order, and of the sources that give the name
# the least restricted one.
_NAMES = f"""
INSERT INTO stage_name
    SELECT concept, name, best.sab, best.code, best.tty, 1, 0, position, best.level
    FROM (SELECT concept, name, min({_POSITION}) AS position,
            min(struct_pack(level := level, position := {_POSITION}, sab := sab, tty := tty,
                code := coalesce(code, 'NOCODE'))) AS best
        FROM (SELECT c.*, rank, greatest(srl, coalesce(restriction, 0)) AS level
            FROM rrf_conso c LEFT JOIN rrf_rank USING (sab, tty)
                LEFT JOIN rrf_source ON source = sab)
        WHERE reason IS NULL GROUP BY concept, name)
"""

_ATOM_COLUMNS = (
    *("CUI", "LAT", "TS", "STT", "ISPREF", "AUI"),
    *("SAB", "TTY", "CODE", "STR", "SRL", "SUPPRESS"),
)


def read_rrf(reader: ReleaseReader, settings: RrfSettings) -> dict[str, dict[str, int]]:
    """Read all but the relations into the staging tables of :mod:`balign.kg.tables`.

    Leaves ``rrf_source`` (source, version, licence, restriction), ``rrf_xref`` (concept,
    identifier; one concept an identifier) and ``rrf_doc`` (key, value, kind, text: MRDOC) behind.

    Returns:
        file → number of rows dropped, by reason.

    Raises:
        DataError: for a file that breaks the format; it names the file and the line.
    """
    _read_small_files(reader)
    types = _chosen_types(reader, settings)
    counts = {"MRCONSO": _read_names(reader, settings, types)}
    counts["MRSTY"] = _read_types(reader)
    counts["MRDEF"] = _read_definitions(reader, settings)
    # All that MedGen gives away is free; of another release nothing is that does not say so.
    licence, level = ("NCBI MedGen: free use", 0) if reader.medgen else ("not stated", 9)
    whole = "NCBI MedGen" if reader.medgen else "UMLS Metathesaurus License"
    reader.connection.execute(
        f"""INSERT INTO stage_xref SELECT concept, identifier FROM rrf_xref;
        INSERT INTO stage_xref SELECT concept, 'UMLS:' || concept FROM rrf_concept;
        INSERT INTO stage_source SELECT source, version, licence, restriction, 0 FROM rrf_source;
        INSERT INTO stage_source
            SELECT 'UMLS', coalesce(max(version), ''), '{whole}', 0, 0 FROM rrf_source;
        INSERT INTO stage_source
            SELECT DISTINCT source, '', '{licence}', {level}, 0
            FROM (SELECT sab AS source FROM rrf_conso UNION SELECT source FROM stage_definition)
            WHERE source NOT IN (SELECT source FROM stage_source);
        DROP TABLE rrf_conso"""
    )
    return counts


def conditions_sql(conditions: dict[str, str]) -> str:
    """Return SQL that gives the first reason (by number) whose condition a row fails, or NULL."""
    cases = " ".join(
        f"WHEN NOT ({test}) THEN {number}" for number, test in enumerate(conditions.values())
    )
    return f"(CASE {cases} END)::UTINYINT"


def quoted(text: str) -> str:
    """Return a string as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def is_in(column: str, values: Iterable[str] | None) -> str:
    """Return an SQL condition: the column, NULL as '', is one of ``values``; all are if None."""
    if values is None:
        return "true"
    listed = ", ".join(map(quoted, values))
    return f"coalesce({column}, '') IN ({listed})" if listed else "false"


def _read_small_files(reader: ReleaseReader) -> None:
    reader.run(
        "MRSAB",
        """CREATE TABLE rrf_source AS
        SELECT RSAB AS source, max(coalesce(SVER, IMETA, '')) AS version,
            'UMLS Metathesaurus License, category ' || max(coalesce(SRL, '?')) AS licence,
            max(coalesce(try_cast(SRL AS INTEGER), 9)) AS restriction
        FROM rows WHERE CURVER = 'Y' GROUP BY RSAB""",
        ("RSAB", "SVER", "IMETA", "SRL", "CURVER"),
    )
    reader.run(
        "MRRANK",
        """CREATE TABLE rrf_rank AS
        SELECT SAB AS sab, TTY AS tty, max(try_cast(RANK AS INTEGER)) AS rank
        FROM rows GROUP BY SAB, TTY""",
        ("SAB", "TTY", "RANK"),
    )
    reader.run(
        "MRDOC",
        """CREATE TABLE rrf_doc AS
        SELECT DISTINCT DOCKEY AS key, VALUE AS value, TYPE AS kind, trim(EXPL) AS text
        FROM rows WHERE DOCKEY IN ('REL', 'RELA') AND VALUE <> '' AND trim(EXPL) <> ''""",
        ("DOCKEY", "VALUE", "TYPE", "EXPL"),
    )
    reader.run(
        "MRSTY",
        "CREATE TABLE rrf_type AS SELECT DISTINCT CUI AS concept, STY, TUI FROM rows",
        ("CUI", "STY", "TUI"),
    )


def _chosen_types(reader: ReleaseReader, settings: RrfSettings) -> str:
    """Return the SQL condition for a concept of the semantic types that are asked for."""
    if settings.semantic_types is None and settings.semantic_groups is None:
        return "true"
    wanted = set(settings.semantic_types or ())
    groups = settings.semantic_groups or ()
    wanted |= {tui for tui, (group, _) in SEMANTIC_TYPES.items() if group in groups}
    listed = ", ".join(map(quoted, sorted(wanted)))
    reader.connection.execute(
        f"""CREATE TABLE rrf_chosen AS SELECT DISTINCT concept FROM rrf_type
        WHERE STY IN ({listed}) OR TUI IN ({listed})"""
    )
    return "CUI IN (SELECT concept FROM rrf_chosen)"


def _read_names(reader: ReleaseReader, settings: RrfSettings, types: str) -> dict[str, int]:
    conditions = {
        "rows of other languages": is_in("LAT", settings.languages),
        "rows suppressed": is_in("SUPPRESS", settings.suppress),
        "rows of other sources": is_in("SAB", settings.sources),
        "rows of other term types": is_in("TTY", settings.term_types),
        "rows of other semantic types": types,
        "rows without a name": "trim(coalesce(STR, '')) <> ''",
    }
    # A dropped row keeps its reason alone, so that one pass both reads and counts.
    kept = ", ".join(
        f"CASE WHEN reason IS NULL THEN {column} END AS {name}"
        for name, column in {
            "concept": "CUI",
            "name": "trim(STR)",
            "sab": "SAB",
            "code": "CODE",
            "tty": "TTY",
            "aui": "AUI",
        }.items()
    )
    connection = reader.connection
    reader.run(
        "MRCONSO",
        f"""CREATE TABLE rrf_conso AS SELECT reason, {kept},
            ((TS = 'P')::UTINYINT * 4 + (STT = 'PF')::UTINYINT * 2 + (ISPREF = 'Y')::UTINYINT)
                AS form,
            CASE WHEN SRL IS NULL THEN 0 ELSE coalesce(try_cast(SRL AS UTINYINT), 9) END AS srl
        FROM (SELECT *, {conditions_sql(conditions)} AS reason FROM rows)""",
        (
            "CUI",
            "LAT",
            "TS",
            "STT",
            "ISPREF",
            "AUI",
            "SAB",
            "TTY",
            "CODE",
            "STR",
            "SRL",
            "SUPPRESS",
        ),
    )
    connection.execute(_NAMES)
    connection.execute(
        f"""CREATE TABLE rrf_xref AS
        SELECT first(concept ORDER BY {_HEAD}, form DESC, concept) AS concept, identifier
        FROM (SELECT *, {_IDENTIFIER} AS identifier FROM rrf_conso WHERE reason IS NULL)
        WHERE identifier IS NOT NULL GROUP BY identifier;
        CREATE TABLE rrf_concept AS SELECT DISTINCT concept FROM stage_name ORDER BY concept"""
    )
    concepts = connection.sql("SELECT concept FROM rrf_concept").to_arrow_table()["concept"]
    wrong = np.flatnonzero(cui_numbers(concepts.combine_chunks()) < 0)
    if len(wrong):
        raise DataError(
            f"the concept identifier {concepts[int(wrong[0])].as_py()!r} is neither 'C' and seven "
            "digits, nor 'CN' and six, nor a number",
            where="MRCONSO",
            hint="kg.rrf.path must be a release of UMLS or MedGen",
        )
    counts = _count_reasons(connection, "rrf_conso", conditions)
    counts.pop("kept", None)
    return counts


def _read_types(reader: ReleaseReader) -> dict[str, int]:
    kept = "FROM rrf_type SEMI JOIN rrf_concept USING (concept)"
    reader.connection.execute(f"INSERT INTO stage_type SELECT concept, STY, 'UMLS', 0 {kept}")
    query = "SELECT count(*) FROM rrf_type ANTI JOIN rrf_concept USING (concept)"
    ((dropped,),) = reader.connection.execute(query).fetchall()
    return _without_zero({"rows of a concept without a kept name": dropped})


def _read_definitions(reader: ReleaseReader, settings: RrfSettings) -> dict[str, int]:
    conditions = {
        "rows suppressed": is_in("SUPPRESS", settings.suppress),
        "rows of other sources": is_in("SAB", settings.sources),
        "rows without a definition": "trim(coalesce(DEF, '')) <> ''",
    }
    connection = reader.connection
    reader.run(
        "MRDEF",
        f"""CREATE TABLE rrf_definition AS
        SELECT CUI AS concept, AUI AS aui, trim(DEF) AS definition, SAB AS source,
            {conditions_sql(conditions)} AS reason FROM rows""",
        ("CUI", "AUI", "SAB", "DEF", "SUPPRESS"),
    )
    # A definition has no language of its own, so the atom it belongs to decides; MedGen's belong to
    # no atom.
    connection.execute(
        """CREATE TABLE rrf_defined AS
        SELECT concept, definition, source FROM rrf_definition
            SEMI JOIN (SELECT concept, aui FROM rrf_conso WHERE reason IS NULL) USING (concept, aui)
            WHERE reason IS NULL
        UNION ALL
        SELECT concept, definition, source FROM rrf_definition
            SEMI JOIN rrf_concept USING (concept) WHERE reason IS NULL AND aui IS NULL;
        INSERT INTO stage_definition SELECT DISTINCT concept, definition, source FROM rrf_defined"""
    )
    ((defined,),) = connection.execute("SELECT count(*) FROM rrf_defined").fetchall()
    counts = _count_reasons(connection, "rrf_definition", conditions)
    counts["rows of an atom or a concept that is not kept"] = counts.pop("kept", 0) - defined
    return _without_zero(counts)


def _count_reasons(
    connection: duckdb.DuckDBPyConnection, table: str, conditions: dict[str, str]
) -> dict[str, int]:
    """Return the number of rows for each reason, and under "kept" of those without."""
    rows = connection.execute(
        f"SELECT reason, count(*) FROM {table} GROUP BY reason ORDER BY reason"
    ).fetchall()
    reasons = list(conditions)
    return {"kept" if number is None else reasons[number]: count for number, count in rows}


def _without_zero(counts: dict[str, int]) -> dict[str, int]:
    return {what: number for what, number in counts.items() if number}


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
        "SELECT identifier, list(name) FROM stage_name "
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
