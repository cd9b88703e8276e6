"""The elements below the root of a large XML file, in flat memory.

The file is cut behind end tags and each piece is parsed as a document of its own, between the
root's tags. In well-formed XML the bytes of an end tag are that tag, or stand in a comment or a
CDATA section, and a cut there gives pieces that do not parse: an error, never a loss. So nothing
passes that a parser of the whole file would refuse; and libxml2 takes a third less time to build a
tree than under ``iterparse``, which is called back for each element.

Nothing outside the file is read: no DTD, no network, no external entity. PubMed's files declare no
entity of their own, so that a file that does (a "billion laughs", an inclusion of a local file) is
refused before its first citation.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from isal import igzip, isal_zlib
from lxml import etree

from balign.errors import DataError

_BLOCK = 1 << 17  # bytes of XML read at once; a piece is at least as long
_LONGEST_PROLOGUE = 1 << 20
_LINE = re.compile(r"\bline (\d+)")
_AGAIN = "fetch the file again and compare its checksum with the publisher's"


class _File(NamedTuple):
    source: Path
    start: bytes  # the root's tags
    end: bytes
    parser: etree.XMLParser


class Piece(NamedTuple):
    """Some elements of a file.

    Attributes:
        data: their bytes; in the last piece the root's end tag comes after them.
        line: line feeds before them in the file.
        lines: line feeds in them.
        is_last: whether it is the last piece.
        file: what they are from.
    """

    data: bytes
    line: int
    lines: int
    is_last: bool
    file: _File

    @property
    def root(self) -> bytes:
        """The root's start tag."""
        return self.file.start

    def parse(self, begin: int = 0, end: int | None = None) -> tuple[etree._Element, int]:
        """Parse whole elements of :attr:`data`.

        Returns:
            The root of a document that has them as children, and what to add to an element's
            ``sourceline`` to have its line in the file.

        Raises:
            DataError: if they are not well-formed; names the file and the line.
        """
        source, start, close, parser = self.file
        if self.is_last and end is None:
            close = b""
        line = self.line + self.data.count(b"\n", 0, begin)
        return _parsed(start + self.data[begin:end] + close, parser, source, line), line


def read_pieces(source: Path, roots: Sequence[str], children: Sequence[str]) -> Iterator[Piece]:
    """Yield the elements below the root of an XML file in UTF-8, plain or gzip (``*.gz``).

    Args:
        source: the file.
        roots: names that its outermost element may have.
        children: names of the elements below the root, behind whose ends it may be cut.

    Raises:
        DataError: names the file and the line or the byte.
    """
    try:
        raw = source.open("rb")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(source)) from None
    with raw:
        unpacked: Any = igzip.open  # isal's stubs know no types of it
        handle = unpacked(raw) if source.suffix == ".gz" else raw
        try:
            yield from _read(handle, source, roots, children)
        except (EOFError, isal_zlib.IsalError, gzip.BadGzipFile) as error:  # type: ignore[misc]
            raise DataError(
                f"not a whole gzip file: {error}",
                where=f"{source}, near byte {raw.tell()}",
                hint=_AGAIN,
            ) from None


def _read(
    handle: BufferedIOBase, source: Path, roots: Sequence[str], children: Sequence[str]
) -> Iterator[Piece]:
    parser = etree.XMLParser(
        no_network=True,
        load_dtd=False,
        remove_comments=True,  # itertext() would give their text
        remove_pis=True,
    )
    opening = re.compile(rf"<({'|'.join(roots)})(?:\s[^<>]*[^<>/])?\s*>".encode())
    rest = handle.read(_BLOCK)
    while (found := opening.search(rest)) is None:
        more = handle.read(_BLOCK)
        if not more or len(rest) > _LONGEST_PROLOGUE:
            _check_whole(_parsed(rest, parser, source, 0), source, roots)
            return
        rest += more
    file = _File(source, found[0], b"</" + found[1] + b">", parser)
    _check_prologue(_parsed(rest[: found.end()] + file.end, parser, source, 0), source)
    line = rest.count(b"\n", 0, found.start())
    rest = rest[found.end() :]
    ends = [f"</{name}>".encode() for name in children]
    while more := handle.read(_BLOCK):
        rest += more
        # Behind the last of the first of these that there is: nearly always near the end.
        cut = next((at + len(end) for end in ends if (at := rest.rfind(end)) >= 0), 0)
        if cut:
            data, rest = rest[:cut], rest[cut:]
            piece = Piece(data, line, _line_feeds(data), False, file)
            yield piece
            line += piece.lines
    yield Piece(rest, line, _line_feeds(rest), True, file)


def _line_feeds(piece: bytes) -> int:
    """NumPy takes a third of the time of ``count``, which stops at each."""
    return int(np.count_nonzero(np.frombuffer(piece, np.uint8) == ord("\n")))


def _parsed(piece: bytes, parser: etree.XMLParser, source: Path, line: int) -> etree._Element:
    try:
        return etree.fromstring(piece, parser)
    except etree.XMLSyntaxError as error:
        # libxml2's message ends with its own place and may name an earlier line.
        text = re.sub(r", line \d+, column \d+$", "", error.msg or "")
        text = _LINE.sub(lambda found: f"line {int(found[1]) + line}", text)
        raise DataError(
            f"not well-formed XML: {text}",
            where=f"{source}, line {(error.lineno or 0) + line}",
            hint=_AGAIN,
        ) from None


def _check_prologue(root: etree._Element, source: Path) -> None:
    information = root.getroottree().docinfo
    dtd: Any = information.internalDTD
    declared = [entity.name for entity in dtd.iterentities()] if dtd is not None else []
    if declared:
        raise DataError(
            f"the file declares entities ({', '.join(declared[:3])}), which PubMed never does",
            where=str(source),
            hint="take the file from PubMed itself",
        )
    if (information.encoding or "utf-8").lower() not in ("utf-8", "us-ascii"):
        raise DataError(f"its encoding is {information.encoding}, not UTF-8", where=str(source))


def _check_whole(root: etree._Element, source: Path, roots: Sequence[str]) -> None:
    """Refuse a file without a start tag of a root that has content; an empty one may be."""
    if root.tag not in roots:
        raise DataError(
            f"not PubMed's XML: the outermost element is <{root.tag}>",
            where=f"{source}, line {root.sourceline}",
            hint=f"expected <{'> or <'.join(roots)}>",
        )
    _check_prologue(root, source)
