"""The rule ``pretrain_train``: one flat loop from tokenised text to a trained model."""

from __future__ import annotations

import logging
import math
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import nn

import balign
from balign.digest import code_digest
from balign.errors import BalignError, DataError
from balign.files import canonical_json, sha256_file, text_digest
from balign.graph.csr import Graph
from balign.pretrain.batches import Order, Stream, Vocabulary, generator
from balign.pretrain.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from balign.pretrain.data import node_digests, open_tokens
from balign.pretrain.encoder import (
    EncoderFolder,
    load_text_encoder,
    load_tokenizer,
    resolve_encoder,
)
from balign.pretrain.export import export_model
from balign.pretrain.objectives import OBJECTIVES, Batch, MlmObjective, TrainingData
from balign.pretrain.optimise import (
    build_optimiser,
    choose_precision,
    pretrained_parameters,
    rate_factor,
    warmup_steps,
)
from balign.pretrain.settings import ModelSettings
from balign.progress import track

log = logging.getLogger(__name__)

_MOST_SKIPPED_IN_ROW = 10
_GRAPH_FILES = (
    "concepts.txt",
    "relations.txt",
    "indptr.npy",
    "indices.npy",
    "relations.npy",
    "name_indptr.npy",
    "names.parquet",
)


class TrainingInterrupted(BalignError):
    """A signal asked the run to stop; its state is saved and the next call goes on from it."""


@dataclass(frozen=True)
class Intervals:
    """Steps between two lines of metrics, two checkpoints and two validations."""

    log: int = 10
    checkpoint: int = 100
    validate: int = 50


def pretrain_train(
    settings: ModelSettings,
    encoder: Path,
    tokens: Path,
    graph: Path,
    output: Path,
    checkpoints: Path,
    every: Intervals = Intervals(),
    threads: int | None = None,
) -> None:
    """Train a model and write its folder.

    The same settings, data, code and number of threads give the same model on a processor, whether
    or not the run was stopped and resumed in between.

    Args:
        settings: of the run.
        encoder: a source's ``MANIFEST.json`` or a Hugging Face folder.
        tokens: folder of ``pretrain_tokenize`` made with the same encoder.
        graph: folder of the graph.
        output: the model's folder.
        checkpoints: folder under which the run keeps its checkpoints in a folder named by the
            digest of all that influences the result; that one is removed when the model is written.
        every: intervals in steps.
        threads: processor threads; None leaves PyTorch's choice.

    Raises:
        DataError: if the parts do not belong together.
        TrainingInterrupted: after SIGTERM or SIGUSR1.
        BalignError: if ten steps in a row have a loss that is not finite.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    source = resolve_encoder(encoder)
    data, counts = _open_data(source, tokens, graph)
    precision = choose_precision(settings.precision, device)
    facts = {
        "settings": settings.model_dump(mode="json"),
        "encoder": {"name": source.name, "facts": source.facts, "digests": source.digests()},
        "tokens": counts["digest"],
        "graph": {
            "nodes": len(data.graph),
            "relations": len(data.graph.relations),
            "digests": {name: sha256_file(graph / name) for name in _GRAPH_FILES},
        },
        "code": code_digest(__name__),
        "precision": precision,
    }
    digest = text_digest(canonical_json(facts))

    torch.manual_seed(settings.seed)  # for the initial values of what is new
    arrays = data.arrays
    pieces = np.bincount(arrays.tokens, minlength=data.vocabulary.size).astype(np.int64)
    text, new_head = load_text_encoder(source.path, pieces)
    objective = OBJECTIVES[settings.objective](text, data, settings).to(device)
    run = _Run(objective, pretrained_parameters(text, new_head), precision, every)
    folder = checkpoints / f"{settings.name}-{digest}"
    state = run.train(folder)
    facts |= {
        "digest": digest,
        "device": device.type,
        "threads": torch.get_num_threads(),
        "balign": balign.__version__,
        "torch": torch.__version__,
        "counts": counts,
        "steps": state.step,
        "skipped": state.skipped,
        "seconds": round(state.seconds, 1),
        "pieces": state.pieces,
        "new_head": new_head,
        "parameters": sum(parameter.numel() for parameter in objective.parameters()),
    }
    export_model(objective, source, facts, state.lines, output)
    shutil.rmtree(folder, ignore_errors=True)
    log.info(
        "%s: %d steps in %.0f s, written to %s", settings.name, state.step, state.seconds, output
    )


def _open_data(
    source: EncoderFolder, tokens: Path, graph_folder: Path
) -> tuple[TrainingData, dict[str, Any]]:
    """Open text, graph and vocabulary, and check that they belong together."""
    arrays, counts = open_tokens(tokens)
    graph = Graph.open(graph_folder)
    tokenizer = load_tokenizer(source.path)
    if counts["tokenizer"] != source.digests().get("tokenizer.json"):
        raise DataError(
            f"the text was tokenised for another encoder than '{source.name}'",
            where=str(tokens),
            hint="tokenise it with this encoder",
        )
    if counts["graph"] != node_digests(graph_folder):
        raise DataError(
            f"the text was tokenised with another graph than {graph_folder}",
            where=str(tokens),
            hint="tokenise it with this graph",
        )
    if len(arrays.train) == 0:
        raise DataError("no sentence to train on", where=str(tokens))
    vocabulary = Vocabulary(
        len(tokenizer),
        int(tokenizer.pad_token_id),
        int(tokenizer.mask_token_id),
        np.array(sorted(tokenizer.all_special_ids), dtype=np.int64),
    )
    return TrainingData(arrays, graph, vocabulary), counts


class _Run:
    """The loop, with what it needs at every step."""

    def __init__(
        self,
        objective: MlmObjective,
        pretrained: list[nn.Parameter],
        precision: str,
        every: Intervals,
    ) -> None:
        self.objective, self.pretrained, self.every = objective, pretrained, every
        self.settings, self.device = objective.settings, objective.device
        self.bf16 = precision == "bf16"
        self.optimiser = build_optimiser(objective, pretrained, self.settings)
        arrays = objective.data.arrays
        rows = np.asarray(arrays.train)
        lengths = np.diff(arrays.token_indptr)[rows]
        self.order = Order(rows, lengths, self.settings.batch_sentences, self.settings.seed)
        has_new = len(pretrained) < len(list(objective.parameters()))
        self.frozen = self.settings.warmup_encoder_frozen if has_new else 0

    def train(self, folder: Path) -> TrainingState:
        """Train from the newest checkpoint in ``folder``, or from the start, to the last step."""
        settings, every = self.settings, self.every
        with _stop_signal() as stop, ThreadPoolExecutor(max_workers=1) as beside:
            state = load_checkpoint(folder, self.objective, self.optimiser)
            if state is None:
                state = TrainingState()
                self._validate(state)
            else:
                log.info("%s: going on from step %d", settings.name, state.step)
            waiting = beside.submit(self._prepare, state.step)
            for step in track(range(state.step, settings.steps), f"steps of {settings.name}"):
                begin = time.perf_counter()
                batch = waiting.result()
                waited = time.perf_counter() - begin
                if step + 1 < settings.steps:
                    waiting = beside.submit(self._prepare, step + 1)
                self._step(step, batch, state)
                state.advance(
                    pieces=batch.pieces,
                    sentences=len(batch.text.ids),
                    seconds=time.perf_counter() - begin,
                    waited=waited,
                )
                last = state.step == settings.steps
                if state.step % every.log == 0 or last:
                    self._log(state)
                if state.step % every.validate == 0 or last:
                    self._validate(state)
                if not last and (stop or state.step % every.checkpoint == 0):
                    save_checkpoint(folder, self.objective, self.optimiser, state)
                if stop and not last:
                    raise TrainingInterrupted(
                        f"{settings.name} was stopped by {stop[0]} after step {state.step}",
                        where=str(folder),
                        hint="run the same command again to go on",
                    )
        return state

    def _prepare(self, step: int) -> Batch:
        return self.objective.prepare(self.order.batch(step), Stream.TRAIN, step)

    def _step(self, step: int, batch: Batch, state: TrainingState) -> None:
        """Do one optimiser step; one whose loss or gradient is not finite is left out."""
        settings = self.settings
        # Dropout of a step depends on the seed and the step alone: a resumed run needs no state.
        seed = int(generator(settings.seed, Stream.TORCH, step).integers(2**62))
        torch.manual_seed(seed)
        self.objective.train()
        for parameter in self.pretrained:
            parameter.requires_grad_(step >= self.frozen)
        for group in self.optimiser.param_groups:
            start = 0 if group["new"] else self.frozen
            factor = rate_factor(step, settings.steps, warmup_steps(settings), start)
            group["lr"] = group["peak"] * factor
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            parts = self.objective.losses(batch.to(self.device))
        weights = self.objective.weights
        loss = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        clip = nn.utils.clip_grad_norm_
        norm = clip(self.objective.parameters(), settings.gradient_clip).item()
        total = loss.item()
        if math.isfinite(total) and math.isfinite(norm):
            self.optimiser.step()
            state.skipped_in_row = 0
            state.count(steps=1, loss=total, gradient_norm=norm)
            state.count(**{name: part.item() for name, part in parts.items()})
        else:
            state.skipped += 1
            state.skipped_in_row += 1
            log.warning("step %d: loss %s, left out", step + 1, total)
            if state.skipped_in_row == _MOST_SKIPPED_IN_ROW:
                raise BalignError(
                    f"{settings.name}: the loss of {_MOST_SKIPPED_IN_ROW} steps in a row is not a "
                    "finite number",
                    where=f"step {step + 1}",
                    hint="lower pretrain.models[...].learning_rate or learning_rate_new",
                )
        self.optimiser.zero_grad(set_to_none=True)

    def _log(self, state: TrainingState) -> None:
        """Add a line of metrics: means and speeds since the last one."""
        window, state.window = state.window, {}
        done = window.pop("steps", 0.0)
        seconds, waited = window.pop("seconds"), window.pop("waited")
        pieces, sentences = window.pop("pieces"), window.pop("sentences")
        groups = self.optimiser.param_groups
        rates = {
            "learning_rate_new" if group["new"] else "learning_rate": group["lr"]
            for group in groups
        }
        means = {name: value / done for name, value in window.items()}
        speeds = {
            "pieces_per_second": pieces / seconds,
            "sentences_per_second": sentences / seconds,
            "data_wait_share": waited / seconds,
        }
        line = {"step": state.step, "split": "train", "skipped": state.skipped}
        state.lines.append({**line, **means, **rates, **speeds})
        shown = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
        log.info(
            "step %d of %d: %s; %.1f sentences/s", state.step, self.settings.steps, shown,
            speeds["sentences_per_second"],
        )  # fmt: skip

    def _validate(self, state: TrainingState) -> None:
        """Add a line of metrics on the validation sentences, if there are any."""
        if len(self.objective.data.arrays.validation) == 0:
            return
        begin = time.perf_counter()
        self.objective.eval()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            figures = self.objective.validate()
        loss = sum(weight * figures[name] for name, weight in self.objective.weights.items())
        spent = time.perf_counter() - begin
        state.seconds += spent
        line = {"step": state.step, "split": "validation", "loss": loss, "seconds": spent}
        state.lines.append({**line, **figures})
        shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        log.info("step %d, validation: %s", state.step, shown)


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
