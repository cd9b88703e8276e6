"""The processes that share a run: started by torchrun, one alone otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Processes:
    """This process among those of the run.

    Attributes:
        rank: number of this process; 0 writes all files.
        count: number of processes.
        local: number of this process on its machine, which is that of its GPU.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process, the same answer in all of them."""
        if self.count == 1:
            return flag
        flags = torch.tensor([int(flag)])  # on the processor: no device waits for it
        distributed.all_reduce(flags, op=distributed.ReduceOp.MAX)
        return bool(flags.item())

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes."""
        if self.count > 1:
            values = values.clone()
            distributed.all_reduce(values)
            values /= self.count
        return values

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            self.any(False)


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that torchrun started, if it did, and leave them at the end.

    torchrun tells them by RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT (PyTorch's page
    "torchrun"). Tensors of the processor go through gloo, those of GPUs through NCCL.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes()
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        torch.cuda.set_device(local)
        distributed.init_process_group("cpu:gloo,cuda:nccl")
    else:
        distributed.init_process_group("gloo")
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size(), local)
    finally:
        distributed.destroy_process_group()


def process_count() -> int:
    """Return the number of processes of the run."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def share(examples: int, like: Tensor) -> Tensor | float:
    """Return what the mean over this process's examples weighs so that processes average right.

    The mean over all examples is the mean over processes of count * examples / all examples times
    each one's own mean.

    Args:
        examples: of this process.
        like: a tensor on the device.
    """
    count = process_count()
    if count == 1:
        return 1.0
    total = torch.tensor(float(examples), device=like.device)
    distributed.all_reduce(total)
    return count * examples / total.clamp(min=1)
