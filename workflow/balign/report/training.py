"""The training runs: curves of metrics.jsonl and facts of run.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from balign.errors import DataError
from balign.files import read_json

_LOSSES = ("loss", "mlm", "alignment")
_RETRIEVAL = ("retrieval", "recall", "accuracy", "hits", "mrr", "reciprocal")
_SPEED = "per_second"


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

    def fact(self, key: str) -> Any:
        """Return a value of run.json, or of the settings in it; None if absent."""
        settings = self.run.get("settings")
        if key not in self.run and isinstance(settings, Mapping):
            return settings.get(key)
        return self.run.get(key)

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
            if key.endswith(_SPEED)
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
    """Return the keys of losses and their parts over all models, the total first."""
    return _matching(models, lambda key: any(part in key for part in _LOSSES), "loss")


def retrieval_keys(models: Sequence[Model]) -> list[str]:
    """Return the keys of retrieval figures, which validation lines hold."""
    return _matching(models, lambda key: any(part in key for part in _RETRIEVAL), "")


def _matching(models: Sequence[Model], wanted: Any, first: str) -> list[str]:
    keys = {
        key: None
        for model in models
        for split in ("train", "validation")
        for key in model.keys(split)
        if wanted(key)
    }
    return sorted(keys, key=lambda key: key != first)  # stable: the others keep their order


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
