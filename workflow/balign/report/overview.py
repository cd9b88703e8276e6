"""What was built: figures counted from the stages' own files, by the columns of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from balign.errors import DataError
from balign.report.graph import Graph

_KG_TABLES = ("concept", "atom", "edge", "definition", "xref")


@dataclass(frozen=True)
class KgSource:
    """A row of the table ``source``."""

    source: str
    version: str
    licence: str
    restriction: int
    atoms: int


@dataclass(frozen=True)
class Kg:
    """Facts of kg.duckdb.

    Attributes:
        rows: rows by table.
        held_out: atoms held out for evaluation.
        sources: rows of ``source``, most atoms first.
        relations: (label, edges), most edges first; rows of one label are added up.
        provenance: (key, value), sorted.
    """

    rows: dict[str, int]
    held_out: int
    sources: tuple[KgSource, ...]
    relations: tuple[tuple[str, int], ...]
    provenance: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Text:
    """Rows of the corpus and of the linking: what a reader finds in the files."""

    files: tuple[str, ...]
    live: int
    sentences: int
    mentions: int


@dataclass(frozen=True)
class GraphFacts:
    """Facts of the graph arrays.

    ``edges`` counts each edge once; ``top_share`` is the share of all mentions that the hundredth
    part of the mentioned concepts holds which has the most.
    """

    nodes: int
    edges: int
    relations: int
    mentioned: int
    top_share: float
    with_edges: int
    median_degree: float
    largest_degree: int


def read_kg(database: Path) -> Kg:
    """Count the tables of a knowledge graph.

    Raises:
        DataError: if a table or column of the contract is missing.
    """
    try:
        with duckdb.connect(str(database), read_only=True) as connection:

            def rows(query: str) -> list[tuple[int | str, ...]]:
                return connection.execute(query).fetchall()

            counts = {name: int(rows(f"SELECT count(*) FROM {name}")[0][0]) for name in _KG_TABLES}
            held_out = int(rows("SELECT count(*) FROM atom WHERE held_out")[0][0])
            sources = rows(
                "SELECT source, version, licence, restriction, atoms FROM source"
                " ORDER BY atoms DESC, source"
            )
            relations = rows(
                "SELECT label, sum(edges)::BIGINT AS n FROM relation GROUP BY label"
                " ORDER BY n DESC, label"
            )
            provenance = rows("SELECT key, value FROM provenance ORDER BY key, value")
    except duckdb.Error as error:
        raise DataError(
            f"not a knowledge graph as docs/contracts.md has it: {error}",
            where=str(database),
            hint="`balign kg build` writes it",
        ) from None
    return Kg(
        counts,
        held_out,
        tuple(KgSource(str(a), str(b), str(c), int(d), int(e)) for a, b, c, d, e in sources),
        tuple((str(text), int(edges)) for text, edges in relations),
        tuple((str(key), str(value)) for key, value in provenance),
    )


def read_text(corpus: Path, linking: Path) -> Text:
    """Count citations, sentences and mentions.

    The files that count are those of ``live.parquet``: a folder may still hold the files of an
    earlier configuration.
    """
    live = pl.scan_parquet(corpus / "live.parquet")
    files = tuple(live.select(pl.col("file").unique().sort()).collect()["file"])
    return Text(
        files=files,
        live=_rows([corpus / "live.parquet"]),
        sentences=_rows([corpus / "sentences" / f"{file}.parquet" for file in files]),
        mentions=_rows([linking / "mentions" / f"{file}.parquet" for file in files]),
    )


def _rows(paths: Sequence[Path]) -> int:
    """Count rows by the files' footers."""
    return sum(int(pl.scan_parquet(path).select(pl.len()).collect().item()) for path in paths)


def graph_facts(graph: Graph) -> GraphFacts:
    """Count nodes, edges and degrees."""
    degree = graph.degree
    some = degree[degree > 0]
    mentions = np.sort(graph.mention_count[graph.mention_count > 0])[::-1]
    return GraphFacts(
        nodes=len(graph.concepts),
        edges=len(graph.indices) // 2,
        relations=len(graph.labels),
        mentioned=len(mentions),
        top_share=float(mentions[: len(mentions) // 100].sum() / max(1, mentions.sum())),
        with_edges=len(some),
        median_degree=float(np.median(some)) if len(some) else 0.0,
        largest_degree=int(some.max()) if len(some) else 0,
    )
