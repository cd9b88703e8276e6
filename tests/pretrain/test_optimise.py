from itertools import pairwise

import pytest
import torch

from balign.pretrain.encoder import load_text_encoder
from balign.pretrain.optimise import (
    build_optimiser,
    choose_precision,
    pretrained_parameters,
    rate_factor,
    warmup_steps,
)


def test_schedule_rises_to_the_peak_and_falls_to_zero():
    factors = [rate_factor(step, 100, 10) for step in range(101)]
    assert factors[:11] == pytest.approx([(i + 1) / 11 for i in range(11)])
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert factors[55] == pytest.approx(0.5) and factors[100] == pytest.approx(0)


def test_a_frozen_encoder_warms_up_when_it_is_freed():
    factors = [rate_factor(step, 100, 10, start=20) for step in range(100)]
    assert factors[:20] == [0.0] * 20
    assert 0 < factors[20] < factors[21] < factors[30] == 1.0


@pytest.mark.parametrize(("steps", "warmup", "start"), [(1, 0, 0), (2, 2, 0), (3, 1, 3), (5, 9, 2)])
def test_schedule_of_short_runs_stays_between_0_and_1(steps, warmup, start):
    assert all(0 <= rate_factor(step, steps, warmup, start) <= 1 for step in range(steps))


def test_warmup_is_bounded(model_settings):
    assert warmup_steps(model_settings(steps=1000, warmup_fraction=0.1)) == 100
    assert warmup_steps(model_settings(steps=1000, warmup_fraction=0.1, max_warmup_steps=7)) == 7


@pytest.mark.parametrize("head", [False, True])
def test_groups(world, model_settings, head):
    settings = model_settings(learning_rate=1e-5, learning_rate_new=1e-3, weight_decay=0.01)
    encoder, new = load_text_encoder(world.encoder_with_head if head else world.encoder)
    optimiser = build_optimiser(encoder, pretrained_parameters(encoder, new), settings)
    of = {id(p): group for group in optimiser.param_groups for p in group["params"]}
    assert len(of) == sum(1 for _ in encoder.parameters())  # each once, the tied one too
    for name, parameter in encoder.named_parameters():
        group = of[id(parameter)]
        assert group["weight_decay"] == (0.01 if parameter.ndim > 1 else 0.0), name
        fresh = "cls." in name and not head
        assert group["peak"] == (1e-3 if fresh else 1e-5), name
        assert not (("bias" in name or "LayerNorm" in name) and group["weight_decay"])


def test_precision():
    assert choose_precision("bf16", torch.device("cpu")) == "bf16"
    expected = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert choose_precision("auto", torch.device("cpu")) == ("bf16" if expected else "fp32")


def test_without_weight_decay_every_parameter_is_still_trained_once(world, model_settings):
    encoder, new = load_text_encoder(world.encoder)
    settings = model_settings(weight_decay=0.0)
    optimiser = build_optimiser(encoder, pretrained_parameters(encoder, new), settings)
    ids = [id(parameter) for group in optimiser.param_groups for parameter in group["params"]]
    assert sorted(ids) == sorted(id(parameter) for parameter in encoder.parameters())
