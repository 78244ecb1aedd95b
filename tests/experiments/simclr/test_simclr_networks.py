"""Heads, encoders and optimisers: shapes and counts, and LARS and the learning rate against kept packages."""

from __future__ import annotations

import math

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightly.utils.lars import LARS
from lightly.utils.scheduler import cosine_schedule
from torch import nn
from torchvision import models

from experiments.simclr.encoder_settings import EncoderSettings
from experiments.simclr.encoders import build_encoder, operations_per_image
from experiments.simclr.heads import projection_head, untrained_like
from experiments.simclr.model import build_model
from experiments.simclr.optimisation import build_optimiser, learning_rate_at, parameter_groups
from experiments.simclr.optimiser_settings import OptimiserSettings
from harness.execution.streams import Stream


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("kind", "parameters", "layers"),
    [
        ("none", 0, 0),
        ("linear", 16 * 5, 1),
        ("nonlinear", 16 * 16 + 16 + 16 * 5, 2),
        ("released", 2 * 16 * 16 + 16 * 5 + 4 * 16 + 2 * 5, 3),
    ],
)
def test_heads_have_the_layers_of_the_paper(kind: str, parameters: int, layers: int) -> None:
    head = projection_head(kind, 16, 16 if kind == "none" else 5)  # type: ignore[arg-type]
    assert count(head) == parameters
    assert sum(isinstance(module, nn.Linear) for module in head.modules()) == layers
    assert head(torch.randn(4, 16)).shape == (4, 16 if kind == "none" else 5)


def test_without_a_head_z_is_h() -> None:
    h = torch.randn(3, 8)
    assert projection_head("none", 8, 8)(h) is h
    with pytest.raises(ValueError, match="must be 8, not 4"):
        projection_head("none", 8, 4)


def test_a_nonlinear_head_is_two_layers_with_a_relu_between() -> None:
    head = projection_head("nonlinear", 6, 3, 9)
    h = torch.randn(5, 6)
    first, second = head[0], head[2]
    expected = torch.relu(h @ first.weight.T + first.bias) @ second.weight.T
    torch.testing.assert_close(head(h), expected)


def test_an_untrained_head_has_other_weights_of_the_same_shape_and_leaves_the_first_alone() -> None:
    head = projection_head("nonlinear", 6, 3, hidden_batch_norm=True)
    head(torch.randn(20, 6) + 3)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    fresh, again = (untrained_like(head, Stream("a", 0, "init")) for _ in range(2))
    for (name, ours), same in zip(fresh.state_dict().items(), again.state_dict().values(), strict=True):
        assert ours.shape == before[name].shape and torch.equal(ours, same)
    assert not torch.equal(fresh[0].weight, head[0].weight)
    assert torch.equal(fresh[1].running_mean, torch.zeros(6))
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


def test_all_heads_start_over_the_same_encoder() -> None:
    settings = EncoderSettings(kind="small", widths=(4, 8), strides=(1, 2))
    built = [build_model(settings, head, 8, Stream("a", 3, "init")) for head in ("none", "linear", "nonlinear")]  # type: ignore[arg-type]
    first, *others = [model.encoder.state_dict() for model in built]
    assert all(torch.equal(first[name], other[name]) for other in others for name in first)


@pytest.mark.parametrize("kind", ["resnet18", "resnet50"])
def test_resnets_are_torchvisions_without_the_classifier(kind: str) -> None:
    reference = getattr(models, kind)(weights=None)
    encoder = build_encoder(EncoderSettings(kind=kind))  # type: ignore[arg-type]
    assert count(encoder) == count(reference) - count(reference.fc)
    assert encoder.dimension == reference.fc.in_features
    small = build_encoder(EncoderSettings(kind=kind, stem="cifar"))  # type: ignore[arg-type]
    # 7 x 7 becomes 3 x 3, and nothing else has parameters.
    assert count(encoder) - count(small) == 64 * 3 * (49 - 9)
    stem = small.layers.conv1
    assert (stem.kernel_size, stem.stride) == ((3, 3), (1, 1)) and isinstance(small.layers.maxpool, nn.Identity)


def test_the_small_encoder_averages_over_the_image() -> None:
    encoder = build_encoder(EncoderSettings(kind="small", widths=(4, 6), strides=(1, 2), width_multiplier=1.5))
    assert encoder.dimension == 9 and encoder(torch.rand(2, 3, 12, 12)).shape == (2, 9)
    assert count(encoder) == 3 * 6 * 9 + 12 + 6 * 9 * 9 + 18


def test_layers_and_strides_must_match() -> None:
    with pytest.raises(ValueError, match="same number of layers"):
        EncoderSettings(kind="small", widths=(4, 6), strides=(1,))


def test_operations_follow_the_closed_form() -> None:
    found = operations_per_image(EncoderSettings(kind="small", widths=(4, 6), strides=(1, 2)), 10)
    assert found == 2 * (3 * 9 * 4 * 100 + 4 * 9 * 6 * 25)
    # ResNet-50 at 224: the 4.09 thousand million multiply-adds of torchvision's table, less the classifier's 2 million.
    assert operations_per_image(EncoderSettings(kind="resnet50"), 224) == pytest.approx(2 * 4.09e9, rel=0.01)


def twins() -> tuple[nn.Module, nn.Module]:
    built = []
    for _ in range(2):
        torch.manual_seed(1)
        built.append(nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).double())
    return built[0], built[1]


@pytest.mark.parametrize("decay", [0.0, 1e-6, 1e-2])
def test_lars_is_lightlys_step_by_step(decay: float) -> None:
    ours, theirs = twins()
    settings = OptimiserSettings(
        kind="lars", learning_rate=0.3, scaling="linear", weight_decay=decay, warmup_fraction=0.25
    )
    mine = build_optimiser(ours, settings, 512)
    groups = parameter_groups(theirs, max(decay, 1e-30))
    reference = LARS(groups, lr=0.6, momentum=0.9, trust_coefficient=0.001)
    generator = torch.Generator().manual_seed(2)
    for step in range(20):
        rate = learning_rate_at(step, 20, settings, 512)
        inputs, targets = (torch.randn(16, n, generator=generator, dtype=torch.float64) for n in (6, 3))
        for model, optimiser in ((ours, mine), (theirs, reference)):
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad()
            (model(inputs) - targets).square().mean().backward()
            optimiser.step()
        for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)


def test_biases_and_batch_norm_are_not_decayed() -> None:
    model = twins()[0]
    decayed, plain = parameter_groups(model, 0.1)
    assert [tuple(p.shape) for p in decayed["params"]] == [(8, 6), (3, 8)] and decayed["weight_decay"] == 0.1
    assert [tuple(p.shape) for p in plain["params"]] == [(8,), (8,), (8,), (3,)] and plain["weight_decay"] == 0


@pytest.mark.parametrize(("steps", "fraction"), [(100, 0.0), (100, 0.1), (37, 0.3), (20, 1.0)])
def test_the_learning_rate_is_lightlys_cosine_after_a_straight_rise(steps: int, fraction: float) -> None:
    settings = OptimiserSettings(kind="lars", learning_rate=0.3, scaling="linear", warmup_fraction=fraction)
    warmup = round(fraction * steps)
    for step in range(steps):
        found = learning_rate_at(step, steps, settings, 4096)
        if step < warmup:
            assert found == pytest.approx(4.8 * step / warmup)
        else:
            # lightly's reaches its end at the last step, the released code's one step later.
            reference = cosine_schedule(step - warmup, steps - warmup + 1, 4.8, 0.0)
            assert found == pytest.approx(reference, abs=1e-12)


@given(batch=st.integers(1, 10_000), rate=st.floats(1e-4, 10))
def test_the_rate_grows_with_the_batch_as_named(batch: int, rate: float) -> None:
    of = {
        kind: OptimiserSettings(kind="sgd", learning_rate=rate, scaling=kind).scaled(batch)
        for kind in ("none", "linear", "square-root")
    }  # type: ignore[arg-type]
    assert of["none"] == rate
    assert of["linear"] == pytest.approx(rate * batch / 256)
    assert of["square-root"] == pytest.approx(rate * math.sqrt(batch))


def test_the_papers_rates() -> None:
    # Appendix B: 4.8 = 0.3 x 4096 / 256, and for the square root 0.075 x sqrt(4096) = 4.8 too.
    assert OptimiserSettings(kind="lars", learning_rate=0.3, scaling="linear").scaled(4096) == pytest.approx(4.8)
    assert OptimiserSettings(kind="lars", learning_rate=0.075, scaling="square-root").scaled(4096) == pytest.approx(4.8)


def test_a_constant_schedule_stays() -> None:
    settings = OptimiserSettings(kind="adamw", learning_rate=0.1, schedule="constant", warmup_fraction=0.5)
    rates = [learning_rate_at(step, 4, settings, 1) for step in range(4)]
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.1]) and numpy.isfinite(rates).all()
