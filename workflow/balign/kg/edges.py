"""The edges of all sources: folded to one direction, each once, sorted.

A row (CUI1, REL, RELA, CUI2) of MRREL says that CUI2 has the relation to CUI1 (UMLS Reference
Manual, 3.3.9), so the head is CUI2. UMLS has 50 to 90 million such rows, for each relation both
directions and many pairs of atoms, so an edge is one number while duplicates are found: the
positions of head, relation and tail in their lists, 25, 13 and 25 bits.
"""

from __future__ import annotations

import math
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
from balign.kg.cui import cui_numbers, node_table
from balign.kg.filters import is_in, keep, mapped
from balign.kg.relations import fold_relations, label
from balign.kg.scan import UNSTATED, ReleaseReader
from balign.kg.settings import RrfSettings
from balign.kg.tables import insert_frame

_TAIL, _HEAD = 25, 38  # bits behind the relation and behind the head
_RELATIONS = 1 << (_HEAD - _TAIL)
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
        """Write ``kg.edge`` and ``kg.relation``; count the degrees.

        Of the sources of one edge that one counts which comes first by precedence and, in the
        Metathesaurus, is restricted least.

        Args:
            connection: with ``kg.concept`` and ``stage_source`` complete.
            doc: what MRDOC says of the relations.
        """
        codes, turn, both_ways = self._fold(connection, doc)
        sources = self._rank_sources(connection)
        concepts = concepts_of(connection)
        layout = _Layout(_bits(len(concepts)), _bits(len(codes)), _bits(len(sources)))
        keys = [_turned(chunk, codes, turn, both_ways, layout) for chunk in self._keys]
        numbers = [sources[chunk] for chunk in self._key_sources]
        self._keys, self._key_sources = [], []
        rows = sum(map(len, keys))
        edges = _distinct(keys, numbers, layout)
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


class _Layout(NamedTuple):
    """How many bits a number takes of a concept, a relation and a source."""

    node: int
    relation: int
    source: int


class _Distinct(NamedTuple):
    """Edges without duplicates, in order: [edges] positions in the lists of each."""

    head: npt.NDArray[np.int64]
    relation: npt.NDArray[np.int64]
    tail: npt.NDArray[np.int64]
    source: npt.NDArray[np.int64]


def _bits(count: int) -> int:
    return max(count - 1, 1).bit_length()


def _turned(
    keys: npt.NDArray[np.uint64],
    codes: npt.NDArray[np.int64],
    turn: npt.NDArray[np.bool_],
    both_ways: npt.NDArray[np.bool_],
    layout: _Layout,
) -> npt.NDArray[np.uint64]:
    """Return the keys of the canonical relations, in their direction and as short as can be."""
    edges = keys.astype(np.int64)
    head, tail = edges >> _HEAD, edges & ((1 << _TAIL) - 1)
    relation = edges >> _TAIL & (_RELATIONS - 1)
    swap = turn[relation] | (both_ways[relation] & (head > tail))
    crossed = np.where(swap, head ^ tail, 0)
    head, tail = head ^ crossed, tail ^ crossed
    key: npt.NDArray[np.int64] = (head << layout.relation | codes[relation]) << layout.node | tail
    return key.astype(np.uint64)


def _distinct(
    keys: list[npt.NDArray[np.uint64]], sources: list[npt.NDArray[np.uint16]], layout: _Layout
) -> _Distinct:
    """Return each edge once, with the smallest of its sources; the lists are emptied."""
    short = 2 * layout.node + layout.relation + layout.source <= 64
    if short:  # one number an edge, its source behind: true of UMLS
        shift = np.uint64(layout.source)
        for place, source in enumerate(sources):
            keys[place] = keys[place] << shift | source
        sources.clear()
    key = pl.Series("key", np.concatenate([np.zeros(0, np.uint64), *keys]))
    keys.clear()
    if short:
        both = key.sort().to_numpy()
        edge, source = both >> shift, (both & ((np.uint64(1) << shift) - np.uint64(1)))
    else:
        frame = pl.DataFrame([key, pl.Series("source", np.concatenate(sources))]).sort(pl.all())
        edge, source = frame["key"].to_numpy(), frame["source"].to_numpy()
    first = np.ones(len(edge), bool)
    first[1:] = edge[1:] != edge[:-1]
    edge, source = edge[first].astype(np.int64), source[first].astype(np.int64)
    head = edge >> (layout.node + layout.relation)
    relation = edge >> layout.node & ((1 << layout.relation) - 1)
    return _Distinct(head, relation, edge & ((1 << layout.node) - 1), source)


def _write_edges(
    connection: duckdb.DuckDBPyConnection, edges: _Distinct, concepts: pa.StringArray
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
    connection.execute("CREATE TABLE kg.edge AS SELECT * FROM edges")
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
