"""Write a release in Rich Release Format with the size and shape of UMLS, from a seed.

The strings are made up. What is like the real thing (2023AA): the share of atoms that are English
(0.7) and not suppressed (0.85), 3.9 atoms a concept with a long tail, one atom in four with the
name of another of its concept, 180 sources, 75 % of the relations with a RELA, each relation in
both directions, one in five given by a second pair of atoms of the same two concepts, degrees by a
power law. MRFILES.RRF counts the rows and bytes.

    python -m benchmarks.kg.generate FOLDER --atoms 17000000 --relations 60000000
"""

from __future__ import annotations

import argparse
from pathlib import Path

import duckdb

from balign.kg.release import COLUMNS

_VOCABULARY = 60_000
_LABELS = (
    *(("has_finding_site", "finding_site_of"), ("isa", "inverse_isa"), ("treats", "treated_by")),
    *(("part_of", "has_part"), ("has_ingredient", "ingredient_of"), ("causes", "due_to")),
    *(("has_method", "method_of"), ("same_as", "same_as"), ("mapped_to", "mapped_from")),
    *((f"has_role_{number}", f"role_{number}_of") for number in range(200)),
)

# u(i, salt): a number in [0, 1) that depends on nothing but i, salt and the seed.
_MACROS = """
CREATE MACRO bits(i, salt) AS hash(i, salt, {seed});
CREATE MACRO u(i, salt) AS (bits(i, salt) >> 11)::DOUBLE / 9007199254740992.0;
CREATE MACRO pick(i, salt, n) AS (bits(i, salt) % n)::BIGINT;
CREATE MACRO skewed(i, salt, n) AS least(n - 1, floor(n * pow(u(i, salt), 3)))::BIGINT;
CREATE MACRO cui(c) AS 'C' || lpad((c + 5)::VARCHAR, 7, '0');
CREATE MACRO aui(a) AS 'A' || lpad((a + 17)::VARCHAR, 8, '0');
CREATE MACRO sab(i) AS 'SAB' || lpad(skewed(i, 'sab', 180)::VARCHAR, 3, '0');
"""

_WORDS = """
CREATE TABLE word AS SELECT w, list_reduce(
    list_transform(range(1 + pick(w, 'syllables', 4)), lambda s:
        ['ab','al','an','ar','car','cep','chlo','col','cy','den','dia','do','ec','en','epi','fi',
         'gly','hem','hep','hy','ic','in','itis','lo','ly','ma','meth','mi','myo','ne','nos','ol',
         'oma','os','oxy','pa','phen','pro','ra','ri','sar','sin','the','tis','tri','um','ur','vas',
         'yl','zo'][1 + pick(w * 8 + s, 'syllable', 50)]), lambda x, y: x || y) AS text
FROM range({words}) t(w);
CREATE TABLE words AS SELECT list(text ORDER BY w) AS texts FROM word;
"""

# Atom a is the k-th of concept c. A concept has 3.9 on average, one in a thousand over 60.
_ATOMS = """
(SELECT c, k, row_number() OVER () AS a
    FROM (SELECT c, unnest(range(least(300, floor(pow(1 - u(c, 'atoms'), -0.6) * 1.86)::BIGINT)))
        AS k FROM range({concepts}) t(c)))
"""

_CONSO = """
SELECT cui(c) AS CUI,
    CASE WHEN u(a, 'lat') < 0.7 THEN 'ENG'
        ELSE ['SPA','FRE','GER','JPN','POR'][1 + pick(a, 'l', 5)] END,
    CASE WHEN k = 0 THEN 'P' ELSE 'S' END, 'L' || lpad(pick(a, 'lui', 15000000)::VARCHAR, 8, '0'),
    CASE WHEN k % 2 = 0 THEN 'PF' ELSE 'VO' END, 'S' || lpad(a::VARCHAR, 8, '0'),
    CASE WHEN k % 3 = 0 THEN 'Y' ELSE 'N' END, aui(a),
    CASE WHEN u(a, 'saui') < 0.2 THEN pick(a, 's', 1000000000)::VARCHAR ELSE '' END,
    CASE WHEN u(a, 'scui') < 0.7 THEN 'M' || pick(a, 'sc', 100000000) ELSE '' END, '', sab(a),
    ['PT','SY','AB','LN','PN','FN','IS','ET'][1 + skewed(a, 'tty', 8)],
    'D' || pick(a, 'code', 100000000),
    array_to_string(list_transform(range(2 + skewed(s, 'length', 9)),
        lambda p: texts[1 + skewed(s * 16 + p, 'w', {words})]), ' ')
        || CASE WHEN u(s, 'number') < 0.3 THEN ' ' || pick(s, 'n', 1000) ELSE '' END
        || CASE WHEN u(s, 'accent') < 0.02 THEN ' (β-é)' ELSE '' END,
    CASE WHEN u(a, 'srl') < 0.6 THEN '0' ELSE '3' END,
    CASE WHEN u(a, 'suppress') < 0.85 THEN 'N' ELSE ['O','E','Y'][1 + pick(a, 'sup', 3)] END,
    '256', ''
FROM (SELECT *, CASE WHEN k > 0 AND u(a, 'same') < 0.25 THEN a - 1 ELSE a END AS s FROM {atoms}),
    words
"""

_REL = """
SELECT CASE WHEN turned THEN cui(b) ELSE cui(a) END,
    CASE WHEN turned THEN aui(b * 3 + again) ELSE aui(a * 3 + again) END, 'AUI',
    CASE kind WHEN 0 THEN CASE WHEN turned THEN 'PAR' ELSE 'CHD' END
        WHEN 1 THEN 'RO' WHEN 2 THEN 'RO'
        WHEN 3 THEN CASE WHEN turned THEN 'RB' ELSE 'RN' END
        ELSE CASE WHEN turned THEN 'QB' ELSE 'AQ' END END,
    CASE WHEN turned THEN cui(a) ELSE cui(b) END,
    CASE WHEN turned THEN aui(a * 3 + again) ELSE aui(b * 3 + again) END, 'AUI',
    CASE WHEN label = 0 THEN '' WHEN turned THEN inverses[label] ELSE labels[label] END,
    'R' || lpad((2 * r + turned::BIGINT)::VARCHAR, 9, '0'), '', sab(r // 7), sab(r // 7), '',
    CASE WHEN turned THEN 'N' ELSE 'Y' END,
    CASE WHEN u(r, 'sup') < 0.93 THEN 'N' ELSE 'O' END, '', ''
FROM (SELECT r, unnest([false, true]) AS turned, skewed(base, 'a', {concepts}) AS a,
        (skewed(base, 'a', {concepts}) + 1 + skewed(base, 'b', {concepts})) % {concepts} AS b,
        r - base AS again, pick(base, 'kind', 5) AS kind,
        CASE WHEN u(base, 'rela') < 0.25 THEN 0
            ELSE 1 + skewed(base, 'label', {labels}) END AS label
    FROM (SELECT r, CASE WHEN u(r, 'again') < 0.2 THEN r - 1 ELSE r END AS base
        FROM range(1, {relations} // 2 + 1) t(r))),
    (SELECT {forward} AS labels, {backward} AS inverses)
"""

_STY = """
SELECT cui(c), 'T' || lpad((1 + skewed(c, 'tui', 127))::VARCHAR, 3, '0'), 'A1.2',
    'Semantic Type ' || (1 + skewed(c, 'tui', 127)), 'AT' || lpad(c::VARCHAR, 8, '0'), '256', ''
FROM range({concepts}) t(c)
"""
_DEF = """
SELECT cui(c), aui(a), 'AT' || lpad(c::VARCHAR, 8, '0'), '', sab(c),
    array_to_string(list_transform(range(12 + pick(c, 'length', 40)),
        lambda p: texts[1 + skewed(c * 64 + p, 'w', {words})]), ' ') || '.', 'N', '256', ''
FROM {atoms}, words WHERE k = 0 AND u(c, 'defined') < 0.07
"""
_SAB = """
SELECT cui(s), cui(s), 'SAB' || lpad(s::VARCHAR, 3, '0') || '_2023',
    'SAB' || lpad(s::VARCHAR, 3, '0'),
    'Source ' || s, 'SAB', '2023', '', '', '2023AA', '', 'contact', 'contact',
    (CASE WHEN s % 5 < 3 THEN 0 ELSE 3 END)::VARCHAR, '1', '1', 'FULL', 'PT', 'AN', 'ENG', 'UTF-8',
    'Y', 'Y', 'Source', 'citation', ''
FROM range(180) t(s)
"""
_RANK = """
SELECT lpad((2000 - row_number() OVER (ORDER BY s, t))::VARCHAR, 4, '0'),
    'SAB' || lpad(s::VARCHAR, 3, '0'), ['PT','SY','AB','LN','PN','FN','IS','ET'][1 + t], 'N', ''
FROM range(180) a(s), range(8) b(t)
"""
_DOC = """
SELECT 'RELA', labels[i + 1], 'rela_inverse', inverses[i + 1], ''
FROM (SELECT {forward} AS labels, {backward} AS inverses), range({labels}) t(i)
"""
FILES = {
    "MRCONSO": _CONSO,
    "MRREL": _REL,
    "MRSTY": _STY,
    "MRDEF": _DEF,
    "MRSAB": _SAB,
    "MRRANK": _RANK,
    "MRDOC": _DOC,
}


def generate(folder: Path, atoms: int, relations: int, seed: int = 1) -> None:
    """Write the files of a release into ``folder``; what is there already stays."""
    if (folder / "MRFILES.RRF").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    names = {
        "seed": seed,
        "words": _VOCABULARY,
        "concepts": round(atoms / 3.86),
        "relations": relations,
        "atoms": _ATOMS.format(concepts=round(atoms / 3.86)),
        "labels": len(_LABELS),
        "forward": [forward for forward, _ in _LABELS],
        "backward": [backward for _, backward in _LABELS],
    }
    lines = []
    with duckdb.connect(
        config={"temp_directory": str(folder), "memory_limit": "4GB"}
    ) as connection:
        connection.execute(_MACROS.format(**names))
        connection.execute(_WORDS.format(**names))
        for name, query in FILES.items():
            path = folder / f"{name}.RRF"
            (rows,) = connection.execute(
                f"COPY ({query.format(**names)}) TO '{path}' "
                "(FORMAT csv, HEADER false, DELIMITER '|', QUOTE '', ESCAPE '')"
            ).fetchall()[0]
            columns = COLUMNS[name].split()
            fields = f"{name}.RRF", "x", ",".join(columns), len(columns), rows, path.stat().st_size
            lines.append("|".join(map(str, fields)) + "|\n")
    (folder / "MRFILES.RRF").write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--atoms", type=int, default=17_000_000)
    parser.add_argument("--relations", type=int, default=60_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    generate(arguments.folder, arguments.atoms, arguments.relations, arguments.seed)


if __name__ == "__main__":
    main()
