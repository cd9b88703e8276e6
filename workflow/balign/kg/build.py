"""Build the knowledge graph: sources in, ``kg.duckdb`` out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from balign.errors import ConfigError, DataError
from balign.files import atomic_path, canonical_json, write_json
from balign.kg.branches import branch_types
from balign.kg.checks import check_database
from balign.kg.held_out import draw_held_out
from balign.kg.hpoa import read_hpoa
from balign.kg.indra_json import read_indra_json
from balign.kg.merge import Merged, merge_terms
from balign.kg.mesh_table import read_mesh_table
from balign.kg.obo import read_obo
from balign.kg.ontology import Ontology
from balign.kg.rrf import cui_of, names_of, read_rrf
from balign.kg.settings import KgSettings
from balign.kg.sssom import read_sssom
from balign.kg.tables import (
    STAGING,
    TABLES,
    frame,
    insert_frame,
    insert_merged,
    insert_ontology,
    insert_rrf,
    make_final,
    write_tables,
)
from balign.progress import track
from balign.sources.manifest import SourceFolder, open_source

log = logging.getLogger(__name__)


def kg_build(manifests: Sequence[Path], settings: KgSettings, database: Path, counts: Path) -> None:
    """Merge the sources into one database and count what went in.

    The database appears under its name only when it is complete and checked.

    Args:
        manifests: ``MANIFEST.json`` of each name in ``settings.sources``, in any order; a skipped
            one is left out with a warning.
        settings: what goes in; the order of ``sources`` is the precedence of preferred names.
        database: the file to write, tables as in docs/contracts.md.
        counts: the JSON file to write: rows a table, and rows read and dropped by source.

    Raises:
        ConfigError: if the manifests are not those of ``settings.sources``.
        DataError: for a source that breaks its format, or a graph that fails a check.
    """
    folders = _open_all(manifests, settings)
    ontologies = [read_source(folder) for folder in track(folders, "ontologies read")]
    with atomic_path(database) as temporary:
        spill = temporary.with_suffix(".spill")
        connection = duckdb.connect(config={"temp_directory": str(spill)})
        try:
            connection.execute("ATTACH $path AS kg", {"path": str(temporary)})
            result = _fill(connection, ontologies, folders, settings)
            check_database(connection)
            connection.execute("CHECKPOINT kg; DETACH kg")
        finally:
            connection.close()
            shutil.rmtree(spill, ignore_errors=True)
            temporary.with_name(temporary.name + ".wal").unlink(missing_ok=True)
    write_json(counts, result)
    log.info("%s: %s", database, ", ".join(f"{n:,} {name}" for name, n in result["tables"].items()))


def _open_all(manifests: Sequence[Path], settings: KgSettings) -> list[SourceFolder]:
    """Return the sources in the order of the settings, skipped ones left out."""
    folders = {folder.name: folder for folder in map(open_source, manifests)}
    if set(folders) != set(settings.sources) or len(folders) != len(manifests):
        raise ConfigError(
            f"the sources given ({', '.join(sorted(folders))}) are not those of kg.sources "
            f"({', '.join(sorted(settings.sources))})",
            where="kg.sources",
            hint="give the MANIFEST.json of each source once",
        )
    if not folders and settings.rrf.folder is None:
        raise ConfigError("no source for the knowledge graph", where="kg.sources, kg.rrf.folder")
    found = []
    for name in settings.sources:
        if folders[name].skipped:
            log.warning("source %s is left out: %s", name, folders[name].reason)
        else:
            found.append(folders[name])
    return found


def read_source(folder: SourceFolder) -> Ontology:
    """Read the files of a source by its format.

    Raises:
        DataError: for a format that no reader knows, or a file that breaks its format.
    """
    paths = [folder.path(name) for name in sorted(folder.files)]
    readers = {
        "obo": (read_obo, ".obo"),
        "indra_json": (read_indra_json, ".json"),
        "mesh_table": (read_mesh_table, ".tsv"),
        "sssom": (read_sssom, ".tsv"),
    }
    where = str(folder.folder)
    if folder.format not in readers:
        hint = f"formats of ontologies: {', '.join(readers)}"
        raise DataError(f"the format '{folder.format}' is no ontology's", where=where, hint=hint)
    reader, suffix = readers[folder.format]
    main = [path for path in paths if path.suffix == suffix]
    if len(main) != 1:
        raise DataError(f"{len(main)} files *{suffix} instead of one", where=where)
    ontology = reader(main[0], folder.name)
    for path in paths:
        if path.suffix == ".hpoa":
            read_hpoa(path, ontology)
    return ontology


def _fill(
    connection: duckdb.DuckDBPyConnection,
    ontologies: list[Ontology],
    folders: list[SourceFolder],
    settings: KgSettings,
) -> dict[str, Any]:
    """Fill the attached database ``kg``; return the counts."""
    connection.execute(STAGING)
    rrf: dict[str, dict[str, int]] = {}
    pairs: list[tuple[str, str]] = []
    if settings.rrf.folder is None:
        merged = merge_terms(ontologies)
    else:
        rrf = read_rrf(connection, settings.rrf)
        insert_rrf(connection)
        pairs = connection.execute("SELECT * FROM rrf_inverse ORDER BY ALL").fetchall()
        merged = merge_terms(
            ontologies,
            lambda identifiers: cui_of(connection, identifiers),
            lambda cuis: names_of(connection, cuis),
        )
    log.info("%s", ", ".join(f"{count:,} {what}" for what, count in merged.counts.items()))
    aliases = {old: new for ontology in ontologies for old, new in ontology.aliases.items()}
    insert_merged(connection, merged, aliases)
    read = {}
    for precedence, ontology in enumerate(ontologies, 1):
        types = ontology.types or branch_types(ontology)
        edges = insert_ontology(connection, ontology, types, precedence)
        read[ontology.source] = _count(ontology, merged, edges)
    sources = [(folder.name, folder.version, folder.licence) for folder in folders]
    insert_frame(
        connection,
        "INSERT INTO stage_source SELECT *, 0 FROM rows",
        rows=frame(sources, "source", "version", "licence"),
    )
    make_final(connection, pairs)
    held_out = draw_held_out(connection, settings.held_out)
    write_tables(connection, _provenance(folders, settings))
    rows = {
        table: connection.execute(f"SELECT count(*) FROM kg.{table}").fetchall()[0][0]
        for table in TABLES
    }
    return {
        "tables": rows,
        "sources": read,
        "rrf": rrf,
        "merge": merged.counts,
        "held_out": held_out,
    }


def _count(ontology: Ontology, merged: Merged, edges: dict[str, int]) -> dict[str, Any]:
    terms = {code for code, _, _ in ontology.names}
    concepts = {merged.concept_of[code] for code in terms}
    return {
        "terms": len(terms),
        "names": len(ontology.names),
        "xrefs": len(ontology.xrefs) + len(ontology.exact),
        "edges": len(ontology.edges),
        "definitions": len(ontology.definitions),
        "concepts": len(concepts),
        "concepts with a CUI": sum(":" not in concept for concept in concepts),
        "dropped": dict(ontology.dropped) | edges,
    }


def _provenance(folders: list[SourceFolder], settings: KgSettings) -> dict[str, str]:
    facts = {"settings": canonical_json(settings.model_dump(mode="json"))}
    for folder in folders:
        facts[f"version of {folder.name}"] = folder.version
        for name, file in folder.files.items():
            facts[f"sha256 of {folder.name}/{name}"] = file.sha256
    return facts
