"""The training runs: curves of metrics.jsonl and facts of run.json."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from balign.errors import DataError
from balign.files import read_json

_SPEED = "per_second"
# Keys of a line that are neither a loss nor a score.
_ASIDE = re.compile(rf"step|skipped|learning_rate.*|.*seconds|.*_norm|.*_share|.*_{_SPEED}")


@dataclass(frozen=True)
class Model:
    """One trained model.

    Attributes:
        name: name of its folder.
        run: run.json.
        lines: metrics.jsonl, in order.
    """

    name: str
    run: Mapping[str, Any]
    lines: tuple[Mapping[str, Any], ...]

    def curve(self, split: str, key: str) -> tuple[list[int], list[float]]:
        """Return steps and values of a key in the lines of ``train`` or ``validation``."""
        found = [
            (line["step"], line[key])
            for line in self.lines
            if line["split"] == split and _is_number(line.get(key))
        ]
        return [step for step, _ in found], [value for _, value in found]

    def keys(self, split: str) -> list[str]:
        """Return the keys that hold numbers in the lines of a split, in order of appearance."""
        found = {
            key: None
            for line in self.lines
            if line["split"] == split
            for key, value in line.items()
            if key != "step" and _is_number(value)
        }
        return list(found)

    def setting(self, key: str) -> str | None:
        """Return a value of the settings in run.json; None if absent."""
        value = self.run.get("settings", {}).get(key)
        return None if value is None else str(value)

    @property
    def seconds(self) -> float | None:
        """How long the training took, where run.json tells."""
        value: Any = self.run.get("seconds")
        return float(value) if _is_number(value) else None

    @property
    def skipped(self) -> int:
        """Steps that changed nothing because their gradient was not finite."""
        return int(self.run.get("skipped", 0))

    @property
    def steps(self) -> int:
        """The last step that metrics.jsonl has."""
        return max((line["step"] for line in self.lines), default=0)

    @property
    def speeds(self) -> dict[str, float]:
        """The median of each speed; its key ends in ``per_second``."""
        return {
            key: median(self.curve("train", key)[1])
            for key in self.keys("train")
            if key.endswith(f"_{_SPEED}")
        }

    def last(self, split: str, key: str) -> float | None:
        """Return the last value of a key, None if there is none."""
        values = self.curve(split, key)[1]
        return values[-1] if values else None


def read_model(folder: Path) -> Model:
    """Read a model folder's run.json and metrics.jsonl.

    Raises:
        DataError: if a line is not JSON, or has no ``step`` or ``split``.
    """
    lines = []
    path = folder / "metrics.jsonl"
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            line = json.loads(text)
            step, split = line["step"], line["split"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"not a line of metrics: {error}",
                where=f"{path}, line {number}",
                hint="`balign pretrain train` writes it",
            ) from None
        if not isinstance(step, int) or split not in ("train", "validation"):
            raise DataError(
                "a line of metrics needs a whole `step`, and `train` or `validation` as `split`",
                where=f"{path}, line {number}",
            )
        lines.append(line)
    return Model(folder.name, read_json(folder / "run.json"), tuple(lines))


def loss_keys(models: Sequence[Model]) -> list[str]:
    """Return the total loss and its parts over all models: whatever training lines hold."""
    keys = _keys(models, "train")
    return [*(key for key in keys if key == "loss"), *(key for key in keys if key != "loss")]


def score_keys(models: Sequence[Model]) -> list[str]:
    """Return the scores that only validation lines hold, such as those of retrieval."""
    losses = loss_keys(models)
    return [key for key in _keys(models, "validation") if key not in (*losses, "loss")]


def _keys(models: Sequence[Model], split: str) -> list[str]:
    found = dict.fromkeys(key for model in models for key in model.keys(split))
    return [key for key in found if not _ASIDE.fullmatch(key)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
