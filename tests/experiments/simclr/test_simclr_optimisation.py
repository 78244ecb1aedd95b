"""Steps and learning rates against closed forms, the released code's formulas and lightly's scheduler."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightly.utils.scheduler import CosineWarmupScheduler
from torch import nn

from experiments.simclr.optimisation import build_optimiser, learning_rate_at
from experiments.simclr.optimiser_settings import OptimiserSettings

PAPER = OptimiserSettings(kind="lars", learning_rate=0.3, scaling="linear", weight_decay=1e-6, warmup_fraction=0.1)


def released(step: int, steps: int, warmup: int, highest: float) -> float:
    """The released code's ``learning_rate_schedule``, with TensorFlow's ``cosine_decay`` written out."""
    if step < warmup:
        return step / int(warmup) * highest
    after, left = min(step - warmup, steps - warmup), steps - warmup
    return highest * 0.5 * (1 + math.cos(math.pi * after / left))


def lightlys(steps: int, warmup: int, highest: float) -> list[float]:
    """The rates that lightly's scheduler sets, step by step."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=highest)
    scheduler = CosineWarmupScheduler(optimiser, warmup, steps, end_value=0.0)
    rates = []
    for _ in range(steps):
        rates.append(float(optimiser.param_groups[0]["lr"]))
        optimiser.step()
        scheduler.step()
    return rates


def test_the_rate_at_the_start_the_end_of_the_rise_the_middle_and_the_end() -> None:
    rates = {step: learning_rate_at(step, 1000, PAPER, 4096) for step in (0, 50, 100, 325, 550, 775, 1000)}
    assert rates[0] == 0
    assert rates[50] == pytest.approx(2.4)
    assert rates[100] == pytest.approx(4.8)
    assert rates[325] == pytest.approx(4.8 * (2 + math.sqrt(2)) / 4)
    assert rates[550] == pytest.approx(2.4)
    assert rates[775] == pytest.approx(4.8 * (2 - math.sqrt(2)) / 4)
    assert rates[1000] == pytest.approx(0, abs=1e-12)


@given(steps=st.integers(1, 300), tenths=st.integers(0, 9), batch=st.sampled_from([64, 256, 4096]))
def test_the_rate_is_the_released_codes(steps: int, tenths: int, batch: int) -> None:
    settings = PAPER.model_copy(update={"warmup_fraction": tenths / 10})
    warmup = round(tenths / 10 * steps)
    for step in range(steps):
        expected = released(step, steps, warmup, 0.3 * batch / 256)
        assert learning_rate_at(step, steps, settings, batch) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("steps", "fraction"), [(100, 0.0), (100, 0.1), (37, 0.3)])
def test_the_rate_is_that_of_lightlys_scheduler_a_step_later_and_one_step_longer(steps: int, fraction: float) -> None:
    """lightly starts one step up the rise, repeats the top where the cosine starts, and is at 0 in its last step."""
    warmup = round(fraction * steps)
    theirs = lightlys(steps + 1, warmup, 4.8)
    settings = PAPER.model_copy(update={"warmup_fraction": fraction})
    ours = [learning_rate_at(step, steps, settings, 4096) for step in range(steps)]
    assert ours[1 : warmup + 1] == pytest.approx(theirs[:warmup], abs=1e-12)
    assert ours[warmup:] == pytest.approx(theirs[warmup:steps], abs=1e-12)
    assert theirs[steps] == 0


@pytest.mark.parametrize("decay", [0.0, 1e-2])
def test_a_first_step_of_lars_adapts_weights_and_leaves_biases_and_batch_norm_as_in_sgd(decay: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()
    optimiser = build_optimiser(model, PAPER.model_copy(update={"weight_decay": decay}), 512)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model(torch.randn(16, 5, dtype=torch.float64)).square().sum().backward()
    optimiser.step()
    for name, parameter in model.named_parameters():
        old, gradient = before[name], parameter.grad
        assert gradient is not None
        step = gradient
        if old.ndim == 2:
            # You et al. (2017), equation 6.
            step = (gradient + decay * old) * 0.001 * old.norm() / (gradient.norm() + decay * old.norm())
        torch.testing.assert_close(parameter.detach(), old - 0.6 * step, rtol=1e-7, atol=1e-10)


def test_sgd_has_momentum_and_decays_weights_only() -> None:
    model = nn.Linear(2, 2).double()
    settings = OptimiserSettings(kind="sgd", learning_rate=0.1, weight_decay=0.5, momentum=0.8)
    optimiser = build_optimiser(model, settings, 64)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    speed = torch.zeros(2, 2).double()
    for _ in range(3):
        optimiser.zero_grad()
        model.weight.sum().backward()
        model.bias.grad = torch.zeros(2).double()
        optimiser.step()
        speed = 0.8 * speed + 1 + 0.5 * weight
        weight = weight - 0.1 * speed
    torch.testing.assert_close(model.weight.detach(), weight)
    assert torch.equal(model.bias.detach(), bias)


def test_adamw_decays_weights_only() -> None:
    model = nn.Linear(2, 2).double()
    settings = OptimiserSettings(kind="adamw", learning_rate=0.1, weight_decay=0.5)
    optimiser = build_optimiser(model, settings, 64)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    torch.testing.assert_close(model.weight.detach(), weight * (1 - 0.1 * 0.5))
    assert torch.equal(model.bias.detach(), bias)


def test_what_needs_no_gradient_is_not_optimised() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    optimised = [p for group in build_optimiser(model, PAPER, 64).param_groups for p in group["params"]]
    assert len(optimised) == 1 and optimised[0] is model.weight
