"""How fast BALI-GNN trains at the published settings: balign against a naive implementation.

    python -m benchmarks.pretrain.bali --encoder minilm --batch 64
    python -m benchmarks.pretrain.bali --encoder bert-base --batch 16 --steps 2
    python -m benchmarks.pretrain.bali --encoder bert-base --batch 256 --device cuda   # a GPU

Real sentences, mentions, names and neighbours of the demo's run (``--tokens``, ``--graph``); 128
word pieces a sentence at most, 32 a name, 3 neighbours, GATv2 of 5 layers with 2 heads. First both
compute the losses of the same step, same masks, names and neighbours, without dropout, which must
agree; then they train in turn. The baseline is ``naive.py``, beside this file.
"""

from __future__ import annotations

import argparse
import copy
import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.nn import GATv2Conv

from balign.graph.csr import Graph
from balign.pretrain.batches import Vocabulary
from balign.pretrain.data import open_tokens
from balign.pretrain.encoder import TextEncoder, load_text_encoder, quiet_transformers
from balign.pretrain.loop import Run, Upkeep
from balign.pretrain.losses import alignment_loss, pool_texts
from balign.pretrain.model import Batch, PretrainModel
from balign.pretrain.objectives.alignment import AlignmentBatch, AlignmentObjective, pool
from balign.pretrain.objectives.base import Sentences, TrainingData
from balign.pretrain.objectives.mlm import MlmObjective
from balign.pretrain.optimise import choose_precision, pretrained_parameters
from balign.pretrain.packing import pack
from balign.pretrain.processes import Processes
from balign.pretrain.settings import AlignmentSettings, Gatv2Settings, MlmSettings, ModelSettings
from balign.pretrain.speed import TextCost, find_peak
from balign.pretrain.subgraphs import SubgraphBatch
from benchmarks.measure import show
from benchmarks.pretrain import naive

MINILM = Path("data/sources/minilm/v2")  # where the demo puts it
WORDPIECES = Vocabulary(30522, 0, 103, np.array([0, 100, 101, 102, 103]))  # bert-base-uncased
SIZES: dict[str, dict[str, int]] = {
    "minilm": {
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
    "bert-base": {},  # BertConfig's own
}
COLUMNS = ("batch", "who", "s a step", "processor s", "sentences/s", "pieces/s", "MFU", "ratio")


@dataclass
class Took:
    """What the steps of one contestant took."""

    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)
    flops: list[int] = field(default_factory=list)


def main() -> None:
    """Check that the losses agree, time both, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", choices=[*SIZES], default="minilm")
    parser.add_argument("--weights", type=Path, default=MINILM, help="MiniLM's folder, if there")
    parser.add_argument("--batch", type=int, nargs="+", default=[64], help="sentences in a step")
    parser.add_argument("--steps", type=int, default=3, help="measured, after one not measured")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--threads", type=int, help="of the processor; PyTorch's choice by default")
    parser.add_argument("--only", choices=["balign", "naive"], help="time one alone")
    parser.add_argument("--gpu-rows", action="store_true", help="a GPU's rows, measured if there")
    results = Path("results/demo")
    parser.add_argument("--tokens", type=Path, default=results / "pretrain/tokens/minilm")
    parser.add_argument("--graph", type=Path, default=results / "graph")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.gpu_rows and not torch.cuda.is_available():
        rows = [
            (encoder, batch, who, "not measured", "not measured")
            for encoder in SIZES
            for batch in (64, 256)
            for who in ("naive", "balign")
        ]
        show("One GPU, bf16", ("encoder", "batch", "who", "sentences/s", "MFU"), rows)
        return
    for encoder in SIZES if arguments.gpu_rows else (arguments.encoder,):
        for batch in (64, 256) if arguments.gpu_rows else arguments.batch:
            bench(encoder, batch, arguments)
            gc.collect()


def bench(encoder: str, batch: int, arguments: argparse.Namespace) -> None:
    """Compare at one size, and print where balign's time goes."""
    device = torch.device(arguments.device)
    precision = choose_precision(arguments.precision, device)
    data = TrainingData(
        open_tokens(arguments.tokens)[0], Graph.open(arguments.graph), WORDPIECES, None
    )
    run = build(encoder, batch, arguments.weights, precision, device, data)
    model = run.model
    rival = twin(model).to(device)
    compare_losses(model, rival, run.prepare(0)[0], device)
    peak = find_peak(device, precision)
    contestants = {"naive": naive_steps(rival, data, batch, run), "balign": our_steps(run)}
    if arguments.only:
        contestants = {arguments.only: contestants[arguments.only]}
    took = race(contestants, arguments.steps, device)
    rows = []
    for who, one in took.items():
        seconds = sum(one.seconds)
        base = sum(took["naive"].seconds) if "naive" in took else seconds
        rows.append(
            (
                batch,
                who,
                seconds / arguments.steps,
                sum(one.processor) / arguments.steps,
                batch * arguments.steps / seconds,
                sum(one.pieces) / seconds,
                sum(one.flops) / seconds / peak.flops,
                base / seconds,
            )
        )
    show(f"{encoder}, {precision}; MFU against {peak.name}", COLUMNS, rows)
    if arguments.only != "naive":
        parts = components(run, arguments.steps)
        whole = sum(seconds for name, seconds in parts.items() if name not in ("floor", "data"))
        shares = [(name, seconds, seconds / whole) for name, seconds in parts.items()]
        show(f"A step of balign, {encoder}, batch {batch}", ("part", "seconds", "share"), shares)


def build(
    encoder: str,
    batch: int,
    weights: Path,
    precision: str,
    device: torch.device,
    data: TrainingData,
) -> Run:
    """Return balign's engine at the published settings."""
    graph = Gatv2Settings(
        type="gatv2", neighbours=3, layers=5, heads=2, relations=False, residual=False
    )
    settings = ModelSettings(
        name="bench",
        objectives=(MlmSettings(type="mlm"), AlignmentSettings(type="alignment", graph=graph)),
        steps=65_000,
        batch_sentences=batch,
    )
    torch.manual_seed(settings.seed)
    if encoder == "minilm" and (weights / "config.json").is_file():
        text, new_head = load_text_encoder(weights)
    else:
        from transformers import BertConfig, BertForMaskedLM

        with quiet_transformers():
            text, new_head = TextEncoder(BertForMaskedLM(BertConfig(**SIZES[encoder]))), False
    model = PretrainModel(text, data, settings).to(device)
    pretrained = pretrained_parameters(text, new_head)
    return Run(model, pretrained, precision, Upkeep(), Processes())


def twin(model: PretrainModel) -> naive.NaiveBali:
    """Return the naive model with the same weights."""
    bert = copy.deepcopy(model.text.model)
    bert.set_attn_implementation("sdpa")
    alignment = model.objectives["alignment"]
    assert isinstance(alignment, AlignmentObjective)
    rival = naive.NaiveBali(bert, alignment.settings.temperature)
    ours = [m for m in alignment.graph_encoder.modules() if isinstance(m, GATv2Conv)]
    for layer, one in zip(rival.layers, ours, strict=True):
        layer.load_state_dict(one.state_dict())
    linear, norm, _ = rival.output
    linear.load_state_dict(alignment.graph_encoder.linear.state_dict())
    norm.load_state_dict(alignment.graph_encoder.norm.state_dict())
    return rival


def same_inputs(batch: Batch) -> dict[str, Any]:
    """Return a batch of balign's as the naive model takes it."""
    text, part = batch.text, batch.parts["alignment"]
    assert isinstance(part, AlignmentBatch) and isinstance(part.stars, SubgraphBatch)
    owner, place = text.packed.owner, text.packed.places
    ids = torch.zeros(text.packed.texts, naive.LENGTH, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    ids[owner, place], mask[owner, place] = text.packed.ids, 1
    labels[owner[text.masked], place[text.masked]] = text.labels
    mentions = []
    for anchor in range(len(part.anchors.nodes)):
        positions = part.anchors.positions[part.anchors.owner == anchor]
        mentions.append((int(owner[positions[0]]), place[positions].tolist()))
    names = part.stars.packed
    name_ids = torch.zeros(names.texts, naive.NAME_LENGTH, dtype=torch.long)
    name_mask = torch.zeros_like(name_ids)
    name_ids[names.owner, names.places], name_mask[names.owner, names.places] = names.ids, 1
    return {
        "ids": ids,
        "mask": mask,
        "labels": labels,
        "mentions": mentions,
        "concepts": part.anchors.nodes,
        "name_ids": name_ids[part.stars.names],
        "name_mask": name_mask[part.stars.names],
        "edges": part.stars.edges,
    }


@torch.no_grad()
def compare_losses(
    model: PretrainModel, rival: naive.NaiveBali, batch: Batch, device: torch.device
) -> None:
    """Check that both have the same losses on the same inputs, in float32 without dropout.

    Raises:
        SystemExit: if they differ.
    """
    model.eval()
    rival.eval()
    theirs = rival(naive.to(same_inputs(batch), device))
    ours = model(batch.to(device))
    for name, value in zip(("mlm", "alignment"), theirs, strict=True):
        one, other = float(ours[name]), float(value)
        print(f"{name} loss on the same inputs: balign {one:.6f}, naive {other:.6f}")
        if abs(one - other) > 1e-4 * max(1, abs(other)):
            raise SystemExit(f"the {name} losses differ")


def our_steps(run: Run) -> Iterator[Callable[[], tuple[int, int]]]:
    """Yield steps of balign's loop: the batch is made beside the step before."""
    with ThreadPoolExecutor(max_workers=1) as beside:
        waiting = beside.submit(run.prepare, 1)

        def step(number: int) -> tuple[int, int]:
            nonlocal waiting
            batches = waiting.result()
            waiting = beside.submit(run.prepare, number + 1)
            run.step(number, batches)
            return sum(b.seen for b in batches), sum(b.flops for b in batches)

        for number in range(1, 10**9):
            yield lambda number=number: step(number)


def naive_steps(
    rival: naive.NaiveBali, data: TrainingData, size: int, run: Run
) -> Iterator[Callable[[], tuple[int, int]]]:
    """Yield steps of the naive implementation."""
    collate = naive.Collate(data.arrays, data.graph, data.vocabulary, 3)
    batches = naive.batches(naive.LinkedSentences(data.arrays), collate, size)
    text = [p for name, p in rival.named_parameters() if name.startswith("bert.")]
    rest = [p for name, p in rival.named_parameters() if not name.startswith("bert.")]
    groups = [{"params": text, "lr": 2e-5}, {"params": rest, "lr": 1e-4}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    cost = TextCost.of(rival.bert)

    def step() -> tuple[int, int]:
        rival.train()
        batch = naive.to(next(batches), run.device)
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.bf16):
            naive.step(rival, optimiser, batch)
        pieces, labels = naive.real_pieces(batch), int((batch["labels"] >= 0).sum())
        return pieces, cost.piece * pieces + cost.label * labels

    while True:
        yield step


def race(
    contestants: dict[str, Iterator[Callable[[], tuple[int, int]]]],
    steps: int,
    device: torch.device,
) -> dict[str, Took]:
    """Let the contestants do a step each in turn; the first round is not measured."""
    took = {who: Took() for who in contestants}
    for number in range(steps + 1):
        for who, source in contestants.items():
            step = next(source)
            with timed(device) as seconds:
                pieces, flops = step()
            if number:
                took[who].seconds.append(seconds[0])
                took[who].processor.append(seconds[1])
                took[who].pieces.append(pieces)
                took[who].flops.append(flops)
                print(f"{who}: {seconds[0]:.2f} s, {seconds[1]:.2f} processor s", flush=True)
    return took


@contextmanager
def timed(device: torch.device) -> Iterator[list[float]]:
    """Yield a list that then holds wall clock and processor seconds, the device's work included."""
    found: list[float] = []
    wait(device)
    begin, processor = time.perf_counter(), time.process_time()
    yield found
    wait(device)
    found += [time.perf_counter() - begin, time.process_time() - processor]


def wait(device: torch.device) -> None:
    """Wait for the device's work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def components(run: Run, steps: int) -> dict[str, float]:
    """Return the seconds of each part of a step, forward and backward, the least of some rounds.

    ``floor`` is a bare forward and backward of the text encoder on as many word pieces in rows of
    32, without padding, head, graph or loss; ``data`` is made beside the step.
    """
    model, device = run.model, run.device
    alignment, mlm = model.objectives["alignment"], model.objectives["mlm"]
    assert isinstance(alignment, AlignmentObjective) and isinstance(mlm, MlmObjective)
    model.train()
    best: dict[str, float] = {}

    def part(name: str, call: Callable[[], Any]) -> Any:
        with timed(device) as seconds:
            found = call()
        best[name] = min(best.get(name, float("inf")), seconds[0])
        return found

    def both(name: str, call: Callable[[], Tensor]) -> Tensor:
        """Time forward and backward, and return the result as a new leaf."""

        def forward_backward() -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=run.bf16):
                out = call()
            out.backward(torch.ones_like(out))
            return out.detach().requires_grad_()

        found: Tensor = part(name, forward_backward)
        return found

    graph = alignment.graph_encoder
    lengths = np.full(run.prepare(1)[0].seen // 32, 32)
    pieces = (
        np.random.default_rng(0)
        .integers(5, model.data.vocabulary.size, lengths.sum())
        .astype(np.int32)
    )
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    bare = pack(pieces.astype(np.int32), indptr, np.arange(len(lengths))).to(device)

    def once() -> None:
        made: Batch = part("data", lambda: run.prepare(1)[0])
        batch = made.to(device)
        text, aligned = batch.text, batch.parts["alignment"]
        assert isinstance(aligned, AlignmentBatch) and isinstance(aligned.stars, SubgraphBatch)
        anchors, stars = aligned.anchors, aligned.stars

        def encode_graph() -> Tensor:
            pooled = pool_texts(names, stars.packed.owner, stars.packed.texts)
            features = pooled.index_select(0, stars.names)
            return graph.aggregate(features, stars.edges, stars.relations, len(stars.centres))

        def align() -> Tensor:
            vectors, temperature = pool(states, anchors), alignment.settings.temperature
            return alignment_loss(vectors, nodes, anchors.nodes, temperature)

        def predict() -> Tensor:
            return mlm.losses(model.text, None, Sentences(text, states))["mlm"]

        states = both("sentences", lambda: model.text.encode(text.packed))
        names = both("names", lambda: model.text.encode(stars.packed))
        both("MLM head and loss", predict)
        nodes = both("graph encoder", encode_graph)
        both("alignment loss", align)
        part("optimiser", lambda: optimise(run))
        both("floor", lambda: model.text.encode(bare))
        run.optimiser.zero_grad()

    for number in range(steps + 1):
        once()
        if number == 0:
            best.clear()
    return best


def optimise(run: Run) -> None:
    """Do what a step does after the gradients are there."""
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), run.settings.gradient_clip)
    run.optimiser.step()
    run.optimiser.zero_grad(set_to_none=True)


if __name__ == "__main__":
    main()
