"""Rule ``sources_fetch``: bring the files of one registry entry onto this machine."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from balign.errors import SourceError
from balign.files import sha256_file, write_json
from balign.sources.manifest import SourceFolder, open_source
from balign.sources.package import PackageArchives
from balign.sources.places import PackagePlace, PlaceError, is_inside, parse_place, redact
from balign.sources.registry import SourceEntry, SourceFile
from balign.sources.settings import SourcesSettings
from balign.sources.web import download

log = logging.getLogger(__name__)

_WORK = ".fetch-"


def sources_fetch(entry: SourceEntry, settings: SourcesSettings, folder: Path) -> SourceFolder:
    """Fetch a source into ``folder`` and write its ``MANIFEST.json`` last.

    The places of each file are tried in order; for a URL the folder that the environment variable
    ``BALIGN_MIRROR`` names is looked in first, under ``host/path``. A file counts as soon as its
    size and sha256 are right and never before: it is brought under a temporary name and renamed.
    Files that are already there and right are kept, so that a broken run goes on where it stopped.
    Two processes must not fetch the same source at once.

    An optional entry that no place can give gets a manifest with the status ``skipped``.

    Raises:
        SourceError: if a file of a required entry cannot be had; lists each place with its failure.
    """
    mirror = _mirror()
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "MANIFEST.json"
    manifest.unlink(missing_ok=True)  # not to be trusted until all is checked again
    for left_over in folder.glob(f"{_WORK}*"):  # of a run that was killed
        shutil.rmtree(left_over)
    problem = None
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=folder) as work:
        places = _Places(settings, mirror, Path(work), PackageArchives(Path(work) / "archives"))
        for file in entry.files:
            if _is_right(folder / file.name, file):
                log.info("%s: %s is already there", entry.name, file.name)
                continue
            problem = places.bring(file, folder / file.name)
            if problem:
                break
    if problem and not entry.optional:
        if not any(folder.iterdir()):
            folder.rmdir()
        raise SourceError(
            f"source '{entry.name}' {entry.version}: {problem}",
            where=str(folder),
            hint="check the network, or put the file into a mirror folder (BALIGN_MIRROR); "
            f"`balign sources fetch {entry.name}` tries again",
        )
    if problem:
        log.warning(
            "source '%s' is optional and is skipped: %s. `balign sources retry` makes the next run "
            "try again.",
            entry.name,
            problem,
        )
    else:
        count = len(entry.files)
        log.info("%s %s: files %d, bytes %s", entry.name, entry.version, count, f"{entry.bytes:,}")
    write_json(manifest, _manifest(entry, problem))
    return open_source(manifest)


def _manifest(entry: SourceEntry, problem: str | None) -> dict[str, object]:
    files = {
        file.name: {"sha256": file.sha256, "bytes": file.bytes, "place": redact(file.places[0])}
        for file in entry.files
    }
    return {
        "name": entry.name,
        "version": entry.version,
        "format": entry.format,
        "licence": entry.licence,
        "homepage": entry.homepage,
        "status": "skipped" if problem else "ok",
        "reason": problem,
        "files": {} if problem else files,
    }


def _mirror() -> Path | None:
    value = os.environ.get("BALIGN_MIRROR")
    if not value:
        return None
    if not Path(value).is_dir():
        raise SourceError(
            "BALIGN_MIRROR is not a folder", where=value, hint="correct the variable, or unset it"
        )
    return Path(value)


def _is_right(path: Path, file: SourceFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.bytes:
        return False
    return sha256_file(path) == file.sha256


@dataclass(frozen=True)
class _Places:
    """What is needed to bring files from their places."""

    settings: SourcesSettings
    mirror: Path | None
    work: Path
    archives: PackageArchives

    def bring(self, file: SourceFile, target: Path) -> str | None:
        """Put ``file`` at ``target``; return None, or a text with each place's failure."""
        temporary = self.work / f"file.{target.name}"
        failures = []
        for text in file.places:
            for label, way in self._ways(text, file, temporary):
                temporary.unlink(missing_ok=True)
                try:
                    way()
                    _check(temporary, file)
                except PlaceError as error:
                    log.info("%s: %s", label, error)
                    failures.append(f"{label}: {error}")
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary.replace(target)
                log.info("%s from %s", file.name, label)
                return None
        return f"no place gave {file.name}: {'; '.join(failures)}"

    def _ways(
        self, text: str, file: SourceFile, temporary: Path
    ) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield what to try for one place, each with a name for messages."""
        place = parse_place(text)
        label = redact(text)
        if isinstance(place, PackagePlace):
            yield label, partial(self.archives.extract, place, temporary, file.bytes)
            return
        parts = urlsplit(place.url)
        path = unquote(parts.path)
        if parts.scheme == "file":
            yield label, partial(_copy, Path(path), temporary)
            return
        if self.mirror is not None:
            host = parts.netloc.rpartition("@")[2]
            yield "BALIGN_MIRROR", partial(_copy_mirrored, self.mirror, f"{host}{path}", temporary)
        yield (
            label,
            partial(download, place.url, temporary, file.bytes, file.sha256, self.settings),
        )


def _copy_mirrored(mirror: Path, path: str, target: Path) -> None:
    if not is_inside(path):
        raise PlaceError(f"{path} is not a plain path inside the mirror folder")
    _copy(mirror / path, target)


def _copy(source: Path, target: Path) -> None:
    try:
        handle = source.open("rb")
    except OSError as error:
        raise PlaceError(f"{source}: {error.strerror}") from None
    with handle, target.open("wb") as sink:
        shutil.copyfileobj(handle, sink)


def _check(path: Path, file: SourceFile) -> None:
    size = path.stat().st_size
    if size != file.bytes:
        raise PlaceError(f"{size:,} bytes, the registry has {file.bytes:,}")
    found = sha256_file(path)
    if found != file.sha256:
        raise PlaceError(f"wrong sha256: {found}, the registry has {file.sha256}")
