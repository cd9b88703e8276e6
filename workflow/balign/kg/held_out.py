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

import duckdb

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

# A form's hash stands for it: two forms of one hash would only keep a name from being drawn.
_FORMS = """
CREATE TEMP TABLE formed AS
    SELECT concept, name, rank, class, hash(form(name)) AS form FROM final_name
"""
_CANDIDATES = r"""
CREATE TEMP TABLE candidate AS
    SELECT concept, name, sha256(concat_ws(chr(9), $seed, concept, name)) AS draw
    FROM formed SEMI JOIN (SELECT form FROM formed GROUP BY form HAVING count(*) = 1) USING (form)
    WHERE rank > 0 AND class <= 1 AND length(name) >= $min_characters
        AND lower(name) <> upper(name)
"""

# The concepts' names are taken apart for the first candidates only: it costs 10 us a name.
_DRAW = r"""
CREATE OR REPLACE TABLE held_out AS
WITH first AS (SELECT * FROM candidate ORDER BY draw LIMIT $first),
worded AS (
    SELECT concept, name, words(name) AS words FROM final_name
    SEMI JOIN first USING (concept)),
eligible AS (
    SELECT concept, name, draw
    FROM first JOIN (
        SELECT concept, name FROM worded
        QUALIFY count(*) OVER (PARTITION BY concept, words) = 1) USING (concept, name))
SELECT concept, name FROM eligible
QUALIFY row_number() OVER (PARTITION BY concept ORDER BY draw) = 1
ORDER BY draw LIMIT $count
"""


def draw_held_out(
    connection: duckdb.DuckDBPyConnection, settings: HeldOutSettings
) -> dict[str, int]:
    """Make the table ``held_out`` (concept, name) from ``final_name``.

    Returns:
        the number of names that are unique and long enough, and of those drawn. The forms of all
        names stay in the table ``formed`` (concept, name, rank, class, form).
    """
    connection.execute(_MACROS)
    if not settings.count:
        connection.execute("CREATE TABLE held_out AS SELECT concept, name FROM final_name LIMIT 0")
        connection.execute(f"{_FORMS} LIMIT 0")
        return {"candidates": 0, "drawn": 0}
    connection.execute(_FORMS)
    connection.execute(
        _CANDIDATES, {"seed": str(settings.seed), "min_characters": settings.min_characters}
    )
    ((candidates,),) = connection.execute("SELECT count(*) FROM candidate").fetchall()
    first = 4 * settings.count
    while True:
        connection.execute(_DRAW, {"first": first, "count": settings.count})
        ((drawn,),) = connection.execute("SELECT count(*) FROM held_out").fetchall()
        if drawn == settings.count or first >= candidates:
            return {"candidates": candidates, "drawn": drawn}
        first *= 4
