"""The tokenised training text on disk: one folder of NumPy arrays, read through memory maps."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from balign.arrays import open_array
from balign.errors import DataError
from balign.files import read_json, sha256_file

IntArray = npt.NDArray[np.int64]
Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Arrays:
    """What ``pretrain_tokenize`` writes, one ``.npy`` file a field.

    Sentence i has the pieces ``tokens[token_indptr[i]:token_indptr[i + 1]]``, special tokens
    included, and the mentions ``mention_indptr[i]`` to ``mention_indptr[i + 1]``. A mention covers
    the pieces ``mention_start`` to ``mention_end`` (half open) of its sentence and names the node
    ``mention_node`` of the graph. Name j of the graph's ``names.parquet`` has the pieces
    ``name_tokens[name_indptr[j]:name_indptr[j + 1]]``, special tokens included.

    Attributes:
        tokens: int32, all sentences' pieces.
        token_indptr: int64 [sentences + 1].
        pmid: int64 [sentences]. number: int32 [sentences], the sentence's number in its citation.
        mention_indptr: int64 [sentences + 1].
        mention_start: int32 [mentions]. mention_end: int32. mention_node: int32.
        name_tokens: int32. name_indptr: int64 [names + 1].
        train: int64, sentences to train on. validation: int64, of citations not in ``train``.
    """

    tokens: Int32Array
    token_indptr: IntArray
    pmid: IntArray
    number: Int32Array
    mention_indptr: IntArray
    mention_start: Int32Array
    mention_end: Int32Array
    mention_node: Int32Array
    name_tokens: Int32Array
    name_indptr: IntArray
    train: IntArray
    validation: IntArray

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of the arrays."""
        return [field.name for field in fields(cls)]

    def digest(self) -> str:
        """Return the sha256 of all arrays."""
        found = hashlib.sha256()
        for name in self.names():
            array = np.ascontiguousarray(getattr(self, name))
            found.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
            found.update(array.data)
        return found.hexdigest()


def save_arrays(arrays: Arrays, folder: Path) -> None:
    """Write one ``.npy`` file an array."""
    for name in arrays.names():
        np.save(folder / f"{name}.npy", getattr(arrays, name))


def open_tokens(folder: Path) -> tuple[Arrays, dict[str, Any]]:
    """Open the arrays as memory maps, with their counts.

    Raises:
        DataError: if the folder is not one that ``pretrain_tokenize`` wrote.
    """
    try:
        counts = read_json(folder / "counts.json")
        arrays = {name: open_array(folder / f"{name}.npy") for name in Arrays.names()}
    except (OSError, ValueError) as error:
        raise DataError(
            f"not a folder of tokenised text: {error}",
            where=str(folder),
            hint="make it with `balign pretrain tokenize`",
        ) from error
    return Arrays(**arrays), counts


def node_digests(graph: Path) -> dict[str, str]:
    """Return the sha256 of the graph's files whose rows the arrays refer to by number."""
    return {name: sha256_file(graph / name) for name in ("concepts.txt", "names.parquet")}


def ranges(starts: IntArray, ends: IntArray) -> tuple[IntArray, IntArray]:
    """Concatenate the ranges ``starts[i]`` to ``ends[i]`` (half open) without a Python loop.

    Returns:
        The concatenation, and for each of its values the range i that it comes from.
    """
    lengths = ends - starts
    owner = np.repeat(np.arange(len(starts)), lengths)
    before = np.cumsum(lengths) - lengths
    return np.arange(len(owner)) - before[owner] + starts[owner], owner
