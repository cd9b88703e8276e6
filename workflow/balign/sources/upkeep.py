"""State of the sources on this machine: what the commands beside ``fetch`` look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from balign.errors import SourceError
from balign.files import sha256_file
from balign.progress import track
from balign.sources.manifest import open_source
from balign.sources.registry import Registry, SourceEntry, manifest_path


def sources_list(registry: Registry, data: Path) -> Iterator[tuple[SourceEntry, str]]:
    """Yield each entry with its state: ``present``, ``absent``, ``skipped`` or ``damaged``.

    ``damaged`` means that the manifest is unreadable or a file is gone; contents are not read.
    """
    for entry in registry.sources:
        manifest = manifest_path(data, entry)
        if not manifest.exists():
            yield entry, "absent"
            continue
        try:
            source = open_source(manifest)
            if not source.skipped:
                for file in entry.files:
                    source.path(file.name)
            yield entry, "skipped" if source.skipped else "present"
        except SourceError:
            yield entry, "damaged"


def sources_retry(registry: Registry, data: Path) -> list[str]:
    """Remove the manifests of skipped sources, so that the next run tries them again.

    Returns:
        The names of those sources.
    """
    names = []
    for entry, state in sources_list(registry, data):
        if state == "skipped":
            manifest_path(data, entry).unlink()
            names.append(entry.name)
    return names


def sources_verify(registry: Registry, data: Path) -> int:
    """Hash every fetched file again.

    A source is held to the registry; an encoder of the Hugging Face hub, which no registry knows,
    to the digests that its manifest took down when it was fetched.

    Returns:
        The number of files that were found right.

    Raises:
        SourceError: lists all files that are missing or wrong.
    """
    files = [
        (manifest_path(data, entry).parent / file.name, file.sha256)
        for entry, state in sources_list(registry, data)
        if state in ("present", "damaged")
        for file in entry.files
    ]
    for manifest in sorted(data.glob("encoders/*/MANIFEST.json")):
        encoder = open_source(manifest)
        files += [(encoder.folder / name, file.sha256) for name, file in encoder.files.items()]
    wrong = []
    for path, sha256 in track(files, "files hashed"):
        if not path.is_file():
            wrong.append(f"{path}: missing")
        elif sha256_file(path) != sha256:
            wrong.append(f"{path}: wrong sha256")
    if wrong:
        raise SourceError(
            f"{len(wrong)} of {len(files)} files are missing or wrong",
            where="\n         ".join(wrong),
            hint="`balign sources fetch NAME` fetches what is wrong again",
        )
    return len(files)
