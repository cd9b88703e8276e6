"""Records in buckets on disk, to sort or group more of them than memory holds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt


class Spill:
    """Records of one NumPy type, spread over files by a bucket number.

    A bucket is read back as a whole, in the order in which its records came; so the memory needed
    is that of the largest bucket, however many records there are.
    """

    def __init__(self, folder: Path, kind: np.dtype[np.void]) -> None:
        self._folder = folder
        self._kind = kind

    def add(
        self, buckets: npt.NDArray[np.int64], columns: dict[str, npt.NDArray[np.generic]]
    ) -> None:
        """Append records, given by column, to their buckets."""
        records = np.empty(len(buckets), self._kind)
        for name, values in columns.items():
            records[name] = values
        order = np.argsort(buckets, kind="stable")
        numbers, starts = np.unique(buckets[order], return_index=True)
        for number, part in zip(numbers, np.split(records[order], starts[1:]), strict=False):
            with (self._folder / f"{number}.records").open("ab") as handle:
                handle.write(part.tobytes())

    def buckets(self) -> Iterator[npt.NDArray[np.void]]:
        """Yield the records of each bucket that has any, by its number, and remove its file."""
        for path in sorted(self._folder.glob("*.records"), key=lambda path: int(path.stem)):
            records = np.fromfile(path, dtype=self._kind)
            path.unlink()
            yield records


@contextmanager
def spill_beside(output: Path, kind: np.dtype[np.void]) -> Iterator[Spill]:
    """Yield an empty :class:`Spill` in a folder beside ``output``; it is gone at the end.

    The folder has a fixed name: what a killed process left of it is removed first.
    """
    folder = output.with_name(f".{output.name}.spill")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield Spill(folder, kind)
    finally:
        shutil.rmtree(folder)
