"""NT-Xent as others have it, and what the benchmarks of losses share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss as MetricLearningLoss
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]
TEMPERATURE, DIMENSION = 0.1, 128


def concatenated(first: Tensor, second: Tensor) -> Tensor:
    """NT-Xent as most people write it: all similarities at once, and a cross-entropy."""
    vectors = functional.normalize(torch.cat([first, second]), dim=1)
    count = len(vectors)
    similarities = (vectors @ vectors.T / TEMPERATURE).fill_diagonal_(float("-inf"))
    return functional.cross_entropy(similarities, (torch.arange(count) + count // 2) % count)


def metric_learning(first: Tensor, second: Tensor) -> Tensor:
    loss: Tensor = MetricLearningLoss(TEMPERATURE)(torch.cat([first, second]), torch.arange(len(first)).repeat(2))
    return loss


def two_views(batch: int) -> tuple[Tensor, Tensor]:
    """Return two batches of vectors, [batch, 128] each, that want gradients."""
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(batch, DIMENSION, generator=generator, requires_grad=True) for _ in range(2))
    return first, second


def step_of(loss: Callable[..., Tensor], *inputs: Tensor) -> Callable[[], tuple[float, list[Tensor]]]:
    """Return what computes a loss and its gradients by the inputs."""

    def step() -> tuple[float, list[Tensor]]:
        value = loss(*inputs)
        gradients = torch.autograd.grad(value, inputs)
        return float(value.detach()), list(gradients)

    return step


def same_step(ours: Any, theirs: Any) -> None:
    """Assert that two steps have the same loss and gradients, in float32."""
    assert ours[0] == pytest.approx(theirs[0], abs=1e-4)
    for mine, other in zip(ours[1], theirs[1], strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-3)
