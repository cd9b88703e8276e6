"""Reader of a fetched source: the only module of this stage that later stages import."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from balign.errors import SourceError


@dataclass(frozen=True)
class ManifestFile:
    """A file of a source: its hexadecimal sha256, its size, and the first place it is known from.

    ``place`` is the registry's first place and not the one that answered (the log names that one):
    all places are held to one sha256, and so the manifest's bytes depend on the registry alone.
    """

    sha256: str
    bytes: int
    place: str


@dataclass(frozen=True)
class SourceFolder:
    """A source as ``MANIFEST.json`` describes it.

    ``status`` is ``ok``, or ``skipped`` for an optional source that could not be had; then
    ``reason`` says why and ``files`` is empty.
    """

    folder: Path
    name: str
    version: str
    format: str
    licence: str
    homepage: str
    status: str
    reason: str | None
    files: Mapping[str, ManifestFile]

    @property
    def skipped(self) -> bool:
        """Whether the source is optional and could not be had."""
        return self.status == "skipped"

    def path(self, file: str) -> Path:
        """Return the path of one of the source's files.

        Raises:
            SourceError: if the source was skipped, has no such file, or the file is gone.
        """
        where = str(self.folder / "MANIFEST.json")
        if self.skipped:
            raise SourceError(
                f"source '{self.name}' was skipped: {self.reason}",
                where=where,
                hint="`balign sources retry`, then run again",
            )
        if file not in self.files:
            raise SourceError(
                f"source '{self.name}' has no file '{file}'",
                where=where,
                hint=f"it has: {', '.join(self.files)}",
            )
        path = self.folder / file
        if not path.is_file():
            raise SourceError(
                f"file '{file}' of source '{self.name}' is gone",
                where=str(path),
                hint=f"`balign sources fetch {self.name}`",
            )
        return path


def open_source(manifest: Path) -> SourceFolder:
    """Read the manifest of a fetched source.

    Raises:
        SourceError: if the file is missing or is not a manifest.
    """
    hint = "`balign sources fetch NAME` writes it"
    try:
        values = json.loads(manifest.read_text(encoding="utf-8"))
        files = {name: ManifestFile(**record) for name, record in values.pop("files").items()}
        return SourceFolder(folder=manifest.parent, files=files, **values)
    except OSError as error:
        problem = f"the manifest of a source cannot be read: {error.strerror}"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"not the manifest of a source: {error}"
    raise SourceError(problem, where=str(manifest), hint=hint)
