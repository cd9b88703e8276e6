"""Fine-tuning by transformers' Trainer, the same for every family.

Batches hold examples of like length, so that little is padded (benchmarks/evaluate/finetune.py);
after each pass the development examples are scored and the best weights are kept in memory.
Inference is in fp32 and in batches by length, so that a prediction depends on its example alone.
"""

from __future__ import annotations

import itertools
import logging
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from torch import nn

from balign.embedding import Encoder, load_encoder
from balign.evaluate.heads import Item, Kind, Model, collate
from balign.evaluate.task_settings import FineTuning
from balign.precision import choose_precision
from balign.progress import track

log = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]

_TOKENS_A_BATCH = 8192  # of inference
_SECONDS_BETWEEN_LINES = 10
_BLOCK = 16  # batches among which texts of like length are put together


@dataclass(frozen=True)
class Problem:
    """What a family asks of the engine.

    Attributes:
        kind: kind of answer.
        outputs: number of labels; 1 for ``option`` and ``number``.
        train: items to train on.
        dev: items to choose by; empty: the weights of the last step are taken.
        score: logits of each dev item -> the figure to maximise.
        anchors: states that the head reads together.
        bias: first value of the head's bias ``[outputs]``; zeros where absent.
    """

    kind: Kind
    outputs: int
    train: Sequence[Item]
    dev: Sequence[Item]
    score: Callable[[list[FloatArray]], float]
    anchors: int = 1
    bias: FloatArray | None = None


@dataclass
class Tuned:
    """A fine-tuned model and how it came about.

    Attributes:
        model: with the best weights.
        encoder: its tokenizer and device.
        kind: kind of answer.
        history: figure on development after each pass.
        facts: hyperparameters taken, steps, seconds, word pieces a second, best pass.
    """

    model: Model
    encoder: Encoder
    kind: Kind
    history: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def predict(self, items: Sequence[Item], what: str = "batches predicted") -> list[FloatArray]:
        """Return the logits of each item, as :func:`predict` does."""
        return predict(self.model, self.encoder, self.kind, items, what)


def open_encoder(folder: Path, markers: Sequence[str] = ()) -> Encoder:
    """Load the encoder to fine-tune; the one place where these families do.

    Args:
        folder: Hugging Face folder.
        markers: strings that become word pieces of their own; each starts at the mean of the pieces
            that it would be cut into.

    Raises:
        DataError: if the folder is not a model that transformers can read.
    """
    encoder = load_encoder(folder)
    tokenizer, model = encoder.tokenizer, encoder.model
    old = [tokenizer(marker, add_special_tokens=False)["input_ids"] for marker in markers]
    if tokenizer.add_tokens(list(markers), special_tokens=True):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        table = model.get_input_embeddings().weight
        with torch.no_grad():
            for marker, pieces in zip(markers, old, strict=True):
                table[tokenizer.convert_tokens_to_ids(marker)] = table[pieces].mean(dim=0)
    return encoder


def longest_input(encoder: Encoder, wanted: int) -> int:
    """Return the most word pieces that an encoder takes, at most ``wanted``."""
    positions: int = encoder.model.config.max_position_embeddings
    if encoder.model.config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= 2  # its positions count from the one after the padding's
    return min(wanted, positions)


def fine_tune(
    make: Callable[[], Encoder], problem: Problem, settings: FineTuning, seed: int
) -> Tuned:
    """Fine-tune once, or once for each point of the grid, and return the best on development.

    Args:
        make: gives the encoder as it was before, anew for each point.
        problem: what to learn.
        settings: how.
        seed: of the head's weights, the order of examples, and dropout.
    """
    best: Tuned | None = None
    trials = []
    for point in grid_points(settings):
        tuned = _fine_tune_once(make(), problem, point, seed)
        chosen = {key: getattr(point, key) for key in ("learning_rate", "batch_size", "epochs")}
        figure = max(tuned.history) if tuned.history else math.nan
        trials.append({**chosen, "dev": figure})
        tuned.facts |= chosen
        if best is None or figure > max(best.history):
            best = tuned
    assert best is not None
    if len(trials) > 1:
        best.facts["trials"] = trials
    return best


def grid_points(settings: FineTuning) -> Iterator[FineTuning]:
    """Yield the settings with each combination of the grid's values, or as they are without any."""
    grid = settings.grid
    for rate, size, epochs in itertools.product(
        grid.learning_rate or (settings.learning_rate,),
        grid.batch_size or (settings.batch_size,),
        grid.epochs or (settings.epochs,),
    ):
        yield settings.model_copy(
            update={"learning_rate": rate, "batch_size": size, "epochs": epochs}
        )


def _fine_tune_once(encoder: Encoder, problem: Problem, settings: FineTuning, seed: int) -> Tuned:
    transformers.set_seed(seed)
    model = Model(
        encoder.model, problem.kind, problem.outputs, problem.anchors, settings.dropout
    ).to(encoder.device)
    if problem.bias is not None:
        with torch.no_grad():
            model.head.bias.copy_(torch.from_numpy(problem.bias))
    tuned = Tuned(model, encoder, problem.kind)
    keeper = _BestWeights(tuned, problem, settings.patience)
    with tempfile.TemporaryDirectory() as folder:  # the Trainer wants one; nothing is saved there
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=max(1, settings.batch_size // settings.accumulation),
            gradient_accumulation_steps=settings.accumulation,
            num_train_epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            warmup_steps=settings.warmup,
            lr_scheduler_type="linear",
            max_grad_norm=1.0,
            seed=seed,
            use_cpu=encoder.device.type == "cpu",
            bf16=choose_precision(settings.precision, encoder.device) == "bf16",
            save_strategy="no",
            logging_strategy="epoch",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
        )
        arguments._n_gpu = 1  # the Trainer would split batches among all that it sees
        trainer = _Trainer(
            model,
            list(problem.train),
            settings.head_rate,
            args=arguments,
            data_collator=lambda items: collate(
                items, problem.kind, encoder.tokenizer.pad_token_id
            ),
            callbacks=[keeper],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        started = time.perf_counter()
        trainer.train()
    keeper.restore()
    pieces = sum(len(one.ids) for item in problem.train for one in item.sequences)
    passes = len(keeper.seconds)
    tuned.facts |= {
        "steps": trainer.state.global_step,
        "passes": passes,
        "best_pass": keeper.best_pass,
        "dev": tuned.history,
        "train_seconds": round(sum(keeper.seconds), 1),
        "pieces_per_second": round(pieces * passes / max(1e-9, sum(keeper.seconds))),
    }
    log.info("fine-tuned in %.0f s: %s", time.perf_counter() - started, tuned.facts)
    return tuned


class _Trainer(transformers.Trainer):
    """Trainer with batches of like length, and a learning rate of its own for the head."""

    def __init__(self, tuned: Model, items: list[Item], head_rate: float, **values: Any) -> None:
        super().__init__(model=tuned, train_dataset=items, **values)
        self._tuned = tuned
        self._items = items
        self._head_rate = head_rate

    def get_train_dataloader(self) -> torch.utils.data.DataLoader[Any]:
        batches = LengthGrouped(
            [item.length for item in self._items],
            self.args.per_device_train_batch_size,
            self.args.seed,
            self.args.gradient_accumulation_steps,
        )
        return torch.utils.data.DataLoader(
            self._items,  # type: ignore[arg-type]
            batch_sampler=batches,
            collate_fn=self.data_collator,
        )

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            rate, decay = self.args.learning_rate, self.args.weight_decay
            parts = ((self._tuned.encoder, rate), (self._tuned.head, rate * self._head_rate))
            self.optimizer = torch.optim.AdamW(
                [
                    {
                        "params": [one for one in part.parameters() if (one.ndim > 1) == matrices],
                        "lr": peak,
                        "weight_decay": decay if matrices else 0.0,
                    }
                    for part, peak in parts
                    for matrices in (True, False)
                ],
                fused=True,
            )
        return self.optimizer


class LengthGrouped(torch.utils.data.Sampler[list[int]]):
    """Batches of positions, anew at each pass, each of texts of like length.

    The texts are shuffled, sorted by length within blocks of 16 steps, and cut: little is padded
    and the batches still differ from pass to pass. The parts of one step stay together.
    """

    def __init__(self, lengths: Sequence[int], size: int, seed: int, parts: int = 1) -> None:
        self._lengths = lengths
        self._size = size
        self._seed = seed
        self._parts = parts
        self._passes = 0

    def __len__(self) -> int:
        return math.ceil(len(self._lengths) / self._size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self._seed, self._passes])
        self._passes += 1
        step = self._size * self._parts
        order = rng.permutation(len(self._lengths)).tolist()
        steps = []
        for start in range(0, len(order), _BLOCK * step):
            block = sorted(order[start : start + _BLOCK * step], key=self._lengths.__getitem__)
            steps += [block[begin : begin + step] for begin in range(0, len(block), step)]
        # A step that is short goes last, or the parts of the steps after it would shift.
        short = steps.pop() if len(steps[-1]) < step else None
        shuffled = [steps[row] for row in rng.permutation(len(steps))]
        for one in [*shuffled, *([short] if short else [])]:
            for begin in range(0, len(one), self._size):
                yield one[begin : begin + self._size]


class _BestWeights(transformers.TrainerCallback):
    """After each pass: score development, keep the best weights, say when to stop."""

    def __init__(self, tuned: Tuned, problem: Problem, patience: int | None) -> None:
        self._tuned = tuned
        self._problem = problem
        self._patience = patience
        self._weights: dict[str, torch.Tensor] | None = None
        self._began = 0.0
        self._told = time.perf_counter()
        self.best_pass = 0
        self.seconds: list[float] = []

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if time.perf_counter() - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = time.perf_counter()
            log.info("fine-tuning steps: %d of %d", state.global_step, state.max_steps)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.seconds.append(time.perf_counter() - self._began)
        if not self._problem.dev:
            log.info("pass %d, step %d", len(self.seconds), state.global_step)
            self.best_pass = len(self.seconds)
            return
        history = self._tuned.history
        figure = self._problem.score(self._tuned.predict(self._problem.dev, "dev batches"))
        self._tuned.model.train()
        better = not history or figure > max(history)
        history.append(figure)
        loss = next((one["loss"] for one in reversed(state.log_history) if "loss" in one), None)
        log.info(
            "pass %d, step %d: development %.4f, loss %s",
            len(history), state.global_step, figure, "-" if loss is None else f"{loss:.4f}",
        )  # fmt: skip
        if better:
            self.best_pass = len(history)
            states = self._tuned.model.state_dict()
            self._weights = {key: one.detach().cpu().clone() for key, one in states.items()}
        if self._patience is not None and len(history) - self.best_pass >= self._patience:
            control.should_training_stop = True

    def restore(self) -> None:
        """Give the model its best weights."""
        if self._weights is not None and self.best_pass < len(self._tuned.history):
            self._tuned.model.load_state_dict(self._weights)
        self._tuned.model.eval()


def predict(
    model: Model, encoder: Encoder, kind: Kind, items: Sequence[Item], what: str
) -> list[FloatArray]:
    """Return the logits of each item: ``[anchors, outputs]``, ``[options]`` or ``[outputs]``."""
    model.eval()
    found: list[FloatArray] = [np.empty(0, dtype=np.float32)] * len(items)
    with torch.inference_mode():
        for rows in track(inference_batches(items), what):
            batch = collate([items[row] for row in rows], kind, encoder.tokenizer.pad_token_id)
            logits = model(**on_device(batch, encoder.device))["logits"].cpu().numpy()
            if kind == "words":
                ends = np.cumsum([len(items[row].sequences[0].anchors) for row in rows])
                parts = np.split(logits, ends[:-1])
            else:
                sizes = batch["sizes"] if kind == "option" else [logits.shape[1]] * len(rows)
                parts = [one[:size] for one, size in zip(logits, sizes, strict=True)]
            for row, part in zip(rows, parts, strict=True):
                found[row] = part
    return found


def on_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return a batch with its tensors on a device."""
    anchors = batch["anchors"]
    return {
        "inputs": {key: one.to(device) for key, one in batch["inputs"].items()},
        "anchors": None if anchors is None else anchors.to(device),
        "sizes": batch["sizes"],
        "targets": batch["targets"].to(device),
    }


def inference_batches(items: Sequence[Item]) -> list[list[int]]:
    """Return batches of positions: items by length, about 8,192 word pieces each."""
    batches: list[list[int]] = []
    sequences = 0
    for row in sorted(range(len(items)), key=lambda one: items[one].length):
        # The newest is the longest, and all are padded to it.
        sequences += len(items[row].sequences)
        if batches and sequences * items[row].length <= _TOKENS_A_BATCH:
            batches[-1].append(row)
        else:
            batches.append([row])
            sequences = len(items[row].sequences)
    return batches
