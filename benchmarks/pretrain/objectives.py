"""What a step of each objective costs, against a step of `mlm` on the same text.

    python -m benchmarks.pretrain.objectives                       # after the demo
    python -m benchmarks.pretrain.objectives --steps 20 --only sapbert kgi

Each is trained by `pretrain_train` itself, at its default settings and in a process of its own, one
after the other: the same encoder, sentences, seed and threads; `mlm` always runs, for the ratio.
``bali`` is `mlm` and `alignment` together, which share the encoded sentences. A step of ``kge`` is
one batch of edges by TransE and has no text. Seconds are the median of the steps after the first
two; word pieces are those that the encoder reads, names and definitions included.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.measure import measure, show

OBJECTIVES: dict[str, list[dict[str, Any]]] = {
    "mlm": [{"type": "mlm"}],
    "alignment, gatv2": [{"type": "alignment"}],
    "alignment, linear": [{"type": "alignment", "graph": {"type": "linear"}}],
    "bali": [{"type": "mlm"}, {"type": "alignment"}],
    "sapbert": [{"type": "sapbert"}],
    "definitions": [{"type": "definitions"}],
    "kgi": [{"type": "kgi"}],
    "adapter": [{"type": "adapter"}],
    "kebiolm": [{"type": "kebiolm", "kge": None}],
}
KGE = "kge"
_WARM = 2  # steps that are not measured
COLUMNS = ("objective", "s a step", "ratio to mlm", "processor s a step", "ratio to mlm",
           "pieces a step", "peak MiB")  # fmt: skip


def main() -> None:
    """Train each in turn and print the table, or train one and write its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*OBJECTIVES, KGE]
    parser.add_argument("--steps", type=int, default=10, help="measured, after two that are not")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="OBJECTIVE",
                        help=f"some of: {'; '.join(names)}")  # fmt: skip
    parser.add_argument("--batch", type=int, default=32, help="sentences in a step")
    parser.add_argument("--threads", type=int, help="of the processor; PyTorch's choice by default")
    results = Path("results/demo")
    parser.add_argument("--encoder", type=Path, default=Path("data/sources/minilm/v2"))
    parser.add_argument("--tokens", type=Path, default=results / "pretrain/tokens/minilm")
    parser.add_argument("--graph", type=Path, default=results / "graph")
    parser.add_argument("--one", choices=names, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        figures = (edges_step if arguments.one == KGE else text_step)(arguments)
        arguments.output.write_text(json.dumps(figures), encoding="utf-8")
        return
    rows: list[tuple[object, ...]] = []
    base: dict[str, float] = {}
    for name in names:
        if name != "mlm" and name not in arguments.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "figures.json"
            options = [f"--one={name}", f"--output={output}"]
            cost = measure([sys.executable, "-m", __spec__.name, *sys.argv[1:], *options])
            figures = json.loads(output.read_text(encoding="utf-8"))
        base = base or figures
        timed = [(figures[key], figures[key] / base[key]) for key in ("seconds", "processor")]
        rows.append((name, *timed[0], *timed[1], round(figures["pieces"]), cost.peak_mib))
    show(f"A step of {arguments.batch} sentences; peak of the whole process", COLUMNS, rows)


class ProcessorClock(logging.Handler):
    """Notes the processor's time at each line that the training loop logs of a step."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take in a message."""
        if record.msg.startswith("step %d of %d"):
            self.times.append(time.process_time())

    @property
    def steps(self) -> list[float]:
        """The processor's seconds of each step but the first."""
        return [late - early for early, late in pairwise(self.times)]


def text_step(arguments: argparse.Namespace) -> dict[str, float]:
    """Train one objective; return the seconds, all processors' seconds and pieces of a step."""
    from balign.pretrain.loop import Upkeep
    from balign.pretrain.settings import ModelSettings
    from balign.pretrain.train import pretrain_train

    settings = ModelSettings.model_validate(
        {
            "name": "bench",
            "objectives": OBJECTIVES[arguments.one],
            "steps": arguments.steps + _WARM,
            "batch_sentences": arguments.batch,
        }
    )
    never = 10**9
    clock, loop = ProcessorClock(), logging.getLogger("balign.pretrain.loop")
    loop.addHandler(clock)
    loop.setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pretrain_train(
            settings, arguments.encoder, arguments.tokens, arguments.graph, folder / "model",
            folder / "checkpoints", Upkeep(log=1, checkpoint=never, validate=never),
            arguments.threads,
        )  # fmt: skip
        text = (folder / "model/metrics.jsonl").read_text(encoding="utf-8")
    lines = [line for line in map(json.loads, text.splitlines()) if line["split"] == "train"]
    seconds = [arguments.batch / line["sentences_per_second"] for line in lines]
    pieces = [one * line["pieces_per_second"] for one, line in zip(seconds, lines, strict=True)]
    return {
        "seconds": statistics.median(seconds[_WARM:]),
        "processor": statistics.median(clock.steps[_WARM - 1 :]),
        "pieces": statistics.median(pieces[_WARM:]),
    }


def edges_step(arguments: argparse.Namespace) -> dict[str, float]:
    """Train TransE on the graph's edges; return the same of a batch, which has no pieces."""
    import torch

    from balign.graph.csr import Graph
    from balign.pretrain.kge import _pass, build_kge
    from balign.pretrain.settings import KgeSettings

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = KgeSettings(name="bench")
    graph = Graph.open(arguments.graph)
    model = build_kge(settings, len(graph), len(graph.relations)).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
    triples, times, processor = graph.triples(), [], []
    for number in range(arguments.steps + _WARM):
        batch = triples[number * settings.batch_edges :][: settings.batch_edges]
        batch = batch if len(batch) else triples[: settings.batch_edges]
        begin, before = time.perf_counter(), time.process_time()
        _pass(model, optimiser, batch, settings, number, device)  # ends with a read of the loss
        times.append(time.perf_counter() - begin)
        processor.append(time.process_time() - before)
    return {
        "seconds": statistics.median(times[_WARM:]),
        "processor": statistics.median(processor[_WARM:]),
        "pieces": 0,
    }


if __name__ == "__main__":
    main()
