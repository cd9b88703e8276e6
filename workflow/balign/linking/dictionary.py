"""The dictionary: a trie over tokens in sorted arrays, and longest match in it.

Node 0 is the root. Node ``i`` is reached by the edge ``edges[i - 1]``, which holds
``parent * len(vocabulary) + token``. Nodes are numbered level by level and by that value in a
level, so ``edges`` is sorted as a whole and a child is found by one binary search, for millions of
text positions at once. Every step compares the token itself: no false match is possible. The
files are mapped into memory, so all processes of a machine share one copy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from balign.arrays import open_array
from balign.errors import DataError
from balign.files import read_json
from balign.linking.strings import StringTable, Vocabulary
from balign.linking.tokens import Tokens, exact, folded

FORMAT = 1
"""Version of the index's files; a reader refuses any other."""


@dataclass(frozen=True)
class Matches:
    """Spans found, in the order of the text, none overlapping.

    Attributes:
        first: [n] position of each span's first token in the tokens.
        last: [n] position of its last token.
        node: [n] the trie's node that it ends on.
    """

    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    node: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Dictionary:
    """An opened index.

    Attributes:
        vocabulary: keys of tokens, see :mod:`balign.linking.tokens`.
        edges: [nodes - 1] int64, sorted; see the module.
        concept: [nodes] int32, the concept of the name that ends on a node, -1 where none ends.
        sharing: [nodes] int32, how many concepts have that name.
        concepts: identifiers of concepts.
        max_tokens: length of the longest name.
    """

    vocabulary: Vocabulary
    edges: npt.NDArray[np.int64]
    concept: npt.NDArray[np.int32]
    sharing: npt.NDArray[np.int32]
    concepts: StringTable
    max_tokens: int
    _numbers: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)

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
            Vocabulary.open(folder),
            open_array(folder / "edges.npy"),
            open_array(folder / "concept.npy"),
            open_array(folder / "sharing.npy"),
            StringTable.open(folder, "concepts"),
            int(facts["longest_name_tokens"]),
        )

    def find(self, tokens: Tokens) -> Matches:
        """Return the longest matches from left to right, within each text.

        At each position the longest name wins; of a name compared as written and one compared
        without regard to case, equally long, the former wins, being the more specific.
        """
        numbers = self._token_numbers(tokens.forms)[tokens.form]
        length, node = self._longest(numbers[:, 0], tokens.text)
        exact_length, exact_node = self._longest(numbers[:, 1], tokens.text)
        specific = (exact_length >= length) & (exact_length > 0)
        length = np.where(specific, exact_length, length)
        node = np.where(specific, exact_node, node)

        chosen = []
        free = 0
        starts = np.flatnonzero(length)
        for start, tokens_long in zip(starts.tolist(), length[starts].tolist(), strict=True):
            if start >= free:
                chosen.append(start)
                free = start + tokens_long
        first = np.array(chosen, np.int64)
        return Matches(first, first + length[first] - 1, node[first])

    def _token_numbers(self, forms: list[str]) -> npt.NDArray[np.int64]:
        """Return [forms, 2]: a token's number in the vocabulary, folded and as written."""
        new = [form for form in forms if form not in self._numbers]
        pairs = zip(
            self.vocabulary.find([folded(form) for form in new]).tolist(),
            self.vocabulary.find([exact(form) for form in new]).tolist(),
            strict=True,
        )
        self._numbers.update(zip(new, pairs, strict=True))
        return np.array([self._numbers[form] for form in forms], np.int64).reshape(-1, 2)

    def _longest(
        self, numbers: npt.NDArray[np.int64], text: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return, for a name starting at each token, its length in tokens (0: none) and node."""
        length = np.zeros(len(numbers), np.int64)
        ends_on = np.zeros(len(numbers), np.int64)
        start = np.arange(len(numbers))
        node = np.zeros(len(numbers), np.int64)
        for depth in range(self.max_tokens):
            inside = np.flatnonzero(start + depth < len(numbers))
            start, node = start[inside], node[inside]
            here = numbers[start + depth]
            going = (here >= 0) & (text[start + depth] == text[start])
            start, node, here = start[going], node[going], here[going]
            edge = node * len(self.vocabulary.strings) + here
            place = np.searchsorted(self.edges, edge)
            known = place < len(self.edges)
            known[known] = self.edges[place[known]] == edge[known]
            start, node = start[known], place[known] + 1
            if not len(start):
                break
            complete = self.concept[node] >= 0
            length[start[complete]] = depth + 1
            ends_on[start[complete]] = node[complete]
        return length, ends_on
