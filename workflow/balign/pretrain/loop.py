"""The training loop: one flat pass over steps, whatever the objectives and processes."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from balign.errors import BalignError
from balign.pretrain.batches import Order, Stream, Visit, generator
from balign.pretrain.checkpoint import (
    TrainingState,
    dump_batch,
    load_best,
    load_checkpoint,
    save_best,
    save_checkpoint,
)
from balign.pretrain.model import Batch, PretrainModel
from balign.pretrain.optimise import build_optimiser, rate_factor, warmup_steps
from balign.pretrain.processes import Processes
from balign.pretrain.speed import MEASURED, find_peak, speeds, told
from balign.pretrain.trackers import Tracker
from balign.progress import track

log = logging.getLogger(__name__)


class TrainingInterrupted(BalignError):
    """A signal asked the run to stop; its state is saved and the next call goes on from it."""


@dataclass(frozen=True)
class Upkeep:
    """What a run does beside training, without influence on the model.

    Attributes:
        log, checkpoint, validate: steps between two lines of metrics, two checkpoints and two
            validations.
        keep: newest checkpoints kept.
        most_skipped: steps in a row that are not finite before the run stops.
    """

    log: int = 10
    checkpoint: int = 100
    validate: int = 50
    keep: int = 2
    most_skipped: int = 10


class Run:
    """The loop, with what it needs at every step."""

    def __init__(
        self,
        model: PretrainModel,
        pretrained: list[nn.Parameter],
        precision: str,
        upkeep: Upkeep,
        processes: Processes,
    ) -> None:
        """Prepare a run.

        Args:
            model: to train in place; the same in all processes.
            pretrained: its parameters that come from the checkpoint.
            precision: ``fp32`` or ``bf16``.
            upkeep: of the run.
            processes: this process among those that share the run.

        Raises:
            BalignError: if a step may have fewer sentences than parts.
        """
        self.model, self.pretrained, self.upkeep = model, pretrained, upkeep
        self.processes = processes
        self.settings, self.device = model.settings, model.device
        self.bf16 = precision == "bf16"
        self.optimiser = build_optimiser(model, pretrained, self.settings)
        arrays = model.data.arrays
        rows = np.asarray(arrays.train)
        lengths = np.diff(arrays.token_indptr)[rows]
        self.order = Order(
            rows,
            lengths,
            self.settings.batch_sentences,
            self.settings.seed,
            self.settings.batch_tokens,
        )
        self.parts = self.settings.accumulate * processes.count
        if self.order.fewest < self.parts:
            raise BalignError(
                f"a step of {self.order.fewest} sentences cannot be cut into {self.parts} parts",
                where=f"pretrain.models[{self.settings.name}].batch_"
                + ("sentences" if self.settings.batch_tokens is None else "tokens"),
                hint="raise it, or use fewer processes or a lower accumulate",
            )
        has_new = len(pretrained) < len(list(model.parameters()))
        self.frozen = self.settings.warmup_encoder_frozen if has_new else 0
        self.names = [*model.weights, "loss"]
        self.peak = find_peak(self.device, precision, processes.count)
        log.info("utilisation (MFU) is told against %s", self.peak.name)
        self.called: nn.Module = model

    def train(
        self, folder: Path, open_trackers: Callable[[int], list[Tracker]] = lambda step: []
    ) -> TrainingState:
        """Train from the newest checkpoint in ``folder``, or from the start, to the last step.

        Args:
            folder: of the run's checkpoints.
            open_trackers: opens what takes the metrics besides, given the steps that are done.
        """
        settings, upkeep = self.settings, self.upkeep
        with (
            _stop_signal() as stop,
            ThreadPoolExecutor(max_workers=1) as beside,
            contextlib.ExitStack() as closing,
        ):
            state = load_checkpoint(folder, self.model, self.optimiser)
            if state is not None:
                log.info("%s: going on from step %d", settings.name, state.step)
            trackers = open_trackers(state.step if state else 0)
            for tracker in trackers:
                closing.callback(tracker.close)
            if state is None:
                state = TrainingState()
                self._validate(state, folder, trackers)
            self._thaw(frozen=state.step < self.frozen)
            waiting = beside.submit(self.prepare, state.step)
            late: _Late | None = None
            for step in track(range(state.step, settings.steps), f"steps of {settings.name}"):
                if state.waited_validations == (settings.patience or math.inf):
                    break
                begin = time.perf_counter()
                batches = waiting.result()
                waited = time.perf_counter() - begin
                if step + 1 < settings.steps:
                    waiting = beside.submit(self.prepare, step + 1)
                if step == self.frozen > 0:
                    self._thaw(frozen=False)
                done = _Late(step, batches, self.step(step, batches))
                self._account(late, state, folder)
                late = done
                count = self.processes.count
                state.advance(
                    pieces=sum(batch.seen for batch in batches) * count,
                    sentences=sum(batch.text.packed.texts for batch in batches) * count,
                    flops=sum(batch.flops for batch in batches) * count,
                    seconds=time.perf_counter() - begin,
                    waited=waited,
                )
                last = state.step == settings.steps
                logs, validates, saves = (
                    last or state.step % every == 0
                    for every in (upkeep.log, upkeep.validate, upkeep.checkpoint)
                )
                if logs or validates or saves:
                    self._account(late, state, folder)
                    late = None
                if logs:
                    self._log(state, trackers)
                if validates:
                    self._validate(state, folder, trackers)
                stopped = self.processes.any(bool(stop))
                if not last and (stopped or saves):
                    self._account(late, state, folder)
                    late = None
                    self._save(folder, state)
                if stopped and not last:
                    raise TrainingInterrupted(
                        f"{settings.name} was stopped by {(stop or ['a signal'])[0]} after step "
                        f"{state.step}",
                        where=str(folder),
                        hint="run the same command again to go on",
                    )
        if settings.patience is not None:
            load_best(folder, self.model)
        return state

    def prepare(self, step: int) -> list[Batch]:
        """Return the batches of this process's parts of a step; runs beside the step before."""
        rows, processes = self.order.batch(step), self.processes
        found = []
        for number in range(self.settings.accumulate):
            part = number * processes.count + processes.rank
            visit = Visit(self.settings.seed, Stream.TRAIN, step, part, self.parts)
            batch = self.model.prepare(rows[part :: self.parts], visit)
            found.append(batch.pin() if self.device.type == "cuda" else batch)
        return found

    def _thaw(self, frozen: bool) -> None:
        """Freeze or free what is pretrained, and let the processes average what is not frozen."""
        for parameter in self.pretrained:
            parameter.requires_grad_(not frozen)
        if self.processes.count > 1:
            on = [self.processes.local] if self.device.type == "cuda" else None
            # A batch without edges, say, leaves parameters without a gradient.
            self.called = DistributedDataParallel(self.model, on, find_unused_parameters=True)

    def step(self, step: int, batches: list[Batch]) -> Tensor:
        """Do one optimiser step; one whose loss or gradient is not finite leaves all as it was.

        A GPU is not waited for.

        Returns:
            The losses in ``names``' order, and the norm of the gradient.
        """
        settings = self.settings
        # Dropout of a step depends on the seed and the step alone: a resumed run needs no state.
        key = (settings.seed, Stream.TORCH, step, self.processes.rank)
        torch.manual_seed(int(generator(*key).integers(2**62)))
        self.model.train()
        for group in self.optimiser.param_groups:
            start = 0 if group["new"] else self.frozen
            factor = rate_factor(step, settings.steps, warmup_steps(settings), start)
            group["lr"] = group["peak"] * factor
        sums = torch.zeros(len(self.names), device=self.device)
        for number, batch in enumerate(batches):
            more = number + 1 < len(batches) and isinstance(self.called, DistributedDataParallel)
            with self.called.no_sync() if more else contextlib.nullcontext():  # type: ignore[operator]
                sums += self._backward(batch.to(self.device)) / len(batches)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), settings.gradient_clip)
        values = torch.cat([self.processes.mean(sums), norm[None]])
        # The fused optimiser reads this as a gradient scaler's finding, on the device.
        self.optimiser.found_inf = (~values.isfinite().all()).float()  # type: ignore[attr-defined]
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return values

    def _backward(self, batch: Batch) -> Tensor:
        """Add a part's gradients; return its losses and their weighted sum, in ``names``' order."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            losses = self.called(batch)
        weights = self.model.weights
        loss = torch.stack([weights[name] * losses[name] for name in weights]).sum()
        if not loss.requires_grad:
            raise BalignError(
                f"{self.settings.name} has nothing to train while its encoder is frozen",
                where="pretrain.models[...].warmup_encoder_frozen",
                hint="set it to 0: the objectives of this run have no new parameters",
            )
        (loss / self.settings.accumulate).backward()  # type: ignore[no-untyped-call]
        return torch.stack([*(losses[name].detach() for name in weights), loss.detach()])

    def _account(self, late: _Late | None, state: TrainingState, folder: Path) -> None:
        """Count a step that is done; after too many in a row left out keep the batch and stop."""
        if late is None:
            return
        *losses, norm = late.values()
        values = dict(zip(self.names, losses, strict=True))
        if all(map(math.isfinite, [*losses, norm])):
            state.skipped_in_row = 0
            state.count(steps=1, gradient_norm=norm, **values)
            return
        state.skipped += 1
        state.skipped_in_row += 1
        log.warning("step %d: loss %s, left out", late.step + 1, values["loss"])
        if state.skipped_in_row == self.upkeep.most_skipped:
            path = folder / f"not-finite-{late.step:08d}-{self.processes.rank}.safetensors"
            dump_batch(path, late.batches)
            raise BalignError(
                f"{self.settings.name}: the loss of {state.skipped_in_row} steps in a row is not a "
                "finite number",
                where=f"step {late.step + 1}; its batch is kept in {path}",
                hint="lower pretrain.models[...].learning_rate or learning_rate_new",
            )

    def _save(self, folder: Path, state: TrainingState) -> None:
        if self.processes.first:
            save_checkpoint(folder, self.model, self.optimiser, state, self.upkeep.keep)
        self.processes.wait()

    def _log(self, state: TrainingState, trackers: Sequence[Tracker]) -> None:
        """Add a line of metrics: means and speeds since the last one."""
        window, state.window = state.window, {}
        done = window.pop("steps", 0.0)
        sums = {name: window.pop(name) for name in MEASURED}
        groups = self.optimiser.param_groups
        rates = {
            "learning_rate_new" if group["new"] else "learning_rate": group["lr"]
            for group in groups
        }
        means = {name: value / done for name, value in window.items()}
        figures = speeds(sums, self.peak, self.device)
        line = {"step": state.step, "split": "train", "skipped": state.skipped}
        self._add(state, trackers, {**line, **means, **rates, **figures})
        shown = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
        log.info("step %d of %d: %s; %s", state.step, self.settings.steps, shown, told(figures))

    def _validate(self, state: TrainingState, folder: Path, trackers: Sequence[Tracker]) -> None:
        """Add a line of metrics on the validation sentences, if there are any."""
        if len(self.model.data.arrays.validation) == 0:
            return
        begin = time.perf_counter()
        self.model.eval()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            figures = self.model.validate()
        loss = sum(weight * figures[name] for name, weight in self.model.weights.items())
        spent = time.perf_counter() - begin
        state.seconds += spent
        line = {"step": state.step, "split": "validation", "loss": loss, "seconds": spent}
        self._add(state, trackers, {**line, **figures})
        if self.settings.patience is not None:
            if state.best is None or loss < state.best:
                state.best, state.waited_validations = loss, 0
                if self.processes.first:
                    save_best(folder, self.model)
            else:
                state.waited_validations += 1
        shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        log.info("step %d, validation: %s", state.step, shown)

    def _add(self, state: TrainingState, trackers: Sequence[Tracker], line: dict[str, Any]) -> None:
        state.lines.append(line)
        for tracker in trackers:
            tracker.add(line)


class _Late:
    """A step's figures, on their way from the device while that goes on to the next step."""

    def __init__(self, step: int, batches: list[Batch], values: Tensor) -> None:
        self.step, self.batches, self._event = step, batches, None
        self._values = values
        if values.is_cuda:
            self._values = torch.empty_like(values, device="cpu", pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def values(self) -> list[float]:
        """Return the figures, when they have come."""
        if self._event is not None:
            self._event.synchronize()
        found: list[float] = self._values.tolist()
        return found


@contextmanager
def _stop_signal() -> Iterator[list[str]]:
    """Yield a list that holds the name of SIGTERM or SIGUSR1 once it has come.

    Slurm sends SIGTERM before it ends or preempts a job, and SIGUSR1 where ``--signal`` asks it.
    """
    came: list[str] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(signal.Signals(number).name)

    numbers = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
