"""What heads and encoders compute, against the released code and the paper's formulas written out."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from experiments.simclr.encoder_settings import EncoderSettings
from experiments.simclr.encoders import build_encoder, operations_per_image
from experiments.simclr.heads import projection_head


def batch_normed(x: Tensor) -> Tensor:
    """Over the batch, with TensorFlow's epsilon of the released code; scale 1 and shift 0 at the start."""
    return (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()


def test_the_released_head_computes_what_the_released_code_does() -> None:
    head = projection_head("released", 10, 4, 7)
    h = torch.randn(30, 10)
    first, second, third = (module.weight for module in head if isinstance(module, nn.Linear))
    expected = batch_normed(h @ first.T).relu()
    expected = batch_normed(expected @ second.T).relu()
    expected = batch_normed(expected @ third.T)
    torch.testing.assert_close(head(h), expected, rtol=1e-4, atol=1e-5)


def test_the_released_heads_last_layer_has_a_scale_and_no_shift() -> None:
    head = projection_head("released", 10, 4)
    optimiser = torch.optim.SGD((p for p in head.parameters() if p.requires_grad), lr=1.0)
    (head(torch.randn(30, 10)) * torch.randn(30, 4)).sum().backward()
    optimiser.step()
    norms = [module for module in head if isinstance(module, nn.BatchNorm1d)]
    assert torch.equal(norms[-1].bias, torch.zeros(4)) and not torch.equal(norms[-1].weight, torch.ones(4))
    assert not any(torch.equal(norm.bias, torch.zeros(10)) for norm in norms[:-1])


def test_a_linear_head_is_one_matrix() -> None:
    head = projection_head("linear", 10, 4)
    h = torch.randn(5, 10)
    torch.testing.assert_close(head(h), h @ next(head.parameters()).T)


def test_batch_norm_in_a_nonlinear_head_comes_before_the_relu() -> None:
    head = projection_head("nonlinear", 10, 4, hidden_batch_norm=True)
    first, second = (module.weight for module in head if isinstance(module, nn.Linear))
    h = torch.randn(30, 10)
    torch.testing.assert_close(head(h), batch_normed(h @ first.T).relu() @ second.T, rtol=1e-4, atol=1e-5)


def test_the_small_encoder_is_convolutions_batch_norm_relu_and_an_average() -> None:
    encoder = build_encoder(EncoderSettings(kind="small", widths=(4, 6), strides=(1, 2), channels=2)).eval()
    x = images = torch.rand(3, 2, 9, 9)
    for weight, stride in zip([p for p in encoder.parameters() if p.ndim == 4], (1, 2), strict=True):
        # At the start the running mean is 0 and the running variance 1.
        x = (functional.conv2d(x, weight, stride=stride, padding=1) / (1 + 1e-5) ** 0.5).relu()
    torch.testing.assert_close(encoder(images), x.mean((2, 3)))


@settings(deadline=None, max_examples=15)
@given(
    layers=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 3)), min_size=1, max_size=4),
    channels=st.integers(1, 4),
    size=st.integers(3, 20),
)
def test_operations_are_two_for_each_weight_at_each_place(
    layers: list[tuple[int, int]], channels: int, size: int
) -> None:
    widths, strides = zip(*layers, strict=True)
    expected, side = 0, size
    for (inputs, outputs), stride in zip(itertools.pairwise((channels, *widths)), strides, strict=True):
        side = -(-side // stride)
        expected += 2 * 9 * inputs * outputs * side * side
    found = EncoderSettings(kind="small", widths=widths, strides=strides, channels=channels)
    assert operations_per_image(found, size) == expected


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_a_resnet_18_counts_its_convolutions(stem: str) -> None:
    # He et al. (2016), Table 1: two blocks of two 3 x 3 convolutions at each of four widths, and 1 x 1 shortcuts.
    side, expected = (32, 2 * 27 * 64 * 32**2) if stem == "cifar" else (8, 2 * 3 * 49 * 64 * 16**2)
    inputs = 64
    for outputs in (64, 128, 256, 512):
        if outputs != inputs:
            side //= 2
            expected += 2 * inputs * outputs * side**2
        expected += 2 * 9 * (inputs + 3 * outputs) * outputs * side**2
        inputs = outputs
    assert operations_per_image(EncoderSettings(kind="resnet18", stem=stem), 32) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_resnets_take_images_of_other_depths(stem: str) -> None:
    encoder = build_encoder(EncoderSettings(kind="resnet18", stem=stem, channels=1)).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        assert encoder(torch.rand(2, 1, 32, 32)).shape == (2, 512)
