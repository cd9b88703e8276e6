"""State of the sources on this machine: what the commands beside ``fetch`` look at."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

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


def sources_entry(
    file: Path,
    name: str,
    form: str,
    version: str,
    licence: str,
    homepage: str,
    urls: Sequence[str] = (),
) -> str:
    """Return the YAML text of a registry entry for a file on this machine.

    Its size and sha256 are measured, its first place is the file where it lies; ``urls`` come
    after. The text can be appended to the registry as it is.

    Raises:
        SourceError: if the file cannot be read or a value does not fit the registry.
    """
    if not file.is_file():
        raise SourceError("no such file", where=str(file))
    values = {
        "name": name,
        "version": version,
        "what": f"{file.name}, added by hand",
        "licence": licence,
        "homepage": homepage,
        "format": form,
        "files": [
            {
                "name": file.name,
                "sha256": sha256_file(file),
                "bytes": file.stat().st_size,
                "places": [file.resolve().as_uri(), *urls],
            }
        ],
    }
    try:
        SourceEntry.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise SourceError(f"not an entry of the registry: {key}: {first['msg']}") from None
    text = yaml.safe_dump([values], sort_keys=False, allow_unicode=True, width=1000)
    return textwrap.indent(text, "  ")
