"""The reader of each format, and how releases of one ontology go together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from balign.errors import DataError
from balign.kg.cellxgene import read_cellxgene
from balign.kg.hpoa import read_hpoa
from balign.kg.indra_json import read_indra_json
from balign.kg.mesh_table import read_mesh_table
from balign.kg.mesh_xml import read_mesh_xml
from balign.kg.obo import read_obo
from balign.kg.ontology import Ontology
from balign.kg.settings import MappingSettings
from balign.kg.sssom import read_sssom
from balign.progress import track
from balign.sources.manifest import SourceFolder

Reader = Callable[[Path, str], Ontology]

# Format → its reader and how the names of its files end.
READERS: Mapping[str, tuple[Reader, tuple[str, ...]]] = {
    "obo": (read_obo, (".obo", ".obo.gz")),
    "indra_json": (read_indra_json, (".json",)),
    "cellxgene_json": (read_cellxgene, (".json.zst",)),
    "mesh_table": (read_mesh_table, (".tsv",)),
    "mesh_xml": (read_mesh_xml, (".xml", ".xml.gz")),
    "sssom": (read_sssom, (".tsv",)),
}


def read_sources(
    folders: Iterable[SourceFolder], mappings: MappingSettings | None = None
) -> list[Ontology]:
    """Read all sources and apply what an earlier one says about the terms of a later one.

    Args:
        folders: in the order of precedence.
        mappings: which mappings of SSSOM sets to read.

    Raises:
        DataError: as :func:`read_source`.
    """
    found = [read_source(folder, mappings) for folder in track(folders, "ontologies read")]
    retire(found)
    return found


def read_source(folder: SourceFolder, mappings: MappingSettings | None = None) -> Ontology:
    """Read the files of a source by its format.

    Raises:
        DataError: for a format that no reader knows, or a file that breaks its format.
    """
    paths = [folder.path(name) for name in sorted(folder.files)]
    where = str(folder.folder)
    if folder.format not in READERS:
        hint = f"formats of ontologies: {', '.join(READERS)}"
        raise DataError(f"the format '{folder.format}' is no ontology's", where=where, hint=hint)
    reader, endings = READERS[folder.format]
    if folder.format == "sssom":
        reader = partial(read_sssom, settings=mappings)
    main = [path for path in paths if path.name.endswith(endings)]
    if len(main) != 1:
        raise DataError(
            f"{len(main)} files *{' or *'.join(endings)} instead of one",
            where=where,
            hint="make an entry of the registry for each file",
        )
    ontology = reader(main[0], folder.name)
    for path in paths:
        if path.name.endswith(".hpoa"):
            read_hpoa(path, ontology)
    return ontology


def retire(ontologies: Iterable[Ontology]) -> None:
    """Take out of each ontology the terms that one before it calls obsolete.

    So a newer release can stand before an older one that has more relations or xrefs: the rows of
    a term that was replaced go to its successor, those of one that was not are counted and dropped.
    """
    retired: set[str] = set()
    successor: dict[str, str] = {}
    for ontology in ontologies:
        own = {code for code, _, kind in ontology.names if kind == "name"}
        if not retired.isdisjoint(own):
            _move(ontology, retired, successor)
        retired |= ontology.retired
        for old in sorted(ontology.retired & ontology.aliases.keys()):
            successor.setdefault(old, ontology.aliases[old])


def _move(ontology: Ontology, retired: set[str], successor: Mapping[str, str]) -> None:
    dropped: Counter[str] = Counter()

    def new(code: str, what: str) -> str | None:
        steps = 0
        while code in retired:
            steps += 1
            if code not in successor or steps > len(retired):  # no successor, or a circle
                dropped[f"{what} of terms that a newer release retired"] += 1
                return None
            code = successor[code]
        return code

    ontology.names = [
        (code, name, kind)
        for old, name, kind in ontology.names
        if (code := new(old, "names")) is not None
    ]
    for rows in ("xrefs", "exact", "types", "definitions"):
        moved = [
            (code, value)
            for old, value in getattr(ontology, rows)
            if (code := new(old, rows)) is not None
        ]
        setattr(ontology, rows, moved)
    ontology.edges = [
        (head, relation, tail)
        for old_head, relation, old_tail in ontology.edges
        if (head := new(old_head, "edges")) is not None
        and (tail := new(old_tail, "edges")) is not None
    ]
    ontology.dropped += dropped
