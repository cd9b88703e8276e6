"""A seeded draw of linked sentences and of concepts with their neighbours.

No name is shown that comes only from atoms with a restriction: UMLS sources of category above 0
may not be passed on (UMLS Metathesaurus licence). A concept without a free name is drawn by
nothing, and where it turns up as a mention or a neighbour only its identifier or its count shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from balign.errors import DataError
from balign.report.graph import Graph

_MOST_NEIGHBOURS = 6  # of one relation; the others are counted
_TRIES = 8  # draw so many times the wanted concepts, as some have no free name


@dataclass(frozen=True)
class Link:
    """A mention in an example: surface, concept, a free name of it (or None), score."""

    surface: str
    concept: str
    name: str | None
    score: float


@dataclass(frozen=True)
class Piece:
    """A stretch of a sentence; ``link`` is set where it is a mention."""

    text: str
    link: Link | None


@dataclass(frozen=True)
class Sentence:
    """A linked sentence, cut into pieces."""

    pmid: int
    section: str
    pieces: tuple[Piece, ...]

    @property
    def links(self) -> tuple[Link, ...]:
        """The mentions, in the order of the text; each (surface, concept) once."""
        links = [piece.link for piece in self.pieces if piece.link is not None]
        return tuple({(link.surface, link.concept): link for link in links}.values())


@dataclass(frozen=True)
class Relation:
    """The neighbours of a concept by one relation and direction.

    ``outward`` means "concept label neighbour"; otherwise "neighbour label concept".
    """

    label: str
    outward: bool
    names: tuple[str, ...]
    more: int


@dataclass(frozen=True)
class Neighbourhood:
    """A concept with its neighbours; ``unnamed`` of them have no free name."""

    concept: str
    name: str
    mentions: int
    neighbours: int
    unnamed: int
    relations: tuple[Relation, ...]


def free_names(database: Path, concepts: Sequence[str]) -> dict[str, str]:
    """Return the best name without restriction, and not held out, of each concept that has one."""
    wanted = sorted(set(concepts))
    if not wanted:
        return {}
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.execute(
            "SELECT concept, arg_min(name, (rank, name)) FROM atom"
            " WHERE restriction = 0 AND NOT held_out"
            " AND concept IN (SELECT unnest(?::VARCHAR[])) GROUP BY concept",
            [wanted],
        ).fetchall()
    return dict(rows)


def draw_sentences(
    corpus: Path, linking: Path, database: Path, files: Sequence[str], count: int, seed: int
) -> list[Sentence]:
    """Draw linked sentences, each with the same chance within a file.

    Only as many files are read as sentences are wanted: the draw costs the same for the whole of
    PubMed as for a sample of it.

    Args:
        corpus: folder with ``abstracts/`` and ``sentences/``.
        linking: folder with ``mentions/``.
        database: kg.duckdb.
        files: names of the PubMed files.
        count: sentences wanted; fewer are returned where the files have fewer.
        seed: seed of the draw.

    Raises:
        DataError: if a mention is not where its offsets say.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(files))[:count]
    found: list[pl.DataFrame] = []
    for place, index in enumerate(chosen):
        left = count - sum(len(rows.unique(["pmid", "sentence"])) for rows in found)
        share = -(-left // (len(chosen) - place))
        found.append(_draw_of_file(corpus, linking, files[index], share, rng))
    if not found:
        return []
    names = free_names(database, [c for rows in found for c in rows["concept"]])
    drawn = [
        _cut(one, names)
        for rows in found
        for one in rows.partition_by(["pmid", "sentence"], maintain_order=True)
    ]
    return [drawn[place] for place in rng.permutation(len(drawn))]  # the files mixed


def _draw_of_file(
    corpus: Path, linking: Path, file: str, count: int, rng: np.random.Generator
) -> pl.DataFrame:
    """Return the mentions of drawn sentences with their text, in the order of the draw."""
    path = linking / "mentions" / f"{file}.parquet"
    mentions = pl.read_parquet(
        path, columns=["pmid", "sentence", "start", "end", "surface", "concept", "score"]
    )
    places = mentions.select("pmid", "sentence").unique().sort("pmid", "sentence")
    drawn = places[rng.permutation(len(places))[:count]].with_row_index("order")
    spans = pl.scan_parquet(corpus / "sentences" / f"{file}.parquet").select(
        "pmid", "sentence", "section", pl.col("start").alias("from"), pl.col("end").alias("to")
    )
    texts = pl.scan_parquet(corpus / "abstracts" / f"{file}.parquet").select("pmid", "text")
    rows = (
        drawn.lazy()
        .join(mentions.lazy(), on=["pmid", "sentence"])
        .join(spans, on=["pmid", "sentence"])
        .join(texts, on="pmid")
        .sort("order", "start", "end")
        .collect()
    )
    length = pl.col("end") - pl.col("start")
    wrong = rows.filter(pl.col("text").str.slice(pl.col("start"), length) != pl.col("surface"))
    if len(wrong):
        raise DataError(
            f"mention '{wrong['surface'][0]}' is not where its offsets say",
            where=f"{path}, PMID {wrong['pmid'][0]}, offset {wrong['start'][0]}",
            hint="abstracts and mentions are of different runs; run the linking again",
        )
    return rows


def _cut(rows: pl.DataFrame, names: dict[str, str]) -> Sentence:
    """Cut one sentence at its mentions; of overlapping ones (several linkers) the first stays."""
    first = rows.row(0, named=True)
    text, place = first["text"], first["from"]
    pieces: list[Piece] = []
    for row in rows.iter_rows(named=True):
        if row["start"] < place:
            continue
        if row["start"] > place:
            pieces.append(Piece(text[place : row["start"]], None))
        link = Link(row["surface"], row["concept"], names.get(row["concept"]), row["score"])
        pieces.append(Piece(row["surface"], link))
        place = row["end"]
    if place < first["to"]:
        pieces.append(Piece(text[place : first["to"]], None))
    return Sentence(first["pmid"], first["section"], tuple(pieces))


def draw_neighbourhoods(graph: Graph, database: Path, count: int, seed: int) -> list[Neighbourhood]:
    """Draw concepts that have a neighbour, a free name and, if any has one, a mention."""
    rng = np.random.default_rng(seed)
    linked = graph.degree > 0
    nodes = np.flatnonzero(linked & (graph.mention_count > 0))
    if len(nodes) == 0:
        nodes = np.flatnonzero(linked)
    drawn = [int(node) for node in rng.permutation(nodes)[: _TRIES * count]]
    names = free_names(database, [graph.concepts[node] for node in drawn])
    shown = [node for node in drawn if graph.concepts[node] in names][:count]
    around = {int(other) for node in shown for other in graph.neighbours(node)[0]}
    names |= free_names(database, [graph.concepts[other] for other in sorted(around)])
    return [_neighbourhood(graph, node, names, rng) for node in shown]


def _neighbourhood(
    graph: Graph, node: int, names: dict[str, str], rng: np.random.Generator
) -> Neighbourhood:
    others, kinds = graph.neighbours(node)
    relations = []
    for kind in np.unique(kinds):
        named = [
            names[concept]
            for other in rng.permutation(others[kinds == kind])
            if (concept := graph.concepts[int(other)]) in names
        ]
        if named:
            outward = bool(kind < len(graph.labels))
            text = graph.labels[int(kind) % len(graph.labels)]
            shown = tuple(sorted(named[:_MOST_NEIGHBOURS]))
            relations.append(Relation(text, outward, shown, len(named) - len(shown)))
    distinct = [graph.concepts[int(other)] for other in np.unique(others)]
    concept = graph.concepts[node]
    return Neighbourhood(
        concept=concept,
        name=names[concept],
        mentions=int(graph.mention_count[node]),
        neighbours=len(distinct),
        unnamed=sum(other not in names for other in distinct),
        relations=tuple(sorted(relations, key=lambda one: (not one.outward, one.label))),
    )


def top_concepts(
    graph: Graph, values: npt.NDArray[Any], database: Path, count: int
) -> list[tuple[str, int]]:
    """Return name (the identifier where no name is free) and value of the largest values."""
    order = np.lexsort((np.arange(len(values)), -np.asarray(values)))[:count]
    order = order[np.asarray(values)[order] > 0]
    names = free_names(database, [graph.concepts[node] for node in order])
    return [
        (names.get(concept, concept), int(values[node]))
        for node in order
        if (concept := graph.concepts[node])
    ]
