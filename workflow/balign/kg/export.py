"""Export of what may be passed on: the rows whose sources' restriction level allows it.

Levels are those of the UMLS licence (appendix 1): 0 to 4 and 9 for SNOMED CT; an open ontology has
0. What goes out:

- a name, if its own level and its source's are low enough; ranks are dense again;
- a concept, if a name of it goes out, under the best of those; not one whose very id is a code of a
  withheld source;
- an edge, definition or semantic type, if its source is allowed and its concepts go out. A graph
  keeps one source for a fact that several assert, the first by precedence; that one decides;
- an identifier, unless it is a code of a withheld source. Identifiers have no source of their own
  in the graph, so the prefix decides, and an identifier that an open ontology carries stays behind
  too where the Metathesaurus in the same graph has its source at a higher level.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import duckdb

from balign.errors import BalignError
from balign.files import atomic_path, read_json, sha256_file, write_json
from balign.kg.database import open_database
from balign.kg.ontology import identifier
from balign.progress import track

log = logging.getLogger(__name__)

FORMATS = ("parquet", "tsv")
KIND = "balign kg export"

# Prefixes that identifiers of a source have in other ontologies, where they are not its name.
_PREFIXES = {
    "ICD10": ("ICD10", "ICD10WHO", "ICD10EXP"),
    "ICD9CM": ("ICD9CM", "ICD9"),
    "MDR": ("MDR", "MEDDRA"),
    "SCTSPA": ("SCTSPA", "SNOMEDCT"),
    "SNOMEDCT_VET": ("SNOMEDCT_VET", "SNOMEDCT"),
}

# Only what stands before a colon may be named in the manifest.
_PREFIX = "if(contains(identifier, ':'), split_part(identifier, ':', 1), 'without prefix')"

_PREPARE = """
CREATE TEMP TABLE allowed AS SELECT source FROM kg.source WHERE restriction <= $level;
CREATE TEMP TABLE good_atom AS
    SELECT concept, name, source, code, term_type, rank, held_out FROM kg.atom
    WHERE restriction <= $level AND source IN (FROM allowed);
CREATE TEMP TABLE bad_code AS
    SELECT code FROM kg.atom WHERE source NOT IN (FROM allowed) OR restriction > $level
        OR restriction IS NULL
    EXCEPT SELECT code FROM good_atom;
CREATE TEMP TABLE bad_prefix AS
    SELECT prefix FROM prefixes WHERE source NOT IN (FROM allowed)
    EXCEPT SELECT prefix FROM prefixes WHERE source IN (FROM allowed);
CREATE TEMP MACRO is_withheld(identifier) AS
    identifier IN (FROM bad_code) OR split_part(identifier, ':', 1) IN (FROM bad_prefix);
CREATE TEMP TABLE good_concept AS
    SELECT DISTINCT concept FROM good_atom WHERE NOT is_withheld(concept);
"""

_TABLES = {
    "concepts": """SELECT concept, name AS preferred_name, source FROM good_atom
        WHERE concept IN (FROM good_concept)
        QUALIFY row_number() OVER (PARTITION BY concept ORDER BY rank) = 1 ORDER BY concept""",
    "names": """SELECT concept, name, source, code, term_type,
            row_number() OVER (PARTITION BY concept ORDER BY rank) = 1 AS preferred,
            (row_number() OVER (PARTITION BY concept ORDER BY rank) - 1)::INTEGER AS rank, held_out
        FROM good_atom WHERE concept IN (FROM good_concept) ORDER BY concept, rank""",
    "edges": """SELECT head, relation, label, tail, source
        FROM kg.edge JOIN kg.relation USING (relation)
        WHERE source IN (FROM allowed) AND head IN (FROM good_concept)
            AND tail IN (FROM good_concept) ORDER BY head, relation, tail""",
    "definitions": """SELECT concept, definition, source FROM kg.definition
        WHERE source IN (FROM allowed) AND concept IN (FROM good_concept) ORDER BY ALL""",
    "types": """SELECT concept, semantic_type, source FROM kg.semantic_type
        WHERE source IN (FROM allowed) AND concept IN (FROM good_concept) ORDER BY ALL""",
    "xrefs": """SELECT concept, identifier FROM kg.xref
        WHERE concept IN (FROM good_concept) AND NOT is_withheld(identifier) ORDER BY ALL""",
    "sources": """SELECT source, version, licence, restriction FROM kg.source
        WHERE source IN (FROM allowed) ORDER BY source""",
}

# Rows of the graph by what they are counted under in the manifest.
_ALL = {
    "concepts": "SELECT source AS whose FROM kg.concept",
    "names": "SELECT source AS whose FROM kg.atom",
    "edges": "SELECT source AS whose FROM kg.edge",
    "definitions": "SELECT source AS whose FROM kg.definition",
    "types": "SELECT source AS whose FROM kg.semantic_type",
    "xrefs": f"SELECT {_PREFIX} AS whose FROM kg.xref",
    "sources": "SELECT source AS whose FROM kg.source",
}
# Under what the rows written are counted: a concept under its source in the whole graph.
_WRITTEN = {
    "concepts": "SELECT source AS whose FROM kg.concept WHERE concept IN (FROM good_concept)",
    "xrefs": f"SELECT {_PREFIX} AS whose FROM written",
}


def kg_export(database: Path, folder: Path, level: int, form: str = "parquet") -> dict[str, Any]:
    """Write the exportable part of a graph into a folder, with ``MANIFEST.json`` and licences.

    Args:
        database: a file of ``kg_build``.
        folder: what to write; an earlier export there is replaced.
        level: highest restriction level that goes out.
        form: one of :data:`FORMATS`; in TSV, tab, line feed, carriage return and backslash are
            written ``\\t``, ``\\n``, ``\\r`` and ``\\\\``.

    Returns:
        the manifest.

    Raises:
        BalignError: if the folder holds something else, or as
            :func:`balign.kg.database.open_database`.
    """
    _check_target(folder)
    open_database(database).close()  # says best what is wrong with it
    with atomic_path(folder) as temporary, tempfile.TemporaryDirectory(dir=folder.parent) as spill:
        temporary.mkdir()
        # With one thread the rows of a file have one order, and the file one digest.
        connection = duckdb.connect(config={"threads": 1, "temp_directory": spill})
        path = str(database).replace("'", "''")
        connection.execute(f"ATTACH '{path}' AS kg (READ_ONLY)")
        _prepare(connection, level)
        tables = {
            name: _write(connection, name, temporary / f"{name}.{form}", form)
            for name in track(_TABLES, "tables exported")
        }
        manifest = {"kind": KIND, "level": level, "format": form, "tables": tables}
        (temporary / "LICENCES.md").write_text(_licences(connection, level), encoding="utf-8")
        connection.close()
        write_json(temporary / "MANIFEST.json", manifest)
    counts = ", ".join(
        f"{table['written']:,} of {table['written'] + sum(table['withheld'].values()):,} {name}"
        for name, table in tables.items()
    )
    log.info("%s: %s", folder, counts)
    return manifest


def _check_target(folder: Path) -> None:
    """Refuse to replace anything but an earlier export or an empty folder."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    manifest = folder / "MANIFEST.json"
    try:
        if read_json(manifest)["kind"] == KIND:
            return
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise BalignError(
        "the folder holds something else than an export of the graph",
        where=str(folder),
        hint="give the name of a new folder",
    )


def _prepare(connection: duckdb.DuckDBPyConnection, level: int) -> None:
    """Make the temporary tables that say what goes out."""
    connection.execute("CREATE TEMP TABLE prefixes (source VARCHAR, prefix VARCHAR)")
    rows = {
        (source, code.partition(":")[0])
        for source, code in connection.execute(
            "SELECT source, min(code) FROM kg.atom WHERE contains(code, ':') "
            "GROUP BY source, split_part(code, ':', 1)"
        ).fetchall()
    }
    for (source,) in connection.execute("SELECT source FROM kg.source").fetchall():
        known = (identifier(source, "0") or f"{source}:").partition(":")[0]
        rows |= {(source, prefix) for prefix in (known, *_PREFIXES.get(source, (source,)))}
    connection.executemany("INSERT INTO prefixes VALUES ($1, $2)", sorted(rows))
    for statement in _PREPARE.split(";"):
        if statement.strip():
            values = {"level": level} if "$level" in statement else None
            connection.execute(statement, values)


def _write(
    connection: duckdb.DuckDBPyConnection, name: str, path: Path, form: str
) -> dict[str, Any]:
    """Write one table; return its entry of the manifest."""
    connection.execute(f"CREATE TEMP TABLE written AS {_TABLES[name]}")
    columns = connection.execute("DESCRIBE written").fetchall()
    target = str(path).replace("'", "''")
    if form == "parquet":
        connection.execute(f"COPY written TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
    else:
        listed = ", ".join(
            _escaped(column) if kind == "VARCHAR" else column for column, kind, *_ in columns
        )
        connection.execute(
            f"COPY (SELECT {listed} FROM written) TO '{target}' "
            "(FORMAT csv, DELIMITER '\t', HEADER, QUOTE '', ESCAPE '')"
        )
    counted = _WRITTEN.get(name, "SELECT source AS whose FROM written")
    withheld = connection.execute(
        f"""SELECT whose, count(*) - coalesce(any_value(n), 0) AS n
        FROM ({_ALL[name]}) LEFT JOIN
            (SELECT whose, count(*) AS n FROM ({counted}) GROUP BY whose) USING (whose)
        GROUP BY whose HAVING count(*) > coalesce(any_value(n), 0) ORDER BY whose"""
    ).fetchall()
    rows = connection.execute("SELECT count(*) FROM written").fetchall()[0][0]
    connection.execute("DROP TABLE written")
    return {
        "file": path.name,
        "columns": [column for column, *_ in columns],
        "written": rows,
        "withheld": dict(withheld),
        "bytes": path.stat().st_size,
        "sha256": sha256_file(path),
    }


def _escaped(column: str) -> str:
    text = f"replace({column}, '\\', '\\\\')"
    for code, letter in ((9, "t"), (10, "n"), (13, "r")):
        text = f"replace({text}, chr({code}), '\\{letter}')"
    return f"{text} AS {column}"


def _licences(connection: duckdb.DuckDBPyConnection, level: int) -> str:
    rows = connection.execute(
        """SELECT s.source, version, licence, restriction, coalesce(n, 0)
        FROM kg.source s LEFT JOIN
            (SELECT source, count(*) AS n FROM good_atom GROUP BY source) a USING (source)
        WHERE s.source IN (FROM allowed) ORDER BY s.source"""
    ).fetchall()
    lines = [
        "# Licences of this export",
        "",
        f"It holds what sources with a restriction level of at most {level} say (levels of the "
        "UMLS licence; an open ontology has 0). Each row of the tables names its source; the terms "
        "of that source go with it.",
        "",
        "| source | version | licence | level | names |",
        "|---|---|---|---|---|",
    ]
    for source, version, licence, restriction, names in rows:
        cells = (source, version, licence, restriction, f"{names:,}")
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    if any("UMLS" in str(licence) for _, _, licence, *_ in rows):
        lines += [
            "",
            "Concept identifiers and names that come from the UMLS Metathesaurus are under its "
            "licence at every level: whoever receives them needs one of their own "
            "(https://www.nlm.nih.gov/databases/umls.html).",
        ]
    return "\n".join(lines) + "\n"
