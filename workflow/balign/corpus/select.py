"""Rule ``corpus_select``: which live citations are split into sentences, and why not the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from balign.corpus.settings import SelectSettings
from balign.corpus.spill import Spill, spill_beside
from balign.files import atomic_path, read_json
from balign.progress import track

_log = logging.getLogger(__name__)

DROP_REASONS = (
    *("no_abstract", "language", "year", "publication_type", "short_abstract"),
    *("guarded", "guarded_copy", "duplicate"),
)
"""Why a live citation has no sentences; the first reason that holds counts."""

SELECTION_SCHEMA = pa.schema([("file", pa.string()), ("pmid", pa.int64()), ("reason", pa.string())])

_CODE = {reason: code for code, reason in enumerate(DROP_REASONS, 1)}
_KEEP = 0
_READ = ["pmid", "languages", "year", "publication_types", "characters", "digest"]
_TEXT = np.dtype([("digest", "i8"), ("pmid", "i8"), ("place", "i8")])
_BUCKETS = 64


def corpus_select(
    abstracts: Sequence[Path], guards: Sequence[Path], settings: SelectSettings, output: Path
) -> None:
    """Write for each live citation whether it is split into sentences, or why not.

    A citation in a test set is ``guarded``; so is, as ``guarded_copy``, one with the same abstract
    as a citation of the corpus in a test set. Of the citations that no filter drops and that have
    the same abstract (``digest``) the one with the lowest PMID stays. Memory holds one byte a
    citation and one 64th of all digests.

    Args:
        abstracts: all files of :func:`balign.corpus.abstracts.corpus_abstracts`, in any order.
        guards: files of :func:`balign.corpus.guard.corpus_guard`; none guards nothing.
        settings: the filters.
        output: the table, :data:`SELECTION_SCHEMA`: the citations of each file by PMID, one row
            group a file; ``reason`` is null for a citation that is split.
    """
    files = sorted(abstracts, key=lambda path: path.stem)
    guarded = np.unique([pmid for path in guards for pmid in read_json(path)["pmids"]]).astype("i8")
    with spill_beside(output, _TEXT) as spill:
        codes, test_digests = _filter(files, guarded, settings, spill)
        for texts in track(spill.buckets(), "parts of the digests compared"):
            _compare(texts, test_digests, settings.deduplicate, codes)
    words = pa.array([None, *DROP_REASONS], pa.string())
    start, counted = 0, np.zeros(len(words), dtype=np.int64)
    with (
        atomic_path(output) as temporary,
        pq.ParquetWriter(temporary, SELECTION_SCHEMA, compression="zstd") as writer,
    ):
        for path in files:
            pmids = pq.read_table(path, columns=["pmid"])["pmid"].combine_chunks()
            part = codes[start : start + len(pmids)]
            columns = [pa.repeat(path.stem, len(pmids)), pmids, words.take(pa.array(part))]
            writer.write_table(pa.table(columns, schema=SELECTION_SCHEMA))
            start += len(pmids)
            counted += np.bincount(part, minlength=len(words))
    dropped = {reason: int(counted[code]) for reason, code in _CODE.items()}
    _log.info("%s citations kept, dropped: %s", f"{counted[_KEEP]:,}", dropped)


def _filter(
    files: Sequence[Path],
    guarded: npt.NDArray[np.int64],
    settings: SelectSettings,
    spill: Spill,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Apply what each citation by itself decides.

    Returns:
        The code of each citation's reason, files in their order; the digests of guarded citations,
        sorted. The digests of those that are kept so far are spilled.
    """
    codes, digests, start = [np.empty(0, np.uint8)], [np.empty(0, np.int64)], 0
    for path in track(files, "files filtered"):
        frame = pl.read_parquet(path, columns=_READ)
        code = frame.with_columns(code=drop_code(settings))["code"].to_numpy()
        pmid = frame["pmid"].to_numpy()
        in_test = np.isin(pmid, guarded)
        code = np.where((code == _KEEP) & in_test, _CODE["guarded"], code).astype(np.uint8)
        has_text = frame["digest"].is_not_null().to_numpy()
        digest = frame["digest"].fill_null(0).to_numpy()
        digests.append(digest[in_test & has_text])
        rows = np.flatnonzero((code == _KEEP) & has_text)
        columns = {"digest": digest[rows], "pmid": pmid[rows], "place": rows + start}
        spill.add(digest[rows] % _BUCKETS, columns)
        codes.append(code)
        start += len(frame)
    return np.concatenate(codes), np.unique(np.concatenate(digests))


def drop_code(settings: SelectSettings) -> pl.Expr:
    """Return an expression: 0, or the code of the first filter that drops a citation.

    Codes are positions in :data:`DROP_REASONS`, from 1. A citation has several languages and types:
    one that is wanted keeps it, one that is excluded drops it. One without a year is in no span of
    years. The least length is that of an abstract; it says nothing of a citation without one.
    Language, year and type are asked of PubMed's citations alone, not of other documents, whose
    numbers are negative.
    """
    never = pl.lit(False)
    citation = pl.col("pmid") > 0
    first, last = settings.first_year, settings.last_year
    wanted, unwanted = settings.publication_types, settings.exclude_publication_types
    language, year, kind = never, never, _any_of("publication_types", unwanted)
    if settings.languages is not None:
        language = ~_any_of("languages", settings.languages)
    if first is not None or last is not None:
        year = ~pl.col("year").is_between(first or 0, last or 9999).fill_null(False)
    if wanted is not None:
        kind |= ~_any_of("publication_types", wanted)
    drops = {
        "no_abstract": pl.col("characters") == 0 if settings.require_abstract else never,
        "language": citation & language,
        "year": citation & year,
        "publication_type": citation & kind,
        "short_abstract": pl.col("characters").is_between(1, settings.min_characters, "left"),
    }
    code = pl.lit(_KEEP, pl.UInt8)
    for reason in reversed(drops):
        code = pl.when(drops[reason]).then(pl.lit(_CODE[reason], pl.UInt8)).otherwise(code)
    return code


def _any_of(column: str, values: Sequence[str]) -> pl.Expr:
    among = pl.element().is_in(list(values))
    return pl.col(column).list.eval(among).list.any().fill_null(False)


def _compare(
    texts: npt.NDArray[np.void],
    test_digests: npt.NDArray[np.int64],
    deduplicate: bool,
    codes: npt.NDArray[np.uint8],
) -> None:
    """Mark copies of guarded abstracts, and of the others all but the lowest PMID of a digest."""
    copies = np.isin(texts["digest"], test_digests)
    codes[texts["place"][copies]] = _CODE["guarded_copy"]
    if deduplicate:
        texts = texts[~copies]
        texts = texts[np.lexsort((texts["pmid"], texts["digest"]))]
        again = texts["digest"][1:] == texts["digest"][:-1]
        codes[texts["place"][1:][again]] = _CODE["duplicate"]
