"""Checkpoints: written whole or not at all, read only when whole.

A checkpoint is a folder ``step-00000100`` of safetensors and JSON. It is written under another
name and renamed, and its last file, ``complete.json``, holds the sha256 of the others. The
randomness of a step is a function of the seed and its number, so no generator's state is kept, and
the learning rates are a function of the step.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from balign.files import atomic_path, read_json, sha256_file, write_json

log = logging.getLogger(__name__)

_KEPT = 2
_MARKER = "complete.json"


@dataclass
class TrainingState:
    """Where a run is, besides its parameters.

    Attributes:
        step: steps done.
        skipped: steps left out for a loss or gradient that was not finite.
        skipped_in_row: those since the last good step.
        pieces: word pieces seen so far, padding left out.
        seconds: spent so far, over all sittings.
        window: sums since the last line of metrics.
        lines: lines of metrics so far.
    """

    step: int = 0
    skipped: int = 0
    skipped_in_row: int = 0
    pieces: int = 0
    seconds: float = 0.0
    window: dict[str, float] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)

    def count(self, **values: float) -> None:
        """Add values to the sums of the window."""
        for name, value in values.items():
            self.window[name] = self.window.get(name, 0.0) + value

    def advance(self, pieces: int, sentences: int, seconds: float, waited: float) -> None:
        """Count a step that is done."""
        self.step += 1
        self.pieces += pieces
        self.seconds += seconds
        self.count(pieces=pieces, sentences=sentences, seconds=seconds, waited=waited)


def save_checkpoint(
    folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, state: TrainingState
) -> None:
    """Write a checkpoint and remove all but the newest two."""
    parameters = dict(model.named_parameters())
    moments = {
        f"{name}|{key}": value
        for name, parameter in parameters.items()
        for key, value in optimiser.state.get(parameter, {}).items()
    }
    with atomic_path(folder / f"step-{state.step:08d}") as temporary:
        temporary.mkdir()
        save_file({k: v.detach() for k, v in parameters.items()}, temporary / "model.safetensors")
        save_file(moments, temporary / "optimiser.safetensors")
        write_json(temporary / "state.json", vars(state))
        digests = {path.name: sha256_file(path) for path in sorted(temporary.iterdir())}
        write_json(temporary / _MARKER, digests)
    log.info("step %d: checkpoint written to %s", state.step, folder)
    for old in sorted(folder.glob("step-*"))[:-_KEPT]:
        shutil.rmtree(old)


def load_checkpoint(
    folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer
) -> TrainingState | None:
    """Restore the newest whole checkpoint of a folder into model and optimiser.

    Returns:
        Its state; None where there is no whole checkpoint: model and optimiser are untouched then.
        Checkpoints that are not whole are removed.
    """
    for leftover in folder.glob(".step-*.tmp"):  # of a process killed while it wrote
        shutil.rmtree(leftover)
    for path in sorted(folder.glob("step-*"), reverse=True):
        if not _is_whole(path):
            log.warning("the checkpoint %s is not whole and is removed", path)
            shutil.rmtree(path)
            continue
        parameters = dict(model.named_parameters())
        saved = load_file(path / "model.safetensors")
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(saved[name])
        for key, value in load_file(path / "optimiser.safetensors").items():
            name, _, kind = key.rpartition("|")
            parameter = parameters[name]
            place = torch.device("cpu") if kind == "step" else parameter.device
            if kind == "step" and optimiser.defaults["fused"]:
                place = parameter.device  # fused AdamW counts where the parameter is
            optimiser.state[parameter][kind] = value.to(place)
        return TrainingState(**read_json(path / "state.json"))
    return None


def _is_whole(path: Path) -> bool:
    try:
        digests = read_json(path / _MARKER)
        return all(sha256_file(path / name) == digest for name, digest in digests.items())
    except (OSError, ValueError):
        return False
