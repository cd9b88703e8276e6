"""The edges of all sources: folded to one direction, each once, sorted.

A row (CUI1, REL, RELA, CUI2) of MRREL says that CUI2 has the relation to CUI1 (UMLS Reference
Manual, 3.3.9), so the head is CUI2. Duplicates are found in :mod:`balign.kg.edge_keys`.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from balign.errors import DataError
from balign.kg.cui import cui_numbers, node_table
from balign.kg.edge_keys import (
    CONCEPTS,
    RELATIONS,
    Distinct,
    distinct,
    layout_of,
    packed,
    turned_keys,
)
from balign.kg.filters import is_in, keep, mapped
from balign.kg.relations import fold_relations, label
from balign.kg.scan import UNSTATED, ReleaseReader
from balign.kg.settings import RrfSettings
from balign.kg.tables import UNCOMPRESSED, insert_frame

_HUBS = 20
_BATCH = 1 << 17  # edges


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
        degrees: [concepts] edges at each one of ``kg.concept``, in either direction, once written.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.degrees = np.zeros(0, np.int64)
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
        nodes = node_table(concepts)
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
        if concepts > CONCEPTS:
            raise DataError(f"{concepts:,} concepts; at most {CONCEPTS:,} can be numbered")
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
        if len(self._relations) > RELATIONS:
            raise DataError(
                f"{len(self._relations):,} relations; at most {RELATIONS:,} are allowed"
            )
        self._keys.append(packed(head, relation, tail))
        self._key_sources.append(source.astype(np.uint16))

    def write(
        self, connection: duckdb.DuckDBPyConnection, doc: RelationDoc, threads: int | None = None
    ) -> None:
        """Write ``kg.edge`` and ``kg.relation``; count the degrees.

        Of the sources of one edge that one counts which comes first by precedence and, in the
        Metathesaurus, is restricted least.

        Args:
            connection: with ``kg.concept`` and ``stage_source`` complete.
            doc: what MRDOC says of the relations.
            threads: to work with; by default all of the machine.
        """
        codes, turn, both_ways = self._fold(connection, doc)
        sources = self._rank_sources(connection)
        concepts = concepts_of(connection)
        layout = layout_of(len(concepts), len(codes), len(sources))
        rows = sum(map(len, self._keys))
        with ThreadPoolExecutor(threads) as pool:

            def turned(
                keys: npt.NDArray[np.uint64], found: npt.NDArray[np.uint16]
            ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint16]]:
                return turned_keys(keys, codes, turn, both_ways, layout), sources[found]

            chunks = pool.map(turned, self._keys, self._key_sources)
            self._keys, self._key_sources = [], []
            edges = distinct(chunks, rows, layout, pool)
        self.counts["rows folded into an edge with another row"] = rows - len(edges.head)
        insert_frame(
            connection,
            """CREATE TABLE kg.relation AS
            SELECT relation, label, edges FROM canonical JOIN counted USING (number)
            WHERE edges > 0 ORDER BY relation""",
            counted=pl.DataFrame({"edges": np.bincount(edges.relation)}).with_row_index("number"),
        )
        _write_edges(connection, edges, concepts)
        heads, tails = (np.bincount(n, minlength=len(concepts)) for n in (edges.head, edges.tail))
        self.degrees = heads + tails

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


def _nodes_of(names: pa.StringArray, nodes: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    return nodes[cui_numbers(names)].astype(np.int64)  # -1 finds the last, which is -1


def concepts_of(connection: duckdb.DuckDBPyConnection) -> pa.StringArray:
    """Return the ids of ``kg.concept``, in order."""
    found = connection.sql("SELECT concept FROM kg.concept").to_arrow_table()
    return found["concept"].combine_chunks()


def _write_edges(
    connection: duckdb.DuckDBPyConnection, edges: Distinct, concepts: pa.StringArray
) -> None:
    """Write ``kg.edge``.

    Arrow looks the strings up, which keeps the order and takes half the processor time of joins and
    a sort of strings.
    """
    relations, sources = (
        connection.sql(query).to_arrow_table().column(0).combine_chunks()
        for query in (
            "SELECT relation FROM canonical ORDER BY number",
            "SELECT source FROM edge_source ORDER BY number",
        )
    )

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(edges.head), _BATCH):
            numbers = [pa.array(column[start : start + _BATCH]) for column in edges]
            words = (concepts, relations, concepts, sources)
            columns = [pc.take(text, number) for text, number in zip(words, numbers, strict=True)]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    schema = pa.schema([(name, pa.string()) for name in ("head", "relation", "tail", "source")])
    connection.register("edges", pa.RecordBatchReader.from_batches(schema, batches()))
    connection.execute(
        f"""CREATE TABLE kg.edge
            (head VARCHAR, relation VARCHAR, tail VARCHAR {UNCOMPRESSED}, source VARCHAR);
        INSERT INTO kg.edge SELECT * FROM edges"""
    )
    connection.unregister("edges")


def count_degrees(
    connection: duckdb.DuckDBPyConnection, degrees: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """Return how the edges spread over the concepts: quantiles of the degree, and the hubs.

    Args:
        connection: with ``kg.concept``.
        degrees: as :class:`Edges` counts them.
    """
    linked = np.sort(degrees[degrees > 0])
    rows = np.flatnonzero(degrees >= linked[-_HUBS:].min(initial=np.iinfo(np.int64).max))
    connection.register("hub", pa.table({"node": rows, "degree": degrees[rows]}))
    hubs = connection.execute(
        f"""SELECT concept, preferred_name, degree FROM hub JOIN kg.concept c ON c.rowid = node
        ORDER BY degree DESC, concept LIMIT {_HUBS}"""
    ).fetchall()
    connection.unregister("hub")

    def quantile(share: float) -> int:
        return int(linked[math.ceil(share * len(linked)) - 1]) if len(linked) else 0

    return {
        "concepts without an edge": len(degrees) - len(linked),
        "mean": round(int(linked.sum()) / len(degrees), 3) if len(degrees) else 0,
        "median of those with one": quantile(0.5),
        "90 %": quantile(0.9),
        "99 %": quantile(0.99),
        "largest": quantile(1),
        "hubs": [
            {"concept": concept, "name": name, "degree": degree} for concept, name, degree in hubs
        ],
    }
