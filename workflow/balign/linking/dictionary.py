"""The dictionary: a hash table of the beginnings of names, and longest match in it.

The key of a sequence of tokens is the key of all but the last, plus the last one's hash, mixed. The
table holds the key of every name and of every beginning of one; so a text is matched by asking for
the first token's key at every position, then, where it is there, for that of the first two, and so
on, all positions at once. A key's value is the entry of the name that ends there, or -1. The files
are mapped into memory, so all processes of a machine share one copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from balign.arrays import open_array
from balign.errors import DataError
from balign.files import read_json
from balign.linking.characters import mix
from balign.linking.hashtable import HashTable, Keys
from balign.linking.strings import StringTable
from balign.linking.tokens import Rules, Tokens

FORMAT = 2
"""Version of the index's files; a reader refuses any other."""


@dataclass(frozen=True)
class Longest:
    """The longest name that begins at each token.

    Attributes:
        length: [tokens] int16, its tokens; 0 where none begins.
        entry: [tokens] int32, its entry.
    """

    length: npt.NDArray[np.int16]
    entry: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Dictionary:
    """An opened index.

    Attributes:
        table: keys of names and their beginnings.
        concept: [entries] int32, number of the concept that an entry goes to.
        sharing: [entries] uint8, how many concepts have the name (255: or more).
        concepts: identifiers of concepts.
        rules: how the names were cut into tokens.
    """

    table: HashTable
    concept: npt.NDArray[np.int32]
    sharing: npt.NDArray[np.uint8]
    concepts: StringTable
    rules: Rules

    @classmethod
    def open(cls, folder: Path) -> Dictionary:
        """Map an index.

        Raises:
            DataError: if ``folder`` is no index of this format.
        """
        try:
            facts = read_json(folder / "index.json")
        except (OSError, ValueError) as error:
            raise DataError(
                f"no dictionary can be read here: {error}",
                where=str(folder),
                hint="build it with `balign linking index`",
            ) from None
        if facts.get("format") != FORMAT:
            raise DataError(
                f"the dictionary has format {facts.get('format')}, this program reads {FORMAT}",
                where=str(folder / "index.json"),
                hint="build it again with `balign linking index`",
            )
        return cls(
            HashTable.open(folder),
            np.asarray(open_array(folder / "concept.npy")),
            np.asarray(open_array(folder / "sharing.npy")),
            StringTable.open(folder, "concepts"),
            Rules(**facts["rules"]),
        )

    def longest(self, tokens: Tokens, last: npt.NDArray[np.int64]) -> Longest:
        """Return the longest name at each token.

        Of names equally long, one compared as written wins, then one that has the text's plurals
        and singulars, then one that has others.

        Args:
            tokens: tokens, cut by the dictionary's rules.
            last: [tokens] position of the last token that a name beginning there may reach, -1
                where none may begin.
        """
        found = Longest(np.zeros(len(last), np.int16), np.full(len(last), -1, np.int32))
        complete = np.ones(len(last), np.bool_)  # where a name may end: at the end of a run
        complete[:-1] = ~tokens.joined[1:]
        begins = np.flatnonzero((last >= 0) & ~tokens.joined)
        streams = [tokens.folded, tokens.exact]
        if self.rules.plurals:
            streams.insert(0, tokens.stemmed)
        for hashes in streams:
            self._extend(found, hashes, begins, last, complete)
        return found

    def _extend(
        self,
        found: Longest,
        hashes: Keys,
        begins: npt.NDArray[np.int64],
        last: npt.NDArray[np.int64],
        complete: npt.NDArray[np.bool_],
    ) -> None:
        """Enter the names that are at least as long as those found so far."""
        depth = 0
        keys = mix(hashes[begins])
        while len(begins):
            there, entry = self.table.find(keys)
            begins, keys = begins[there], keys[there]
            ends = (entry >= 0) & complete[begins + depth] & (found.length[begins] <= depth + 1)
            found.length[begins[ends]] = depth + 1
            found.entry[begins[ends]] = entry[ends]
            depth += 1
            going = begins + depth <= last[begins]
            begins = begins[going]
            keys = mix(keys[going] + hashes[begins + depth])


def sequence_keys(hashes: Keys, length: npt.NDArray[np.int64]) -> tuple[Keys, list[Keys]]:
    """Return the key of each sequence of tokens, and the keys of beginnings by depth.

    Args:
        hashes: hashes of the tokens of all sequences, one sequence after another.
        length: [sequences] tokens of each; an empty one has the key 0.
    """
    first = np.cumsum(length) - length
    keys = np.zeros(len(length), np.uint64)
    beginnings = []
    for depth in range(int(length.max(initial=0))):
        going = np.flatnonzero(length > depth)
        keys[going] = mix(keys[going] + hashes[first[going] + depth])
        beginnings.append(keys[going])
    return keys, beginnings


def leftmost(longest: Longest) -> npt.NDArray[np.int64]:
    """Return the tokens at which names begin, from left to right, none overlapping."""
    begins = np.flatnonzero(longest.length)
    chosen = []
    free = 0
    for begin, length in zip(begins.tolist(), longest.length[begins].tolist(), strict=True):
        if begin >= free:
            chosen.append(begin)
            free = begin + length
    return np.array(chosen, np.int64)
