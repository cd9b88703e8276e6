"""The synonyms that are held out to test zero-shot linking.

A name may be held out if it is not its concept's preferred name, is a true synonym (no narrow,
broad or related one, no disease name of an annotation file), has a letter and at least so many
characters, and

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

_DRAW = r"""
CREATE TABLE held_out AS
WITH formed AS (
    SELECT concept, name, rank, class, form(name) AS form,
        count(*) OVER (PARTITION BY form) AS uses
    FROM final_name),
candidate AS (
    SELECT concept, name FROM formed
    WHERE rank > 0 AND class <= 1 AND length(name) >= $min_characters
        AND regexp_matches(form, '\p{L}') AND uses = 1),
worded AS (
    SELECT concept, name, words(name) AS words FROM final_name
    WHERE concept IN (SELECT concept FROM candidate)),
eligible AS (
    SELECT concept, name, sha256(concat_ws(chr(9), $seed, concept, name)) AS draw
    FROM candidate JOIN (
        SELECT concept, name FROM worded
        QUALIFY count(*) OVER (PARTITION BY concept, words) = 1) USING (concept, name))
SELECT concept, name, (SELECT count(*) FROM eligible) AS eligible FROM eligible
QUALIFY row_number() OVER (PARTITION BY concept ORDER BY draw) = 1
ORDER BY draw LIMIT $count
"""


def draw_held_out(
    connection: duckdb.DuckDBPyConnection, settings: HeldOutSettings
) -> dict[str, int]:
    """Make the table ``held_out`` (concept, name) from ``final_name``.

    Returns:
        the number of eligible names and of those drawn.
    """
    connection.execute(_MACROS)
    connection.execute(_DRAW, settings.model_dump() | {"seed": str(settings.seed)})
    query = "SELECT count(*), coalesce(max(eligible), 0) FROM held_out"
    drawn, eligible = connection.execute(query).fetchall()[0]
    return {"eligible": eligible, "drawn": drawn}
