"""Where metrics go while a run trains, besides ``metrics.jsonl``.

A tracker takes the lines of metrics as they come. Another one is a class with these three methods
and a line in :data:`TRACKERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol


class Tracker(Protocol):
    """What takes lines of metrics."""

    def add(self, line: Mapping[str, Any]) -> None:
        """Take a line: ``step``, ``split`` and figures by name."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """Event files that ``tensorboard --logdir`` shows, one curve a figure and split."""

    def __init__(self, folder: Path, step: int) -> None:
        """Open a file.

        Args:
            folder: of the run's event files.
            step: steps done; what an interrupted run wrote after them is hidden.
        """
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def add(self, line: Mapping[str, Any]) -> None:
        """Take a line."""
        for name, value in line.items():
            if isinstance(value, int | float) and name != "step":
                self._writer.add_scalar(f"{name}/{line['split']}", value, line["step"])
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


TRACKERS: Mapping[str, Callable[[Path, int], Tracker]] = {"tensorboard": TensorBoard}
