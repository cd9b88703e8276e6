"""A Metathesaurus release into the staging tables: sources, types, names, definitions.

Columns are projected and rows filtered while they are read; the raw columns are never stored.
Chapter 3 of the UMLS Reference Manual describes the files. The relations follow in
:mod:`balign.kg.edges`, once all concepts are known.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from balign.errors import DataError
from balign.kg.atoms import ATOMS, NAMES, NO_CODE, Words, one_concept_each, rank_atoms
from balign.kg.cui import SIZE, cui_numbers, node_table
from balign.kg.filters import Mask, is_in, keep, mapped
from balign.kg.scan import ReleaseReader
from balign.kg.semantic_groups import SEMANTIC_TYPES
from balign.kg.settings import RrfSettings

_RANKS = 10_000  # MRRANK.RANK has four digits
_UNKNOWN_LEVEL = 9

_ENCODED = ("LAT", "TS", "STT", "ISPREF", "SAB", "TTY", "SRL", "SUPPRESS")
_ATOM_COLUMNS = ("CUI", "AUI", "CODE", "STR", *_ENCODED)
_AUIS = pa.schema([("concept", pa.string()), ("aui", pa.string())])


class ReleaseTables(NamedTuple):
    """What a release says of its concepts, each row once; see :mod:`balign.kg.atoms`.

    Attributes:
        names: of schema NAMES, by (concept, rank).
        identifiers: of schema IDENTIFIERS, by (concept, identifier), as soon as it is worked out.
        types: concept and semantic_type, in this order.
        dropped: file → number of rows dropped, by reason.
    """

    names: pa.Table
    identifiers: Future[pa.Table]
    types: pa.Table
    dropped: dict[str, dict[str, int]]


_TYPES = pa.schema(
    [("concept", pa.string()), ("semantic_type", pa.dictionary(pa.int32(), pa.string()))]
)


def no_release(beside: Executor) -> ReleaseTables:
    """Return the tables of no release."""
    identifiers = beside.submit(one_concept_each, [])
    return ReleaseTables(NAMES.empty_table(), identifiers, _TYPES.empty_table(), {})


def read_rrf(reader: ReleaseReader, settings: RrfSettings, beside: Executor) -> ReleaseTables:
    """Read all but the relations.

    Definitions and sources go into the staging tables of :mod:`balign.kg.tables`, and MRDOC into
    ``rrf_doc`` (key, value, kind, text). Identifiers are worked out ``beside`` what follows.

    Raises:
        DataError: for a file that breaks the format; it names the file and the line.
    """
    _read_small_files(reader)
    types = _read_types(reader)
    counts: dict[str, dict[str, int]] = {"MRCONSO": {}, "MRSTY": {}, "MRDEF": {}}
    atoms, auis, words = _read_atoms(reader, settings, types, counts["MRCONSO"])
    found = {number for block in atoms for number in block["source"].unique().to_pylist()}
    sources = {words.sources[number] for number in found if number >= 0}
    concepts, names, identifiers = rank_atoms(atoms, words, reader.threads)
    reader.connection.register("rrf_atom", auis)
    reader.connection.register("rrf_concept", pa.table({"concept": concepts}))
    _read_definitions(reader, settings, counts["MRDEF"])
    _add_sources(reader, sources)
    reader.connection.unregister("rrf_atom")
    reader.connection.unregister("rrf_concept")
    kept = _types_of(concepts, types, counts["MRSTY"])
    return ReleaseTables(names, beside.submit(one_concept_each, identifiers), kept, counts)


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


class _Types(NamedTuple):
    """The rows of MRSTY: [n, 3] distinct number of a concept, its type's and its TUI's place."""

    rows: npt.NDArray[np.int64]
    names: list[str | None]
    codes: list[str | None]


def _read_types(reader: ReleaseReader) -> _Types:
    columns = ("CUI", "STY", "TUI")
    places: tuple[dict[str | None, int], dict[str | None, int]] = ({}, {})
    lock = threading.Lock()

    def numbers(column: pa.DictionaryArray, found: dict[str | None, int]) -> npt.NDArray[np.int64]:
        with lock:
            null = found.setdefault(None, len(found))
            return mapped(column, lambda name: found.setdefault(name, len(found)), null)

    def rows(table: pa.Table) -> npt.NDArray[np.int64]:
        cui, name, code = (table[column].combine_chunks() for column in columns)
        return cui_numbers(cui) << 32 | numbers(name, places[0]) << 16 | numbers(code, places[1])

    blocks = list(reader.read("MRSTY", columns, columns[1:], rows))
    if max(map(len, places)) > 1 << 16:
        raise DataError("over 65,536 semantic types", where="MRSTY")
    keys = pl.Series(np.concatenate([np.zeros(0, np.int64), *blocks])).unique().sort().to_numpy()
    parts = np.stack([keys >> 32, keys >> 16 & 0xFFFF, keys & 0xFFFF], axis=1)
    return _Types(parts, list(places[0]), list(places[1]))


def _chosen(types: _Types, settings: RrfSettings) -> Mask | None:
    """Return [SIZE + 1] which concepts, by number, have a semantic type that is asked for."""
    if settings.semantic_types is None and settings.semantic_groups is None:
        return None
    wanted = set(settings.semantic_types or ())
    groups = settings.semantic_groups or ()
    wanted |= {tui for tui, (group, _) in SEMANTIC_TYPES.items() if group in groups}
    cui, name, code = types.rows.T
    by_name = np.array([name in wanted for name in types.names] or [False])
    by_code = np.array([code in wanted for code in types.codes] or [False])
    chosen = np.zeros(SIZE + 1, bool)
    chosen[cui[by_name[name] | by_code[code]]] = True
    chosen[-1] = False
    return chosen


def _types_of(concepts: pa.StringArray, types: _Types, counts: dict[str, int]) -> pa.Table:
    """Return the types of the concepts that are kept, by concept and type."""
    nodes = node_table(concepts)[types.rows[:, 0]]
    kept = nodes >= 0
    if not kept.all():
        counts["rows of a concept without a kept name"] = int((~kept).sum())
    names = sorted(name for name in types.names if name is not None)
    order = {name: place for place, name in enumerate([*names, None])}
    place = np.array([order[name] for name in types.names] or [0])[types.rows[kept, 1]]
    keys = pl.Series(nodes[kept].astype(np.int64) << 16 | place).unique().sort().to_numpy()
    columns = [
        concepts.take(pa.array(keys >> 16)),
        pa.DictionaryArray.from_arrays(
            pa.array((keys & 0xFFFF).astype(np.int32), mask=(keys & 0xFFFF) == len(names)),
            pa.array(names, pa.string()),
        ),
    ]
    return pa.table(columns, schema=_TYPES)


def _read_atoms(
    reader: ReleaseReader, settings: RrfSettings, types: _Types, dropped: dict[str, int]
) -> tuple[list[pa.Table], pa.Table, Words]:
    """Return the kept atoms, block by block, their AUIs where definitions need them, and words."""
    connection = reader.connection
    chosen = _chosen(types, settings)
    ranks = {(sab, tty): rank for sab, tty, rank in connection.execute("FROM rrf_rank").fetchall()}
    levels = dict(connection.execute("SELECT source, restriction FROM rrf_source").fetchall())
    sources: dict[str, int] = {}
    kinds: dict[str, int] = {}
    lock = threading.Lock()

    def numbers(column: pa.DictionaryArray, found: dict[str, int]) -> pa.Array:
        with lock:
            number = mapped(column, lambda name: found.setdefault(name, len(found)), -1)
        return pa.array(number, pa.int32())

    def atoms_of(table: pa.Table) -> tuple[Counter[str], pa.Table, pa.Table]:
        column = {name: table[name].combine_chunks() for name in _ATOM_COLUMNS}
        counts: Counter[str] = Counter()
        kept = keep(
            {
                "rows of other languages": is_in(column["LAT"], settings.languages),
                "rows suppressed": is_in(column["SUPPRESS"], settings.suppress),
                "rows of other sources": is_in(column["SAB"], settings.sources),
                "rows of other term types": is_in(column["TTY"], settings.term_types),
            },
            counts,
        )
        mask = pa.array(kept)
        column = {name: values.filter(mask) for name, values in column.items()}
        names = pc.ascii_trim(column["STR"].fill_null(""), " ")
        conditions = {"rows without a name": np.asarray(pc.not_equal(names, ""))}
        if chosen is not None:
            conditions["rows of other semantic types"] = chosen[cui_numbers(column["CUI"])]
        kept = keep(conditions, counts)
        atoms = pa.table(
            [
                *(column["CUI"].fill_null(""), names, column["CODE"].fill_null(NO_CODE)),
                numbers(column["SAB"], sources),
                numbers(column["TTY"], kinds),
                pa.array(_positions(column, ranks), pa.int32()),
                pa.array(_levels(column, levels), pa.uint8()),
            ],
            schema=ATOMS,
        )
        auis = pa.table([column["CUI"], column["AUI"]], schema=_AUIS)
        if not kept.all():
            atoms, auis = atoms.filter(pa.array(kept)), auis.filter(pa.array(kept))
        return counts, atoms, auis

    blocks, all_auis = [], [_AUIS.empty_table()]
    counts: Counter[str] = Counter()
    for found, atoms, auis in reader.read("MRCONSO", _ATOM_COLUMNS, _ENCODED, atoms_of):
        counts.update(found)
        blocks.append(atoms)
        if reader.has("MRDEF"):
            all_auis.append(auis)
    dropped.update(counts)
    return blocks, pa.concat_tables(all_auis), Words(list(sources), list(kinds))


def _add_sources(reader: ReleaseReader, sources: set[str]) -> None:
    """Add the sources of the release, and those it says nothing of."""
    licence, level = reader.unstated
    whole = "NCBI MedGen" if reader.medgen else "UMLS Metathesaurus License"
    reader.connection.execute(
        f"""INSERT INTO stage_source
            SELECT source, version, licence, restriction, 0 FROM rrf_source;
        INSERT INTO stage_source
            SELECT 'UMLS', coalesce(max(version), ''), '{whole}', 0, 0 FROM rrf_source"""
    )
    reader.connection.execute(
        f"""INSERT INTO stage_source
            SELECT DISTINCT source, '', '{licence}', {level}, 0
            FROM (SELECT unnest($sources::VARCHAR[]) AS source
                UNION SELECT source FROM stage_definition)
            WHERE source NOT IN (SELECT source FROM stage_source)""",
        {"sources": sorted(sources)},
    )


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
    ranked = np.clip(table[source, kind], 0, _RANKS - 1)
    positions: npt.NDArray[np.int64] = (_RANKS - 1 - ranked) * 8 + form
    return positions


def _levels(column: Mapping[str, pa.Array], levels: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """Return [n] the restriction level of each atom: its own, or its source's if that is higher."""
    own = mapped(
        column["SRL"], lambda text: int(text) if text in "0123456789" else _UNKNOWN_LEVEL, 0
    )
    return np.maximum(own, mapped(column["SAB"], lambda name: levels.get(name, 0), 0))


def _read_definitions(
    reader: ReleaseReader, settings: RrfSettings, dropped: dict[str, int]
) -> None:
    columns = ("CUI", "AUI", "DEF", "SAB", "SUPPRESS")
    counts: Counter[str] = Counter()
    schema = pa.schema(
        [(name, pa.string()) for name in ("concept", "aui", "definition")]
        + [("source", pa.dictionary(pa.int32(), pa.string()))]
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
    dropped.update((what, number) for what, number in counts.items() if number)


def cui_of(
    connection: duckdb.DuckDBPyConnection, release: ReleaseTables, identifiers: set[str]
) -> dict[str, str]:
    """Return identifier → ``UMLS:`` CUI for those that the Metathesaurus lists."""
    if not identifiers:
        return {}  # at once: the release's may still be worked out
    return _look_up(
        connection,
        release.identifiers.result(),
        identifiers,
        "SELECT identifier, 'UMLS:' || concept FROM found JOIN asked USING (identifier) "
        "WHERE identifier <> 'UMLS:' || concept ORDER BY identifier",
    )


def names_of(
    connection: duckdb.DuckDBPyConnection, release: ReleaseTables, cuis: set[str]
) -> dict[str, list[str]]:
    """Return ``UMLS:`` CUI → its names, for those that the Metathesaurus has."""
    return _look_up(
        connection,
        release.names,
        cuis,
        "SELECT identifier, list(name) FROM found "
        "JOIN asked ON identifier = 'UMLS:' || concept GROUP BY identifier ORDER BY identifier",
    )


def _look_up(
    connection: duckdb.DuckDBPyConnection, found: pa.Table, identifiers: set[str], query: str
) -> dict[str, Any]:
    """Return the rows (key, value) of a query over ``found`` and ``asked``, the identifiers."""
    asked = pl.DataFrame({"identifier": sorted(identifiers)}, schema={"identifier": pl.String})
    connection.register("found", found)
    connection.register("asked", asked.to_arrow())
    rows = connection.execute(query).fetchall()
    connection.unregister("asked")
    connection.unregister("found")
    return dict(rows)
