"""The live citations of a file: their text, and its sentences."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from balign.corpus.sentences import Sections, Span, citation_spans, citation_text
from balign.errors import DataError
from balign.files import atomic_path, write_json
from balign.progress import track

_log = logging.getLogger(__name__)

SENTENCES_SCHEMA = pa.schema(
    [
        ("pmid", pa.int64()),
        ("sentence", pa.int32()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("section", pa.string()),
    ]
)

DROP_REASONS = ("no_abstract", "language", "short_abstract")
"""Why a live citation has no sentences, in the order in which they are looked at."""

_ABSTRACTS_COLUMNS = (
    *("pmid", "version", "title", "abstract", "text", "year", "language", "journal"),
    *("publication_types", "mesh", "doi", "pmcid"),
)
_ROW_GROUP = 10_000


def corpus_split(
    parsed: Path,
    live: Path,
    languages: Collection[str] | None,
    min_characters: int,
    abstracts: Path,
    sentences: Path,
    counts: Path,
) -> None:
    """Write the live citations of a parsed file and the sentences of those with a usable abstract.

    ``abstracts`` holds every live citation. A citation has no sentences, not even its title's, if
    it has no abstract, if none of its languages is kept or if its abstract is too short; ``counts``
    says how many there are by the first of these reasons that holds.

    Args:
        parsed: a file of :func:`balign.corpus.parse.corpus_parse`.
        live: the file of :func:`balign.corpus.merge.corpus_merge`.
        languages: languages of the article (MARC codes) that are kept; None keeps all.
        min_characters: shortest abstract kept, in code points.
        abstracts: table of citations, by docs/contracts.md.
        sentences: table of sentences, :data:`SENTENCES_SCHEMA`.
        counts: JSON, the keys of :func:`count_rows` and ``dropped``, ``split``, ``sentences``.

    Raises:
        DataError: if ``live`` was not made from ``parsed``.
    """
    table = pq.read_table(parsed)
    alive = _alive(table["pmid"], live, parsed)
    citations = table.take(alive.filter(pl.col("file") == parsed.stem)["row"].to_arrow())
    titles = citations["title"].to_pylist()
    sections = [_named(parts) for parts in citations["abstract"].to_pylist()]
    texts = [citation_text(*pair) for pair in zip(titles, sections, strict=True)]
    spoken = citations["languages"].to_pylist()
    reasons = [
        drop_reason(abstract, written, languages, min_characters)
        for (abstract, _), written in zip(texts, spoken, strict=True)
    ]
    usable = [place for place, reason in enumerate(reasons) if reason is None]
    pmids = citations["pmid"].to_pylist()
    spans = [
        (pmids[place], citation_spans(titles[place], sections[place]))
        for place in track(usable, f"abstracts of {parsed.stem} split")
    ]
    found = sentence_table(spans)
    columns = {
        **{name: citations[name] for name in citations.column_names},
        "abstract": pa.array([abstract for abstract, _ in texts], pa.string()),
        "text": pa.array([text for _, text in texts], pa.string()),
        "language": pa.array([next(iter(written), None) for written in spoken], pa.string()),
    }
    _write(pa.table({name: columns[name] for name in _ABSTRACTS_COLUMNS}), abstracts)
    _write(found, sentences)
    dropped = Counter(reason for reason in reasons if reason is not None)
    summary = {
        **count_rows(table, set(alive["pmid"]), len(citations)),
        "dropped": {reason: dropped[reason] for reason in DROP_REASONS},
        "split": len(usable),
        "sentences": len(found),
    }
    write_json(counts, summary)
    _log.info("%s: %s", parsed.stem, summary)


def drop_reason(
    abstract: str,
    written: Collection[str],
    languages: Collection[str] | None,
    min_characters: int,
) -> str | None:
    """Return the first of :data:`DROP_REASONS` that holds for a citation, or None."""
    if not abstract:
        return "no_abstract"
    if languages is not None and not set(languages).intersection(written):
        return "language"
    if len(abstract) < min_characters:
        return "short_abstract"
    return None


def sentence_table(spans: Iterable[tuple[int, Sequence[Span]]]) -> pa.Table:
    """Return the sentences of each (PMID, spans) as a table of :data:`SENTENCES_SCHEMA`."""
    rows = [(pmid, number, *span) for pmid, found in spans for number, span in enumerate(found)]
    columns = zip(*rows, strict=True) if rows else [()] * len(SENTENCES_SCHEMA)
    arrays = [pa.array(c, field.type) for c, field in zip(columns, SENTENCES_SCHEMA, strict=True)]
    return pa.table(arrays, schema=SENTENCES_SCHEMA)


def count_rows(table: pa.Table, live_pmids: Collection[int], live: int) -> dict[str, int]:
    """Count a parsed file's rows by their fate: ``read`` = ``live`` + ``superseded`` + ``deleted``.

    Args:
        table: the parsed file.
        live_pmids: those of its PMIDs that live, in whatever file.
        live: how many of its citations live.

    Returns:
        ``read``: citations; ``with_abstract``: those of them that have one; ``deletions``: rows of
        ``DeleteCitation``; ``live``; ``superseded``: citations that a later row or a higher version
        replaces; ``deleted``: citations whose PMID no longer lives.
    """
    citations = table.filter(pc.equal(table["kind"], "citation"))
    dead = sum(pmid not in live_pmids for pmid in citations["pmid"].to_pylist())
    return {
        "read": len(citations),
        "with_abstract": pc.sum(pc.greater(pc.list_value_length(citations["abstract"]), 0)).as_py()
        or 0,
        "deletions": len(table) - len(citations),
        "live": live,
        "superseded": len(citations) - live - dead,
        "deleted": dead,
    }


def _named(parts: Sequence[Mapping[str, str | None]]) -> Sections:
    return [(part["label"] or "abstract", part["text"] or "") for part in parts]


def _alive(pmids: pa.ChunkedArray, live: Path, parsed: Path) -> pl.DataFrame:
    """Return the rows of ``live`` for some PMIDs, whichever file they are in, sorted by PMID."""
    metadata = pq.read_schema(live).metadata or {}
    if parsed.stem not in json.loads(metadata.get(b"files", b"[]")):
        raise DataError(
            f"{parsed.stem} is not among the files merged",
            where=str(live),
            hint="run `balign corpus merge` over all parsed files, this one included",
        )
    wanted = pl.Series(pmids.to_numpy()).unique()
    return pl.scan_parquet(live).filter(pl.col("pmid").is_in(wanted.implode())).collect()


def _write(table: pa.Table, path: Path) -> None:
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=_ROW_GROUP)
