"""Family ``linking_mentions``: link the distinct annotated mentions of a PubTator corpus.

The protocol: distinct (mention, identifiers), case aside; candidates are the names of the concepts
in some branches of MeSH, variants in word order aside; a hit is a concept that carries a gold MeSH
id, for a composite mention any of its ids. Subsets: ``single`` and ``composite`` (one id or
several), ``refined`` (the string, case aside, is no mention of train or development and no name of
those concepts: Tutubalina et al., COLING 2020), ``covered`` (a gold id is among the candidates) and
``out_of_dictionary`` (none is, so that they can only be missed). Mentions without an identifier are
counted and not linked.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import duckdb
import polars as pl

from balign.errors import DataError
from balign.evaluate.linking import (
    METRICS,
    NAME_SCHEMA,
    Query,
    distinct_names,
    draw_candidates,
    link,
    open_graph,
)
from balign.evaluate.outcome import Outcome, Run, TaskSkipped
from balign.evaluate.zero_shot_settings import MentionLinkingTask
from balign.pubtator import Annotation, read_annotations

log = logging.getLogger(__name__)

SUBSETS = ("refined", "single", "composite", "covered", "out_of_dictionary")


def run(task: MentionLinkingTask, run: Run) -> Outcome:
    """Link the mentions of the test set.

    Raises:
        DataError: if the corpus or the graph has nothing to link.
        TaskSkipped: if a file of the user's folder is not there.
    """
    test, development, train = (
        [
            one
            for path in _paths(task, run, part)
            for one in read_annotations(path)
            if task.entity_type in (None, one.entity_type)
        ]
        for part in ("test", "dev", "train")
    )
    with open_graph(run.database) as graph:
        names = _names(graph, task.tree_prefixes)
        concepts_of = _concepts_of_identifier(graph, set(names["concept"]))
    seen = [one.mention for one in (*train, *development)]
    known = {one.casefold() for one in (*seen, *names["name"])}
    queries = mention_queries(test, concepts_of, known)
    gold = {one for query in queries for one in query.gold}
    candidates = draw_candidates(distinct_names(names), gold, task.candidates, task.seed)
    if not queries or candidates.is_empty():
        raise DataError(
            f"nothing to link: {len(queries)} mentions of type {task.entity_type}, "
            f"{len(candidates)} candidate names",
            where=str(run.source.folder if run.source else run.folder),
            hint="check entity_type and tree_prefixes of the task, and that kg.sources has mesh",
        )
    counts = {
        "annotations": len(test),
        "annotations_without_identifier": sum(not one.identifiers for one in test),
        "candidate_names": len(candidates),
        "candidate_concepts": candidates["concept"].n_unique(),
        "queries_not_covered": sum(not query.gold for query in queries),
    }
    log.info("%d distinct mentions, %s", len(queries), counts)
    return Outcome(link(run.model, queries, candidates, task.pooling), METRICS, SUBSETS, counts)


def mention_queries(
    annotations: Iterable[Annotation], concepts_of: Mapping[str, set[str]], known: set[str]
) -> list[Query]:
    """Return the distinct (mention, identifiers), lower-cased; those without identifier left out.

    Args:
        annotations: annotations of the test set.
        concepts_of: identifier, without prefix for MeSH -> candidate concepts.
        known: case-folded strings that put a mention out of ``refined``.
    """
    distinct = sorted({(one.mention.lower(), one.identifiers) for one in annotations})
    queries = []
    for mention, identifiers in distinct:
        if not identifiers:
            continue
        gold = {concept for one in identifiers for concept in concepts_of.get(one, ())}
        subsets = ["single" if len(identifiers) == 1 else "composite"]
        if mention.casefold() not in known:
            subsets.append("refined")
        subsets.append("covered" if gold else "out_of_dictionary")
        queries.append(Query(mention, tuple(sorted(gold)), "|".join(identifiers), tuple(subsets)))
    return queries


def _paths(task: MentionLinkingTask, run: Run, part: Literal["train", "dev", "test"]) -> list[Path]:
    """Return the files of a part of the corpus: those named, or the one that begins with it."""
    folder = run.source.folder if run.source else run.folder
    if folder is None:
        raise DataError("this task reads a corpus", hint="give --source MANIFEST.json")
    if task.files is not None:
        paths = [folder / name for name in getattr(task.files, part)]
        if missing := [path.name for path in paths if not path.is_file()]:
            what = f"{folder} has no {', '.join(missing)}"
            raise TaskSkipped(f"{what}: {task.obtain or 'put the files there'}")
        return paths
    paths = sorted(folder.glob(f"{part}*"))
    if len(paths) != 1:
        raise DataError(
            f"expected one file '{part}*', found {len(paths)}",
            where=str(folder),
            hint="give the names of the files by the task's `files`",
        )
    return paths


def _names(graph: duckdb.DuckDBPyConnection, prefixes: tuple[str, ...]) -> pl.DataFrame:
    """Return the names, none held out, of the concepts in the given branches of MeSH.

    A supplementary record of MeSH is in the branches of the headings that it is mapped to.
    """
    rows = graph.execute(
        """
        WITH inside AS (
            SELECT concept FROM semantic_type, unnest($prefixes) AS branch(prefix)
            WHERE starts_with(semantic_type, 'MESH_TREE:' || prefix)
        )
        SELECT concept, name, rank FROM atom
        WHERE NOT held_out AND concept IN (
            SELECT concept FROM inside UNION
            SELECT head FROM edge JOIN inside ON tail = concept WHERE relation = 'mapped_to'
        )
        """,
        {"prefixes": list(prefixes)},
    ).fetchall()
    return pl.DataFrame(rows, schema=NAME_SCHEMA, orient="row")


def _concepts_of_identifier(
    graph: duckdb.DuckDBPyConnection, candidates: set[str]
) -> dict[str, set[str]]:
    """Return MeSH id, or ``OMIM:`` and id -> candidate concepts that carry it."""
    rows = graph.execute(
        "SELECT concept, identifier FROM (SELECT concept, identifier FROM xref UNION "
        "SELECT concept, concept FROM concept) WHERE split_part(identifier, ':', 1) IN "
        "('MESH', 'OMIM')"
    ).fetchall()
    found: dict[str, set[str]] = defaultdict(set)
    for concept, identifier in rows:
        if concept in candidates:
            found[identifier.removeprefix("MESH:")].add(concept)
    return found
