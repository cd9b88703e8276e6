"""What a run's speed is: word pieces a second, and how much of the hardware they use.

Model FLOPs utilisation (MFU; PaLM, arXiv 2204.02311, appendix B) is the arithmetic that the model
needs for the real word pieces, divided by what the hardware can do at best in that time. What is
recomputed or spent on padding does not count, nor do graph encoder and losses (below 2 %).
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from balign.pretrain.packing import Packed

_MATMUL = 2048  # side of the matrices that tell the peak of hardware not listed

# Dense tensor-core rates of NVIDIA's data sheets in TFLOP/s: bf16, and fp32 without TF32.
_SHEETS = {
    "H200": (989, 67),
    "H100 PCIe": (756, 51),
    "H100 NVL": (835, 60),
    "H100": (989, 67),
    "A100": (312, 19.5),
    "L40S": (362, 91.6),
    "L4": (121, 30.3),
    "A10": (125, 31.2),
}


@dataclass(frozen=True)
class Peak:
    """What hardware can do at best.

    Attributes:
        flops: floating-point operations a second.
        name: what says so.
    """

    flops: float
    name: str


def find_peak(device: torch.device, precision: str, processes: int = 1) -> Peak:
    """Return the peak of the devices of some processes.

    It is that of the data sheet, or else that of a square matrix product, measured.
    """
    peak = _one_peak(device, precision)
    times = f"{processes} x " if processes > 1 else ""
    return Peak(processes * peak.flops, times + peak.name)


def _one_peak(device: torch.device, precision: str) -> Peak:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for model, rates in _SHEETS.items():
            if model in name:
                flops = rates[0 if precision == "bf16" else 1] * 1e12
                return Peak(flops, f"{name}, {precision}, data sheet {flops / 1e12:g} TFLOP/s")
    matrix = torch.ones(_MATMUL, _MATMUL, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        product = matrix @ matrix
        product[0, 0].item()  # waits for a GPU
        best = min(best, time.perf_counter() - begin)
    flops = 2 * _MATMUL**3 / best
    where = f"{torch.get_num_threads()} threads" if device.type == "cpu" else device.type
    side = f"{_MATMUL} x {_MATMUL}"
    name = f"{where}, {precision}, product of {side} matrices {flops / 1e9:.0f} GFLOP/s"
    return Peak(flops, name)


@dataclass(frozen=True)
class TextCost:
    """Floating-point operations, forward and backward, of a text encoder and its MLM head.

    Attributes:
        piece: of a word piece in all layers but their attention: 6 a weight.
        pair: of two pieces of one text in all layers' attention: 12 a layer and unit of width.
        label: of a predicted piece.
    """

    piece: int
    pair: int
    label: int

    @classmethod
    def of(cls, model: Any) -> TextCost:
        """Count the weights of a masked-language model of transformers.

        The weights of a layer are those of its matrices; the embeddings, which are looked up,
        count in the head alone, where they are multiplied by.
        """
        matrices = [m.weight for m in model.base_model.modules() if isinstance(m, torch.nn.Linear)]
        pooler = getattr(model.base_model, "pooler", None)
        unused = [] if pooler is None else [p for p in pooler.parameters() if p.ndim == 2]
        body = sum(w.numel() for w in matrices) - sum(w.numel() for w in unused)
        config, words = model.config, model.get_input_embeddings().weight.numel()
        head = words + config.hidden_size**2
        return cls(6 * body, 12 * config.num_hidden_layers * config.hidden_size, 6 * head)

    def flops(self, text: Packed, labels: int = 0) -> int:
        """Return the operations of a training step on some texts, some pieces of which it predicts.

        Exact for encoders that attend to the whole text; a local window needs less.
        """
        pairs = sum(count * length**2 for count, length in text.lengths)
        return self.piece * text.pieces + self.pair * pairs + self.label * labels


def memory_mib(device: torch.device) -> float:
    """Return the most memory held so far: allocated on the GPU, or resident on the processor."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


MEASURED = ("pieces", "sentences", "flops", "seconds", "waited")
"""What :func:`speeds` needs the sums of."""


def speeds(window: Mapping[str, float], peak: Peak, device: torch.device) -> dict[str, float]:
    """Return the figures of a line of metrics.

    Args:
        window: sums over some steps of :data:`MEASURED`: real word pieces, sentences, operations
            that the model needs, seconds, and those in which there was no batch yet.
        peak: of the hardware of all processes together.
        device: whose memory is told.
    """
    seconds = max(window["seconds"], 1e-9)
    return {
        "pieces_per_second": window["pieces"] / seconds,
        "sentences_per_second": window["sentences"] / seconds,
        "mfu": window["flops"] / seconds / peak.flops,
        "data_wait_share": window["waited"] / seconds,
        "memory_mib": memory_mib(device),
    }


def told(figures: Mapping[str, float]) -> str:
    """Return the figures of :func:`speeds` as a person reads them."""
    return (
        f"{figures['sentences_per_second']:.1f} sentences/s, "
        f"{figures['pieces_per_second']:,.0f} pieces/s, MFU {figures['mfu']:.0%}, "
        f"waited for data {figures['data_wait_share']:.1%}, {figures['memory_mib']:,.0f} MiB"
    )
