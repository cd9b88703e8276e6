"""Checkpoints: written whole or not at all, read only when whole.

A checkpoint is a folder ``step-00000100`` of safetensors and JSON. It is written under another
name and renamed, and its last file, ``complete.json``, holds the sha256 of the others. The
randomness of a step is a function of the seed and its number, so no generator's state is kept, and
the learning rates are a function of the step.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from balign.files import atomic_path, read_json, sha256_file, write_json

log = logging.getLogger(__name__)

_MARKER = "complete.json"
_MODEL = "model.safetensors"
_BEST = "best.safetensors"


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
        best: lowest validation loss so far, and ``waited_validations`` since then, where the run
            may stop early.
    """

    step: int = 0
    skipped: int = 0
    skipped_in_row: int = 0
    pieces: int = 0
    seconds: float = 0.0
    window: dict[str, float] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None
    waited_validations: int = 0

    def count(self, **values: float) -> None:
        """Add values to the sums of the window."""
        for name, value in values.items():
            self.window[name] = self.window.get(name, 0.0) + value

    def advance(
        self, pieces: int, sentences: int, flops: int, seconds: float, waited: float
    ) -> None:
        """Count a step that is done."""
        self.step += 1
        self.pieces += pieces
        self.seconds += seconds
        self.count(pieces=pieces, sentences=sentences, flops=flops, seconds=seconds, waited=waited)


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: TrainingState,
    keep: int = 2,
) -> None:
    """Write a checkpoint and remove all but the newest ``keep``."""
    parameters = dict(model.named_parameters())
    moments = {
        f"{name}|{key}": value
        for name, parameter in parameters.items()
        for key, value in optimiser.state.get(parameter, {}).items()
    }
    with atomic_path(folder / f"step-{state.step:08d}") as temporary:
        temporary.mkdir()
        save_file({k: v.detach() for k, v in parameters.items()}, temporary / _MODEL)
        save_file(moments, temporary / "optimiser.safetensors")
        write_json(temporary / "state.json", vars(state))
        digests = {path.name: sha256_file(path) for path in sorted(temporary.iterdir())}
        write_json(temporary / _MARKER, digests)
    log.info("step %d: checkpoint written to %s", state.step, folder)
    for old in sorted(folder.glob("step-*"))[:-keep]:
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
        _restore(model, path / _MODEL)
        for key, value in load_file(path / "optimiser.safetensors").items():
            name, _, kind = key.rpartition("|")
            parameter = parameters[name]
            place = torch.device("cpu") if kind == "step" else parameter.device
            if kind == "step" and optimiser.defaults["fused"]:
                place = parameter.device  # fused AdamW counts where the parameter is
            optimiser.state[parameter][kind] = value.to(place)
        return TrainingState(**read_json(path / "state.json"))
    return None


def save_best(folder: Path, model: nn.Module) -> None:
    """Keep the parameters beside the checkpoints as the best so far."""
    with atomic_path(folder / _BEST) as temporary:
        save_file({k: v.detach() for k, v in model.named_parameters()}, temporary)


def load_best(folder: Path, model: nn.Module) -> None:
    """Restore the best parameters, if some were kept."""
    if (folder / _BEST).is_file():
        _restore(model, folder / _BEST)


def _restore(model: nn.Module, path: Path) -> None:
    saved = load_file(path)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(saved[name])


def dump_batch(path: Path, batches: Sequence[Any]) -> None:
    """Keep the tensors of a step's parts, for whoever looks for the cause of a failure.

    Args:
        path: the file; a tensor's name is its place, such as ``0.parts.alignment.anchors.nodes``.
        batches: dataclasses of tensors, tuples, mappings and other such dataclasses.
    """
    found: dict[str, torch.Tensor] = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found[name] = value.contiguous().cpu()
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                walk(f"{name}.{key}", inner)
        elif isinstance(value, tuple | list):
            for place, inner in enumerate(value):
                walk(f"{name}.{place}", inner)
        elif is_dataclass(value):
            for one in fields(value):
                walk(f"{name}.{one.name}", getattr(value, one.name))

    for number, batch in enumerate(batches):
        walk(str(number), batch)
    with atomic_path(path) as temporary:
        save_file(found, temporary)


def _is_whole(path: Path) -> bool:
    try:
        digests = read_json(path / _MARKER)
        return all(sha256_file(path / name) == digest for name, digest in digests.items())
    except (OSError, ValueError):
        return False
