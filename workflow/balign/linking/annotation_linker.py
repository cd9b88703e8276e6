"""The backends ``pubtator`` and ``bern2``: annotations that another program made of PubMed.

The index holds the annotations with the concepts that their identifiers mean in the graph, and the
texts that the other program saw. Its texts join the parts of a citation otherwise, and label the
sections of an abstract, so that each line of our text is looked for in the other one, and the
annotations within it move along. One whose surface is then not what our text holds is dropped and
counted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import ClassVar

import polars as pl

from balign.errors import ConfigError
from balign.linking.annotations import Document, read_bern2, read_pubtator
from balign.linking.graph_names import query_graph
from balign.linking.mentions import SCHEMA
from balign.linking.settings import LinkingSettings
from balign.linking.spans import place_spans, without_overlaps
from balign.progress import track

MISSING = "citation without annotations"
DIFFERS = "text differs from the annotated one"
UNMAPPED = "unmapped identifier: "

_CHUNK = 50_000  # documents in a file of the index
_ROWS = pl.Schema(
    {
        "pmid": pl.Int64(),
        "start": pl.Int32(),
        "end": pl.Int32(),
        "surface": pl.String(),
        "identifiers": pl.List(pl.String()),
        "score": pl.Float32(),
    }
)
_MAPPED = pl.Schema(
    {
        "pmid": pl.Int64,
        "start": pl.Int32,
        "end": pl.Int32,
        "surface": pl.String,
        "score": pl.Float32,
        "concept": pl.String,
        "unmapped": pl.String,
    }
)
_TEXTS = pl.Schema({"pmid": pl.Int64, "text": pl.String})
# A concept is found by its own identifier before any other's; a CUI with and without its prefix.
_IDENTIFIERS = """
    SELECT identifier, first(concept ORDER BY priority, concept) AS concept FROM (
        SELECT concept AS identifier, concept, 0 AS priority FROM concept
        UNION ALL SELECT 'UMLS:' || concept, concept, 0 FROM concept
            WHERE regexp_full_match(concept, 'C[0-9]{7}')
        UNION ALL SELECT identifier, concept, 1 FROM xref
    ) GROUP BY identifier
"""


@dataclass
class AnnotationLinker:
    """What both backends share, see :class:`balign.linking.backends.Linker`.

    The score is the probability that the other program gives, 1 where it gives none. Of a mention
    with several identifiers the first that the graph knows decides.
    """

    folder: Path
    name: str = ""
    dropped: Counter[str] = field(default_factory=Counter)
    backend: ClassVar[str]

    @classmethod
    def build(cls, database: Path, settings: LinkingSettings, folder: Path) -> None:
        """Read all files and write their annotations with the graph's concepts.

        Raises:
            ConfigError: if the configured folder has no files.
            DataError: if a file is not of the expected form.
        """
        read = {"pubtator": read_pubtator, "bern2": read_bern2}[cls.backend]
        known = query_graph(database, _IDENTIFIERS)
        number = 0
        for path in track(annotation_files(cls.backend, settings), "files of annotations read"):
            documents = read(path)
            while some := list(islice(documents, _CHUNK)):
                texts, rows = _tables(some, known)
                texts.write_parquet(folder / f"texts.{number:05d}.parquet")
                rows.write_parquet(folder / f"annotations.{number:05d}.parquet")
                number += 1

    @classmethod
    def open(cls, folder: Path, settings: LinkingSettings) -> AnnotationLinker:
        """Open the index."""
        return cls(folder, cls.backend)

    def link(self, documents: pl.DataFrame, sentences: pl.DataFrame) -> pl.DataFrame:
        """Return the annotations of some documents."""
        texts, rows = self._read(documents["pmid"])
        self.dropped[MISSING] += len(documents) - len(texts)
        moved = self._moved(documents, texts, rows)
        unmapped = moved.filter(pl.col("unmapped").is_not_null())
        for prefix, count in unmapped["unmapped"].value_counts().iter_rows():
            self.dropped[UNMAPPED + prefix] += count
        rest = moved.filter(pl.col("unmapped").is_null())
        placed = without_overlaps(place_spans(rest, sentences, self.dropped), self.dropped)
        return (
            placed.with_columns(linker=pl.lit(self.name))
            .select(SCHEMA.names())
            .cast(SCHEMA)
            .sort("pmid", "start", "end")
        )

    def _read(self, pmids: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return texts and annotations of some citations; the first file that has one counts."""
        texts, rows = pl.DataFrame(schema=_TEXTS), []
        low, high = pmids.min(), pmids.max()
        for path in sorted(self.folder.glob("texts.*.parquet")) if len(pmids) else []:
            wanted = pl.col("pmid").is_between(low, high) & pl.col("pmid").is_in(pmids.implode())
            some = pl.scan_parquet(path).filter(wanted).collect()
            some = some.join(texts, on="pmid", how="anti")
            if len(some):
                mine = pl.col("pmid").is_in(some["pmid"].implode())
                other = path.with_name(path.name.replace("texts", "annotations"))
                rows.append(pl.scan_parquet(other).filter(mine).collect())
                texts = pl.concat([texts, some])
        empty = pl.DataFrame(schema=_MAPPED)
        return texts, pl.concat([empty, *rows]).sort("pmid", maintain_order=True)

    def _moved(
        self, documents: pl.DataFrame, texts: pl.DataFrame, rows: pl.DataFrame
    ) -> pl.DataFrame:
        """Move annotations to our texts; those that do not fit there are dropped."""
        theirs = dict(texts.iter_rows())
        ours = dict(documents.select("pmid", "text").iter_rows())
        starts, surfaces, kept = [], [], []
        lines: list[tuple[int, int, int]] = []
        pmid = None
        for row, (one, start, end, surface) in enumerate(
            rows.select("pmid", "start", "end", "surface").iter_rows()
        ):
            if one != pmid:
                pmid, lines = one, aligned_lines(ours[one], theirs[one])
            place = moved_start(start, end, lines)
            found = ours[pmid][place : place + end - start] if place is not None else ""
            if place is None or blanked(found) != blanked(surface):
                self.dropped[DIFFERS] += 1
                continue
            kept.append(row)
            starts.append(place)
            surfaces.append(found)
        length = pl.col("end") - pl.col("start")
        return (
            rows[kept]
            .with_columns(length=length)
            .with_columns(start=pl.Series(starts, dtype=pl.Int32))
            .with_columns(
                end=pl.col("start") + pl.col("length"),
                surface=pl.Series(surfaces, dtype=pl.String),
            )
        )


class PubtatorLinker(AnnotationLinker):
    """Annotations of PubTator3."""

    backend = "pubtator"


class Bern2Linker(AnnotationLinker):
    """Annotations of BERN2."""

    backend = "bern2"


def annotation_files(backend: str, settings: LinkingSettings) -> list[Path]:
    """Return the files in a backend's folder, by name; hidden ones are left out.

    Raises:
        ConfigError: if there is none.
    """
    folder = Path(settings.of(backend).folder or "")
    files = sorted(path for path in folder.glob("[!.]*") if path.is_file())
    if not files:
        raise ConfigError(
            "the folder of annotations has no files",
            where=f"linking.{backend}.folder: {folder}",
            hint="docs/linking.md says where they come from",
        )
    return files


def _tables(documents: list[Document], known: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return texts and annotations by pmid; of a citation that comes twice the first counts."""
    distinct = {one.pmid: one for one in reversed(documents)}
    ordered = [distinct[pmid] for pmid in sorted(distinct)]
    texts = pl.DataFrame([(one.pmid, one.text) for one in ordered], schema=_TEXTS, orient="row")
    rows = [
        (one.pmid, a.start, a.end, a.surface, list(a.identifiers), a.score)
        for one in ordered
        for a in one.annotations
    ]
    return texts, mapped(pl.DataFrame(rows, schema=_ROWS, orient="row"), known)


def mapped(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Give each annotation its ``concept``; or in ``unmapped`` the prefix of its first identifier.

    Both are null where the annotation has no identifier.

    Args:
        rows: annotations with a list ``identifiers``.
        known: ``identifier`` and ``concept`` of the graph, one row an identifier.
    """
    numbered = rows.with_row_index("row")
    concepts = (
        numbered.select("row", identifier="identifiers")
        .explode("identifier")
        .join(known, on="identifier", how="left", maintain_order="left")
        .group_by("row", maintain_order=True)
        .agg(
            pl.col("concept").drop_nulls().first(),
            prefix=pl.col("identifier").first().str.extract("^([^:]*):"),
        )
    )
    return (
        numbered.join(concepts, on="row", how="left", maintain_order="left")
        .with_columns(unmapped=pl.when(pl.col("concept").is_null()).then("prefix"))
        .select(_MAPPED.names())
        .cast(_MAPPED)
    )


def blanked(text: str) -> str:
    """Return a text with a blank for each character of white space: its length stays."""
    return "".join(" " if one.isspace() else one for one in text)


def aligned_lines(ours: str, theirs: str) -> list[tuple[int, int, int]]:
    """Find the lines of our text, in their order, in another text of the same citation.

    Returns:
        For each line that is found: where it begins and ends in the other text, and where it
        begins in ours. White space is compared as blanks.
    """
    other = blanked(theirs)
    found = []
    at = begin = 0
    for line in ours.split("\n"):
        place = other.find(blanked(line), at)
        if line and place >= 0:
            at = place + len(line)
            found.append((place, at, begin))
        begin += len(line) + 1
    return found


def moved_start(start: int, end: int, lines: list[tuple[int, int, int]]) -> int | None:
    """Return where a span of the other text begins in ours, None if it lies in no line."""
    line = bisect_right(lines, start, key=lambda one: one[0]) - 1
    if line < 0 or end > lines[line][1] or end <= start:
        return None
    return lines[line][2] + start - lines[line][0]
