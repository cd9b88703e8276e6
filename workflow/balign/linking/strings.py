"""A table of strings in two NumPy files, memory-mapped, looked up without reading it whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from balign.arrays import open_array


def string_hash(text: str) -> int:
    """Return 64 bits of BLAKE2b: the same in every process, unlike Python's ``hash``."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class StringTable:
    """Distinct strings; a string's number is its position.

    Attributes:
        data: [bytes] the strings in UTF-8, one after another.
        offsets: [n + 1] where each begins.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, strings: Iterable[str]) -> StringTable:
        """Return the table of ``strings`` in the order given."""
        encoded = [text.encode() for text in strings]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(text) for text in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets)

    @classmethod
    def open(cls, folder: Path, name: str) -> StringTable:
        """Map the table that :meth:`save` wrote."""
        return cls(
            np.asarray(open_array(folder / f"{name}.bytes.npy")),
            np.asarray(open_array(folder / f"{name}.offsets.npy")),
        )

    def save(self, folder: Path, name: str) -> None:
        """Write ``<name>.bytes.npy`` and ``<name>.offsets.npy``."""
        np.save(folder / f"{name}.bytes.npy", self.data)
        np.save(folder / f"{name}.offsets.npy", self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def strings(self) -> list[str]:
        """Return all strings in their order."""
        data, ends = self.data.tobytes(), self.offsets.tolist()
        return [data[a:b].decode() for a, b in pairwise(ends)]

    def encoded(self, number: int) -> bytes:
        """Return a string's bytes."""
        return self.data[self.offsets[number] : self.offsets[number + 1]].tobytes()

    def __getitem__(self, number: int) -> str:
        return self.encoded(number).decode()


@dataclass(frozen=True)
class Vocabulary:
    """Strings in the order of their hashes, found by binary search and then compared whole.

    Two strings of one hash stand side by side, so a collision costs a comparison and no error.
    """

    strings: StringTable
    hashes: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, strings: Iterable[str]) -> Vocabulary:
        """Return the vocabulary of ``strings``, each of which should come once."""
        pairs = sorted((string_hash(text), text) for text in strings)
        hashes = np.array([number for number, _ in pairs], np.uint64)
        return cls(StringTable.of(text for _, text in pairs), hashes)

    @classmethod
    def open(cls, folder: Path) -> Vocabulary:
        """Map the vocabulary that :meth:`save` wrote."""
        hashes = np.asarray(open_array(folder / "vocabulary.hashes.npy"))
        return cls(StringTable.open(folder, "vocabulary"), hashes)

    def save(self, folder: Path) -> None:
        """Write the vocabulary's three arrays."""
        self.strings.save(folder, "vocabulary")
        np.save(folder / "vocabulary.hashes.npy", self.hashes)

    def find(self, texts: list[str]) -> npt.NDArray[np.int64]:
        """Return each text's number [len(texts)], -1 for one that is not there."""
        wanted = np.array([string_hash(text) for text in texts], np.uint64)
        places = np.searchsorted(self.hashes, wanted)
        found = np.full(len(texts), -1, np.int64)
        inside = np.flatnonzero(places < len(self.hashes))
        for i in inside[self.hashes[places[inside]] == wanted[inside]]:
            place, encoded = int(places[i]), texts[i].encode()
            while place < len(self.hashes) and self.hashes[place] == wanted[i]:
                if self.strings.encoded(place) == encoded:
                    found[i] = place
                    break
                place += 1
        return found
