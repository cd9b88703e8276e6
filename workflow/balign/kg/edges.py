"""The edges of all sources: folded to one direction, each once, sorted.

A row (CUI1, REL, RELA, CUI2) of MRREL says that CUI2 has the relation to CUI1 (UMLS Reference
Manual, 3.3.9), so the head is CUI2. UMLS has 50 to 90 million such rows, for each relation both
directions and many pairs of atoms, so an edge is one number while duplicates are found: the
positions of head, relation and tail in their lists, 25, 13 and 25 bits.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from balign.errors import DataError
from balign.kg.cui import SIZE, cui_numbers
from balign.kg.filters import is_in, keep, mapped
from balign.kg.relations import fold_relations, label
from balign.kg.scan import UNSTATED, ReleaseReader
from balign.kg.settings import RrfSettings
from balign.kg.tables import insert_frame

_TAIL, _HEAD = 25, 38  # bits behind the relation and behind the head
_RELATIONS = 1 << (_HEAD - _TAIL)
_HUBS = 20
_BATCH = 1 << 17  # edges

_MACROS = f"""
CREATE OR REPLACE TEMP MACRO head_of(key) AS (key >> {_HEAD})::UINTEGER;
CREATE OR REPLACE TEMP MACRO relation_of(key) AS ((key >> {_TAIL}) & {_RELATIONS - 1})::USMALLINT;
CREATE OR REPLACE TEMP MACRO tail_of(key) AS (key & {(1 << _TAIL) - 1})::UINTEGER;
"""

_WRITE_RELATIONS = """
CREATE TABLE kg.relation AS
    SELECT relation, label, edges FROM canonical
        JOIN (SELECT relation_of(key) AS number, count(*) AS edges FROM edge_key GROUP BY number)
        USING (number)
    ORDER BY relation
"""

_DEGREES = """
CREATE OR REPLACE TEMP TABLE degree AS
    SELECT node, count(*) AS degree
    FROM (SELECT head_of(key) AS node FROM edge_key UNION ALL SELECT tail_of(key) FROM edge_key)
    GROUP BY node
"""


class RelationDoc(NamedTuple):
    """What MRDOC.RRF says of relations.

    Attributes:
        inverses: pairs of a relation and its inverse.
        expanded: relation → its expanded form.
    """

    inverses: list[tuple[str, str]]
    expanded: dict[str, str]


NO_DOC = RelationDoc([], {})


class Edges:
    """Edges as they are read.

    Attributes:
        counts: rows of MRREL dropped, by reason.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._unstated = UNSTATED
        self._lock = threading.Lock()
        self._relations: dict[str, int] = {}
        self._sources: dict[str, int] = {}
        self._keys: list[npt.NDArray[np.uint64]] = []
        self._key_sources: list[npt.NDArray[np.uint16]] = []

    def add_release(
        self, reader: ReleaseReader, settings: RrfSettings, concepts: pa.StringArray
    ) -> None:
        """Add the rows of MRREL.

        Args:
            reader: of the release.
            settings: the filters.
            concepts: sorted; an edge of any other concept is dropped.

        Raises:
            DataError: for a file that breaks the format, or identifiers of an unknown form.
        """
        self._unstated = reader.unstated
        nodes = _node_table(concepts)
        columns = ("CUI1", "REL", "CUI2", "RELA", "SAB", "SUPPRESS")

        def edges_of(table: pa.Table) -> tuple[Counter[str], list[npt.NDArray[np.int64]]]:
            cui1, rel, cui2, rela, sab, suppress = (
                table[name].combine_chunks() for name in columns
            )
            head, tail = _nodes_of(cui2, nodes), _nodes_of(cui1, nodes)
            relation = self._encode(rela, self._relations)
            relation = np.where(relation >= 0, relation, self._encode(rel, self._relations))
            source = self._encode(sab, self._sources)
            counts: Counter[str] = Counter()
            kept = keep(
                {
                    "rows suppressed": is_in(suppress, settings.suppress),
                    "rows of other sources": is_in(sab, settings.sources),
                    "rows of excluded relations": ~is_in(rel, settings.exclude_relations),
                    "rows of a concept without a kept name": (head >= 0) & (tail >= 0),
                    "self loops": head != tail,
                    "rows without a relation or a source": (relation >= 0) & (source >= 0),
                },
                counts,
            )
            return counts, [column[kept] for column in (head, relation, tail, source)]

        encoded = ("REL", "RELA", "SAB", "SUPPRESS")
        for counts, rows in reader.read("MRREL", columns, encoded, edges_of):
            self.counts.update(counts)
            self._add(*rows)

    def add_ontologies(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Add the rows of ``stage_edge``.

        Raises:
            DataError: for more concepts in ``kg.concept`` than can be numbered.
        """
        ((concepts,),) = connection.execute("SELECT count(*) FROM kg.concept").fetchall()
        if concepts > 1 << _TAIL:
            raise DataError(f"{concepts:,} concepts; at most {1 << _TAIL:,} can be numbered")
        rows = connection.sql(
            """SELECT h.rowid AS head, relation, t.rowid AS tail, e.source
            FROM stage_edge e JOIN kg.concept h ON h.concept = head
                JOIN kg.concept t ON t.concept = tail"""
        ).to_arrow_table()
        head, tail = (rows[name].to_numpy() for name in ("head", "tail"))
        relation, source = (
            self._encode(rows[name].combine_chunks().dictionary_encode(), numbers)
            for name, numbers in (("relation", self._relations), ("source", self._sources))
        )
        self._add(head, relation, tail, source)

    def _encode(self, column: pa.DictionaryArray, numbers: dict[str, int]) -> npt.NDArray[np.int64]:
        """Return the numbers of a column's strings, new ones added; -1 for NULL."""
        with self._lock:
            return mapped(column, lambda name: numbers.setdefault(name, len(numbers)), -1)

    def _add(
        self,
        head: npt.NDArray[np.int64],
        relation: npt.NDArray[np.int64],
        tail: npt.NDArray[np.int64],
        source: npt.NDArray[np.int64],
    ) -> None:
        if len(self._relations) > _RELATIONS:
            raise DataError(
                f"{len(self._relations):,} relations; at most {_RELATIONS:,} are allowed"
            )
        self._keys.append((head << _HEAD | relation << _TAIL | tail).astype(np.uint64))
        self._key_sources.append(source.astype(np.uint16))

    def write(self, connection: duckdb.DuckDBPyConnection, doc: RelationDoc) -> None:
        """Write ``kg.edge``, ``kg.relation`` and, for :func:`count_degrees`, ``edge_key``.

        Of the sources of one edge that one counts which comes first by precedence and, in the
        Metathesaurus, is restricted least.

        Args:
            connection: with ``kg.concept`` and ``stage_source`` complete.
            doc: what MRDOC says of the relations.
        """
        connection.execute(_MACROS)
        codes, turn, both_ways = self._fold(connection, doc)
        sources = self._rank_sources(connection)
        keys = [_turned(chunk, codes, turn, both_ways) for chunk in self._keys]
        numbers = [sources[chunk] for chunk in self._key_sources]
        rows = sum(map(len, keys))
        table = pa.table(
            {
                "key": pa.chunked_array(keys, pa.uint64()),
                "source": pa.chunked_array(numbers, pa.uint16()),
            }
        )
        connection.register("keys", table)
        connection.execute(
            "CREATE TABLE edge_key AS SELECT key, min(source) AS source FROM keys GROUP BY key "
            "ORDER BY key"
        )
        connection.unregister("keys")
        self._keys, self._key_sources = [], []
        connection.execute(_WRITE_RELATIONS)
        edges = _write_edges(connection)
        self.counts["rows folded into an edge with another row"] = rows - edges

    def _fold(
        self, connection: duckdb.DuckDBPyConnection, doc: RelationDoc
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Make ``canonical`` (relation, label, number) from the relations found.

        Returns:
            [relations] of each relation the number of its canonical one, whether its edges are
            turned round, and whether it is symmetric.
        """
        folds = {fold.relation: fold for fold in fold_relations(self._relations, doc.inverses)}
        names = sorted({fold.canonical for fold in folds.values()})
        insert_frame(
            connection,
            "CREATE TABLE canonical AS SELECT * FROM rows",
            rows=pl.DataFrame(
                {
                    "relation": pl.Series(names, dtype=pl.String),
                    "label": pl.Series(
                        [label(name, doc.expanded) for name in names], dtype=pl.String
                    ),
                    "number": pl.Series(range(len(names)), dtype=pl.UInt16),
                }
            ),
        )
        numbers = {name: number for number, name in enumerate(names)}
        found = [folds[name] for name in self._relations]
        return (
            np.array([numbers[fold.canonical] for fold in found], np.int64),
            np.array([fold.swap for fold in found], bool),
            np.array([fold.symmetric for fold in found], bool),
        )

    def _rank_sources(self, connection: duckdb.DuckDBPyConnection) -> npt.NDArray[np.uint16]:
        """Make ``edge_source`` (source, number); return [sources] the number of each found."""
        rows = connection.execute(
            "SELECT source, min((precedence, restriction)) FROM stage_source GROUP BY source"
        ).fetchall()
        order = dict(rows)
        licence, level = self._unstated
        for source in sorted(set(self._sources) - set(order)):
            row = [source, "", licence, level, 0]
            connection.execute("INSERT INTO stage_source VALUES (?, ?, ?, ?, ?)", row)
        ranked = sorted(self._sources, key=lambda source: (order.get(source, (0, level)), source))
        insert_frame(
            connection,
            "CREATE TABLE edge_source AS SELECT * FROM rows",
            rows=pl.DataFrame(
                {
                    "source": pl.Series(ranked, dtype=pl.String),
                    "number": pl.Series(range(len(ranked)), dtype=pl.UInt16),
                }
            ),
        )
        numbers = {source: number for number, source in enumerate(ranked)}
        return np.array([numbers[source] for source in self._sources], np.uint16)


def read_doc(connection: duckdb.DuckDBPyConnection) -> RelationDoc:
    """Return what :func:`balign.kg.rrf.read_rrf` found in MRDOC."""
    query = "SELECT value, text FROM rrf_doc WHERE kind IN ({kinds}) ORDER BY ALL"
    inverses = connection.execute(query.format(kinds="'rela_inverse', 'rel_inverse'")).fetchall()
    expanded = connection.execute(query.format(kinds="'expanded_form'")).fetchall()
    return RelationDoc(inverses, dict(expanded))


def _node_table(concepts: pa.StringArray) -> npt.NDArray[np.int32]:
    """Return [SIZE + 1] the position of the concept of each number; -1 for none, and at the end."""
    numbers = cui_numbers(concepts)
    known = np.flatnonzero(numbers >= 0)
    nodes = np.full(SIZE + 1, -1, np.int32)
    nodes[numbers[known]] = known
    return nodes


def _nodes_of(names: pa.StringArray, nodes: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    return nodes[cui_numbers(names)].astype(np.int64)  # -1 finds the last, which is -1


def _write_edges(connection: duckdb.DuckDBPyConnection) -> int:
    """Write ``kg.edge`` in the order of ``edge_key``; return the number of edges.

    Arrow looks the strings up, which keeps the order and takes half the processor time of joins and
    a sort of strings.
    """
    keys = connection.sql("SELECT key, source FROM edge_key").to_arrow_table()
    names = [
        connection.sql(query).to_arrow_table().column(0).combine_chunks()
        for query in (
            "SELECT concept FROM kg.concept",
            "SELECT relation FROM canonical ORDER BY number",
            "SELECT source FROM edge_source ORDER BY number",
        )
    ]
    concepts, relations, sources = names

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in keys.to_batches(max_chunksize=_BATCH):
            key = batch["key"].to_numpy().astype(np.int64)
            columns = (
                (key >> _HEAD, concepts),
                (key >> _TAIL & (_RELATIONS - 1), relations),
                (key & ((1 << _TAIL) - 1), concepts),
                (batch["source"].to_numpy(), sources),
            )
            yield pa.RecordBatch.from_arrays(
                [pc.take(strings, pa.array(numbers)) for numbers, strings in columns],
                schema=schema,
            )

    schema = pa.schema([(name, pa.string()) for name in ("head", "relation", "tail", "source")])
    connection.register("edges", pa.RecordBatchReader.from_batches(schema, batches()))
    connection.execute("CREATE TABLE kg.edge AS SELECT * FROM edges")
    connection.unregister("edges")
    return len(keys)


def _turned(
    keys: npt.NDArray[np.uint64],
    codes: npt.NDArray[np.int64],
    turn: npt.NDArray[np.bool_],
    both_ways: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint64]:
    """Return the keys of the canonical relations, in their direction."""
    edges = keys.astype(np.int64)
    head, tail = edges >> _HEAD, edges & ((1 << _TAIL) - 1)
    relation = edges >> _TAIL & (_RELATIONS - 1)
    swap = turn[relation] | (both_ways[relation] & (head > tail))
    code = codes[relation] << _TAIL
    turned = np.where(swap, tail << _HEAD | code | head, head << _HEAD | code | tail)
    return turned.astype(np.uint64)


def count_degrees(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return how the edges spread over the concepts: quantiles of the degree, and the hubs.

    The degree is the number of edges at a concept, in either direction, after
    :meth:`Edges.write`.
    """
    connection.execute(_DEGREES)
    concepts, linked, edges, median, p90, p99, largest = connection.execute(
        """SELECT (SELECT count(*) FROM kg.concept), count(*), (SELECT count(*) FROM kg.edge),
            quantile_disc(degree, 0.5), quantile_disc(degree, 0.9), quantile_disc(degree, 0.99),
            max(degree) FROM degree"""
    ).fetchall()[0]
    hubs = connection.execute(
        f"""SELECT concept, preferred_name, degree FROM degree JOIN kg.concept c ON c.rowid = node
        ORDER BY degree DESC, concept LIMIT {_HUBS}"""
    ).fetchall()
    return {
        "concepts without an edge": concepts - linked,
        "mean": round(2 * edges / concepts, 3) if concepts else 0,
        "median of those with one": median or 0,
        "90 %": p90 or 0,
        "99 %": p99 or 0,
        "largest": largest or 0,
        "hubs": [
            {"concept": concept, "name": name, "degree": degree} for concept, name, degree in hubs
        ],
    }
