"""The synonyms that are held out to test zero-shot linking.

A name may be held out if it is not its concept's preferred name, is a true synonym (no narrow,
broad or related one, no disease name of an annotation file), has a letter with two cases and at
least so many characters, and

- its form, without case, accents and anything but letters and digits, is that of no other name in
  the whole graph; and
- it is no trivial variant of another name of its concept: the same words in any order, plurals,
  "of", "the" and the spellings ae/e and oe/e aside. Those would test string matching.

One a concept at most, the concepts and names with the smallest hash of seed and text.
"""

from __future__ import annotations

import string

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from balign.kg.settings import HeldOutSettings

_MACROS = r"""
CREATE TEMP MACRO plain(name) AS lower(strip_accents(name));
CREATE TEMP MACRO form(name) AS regexp_replace(plain(name), '[^\p{L}\p{N}]+', '', 'g');
CREATE TEMP MACRO stem(word) AS regexp_replace(regexp_replace(regexp_replace(regexp_replace(word,
    'ae|oe', 'e', 'g'), '(..)ies$', '\1y'), '(ss|x|z|ch|sh)es$', '\1'), '(..[^s])s$', '\1');
CREATE TEMP MACRO words(name) AS list_sort(list_distinct(list_filter(list_transform(
    regexp_extract_all(plain(name), '[\p{L}\p{N}]+'), lambda w: stem(w)),
    lambda w: w NOT IN ('of', 'the'))));
"""

# The concepts' names are taken apart for the first candidates only: it costs 10 us a name.
_DRAW = r"""
CREATE OR REPLACE TABLE held_out AS
WITH first AS (
    SELECT place, concept, name, sha256(concat_ws(chr(9), $seed, concept, name)) AS draw
    FROM candidate ORDER BY draw LIMIT $first),
worded AS (
    SELECT concept, name, words(name) AS words FROM final_name
    SEMI JOIN first USING (concept)),
eligible AS (
    SELECT place, concept, name, draw
    FROM first JOIN (
        SELECT concept, name FROM worded
        QUALIFY count(*) OVER (PARTITION BY concept, words) = 1) USING (concept, name))
SELECT place, concept, name FROM eligible
QUALIFY row_number() OVER (PARTITION BY concept ORDER BY draw) = 1
ORDER BY draw LIMIT $count
"""


# What an ASCII character is in a form: itself in lower case, or nothing.
_IN_FORM = np.zeros(256, np.uint8)
for _character in string.ascii_letters + string.digits:
    _IN_FORM[ord(_character)] = ord(_character.lower())


def draw_held_out(
    connection: duckdb.DuckDBPyConnection, settings: HeldOutSettings
) -> dict[str, int]:
    """Make the table ``held_out`` (place: row of ``final_name``, concept, name).

    Returns:
        the number of names that are unique and long enough, and of those drawn. The forms of all
        names stay as ``formed`` (concept, name, rank, class, form): a form's hash stands for it,
        and two forms of one hash would only keep a name from being drawn.
    """
    connection.execute(_MACROS)
    limit = "" if settings.count else "LIMIT 0"
    names = connection.sql(
        f"SELECT concept, name, rank, class FROM final_name {limit}"
    ).to_arrow_table()
    forms, cased = _forms(connection, names["name"])
    connection.register("formed", names.append_column("form", pa.array(forms)))
    eligible = (
        pl.Series(forms).is_unique().to_numpy()
        & cased
        & (names["rank"].to_numpy() > 0)
        & (names["class"].to_numpy() <= 1)
        & (pc.utf8_length(names["name"]).to_numpy() >= settings.min_characters)
    )
    candidates = int(eligible.sum())
    rows = names.select(["concept", "name"]).filter(pa.array(eligible))
    rows = rows.append_column("place", pa.array(np.flatnonzero(eligible)))
    connection.register("candidate", rows)
    first = 4 * settings.count
    while True:
        connection.execute(
            _DRAW, {"seed": str(settings.seed), "first": first, "count": settings.count}
        )
        ((drawn,),) = connection.execute("SELECT count(*) FROM held_out").fetchall()
        if drawn == settings.count or first >= candidates:
            connection.unregister("candidate")
            return {"candidates": candidates, "drawn": drawn}
        first *= 4


def _forms(
    connection: duckdb.DuckDBPyConnection, names: pa.ChunkedArray
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Return [n] the hash of each name's form, and whether it has a letter with two cases.

    ASCII text, nearly all of it, needs no regular expression, which costs 5 x more.
    """
    forms, cased = [np.zeros(0, np.uint64)], [np.zeros(0, bool)]
    for chunk in names.chunks:
        query = "SELECT hash(form) AS form, form <> upper(form) AS cased FROM forms"
        form, has_case = _hashed(connection, query, forms=pa.table({"form": _squeezed(chunk)}))
        other = ~np.asarray(pc.string_is_ascii(chunk))
        if other.any():
            query = "SELECT hash(form(name)) AS form, lower(name) <> upper(name) AS cased FROM rest"
            rest = pa.table({"name": chunk.filter(pa.array(other))})
            form[other], has_case[other] = _hashed(connection, query, rest=rest)
        forms.append(form)
        cased.append(has_case)
    return np.concatenate(forms), np.concatenate(cased)


def _hashed(
    connection: duckdb.DuckDBPyConnection, query: str, **tables: pa.Table
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    for name, table in tables.items():
        connection.register(name, table)
    found = connection.execute(query).fetchnumpy()
    for name in tables:
        connection.unregister(name)
    return np.array(found["form"], np.uint64), np.array(found["cased"], bool)


def _squeezed(names: pa.StringArray) -> pa.StringArray:
    """Return the ASCII letters, in lower case, and digits of each name."""
    _, bounds, data = names.buffers()
    offsets = np.frombuffer(bounds, np.int32)[names.offset : names.offset + len(names) + 1]
    codes = _IN_FORM[np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]]
    kept = codes != 0
    ends = np.concatenate([np.zeros(1, np.int32), np.cumsum(kept, dtype=np.int32)])
    return pa.StringArray.from_buffers(
        len(names), pa.py_buffer(ends[offsets - offsets[0]]), pa.py_buffer(codes[kept])
    )
