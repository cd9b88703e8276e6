"""Linkers against annotated abstracts: ``balign evaluate linking-gold``.

Four questions, each with precision, recall and F1, for each type of entity of the corpus:

- ``span``: is there an annotation at exactly this place;
- ``concept``: and is one of its MeSH ids one that the concept carries;
- ``overlap``: does the mention overlap an annotation with such an id;
- ``document``: the set of (document, MeSH id).

A composite annotation has several ids: for ``concept`` any of them is right, for ``document`` each
counts. Annotations without an id count for ``span`` alone, and so do mentions of concepts that have
no MeSH id, since no annotation could name them. Only mentions of concepts of the corpus's type
count (:mod:`balign.evaluate.concept_maps`); of a concept with several MeSH ids the first that is
annotated in the document stands for it in ``document``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from rich.table import Table

from balign.errors import DataError
from balign.evaluate.concept_maps import ENTITY_TYPES, concepts_of_type, mesh_ids
from balign.evaluate.gold_corpus import read_gold
from balign.evaluate.heading_recall import heading_recall
from balign.evaluate.linking import open_graph
from balign.files import write_json
from balign.linking.backends import Linker, open_linker
from balign.linking.link import link_documents
from balign.linking.settings import LinkingSettings
from balign.sources.manifest import SourceFolder, open_source

log = logging.getLogger(__name__)

LEVELS = ("span", "concept", "overlap", "document")


class Score(NamedTuple):
    """Precision, recall and F1, with what they are made of."""

    predicted: int
    annotated: int
    right: int
    found: int

    @property
    def precision(self) -> float:
        """Share of the predictions that are right; 0 where there is none."""
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the annotations that are found; 0 where there is none."""
        return self.found / self.annotated if self.annotated else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def evaluate_linking_gold(
    database: Path,
    source: Path,
    index: Path,
    settings: LinkingSettings,
    parts: Sequence[str],
    output: Path,
    files: Sequence[tuple[Path, Path]] = (),
) -> dict[str, Any]:
    """Score the configured backend and write what was found as JSON.

    Args:
        database: kg.duckdb that the index was built from.
        source: MANIFEST.json of a PubTator corpus.
        index: folder written by ``balign linking index``.
        settings: settings of the stage linking.
        parts: ``train``, ``dev`` or ``test``.
        output: the JSON.
        files: abstracts and mentions (Parquet) for the recall of MeSH headings.

    Raises:
        DataError: if the corpus, the index or the graph cannot be read, or the corpus was skipped.
    """
    folder = open_source(source)
    if folder.skipped:
        raise DataError(f"the corpus was skipped: {folder.reason}", where=str(source))
    linker = open_linker(settings.backend, index, settings)
    with open_graph(database) as graph:
        mesh = mesh_ids(graph)
        types = {name: concepts_of_type(graph, kind) for name, kind in ENTITY_TYPES.items()}
    result: dict[str, Any] = {
        "backend": settings.backend,
        "corpus": f"{folder.name} {folder.version}",
        "parts": {
            part: score_part(_file(folder, part), linker, settings, mesh, types) for part in parts
        },
    }
    if files:
        result["headings"] = heading_recall(files, mesh)
    write_json(output, result)
    return result


def _file(folder: SourceFolder, part: str) -> Path:
    files = [name for name in folder.files if name.startswith(part)]
    if len(files) != 1:
        raise DataError(
            f"expected one file '{part}*', found {len(files)}", where=str(folder.folder)
        )
    return folder.path(files[0])


def score_part(
    path: Path,
    linker: Linker,
    settings: LinkingSettings,
    mesh: pl.DataFrame,
    types: Mapping[str, pl.Series],
) -> dict[str, Any]:
    """Return, by type of entity, the scores of each level and counts."""
    documents, sentences, gold = read_gold(path)
    mentions, _ = link_documents(linker, documents, sentences, settings)
    found: dict[str, Any] = {}
    for name in sorted(set(gold["type"])):
        if name not in types:
            raise DataError(
                f"no concepts are known for the type '{name}'",
                where=str(path),
                hint=f"known types: {', '.join(types)}",
            )
        of_type = mentions.filter(pl.col("concept").is_in(types[name].implode()))
        scores = score_mentions(of_type, gold.filter(pl.col("type") == name), mesh)
        found[name] = {level: as_json(score) for level, score in scores.items()}
    return {"documents": len(documents), "types": found}


def gold_table(result: Mapping[str, Any]) -> Table:
    """Return the scores as a table, in percent."""
    table = Table(title=f"{result['backend']} on {result['corpus']}, in percent")
    for heading in ("part", "type", "level"):
        table.add_column(heading)
    for heading in ("precision", "recall", "F1", "mentions", "annotations"):
        table.add_column(heading, justify="right")
    for part, scores in result["parts"].items():
        for kind in sorted(scores["types"]):
            for level, score in scores["types"][kind].items():
                shares = (score[name] for name in ("precision", "recall", "f1"))
                table.add_row(
                    part,
                    kind,
                    level,
                    *(f"{100 * share:.1f}" for share in shares),
                    f"{score['predicted']:,}",
                    f"{score['annotated']:,}",
                )
            table.add_section()
    return table


def headings_line(headings: Mapping[str, Any]) -> str:
    """Return the recall of MeSH headings as a sentence."""
    return (
        f"MeSH headings of {headings['citations']:,} citations: "
        f"{100 * headings['recall']:.1f} % of {headings['headings']:,} found, "
        f"{100 * headings['major_recall']:.1f} % of {headings['major']:,} major ones"
    )


def as_json(score: Score) -> dict[str, float]:
    """Return a score as plain values."""
    values = {"precision": score.precision, "recall": score.recall, "f1": score.f1}
    return {name: round(value, 4) for name, value in values.items()} | score._asdict()


def score_mentions(
    mentions: pl.DataFrame, gold: pl.DataFrame, mesh: pl.DataFrame
) -> dict[str, Score]:
    """Compare the mentions of one type with the annotations of that type.

    Args:
        mentions: ``pmid``, ``start``, ``end`` and ``concept``.
        gold: ``pmid``, ``start``, ``end`` and ``identifiers``.
        mesh: ``concept`` and ``mesh``.
    """
    ids: dict[str, list[str]] = {}
    for concept, identifier in mesh.iter_rows():
        ids.setdefault(concept, []).append(identifier)
    predicted = [
        (pmid, start, end, frozenset(ids.get(concept, ())))
        for pmid, start, end, concept in mentions.select(
            "pmid", "start", "end", "concept"
        ).iter_rows()
    ]
    annotated = [
        (pmid, start, end, frozenset(identifiers))
        for pmid, start, end, identifiers in gold.select(
            "pmid", "start", "end", "identifiers"
        ).iter_rows()
    ]
    places = {row[:3] for row in predicted}
    gold_places = {row[:3] for row in annotated}
    known = [row for row in predicted if row[3]]
    named = [row for row in annotated if row[3]]
    return {
        "span": Score(
            len(places), len(gold_places), len(places & gold_places), len(places & gold_places)
        ),
        "concept": _at_same_place(known, named),
        "overlap": _overlapping(known, named),
        "document": _by_document(known, named),
    }


Row = tuple[int, int, int, frozenset[str]]


def _at_same_place(predicted: Sequence[Row], annotated: Sequence[Row]) -> Score:
    def matched(rows: Iterable[Row], others: Iterable[Row]) -> int:
        at: dict[tuple[int, int, int], set[str]] = {}
        for pmid, start, end, ids in others:
            at.setdefault((pmid, start, end), set()).update(ids)
        return sum(bool(row[3] & at.get(row[:3], set())) for row in rows)

    return Score(
        len(predicted), len(annotated), matched(predicted, annotated), matched(annotated, predicted)
    )


def _overlapping(predicted: Sequence[Row], annotated: Sequence[Row]) -> Score:
    def matched(rows: Iterable[Row], others: Iterable[Row]) -> int:
        by_document: dict[int, list[Row]] = {}
        for row in others:
            by_document.setdefault(row[0], []).append(row)
        return sum(
            any(
                start < other[2] and other[1] < end and ids & other[3]
                for other in by_document.get(pmid, ())
            )
            for pmid, start, end, ids in rows
        )

    return Score(
        len(predicted), len(annotated), matched(predicted, annotated), matched(annotated, predicted)
    )


def _by_document(predicted: Sequence[Row], annotated: Sequence[Row]) -> Score:
    right = {(pmid, one) for pmid, _, _, ids in annotated for one in ids}
    answers = set()
    for pmid, _, _, ids in predicted:
        good = sorted(one for one in ids if (pmid, one) in right)
        answers.add((pmid, good[0] if good else min(ids)))
    return Score(len(answers), len(right), len(answers & right), len(answers & right))
