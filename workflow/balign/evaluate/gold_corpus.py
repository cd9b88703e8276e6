"""A PubTator corpus as documents: text, sentences, and annotations by place.

The text is the title, one line feed and the abstract, so that the corpus's offsets count in it.
Sentences are cut as those of the corpus of training are (:mod:`balign.corpus.sentences`).
"""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
from polars.datatypes import DataType, DataTypeClass

from balign.corpus.sentences import citation_spans, citation_text
from balign.errors import DataError
from balign.pubtator import NIL

_TEXT = re.compile(r"(\d+)\|([ta])\|(.*)")

_GOLD: dict[str, DataType | DataTypeClass] = {
    "pmid": pl.Int64,
    "start": pl.Int32,
    "end": pl.Int32,
    "surface": pl.String,
    "type": pl.String,
    "identifiers": pl.List(pl.String),
}
GOLD_SCHEMA = pl.Schema(_GOLD)


def read_gold(path: Path) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return the documents, sentences and annotations of a PubTator file.

    Returns:
        ``pmid`` and ``text``; ``pmid``, ``sentence``, ``start`` and ``end``; and the annotations by
        :data:`GOLD_SCHEMA`, ``identifiers`` without a prefix and empty where there is none. All are
        sorted by pmid and place.

    Raises:
        DataError: for a file that cannot be read as UTF-8, a document without its two lines, or an
            annotation that its text does not hold at its place; it names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the corpus cannot be read: {error}", where=str(path)) from None
    texts: dict[int, dict[str, str]] = {}
    rows = []
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r")
        match = _TEXT.fullmatch(line)
        if match:
            texts.setdefault(int(match[1]), {})[match[2]] = match[3]
            continue
        fields = line.split("\t")
        if len(fields) >= 6 and fields[1].isdigit():
            identifiers = [part for part in fields[5].split("|") if part and part != NIL]
            place = (int(fields[0]), int(fields[1]), int(fields[2]))
            rows.append((*place, fields[3], fields[4], identifiers))
            parts = texts.get(place[0], {})
            whole = f"{parts.get('t', '')}\n{parts.get('a', '')}"
            if whole[place[1] : place[2]].replace("\n", " ") != fields[3]:
                raise DataError(
                    f"'{fields[3]}' is not what the text has there", where=f"{path}, line {number}"
                )
    documents, sentences = [], []
    for pmid, parts in sorted(texts.items()):
        if set(parts) != {"t", "a"}:
            raise DataError(f"document {pmid} lacks its title or abstract", where=str(path))
        sections = [("abstract", parts["a"])]
        documents.append((pmid, citation_text(parts["t"], sections)[1]))
        spans = citation_spans(parts["t"], sections)
        sentences += [(pmid, i, start, end) for i, (start, end, _) in enumerate(spans)]
    places: pl.Schema = pl.Schema(
        {"pmid": pl.Int64, "sentence": pl.Int32, "start": pl.Int32, "end": pl.Int32}
    )
    return (
        pl.DataFrame(documents, schema={"pmid": pl.Int64, "text": pl.String}, orient="row"),
        pl.DataFrame(sentences, schema=places, orient="row"),
        pl.DataFrame(rows, schema=GOLD_SCHEMA, orient="row").sort("pmid", "start", "end"),
    )
