"""Build the knowledge graph: sources in, ``kg.duckdb`` out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb

from balign.errors import ConfigError, DataError
from balign.files import atomic_path, canonical_json, write_json
from balign.kg.branches import branch_types
from balign.kg.checks import check_database
from balign.kg.edges import NO_DOC, Edges, concepts_of, count_degrees, read_doc
from balign.kg.held_out import draw_held_out
from balign.kg.lines import Tally
from balign.kg.merge import Merged, merge_terms
from balign.kg.ontology import Ontology
from balign.kg.readers import read_sources
from balign.kg.release import open_release
from balign.kg.rrf import cui_of, names_of, no_release, read_rrf
from balign.kg.scan import ReleaseReader
from balign.kg.settings import KgSettings
from balign.kg.tables import (
    STAGING,
    TABLES,
    frame,
    insert_frame,
    insert_merged,
    insert_ontology,
    make_final,
    write_names,
    write_rest,
)
from balign.sources.manifest import SourceFolder, open_source

log = logging.getLogger(__name__)


# DuckDB keeps to its limit but for the buffers of a running query and of the CSV reader.
_MEMORY_SHARE = 0.6
_OUT_OF_SPACE = (
    *(duckdb.IOException, duckdb.OutOfMemoryException),
    *(duckdb.TransactionException, duckdb.FatalException),
)


def kg_build(
    manifests: Sequence[Path],
    settings: KgSettings,
    database: Path,
    counts: Path,
    threads: int | None = None,
    memory_mb: int | None = None,
) -> None:
    """Merge the sources into one database and count what went in.

    The database appears under its name only when it is complete and checked.

    Args:
        manifests: ``MANIFEST.json`` of each name in ``settings.sources``, in any order; a skipped
            one is left out with a warning.
        settings: what goes in; the order of ``sources`` is the precedence of preferred names.
        database: the file to write, tables as in docs/contracts.md.
        counts: the JSON file to write: rows a table, and rows read and dropped by source.
        threads: of DuckDB; by default all of the machine. The result does not depend on it.
        memory_mb: what the process may take; beyond that DuckDB works on disk, beside the database.

    Raises:
        ConfigError: if the manifests are not those of ``settings.sources``.
        DataError: for a source that breaks its format, a graph that fails a check, or a full disk.
    """
    folders = _open_all(manifests, settings)
    ontologies = read_sources(folders, settings.mappings)
    with atomic_path(database) as temporary:
        spill = temporary.with_name(temporary.name + ".spill")
        options: dict[str, str | bool | int | float | list[str]] = {"temp_directory": str(spill)}
        if threads is not None:
            options["threads"] = threads
        if memory_mb is not None:
            options["memory_limit"] = f"{round(memory_mb * _MEMORY_SHARE)}MB"
        connection = duckdb.connect(config=options)
        try:
            connection.execute("ATTACH $path AS kg", {"path": str(temporary)})
            result = _fill(connection, ontologies, folders, settings, threads)
            log.info("all tables written")
            check_database(connection)
            connection.execute("CHECKPOINT kg; DETACH kg")
        except _OUT_OF_SPACE as error:
            raise DataError(
                f"the database cannot be built: {str(error).splitlines()[0]}",
                where=str(database.parent),
                hint="free space on that disk, or give the rule kg_build more memory",
            ) from None
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
    if not folders and settings.rrf.path is None:
        raise ConfigError("no source for the knowledge graph", where="kg.sources, kg.rrf.path")
    found = []
    for name in settings.sources:
        if folders[name].skipped:
            log.warning("source %s is left out: %s", name, folders[name].reason)
        else:
            found.append(folders[name])
    return found


def _fill(
    connection: duckdb.DuckDBPyConnection,
    ontologies: list[Ontology],
    folders: list[SourceFolder],
    settings: KgSettings,
    threads: int | None,
) -> dict[str, Any]:
    """Fill the attached database ``kg``; return the counts."""
    connection.execute(STAGING)
    with ExitStack() as stack:
        reader = None
        beside = stack.enter_context(ThreadPoolExecutor(1))
        if settings.rrf.path is not None:
            release = stack.enter_context(open_release(Path(settings.rrf.path)))
            reader = ReleaseReader(
                connection, release, settings.rrf.on_bad_rows == "quarantine", threads
            )
            found = read_rrf(reader, settings.rrf, beside)
        else:
            found = no_release(beside)
        merged = merge_terms(
            ontologies,
            lambda identifiers: cui_of(connection, found, identifiers),
            lambda cuis: names_of(connection, found, cuis),
        )
        connection.register("release_name", found.names)
        connection.register("release_type", found.types)
        log.info("%s", ", ".join(f"{count:,} {what}" for what, count in merged.counts.items()))
        read = _insert_ontologies(connection, ontologies, folders, merged)
        log.info("names and relations of %d ontologies read", len(ontologies))
        make_final(connection, bool(ontologies))
        held_out = draw_held_out(connection, settings.held_out)
        write_names(connection, found.names, bool(ontologies))
        log.info("names written")
        edges, doc = Edges(), NO_DOC
        edges.add_ontologies(connection)
        if reader:
            edges.add_release(reader, settings.rrf, concepts_of(connection))
            doc = read_doc(connection)
        edges.write(connection, doc, threads)
        log.info("edges written")
    tallies = reader.tallies if reader else {}
    connection.register("release_xref", found.identifiers.result())
    rejects = [reject for tally in tallies.values() for reject in tally.rejects]
    write_rest(connection, rejects, _provenance(folders, settings, tallies), bool(ontologies))
    rows = {
        table: connection.execute(f"SELECT count(*) FROM kg.{table}").fetchall()[0][0]
        for table in TABLES
    }
    return {
        "tables": rows,
        "sources": read,
        "rrf": {
            name: {
                "lines": tally.lines,
                **({"lines in quarantine": len(tally.rejects)} if tally.rejects else {}),
                **(edges.counts if name == "MRREL" else found.dropped.get(name, {})),
            }
            for name, tally in tallies.items()
        },
        "merge": merged.counts,
        "held_out": held_out,
        "degrees": count_degrees(connection, edges.degrees),
    }


def _insert_ontologies(
    connection: duckdb.DuckDBPyConnection,
    ontologies: list[Ontology],
    folders: list[SourceFolder],
    merged: Merged,
) -> dict[str, Any]:
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
        "INSERT INTO stage_source SELECT source, version, licence, 0, precedence + 1 FROM rows",
        rows=frame(sources, "source", "version", "licence").with_row_index("precedence"),
    )
    return read


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


def _provenance(
    folders: list[SourceFolder], settings: KgSettings, tallies: Mapping[str, Tally]
) -> dict[str, str]:
    facts = {"settings": canonical_json(settings.model_dump(mode="json"))}
    for folder in folders:
        facts[f"version of {folder.name}"] = folder.version
        for name, file in folder.files.items():
            facts[f"sha256 of {folder.name}/{name}"] = file.sha256
    for name, tally in tallies.items():
        facts[f"size of {name}"] = f"{tally.lines} lines, {tally.size} bytes"
    return facts
