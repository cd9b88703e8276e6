"""The files of a Metathesaurus release: where they lie and which columns they have.

A release is a folder of ``*.RRF`` or ``*.RRF.gz`` files, or an archive of NLM, whose members are
read as a stream: nothing is unpacked to disk. The full release holds archives in an archive
(``*.nlm``) and files in numbered parts (``MRREL.RRF.aa.gz``); both are followed. MedGen has the
same files under other names and writes its columns into the first line.

Columns: UMLS Reference Manual, chapter 3 (NBK9685), and the README of NCBI's folder pub/medgen.
"""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, NamedTuple

from balign.errors import DataError

COLUMNS = {
    "MRFILES": "FIL DES FMT CLS RWS BTS",
    "MRSAB": "VCUI RCUI VSAB RSAB SON SF SVER VSTART VEND IMETA RMETA SLC SCC SRL TFR CFR CXTY "
    "TTYL ATNL LAT CENC CURVER SABIN SSN SCIT",
    "MRRANK": "RANK SAB TTY SUPPRESS",
    "MRDOC": "DOCKEY VALUE TYPE EXPL",
    "MRSTY": "CUI TUI STN STY ATUI CVF",
    "MRCONSO": "CUI LAT TS LUI STT SUI ISPREF AUI SAUI SCUI SDUI SAB TTY CODE STR SRL SUPPRESS CVF",
    "MRDEF": "CUI AUI ATUI SATUI SAB DEF SUPPRESS CVF",
    "MRREL": "CUI1 AUI1 STYPE1 REL CUI2 AUI2 STYPE2 RELA RUI SRUI SAB SL RG DIR SUPPRESS CVF",
}
REQUIRED = ("MRCONSO", "MRREL")
_MEDGEN = {"MGCONSO": "MRCONSO", "MGREL": "MRREL", "MGSTY": "MRSTY", "MGDEF": "MRDEF"}
_NAME = re.compile(r"(M[RG][A-Z]+)\.RRF((?:\.(?!gz)[a-z]{2})?)((?:\.gz)?)")
_LONGEST_HEADER = 1 << 16


class _Piece(NamedTuple):
    """A file or a part of one: its suffix (".aa"), where it lies, its size, what opens it."""

    part: str
    where: str
    size: int
    open: Callable[[], IO[bytes]]


_Found = dict[str, list[_Piece]]


@dataclass(frozen=True)
class Member:
    """One file of a release.

    Attributes:
        name: its name in UMLS, without suffix.
        where: where it lies, for messages.
        columns: names of its columns; MedGen's are found in its first line.
        has_header: whether the first line gives the columns.
        parts: what opens each part, in order.
        packed: bytes as they lie there, compressed or not.
    """

    name: str
    where: str
    columns: tuple[str, ...]
    has_header: bool
    parts: tuple[Callable[[], IO[bytes]], ...] = field(repr=False)
    packed: int

    def open(self) -> io.RawIOBase:
        """Return the bytes, unpacked.

        Raises:
            DataError: where it is read, for a file that cannot be or a broken archive.
        """
        return _Parts(self)


class _Parts(io.RawIOBase):
    """The parts of a file, one after the other."""

    def __init__(self, member: Member) -> None:
        self._where = member.where
        self._openers = iter(member.parts)
        self._stream: IO[bytes] | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            while True:
                if self._stream is None:
                    opener = next(self._openers, None)
                    if opener is None:
                        return 0
                    self._stream = opener()
                if count := self._stream.readinto(buffer):  # type: ignore[attr-defined]
                    return int(count)
                self._stream.close()
                self._stream = None
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise DataError(
                f"the file is truncated or damaged: {error}",
                where=self._where,
                hint="download the release again",
            ) from None

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        super().close()


@dataclass(frozen=True)
class Release:
    """The files of a release that balign reads, by their name in UMLS."""

    path: Path
    members: dict[str, Member]


@contextmanager
def open_release(path: Path) -> Iterator[Release]:
    """Find the files of a release; an archive stays open until the end of the context.

    Raises:
        DataError: if it is neither a folder nor an archive, or a required file is missing.
    """
    found: _Found = {}
    with ExitStack() as stack:
        if path.is_dir():
            for file in sorted(path.iterdir()):
                _add(found, file.name, str(file), file.stat().st_size, _opener(file))
        else:
            try:
                archive = stack.enter_context(zipfile.ZipFile(path))
                _search(found, archive, str(path), stack)
            except (OSError, zipfile.BadZipFile) as error:
                raise DataError(
                    f"neither a folder of RRF files nor a whole zip archive: {error}",
                    where=str(path),
                    hint="kg.rrf.path is the folder META of a release, or NLM's zip as downloaded",
                ) from None
        members = {}
        for name, pieces in sorted(found.items()):
            umls = _MEDGEN.get(name, name)
            if umls in COLUMNS:
                members[umls] = _member(umls, name in _MEDGEN, pieces)
        missing = [name for name in REQUIRED if name not in members]
        if missing:
            raise DataError(
                f"no {missing[0]}.RRF in the Metathesaurus release",
                where=str(path),
                hint="kg.rrf.path is the folder META of a release, or NLM's zip as downloaded",
            )
        yield Release(path, members)


def _opener(file: Path) -> Callable[[], IO[bytes]]:
    return lambda: file.open("rb", buffering=0)


def _add(found: _Found, file: str, where: str, size: int, opener: Callable[[], IO[bytes]]) -> None:
    match = _NAME.fullmatch(file)
    if match is None:
        return
    name, part, packed = match.groups()

    def unpacked() -> IO[bytes]:
        return gzip.open(opener()) if packed else opener()  # type: ignore[return-value]

    found.setdefault(name, []).append(_Piece(part, where, size, unpacked))


def _search(found: _Found, archive: zipfile.ZipFile, where: str, stack: ExitStack) -> None:
    """Add the members of an archive and of the archives in it; names alone matter, not folders."""
    for info in archive.infolist():
        file = info.filename.rpartition("/")[2]
        if file.endswith(".nlm") and zipfile.is_zipfile(archive.open(info)):
            inner = stack.enter_context(zipfile.ZipFile(archive.open(info)))
            _search(found, inner, f"{where}:{info.filename}", stack)
        else:

            def opener(info: zipfile.ZipInfo = info) -> IO[bytes]:
                return archive.open(info)

            _add(found, file, f"{where}:{info.filename}", info.compress_size, opener)


def _member(umls: str, medgen: bool, pieces: list[_Piece]) -> Member:
    """Join the parts of a file."""
    pieces = sorted(pieces)
    if len(pieces) > 1 and not all(piece.part for piece in pieces):
        raise DataError(
            f"two files for {umls}",
            where=", ".join(piece.where for piece in pieces[:2]),
            hint="remove one of them",
        )
    parts = tuple(piece.open for piece in pieces)
    packed = sum(piece.size for piece in pieces)
    member = Member(umls, pieces[0].where, tuple(COLUMNS[umls].split()), False, parts, packed)
    if not medgen:
        return member
    with member.open() as stream:
        line = stream.readline(_LONGEST_HEADER).decode("utf-8", "replace").strip()
    header = line.removeprefix("#").removesuffix("|").upper().split("|")
    columns = tuple("SAB" if column == "SOURCE" else column for column in header)
    if not line.startswith("#") or len(set(columns)) < len(columns) or columns[0][:3] != "CUI":
        raise DataError(
            "the first line does not name MedGen's columns",
            where=f"{member.where}, line 1",
            hint="it should read like #CUI|TS|STT|...|; download the file again",
        )
    return replace(member, columns=columns, has_header=True)
