"""How much of an annotated corpus a knowledge graph can name: a look at a graph before any run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from balign.errors import DataError
from balign.files import write_json
from balign.kg.database import open_database
from balign.kg.ontology import curie, identifier
from balign.pubtator import Annotation, read_annotations


class Coverage(NamedTuple):
    """Coverage of one entity type.

    Attributes:
        ids: distinct identifiers of its mentions.
        ids_covered: those that are a concept, or an xref of one.
        mentions: annotated mentions.
        without_id: mentions that the annotators could not map (``-1`` or nothing).
        mentions_covered: mentions of which every identifier is covered.
        missing: identifiers that are not covered, most mentioned first, with their mentions.
    """

    ids: int
    ids_covered: int
    mentions: int
    without_id: int
    mentions_covered: int
    missing: tuple[tuple[str, int], ...]


def kg_coverage(
    database: Path, corpora: Sequence[Path], prefix: str = "MESH", report: Path | None = None
) -> dict[str, Coverage]:
    """Count the annotated identifiers that a graph knows, by entity type.

    Args:
        database: a file of ``kg_build``.
        corpora: PubTator files.
        prefix: of identifiers that have none of their own.
        report: JSON file to write.

    Raises:
        DataError: if there is no annotation, or a file cannot be read.
    """
    annotations = [one for path in corpora for one in read_annotations(path)]
    if not annotations:
        where = ", ".join(map(str, corpora))
        raise DataError("no annotation in the corpus", where=where, hint="give PubTator files")
    found = {one: _whole(one, prefix) for mention in annotations for one in mention.identifiers}
    with open_database(database) as connection:
        known = known_identifiers(connection, found.values())
    result = measure(annotations, {one for one, whole in found.items() if whole in known})
    if report is not None:
        write_json(report, {kind: row._asdict() for kind, row in result.items()})
    return result


def _whole(text: str, prefix: str) -> str:
    """Return an identifier with its prefix; one that breaks its form stays as it is."""
    return (curie(text) if ":" in text else identifier(prefix, text)) or text


def known_identifiers(connection: duckdb.DuckDBPyConnection, wanted: Iterable[str]) -> set[str]:
    """Return those of the identifiers that are a concept's own id or an xref."""
    asked = pa.table({"identifier": pa.array(sorted(set(wanted)), pa.string())})
    connection.register("asked", asked)
    rows = connection.execute(
        """SELECT identifier FROM asked
        WHERE identifier IN (SELECT concept FROM concept)
            OR identifier IN (SELECT identifier FROM xref)
            OR (starts_with(identifier, 'UMLS:')
                AND substr(identifier, 6) IN (SELECT concept FROM concept))"""
    ).fetchall()
    connection.unregister("asked")
    return {str(row[0]) for row in rows}


def measure(annotations: Iterable[Annotation], covered: set[str]) -> dict[str, Coverage]:
    """Count by entity type, in alphabetical order."""
    by_type: dict[str, list[Annotation]] = defaultdict(list)
    for annotation in annotations:
        by_type[annotation.entity_type].append(annotation)
    result = {}
    for kind, mentions in sorted(by_type.items()):
        uses = Counter(one for mention in mentions for one in mention.identifiers)
        missing = sorted((-count, one) for one, count in uses.items() if one not in covered)
        result[kind] = Coverage(
            ids=len(uses),
            ids_covered=len(uses.keys() & covered),
            mentions=len(mentions),
            without_id=sum(not mention.identifiers for mention in mentions),
            mentions_covered=sum(
                bool(mention.identifiers) and covered.issuperset(mention.identifiers)
                for mention in mentions
            ),
            missing=tuple((one, -count) for count, one in missing),
        )
    return result
