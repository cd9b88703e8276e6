"""A Metathesaurus release into the staging tables: sources, types, names, definitions.

Columns are projected and rows filtered while they are read; the raw columns are never stored.
Chapter 3 of the UMLS Reference Manual describes the files. The relations follow in
:mod:`balign.kg.edges`, once all concepts are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from balign.errors import DataError
from balign.kg.cui import SIZE, cui_numbers
from balign.kg.filters import Mask, is_in, keep, mapped
from balign.kg.scan import ReleaseReader
from balign.kg.semantic_groups import SEMANTIC_TYPES
from balign.kg.settings import RrfSettings

# A code of one source may stand in several concepts: a MeSH descriptor's entry terms do. The
# concept of its main heading is the code's; nothing else says so than the term type.
_HEAD = "CASE WHEN tty IN ('MH', 'NM') THEN '0' WHEN tty IN ('PT', 'PF') THEN '1' ELSE '2' END"
_IDENTIFIER = """CASE
    WHEN code = 'NOCODE' THEN NULL
    WHEN sab = 'MSH' THEN 'MESH:' || code
    WHEN sab = 'NCI' THEN 'NCIT:' || code
    WHEN sab = 'SNOMEDCT_US' THEN 'SNOMEDCT:' || code
    WHEN sab = 'MDR' THEN 'MEDDRA:' || code
    WHEN contains(code, ':') THEN code
    ELSE sab || ':' || code END"""

# One row a (concept, name): its best place among the concept's names, and of the atoms that give
# the name the least restricted one, the better placed of equals. One number says which atom that
# is: its level, its place and its row.
_NAMES = """
CREATE TABLE rrf_name AS
    SELECT min((level::UBIGINT << 48) | (position::UBIGINT << 30) | rowid) AS atom,
        min(position) AS position
    FROM rrf_atom GROUP BY concept, name;
INSERT INTO stage_name
    SELECT concept, name, sab, code, tty, 1, 0, n.position, level
    FROM rrf_name n JOIN rrf_atom a ON a.rowid = n.atom & ((1 << 30) - 1);
DROP TABLE rrf_name;
"""
_RANKS = 10_000  # MRRANK.RANK has four digits
_UNKNOWN_LEVEL = 9

_ENCODED = ("LAT", "TS", "STT", "ISPREF", "SAB", "TTY", "SRL", "SUPPRESS")
_ATOM_COLUMNS = ("CUI", "AUI", "CODE", "STR", *_ENCODED)
_STRINGS = pa.dictionary(pa.int32(), pa.string())
_ATOMS = pa.schema(
    [
        ("concept", pa.string()),
        ("name", pa.string()),
        ("sab", _STRINGS),
        ("code", pa.string()),
        ("tty", _STRINGS),
        ("aui", pa.string()),
        ("position", pa.int32()),
        ("level", pa.uint8()),
    ]
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
    counts = {"MRCONSO": _read_names(reader, settings)}
    counts["MRSTY"] = _read_types(reader)
    counts["MRDEF"] = _read_definitions(reader, settings)
    licence, level = reader.unstated
    whole = "NCBI MedGen" if reader.medgen else "UMLS Metathesaurus License"
    reader.connection.execute(
        f"""INSERT INTO stage_xref SELECT concept, identifier FROM rrf_xref;
        INSERT INTO stage_xref SELECT concept, 'UMLS:' || concept FROM rrf_concept;
        INSERT INTO stage_source SELECT source, version, licence, restriction, 0 FROM rrf_source;
        INSERT INTO stage_source
            SELECT 'UMLS', coalesce(max(version), ''), '{whole}', 0, 0 FROM rrf_source;
        INSERT INTO stage_source
            SELECT DISTINCT source, '', '{licence}', {level}, 0
            FROM (SELECT sab AS source FROM rrf_atom UNION SELECT source FROM stage_definition)
            WHERE source NOT IN (SELECT source FROM stage_source);
        DROP TABLE rrf_atom"""
    )
    return counts


def quoted(text: str) -> str:
    """Return a string as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


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
        SELECT SAB AS sab, TTY AS tty, coalesce(max(try_cast(RANK AS INTEGER)), 0) AS rank
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


def _chosen(reader: ReleaseReader, settings: RrfSettings) -> Mask | None:
    """Return [SIZE + 1] which concepts, by number, have a semantic type that is asked for."""
    if settings.semantic_types is None and settings.semantic_groups is None:
        return None
    wanted = set(settings.semantic_types or ())
    groups = settings.semantic_groups or ()
    wanted |= {tui for tui, (group, _) in SEMANTIC_TYPES.items() if group in groups}
    listed = ", ".join(map(quoted, sorted(wanted)))
    found = reader.connection.sql(
        f"SELECT DISTINCT concept FROM rrf_type WHERE STY IN ({listed}) OR TUI IN ({listed})"
    ).to_arrow_table()
    chosen = np.zeros(SIZE + 1, bool)
    chosen[cui_numbers(found["concept"].combine_chunks())] = True
    chosen[-1] = False
    return chosen


def _read_names(reader: ReleaseReader, settings: RrfSettings) -> dict[str, int]:
    connection = reader.connection
    chosen = _chosen(reader, settings)
    ranks = {(sab, tty): rank for sab, tty, rank in connection.execute("FROM rrf_rank").fetchall()}
    levels = dict(connection.execute("SELECT source, restriction FROM rrf_source").fetchall())
    counts: Counter[str] = Counter()

    def atoms_of(table: pa.Table) -> tuple[Counter[str], pa.Table]:
        column = {name: table[name].combine_chunks() for name in _ATOM_COLUMNS}
        names = pc.utf8_trim(column["STR"].fill_null(""), " ")
        counts: Counter[str] = Counter()
        conditions = {
            "rows of other languages": is_in(column["LAT"], settings.languages),
            "rows suppressed": is_in(column["SUPPRESS"], settings.suppress),
            "rows of other sources": is_in(column["SAB"], settings.sources),
            "rows of other term types": is_in(column["TTY"], settings.term_types),
            "rows without a name": np.asarray(pc.not_equal(names, ""), dtype=bool),
        }
        if chosen is not None:
            conditions["rows of other semantic types"] = chosen[cui_numbers(column["CUI"])]
        kept = keep(conditions, counts)
        atoms = pa.table(
            [
                *(column["CUI"], names, column["SAB"], column["CODE"].fill_null("NOCODE")),
                *(column["TTY"], column["AUI"]),
                pa.array(_positions(column, ranks), pa.int32()),
                pa.array(_levels(column, levels), pa.uint8()),
            ],
            schema=_ATOMS,
        )
        return counts, atoms.filter(pa.array(kept))

    def tables() -> Iterator[pa.Table]:
        for found, atoms in reader.read("MRCONSO", _ATOM_COLUMNS, _ENCODED, atoms_of):
            counts.update(found)
            yield atoms

    reader.load("CREATE TABLE rrf_atom AS SELECT * FROM rows", _ATOMS, tables())
    connection.execute(_NAMES)
    connection.execute(
        f"""CREATE TABLE rrf_xref AS
        SELECT min(best)[3:] AS concept, identifier
        FROM (SELECT {_HEAD} || form || concept AS best, {_IDENTIFIER} AS identifier
            FROM (SELECT *, position % 8 AS form FROM rrf_atom))
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
    return counts


def _positions(
    column: Mapping[str, pa.Array], ranks: Mapping[tuple[str, str], int]
) -> npt.NDArray[np.int64]:
    """Return [n] the place of each atom's name: the best name of a concept has the smallest.

    By MRRANK, which ranks pairs of source and term type, and by the Metathesaurus' own choice among
    equals (TS, STT, ISPREF).
    """
    sources, types = column["SAB"].dictionary.to_pylist(), column["TTY"].dictionary.to_pylist()
    table = np.zeros((len(sources) + 1, len(types) + 1), np.int64)
    for i, source in enumerate(sources):
        table[i, : len(types)] = [ranks.get((source, kind), 0) for kind in types]
    source = np.asarray(column["SAB"].indices.fill_null(len(sources)))
    kind = np.asarray(column["TTY"].indices.fill_null(len(types)))
    form = (
        4 * ~is_in(column["TS"], ("P",))
        + 2 * ~is_in(column["STT"], ("PF",))
        + ~is_in(column["ISPREF"], ("Y",))
    )
    positions: npt.NDArray[np.int64] = (_RANKS - 1 - table[source, kind]) * 8 + form
    return positions


def _levels(column: Mapping[str, pa.Array], levels: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """Return [n] the restriction level of each atom: its own, or its source's if that is higher."""
    own = mapped(
        column["SRL"], lambda text: int(text) if text in "0123456789" else _UNKNOWN_LEVEL, 0
    )
    return np.maximum(own, mapped(column["SAB"], lambda name: levels.get(name, 0), 0))


def _read_types(reader: ReleaseReader) -> dict[str, int]:
    kept = "FROM rrf_type SEMI JOIN rrf_concept USING (concept)"
    reader.connection.execute(f"INSERT INTO stage_type SELECT concept, STY, 'UMLS', 0 {kept}")
    query = "SELECT count(*) FROM rrf_type ANTI JOIN rrf_concept USING (concept)"
    ((dropped,),) = reader.connection.execute(query).fetchall()
    return _without_zero({"rows of a concept without a kept name": dropped})


def _read_definitions(reader: ReleaseReader, settings: RrfSettings) -> dict[str, int]:
    columns = ("CUI", "AUI", "DEF", "SAB", "SUPPRESS")
    counts: Counter[str] = Counter()
    schema = pa.schema(
        [(name, pa.string()) for name in ("concept", "aui", "definition")] + [("source", _STRINGS)]
    )

    def tables() -> Iterator[pa.Table]:
        encoded = ("SAB", "SUPPRESS")
        for table in reader.read("MRDEF", columns, encoded, lambda table: table.combine_chunks()):
            cui, aui, text, sab, suppress = (table[name].combine_chunks() for name in columns)
            text = pc.utf8_trim(text.fill_null(""), " ")
            conditions = {
                "rows suppressed": is_in(suppress, settings.suppress),
                "rows of other sources": is_in(sab, settings.sources),
                "rows without a definition": np.asarray(pc.not_equal(text, ""), dtype=bool),
            }
            kept = keep(conditions, counts)
            yield pa.table([cui, aui, text, sab], schema=schema).filter(pa.array(kept))

    reader.load("CREATE TABLE rrf_definition AS SELECT * FROM rows", schema, tables())
    # A definition has no language of its own, so the atom it belongs to decides; MedGen's belong to
    # no atom.
    connection = reader.connection
    connection.execute(
        """CREATE TABLE rrf_defined AS
        SELECT concept, definition, source FROM rrf_definition
            SEMI JOIN rrf_atom USING (concept, aui)
        UNION ALL
        SELECT concept, definition, source FROM rrf_definition
            SEMI JOIN rrf_concept USING (concept) WHERE aui IS NULL;
        INSERT INTO stage_definition SELECT DISTINCT concept, definition, source FROM rrf_defined"""
    )
    query = "SELECT (SELECT count(*) FROM rrf_definition), (SELECT count(*) FROM rrf_defined)"
    ((read, defined),) = connection.execute(query).fetchall()
    counts["rows of an atom or a concept that is not kept"] = read - defined
    return _without_zero(counts)


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
