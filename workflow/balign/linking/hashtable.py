"""A hash table of 64-bit keys in two NumPy arrays, memory-mapped, read for many keys at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from balign.arrays import open_array

Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class HashTable:
    """Open addressing with linear probing; a key's lowest bits are its first slot.

    Attributes:
        keys: [slots] uint64, 0 where a slot is empty; the number of slots is a power of two.
        values: [slots] int32.
    """

    keys: Keys
    values: npt.NDArray[np.int32]

    @classmethod
    def of(cls, keys: Keys, values: npt.NDArray[np.int32]) -> HashTable:
        """Return the table of distinct keys, none of them 0, in an order given by the keys alone.

        Args:
            keys: [n] sorted.
            values: [n].
        """
        slots = 1 << max(4, int(1.5 * len(keys)).bit_length())
        table = np.zeros(slots, np.uint64)
        held = np.zeros(slots, np.int32)
        mask = np.uint64(slots - 1)
        waiting = np.arange(len(keys))
        place = (keys & mask).astype(np.int64)
        while len(waiting):
            free = table[place] == 0
            # Of several keys that want a slot, the last of the array gets it.
            table[place[free]] = keys[waiting[free]]
            placed = table[place] == keys[waiting]
            held[place[placed]] = values[waiting[placed]]
            waiting, place = waiting[~placed], (place[~placed] + 1) & int(mask)
        return cls(table, held)

    @classmethod
    def open(cls, folder: Path) -> HashTable:
        """Map the table that :meth:`save` wrote."""
        return cls(
            np.asarray(open_array(folder / "keys.npy")),
            np.asarray(open_array(folder / "values.npy")),
        )

    def save(self, folder: Path) -> None:
        """Write ``keys.npy`` and ``values.npy``."""
        np.save(folder / "keys.npy", self.keys)
        np.save(folder / "values.npy", self.values)

    def find(self, wanted: Keys) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Return the positions of the keys that are there, sorted, and their values."""
        mask = len(self.keys) - 1
        place = (wanted & np.uint64(mask)).astype(np.int64)
        waiting = np.arange(len(wanted))
        where = np.full(len(wanted), -1, np.int64)
        asked = wanted
        while len(waiting):
            there = self.keys[place]
            hit = there == asked
            where[waiting[hit]] = place[hit]
            again = ~hit & (there != 0)
            waiting, asked = waiting[again], asked[again]
            place = (place[again] + 1) & mask
        found = np.flatnonzero(where >= 0)
        return found, self.values[where[found]]
