"""The one interface of all linkers, and the registry of those there are.

A backend is one module with one class, one class of settings under ``linking.<backend>`` and one
line in ``BACKENDS``. Modules are named, not imported: the table stays light, a backend's libraries
are loaded where it is used, and a rule's digest covers the configured backend and no other.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from balign.errors import DataError
from balign.files import atomic_path, read_json, write_json
from balign.linking.settings import LinkingSettings

if TYPE_CHECKING:
    import polars as pl


class Linker(Protocol):
    """An opened backend.

    Attributes:
        name: the backend's name, written into the column ``linker``.
        dropped: mentions found and not returned since the linker was opened, by reason; a reason
            may have parts, as in ``unmapped identifier: NCBIGene``.
    """

    name: str
    dropped: Counter[str]

    def link(self, documents: pl.DataFrame, sentences: pl.DataFrame) -> pl.DataFrame:
        """Find the mentions in some documents. A call gets whole documents.

        Args:
            documents: ``pmid`` (int64) and ``text``, sorted by pmid.
            sentences: ``pmid``, ``sentence`` (int32), ``start`` and ``end`` (int32, code points
                in the document's text, half open), sorted by (pmid, sentence); a document may
                have none. Checked to lie within their texts.

        Returns:
            Columns of :data:`balign.linking.mentions.SCHEMA`, sorted by (pmid, start, end), none
            overlapping, each within its sentence. ``concept`` is null where no concept of the
            graph is right (NIL).
        """
        ...


class LinkerClass(Protocol):
    """What a backend's class offers."""

    @classmethod
    def build(cls, database: Path, settings: LinkingSettings, folder: Path) -> None:
        """Write the index into ``folder``, which exists and is empty.

        Args:
            database: kg.duckdb; names that are held out are not read.
            settings: the stage's settings; the backend reads its own and, where it takes spans
                from another backend, that one's.
            folder: where the files go.
        """
        ...

    @classmethod
    def open(cls, folder: Path, settings: LinkingSettings) -> Linker:
        """Open what :meth:`build` wrote."""
        ...


@dataclass(frozen=True)
class Backend:
    """Where a backend is.

    Attributes:
        module: dotted name of its module.
        linker: name of its class, a :class:`LinkerClass`.
    """

    module: str
    linker: str


BACKENDS: Mapping[str, Backend] = {
    "dictionary": Backend("balign.linking.dictionary_linker", "DictionaryLinker"),
    "scispacy": Backend("balign.linking.scispacy_linker", "ScispacyLinker"),
    "dense": Backend("balign.linking.dense_linker", "DenseLinker"),
    "pubtator": Backend("balign.linking.annotation_linker", "PubtatorLinker"),
    "bern2": Backend("balign.linking.annotation_linker", "Bern2Linker"),
}

_FACTS = "backend.json"


def backends_used(settings: LinkingSettings) -> tuple[str, ...]:
    """Return the configured backend and those that find its spans, each once."""
    used = [settings.backend]
    if settings.backend == "dense":
        used.append(settings.dense.spans)
    if "scispacy" in used and settings.scispacy.pipeline is None:
        used.append("dictionary")
    return tuple(used)


def linking_index(database: Path, settings: LinkingSettings, output: Path) -> None:
    """Write the index of the configured backend.

    Args:
        database: kg.duckdb.
        settings: the stage's settings.
        output: the folder, replaced as a whole.

    Raises:
        ConfigError: if a file that the settings name cannot be read.
        DataError: if the database cannot be read.
    """
    with atomic_path(output) as folder:
        folder.mkdir()
        build_index(settings.backend, database, settings, folder)


def build_index(backend: str, database: Path, settings: LinkingSettings, folder: Path) -> None:
    """Write the index of ``backend`` into ``folder``, which exists and is empty."""
    _class_of(backend).build(database, settings, folder)
    write_json(folder / _FACTS, {"backend": backend})


def open_linker(backend: str, folder: Path, settings: LinkingSettings) -> Linker:
    """Open the index of ``backend`` in ``folder``.

    Raises:
        DataError: if the folder holds no index, or that of another backend.
    """
    try:
        found = read_json(folder / _FACTS)["backend"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"no index can be read here: {error}",
            where=str(folder),
            hint="build it with `balign linking index`",
        ) from None
    if found != backend:
        raise DataError(
            f"the index is one of the backend '{found}', not of '{backend}'",
            where=str(folder),
            hint="build it again with `balign linking index`",
        )
    return _class_of(backend).open(folder, settings)


def _class_of(backend: str) -> LinkerClass:
    entry = BACKENDS[backend]
    found: Any = getattr(importlib.import_module(entry.module), entry.linker)
    return found  # type: ignore[no-any-return]
