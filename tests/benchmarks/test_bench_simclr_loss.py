"""NT-Xent forward and backward on one thread, beside lightly's, pytorch-metric-learning's and a plain concatenated one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from lightly.loss import NTXentLoss
from pytest_benchmark.fixture import BenchmarkFixture
from pytorch_metric_learning.losses import NTXentLoss as MetricLearningLoss
from torch import Tensor
from torch.nn import functional

from experiments.simclr.loss import nt_xent

DIMENSION = 128
Loss = Callable[[Tensor, Tensor], Tensor]


def concatenated(first: Tensor, second: Tensor) -> Tensor:
    """NT-Xent as most people write it: all similarities at once, and a cross-entropy."""
    vectors = functional.normalize(torch.cat([first, second]), dim=1)
    count = len(vectors)
    similarities = (vectors @ vectors.T / 0.1).fill_diagonal_(float("-inf"))
    return functional.cross_entropy(similarities, (torch.arange(count) + count // 2) % count)


def metric_learning(first: Tensor, second: Tensor) -> Tensor:
    loss: Tensor = MetricLearningLoss(0.1)(torch.cat([first, second]), torch.arange(len(first)).repeat(2))
    return loss


LOSSES: dict[str, Loss] = {
    "ours": lambda first, second: nt_xent(first, second, 0.1),
    "lightly": NTXentLoss(0.1),
    "concatenated": concatenated,
    "metric learning": metric_learning,
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("batch", [64, 512, 2048])
@pytest.mark.parametrize("name", list(LOSSES))
@pytest.mark.benchmark(group="NT-Xent")
def test_bench_nt_xent(benchmark: BenchmarkFixture, name: str, batch: int) -> None:
    if name == "metric learning" and batch > 64:
        pytest.skip("holds every pair with all its negatives: 2N x (2N)^2 numbers, 15 GB at a batch of 512")
    benchmark.group = f"NT-Xent, batch {batch}"
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(batch, DIMENSION, generator=generator, requires_grad=True) for _ in range(2))

    def step() -> float:
        value = LOSSES[name](first, second)
        torch.autograd.grad(value, [first, second])
        return float(value.detach())

    found = benchmark.pedantic(step, rounds=5 if batch > 512 else 20, warmup_rounds=2)
    reference = float(concatenated(first, second).detach())
    assert found == pytest.approx(reference, abs=1e-4)
