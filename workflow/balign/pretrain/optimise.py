"""The optimiser of a run: two learning rates, their schedule, and the precision."""

from __future__ import annotations

import math

import torch
from torch import nn

from balign.precision import choose_precision as choose_precision
from balign.pretrain.encoder import TextEncoder
from balign.pretrain.settings import ModelSettings


def rate_factor(step: int, steps: int, warmup: int, start: int = 0) -> float:
    """Return the share of the peak learning rate at a step, counted from 0.

    Zero before ``start``, linear over ``warmup`` steps from there, then a cosine that would reach
    zero at ``steps``.
    """
    if step < start:
        return 0.0
    if step < start + warmup:
        return (step - start + 1) / (warmup + 1)
    done = (step - start - warmup) / max(1, steps - start - warmup)
    return 0.5 * (1 + math.cos(math.pi * done))


def warmup_steps(settings: ModelSettings) -> int:
    """Return the steps of warm-up: a share of all, up to a bound."""
    return min(round(settings.warmup_fraction * settings.steps), settings.max_warmup_steps)


def pretrained_parameters(text: TextEncoder, new_head: bool) -> list[nn.Parameter]:
    """Return what comes from the checkpoint: the encoder, and the MLM head if it came with it."""
    return text.body() if new_head else list(text.parameters())


def build_optimiser(
    model: nn.Module, pretrained: list[nn.Parameter], settings: ModelSettings
) -> torch.optim.AdamW:
    """Build AdamW with four groups: pretrained or new, with weight decay or without.

    Biases and norms, which are vectors, are not decayed. Each group has ``peak`` and ``new``.
    """
    old = {id(parameter) for parameter in pretrained}
    groups: list[dict[str, object]] = []
    for new in (False, True):
        peak = settings.learning_rate_new if new else settings.learning_rate
        for matrices in (False, True):
            members = [
                parameter
                for parameter in model.parameters()
                if (id(parameter) not in old) == new and (parameter.ndim > 1) == matrices
            ]
            decay = settings.weight_decay if matrices else 0.0
            groups.append(
                {"params": members, "lr": peak, "peak": peak, "new": new, "weight_decay": decay}
            )
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, fused=True)
