"""R-Drop on one thread: its step beside a doubled batch, and models trained together beside one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from experiments.rdrop.dropout import MaskDrawer, sites_of
from experiments.rdrop.model_settings import (
    PerceptronSettings,
    SmallModelSettings,
    TransformerSettings,
    VisionTransformerSettings,
)
from experiments.rdrop.models import build_small_model
from experiments.rdrop.optimiser_settings import OptimiserSettings
from experiments.rdrop.stacks import OneByOne, Together
from experiments.rdrop.training import Training, laid_masks, make_step
from harness.execution.streams import Stream

BATCH = 32
CPU = torch.device("cpu")
ADAMW = OptimiserSettings(learning_rate=0.001)
MODELS: dict[str, tuple[SmallModelSettings, Sequence[int], int]] = {
    "perceptron 64, 64": (PerceptronSettings(kind="perceptron", widths=(64, 64)), (1, 8, 8), 0),
    "perceptron 128, 128": (PerceptronSettings(kind="perceptron", widths=(128, 128)), (1, 8, 8), 0),
    "perceptron 256, 256": (PerceptronSettings(kind="perceptron", widths=(256, 256)), (1, 8, 8), 0),
    "text Transformer, 1 layer": (TransformerSettings(kind="transformer", layers=1), (16,), 400),
    "vision Transformer, 2 layers": (VisionTransformerSettings(kind="vision-transformer", patch=2), (1, 8, 8), 0),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def steps_of(name: str, kind: Any, seeds: int, passes: int, alpha: float) -> Callable[[], Tensor]:
    """Return a call that makes one step of every one of ``seeds`` models, dropout masks drawn anew."""
    settings, shape, vocabulary = MODELS[name]
    models = [build_small_model(settings, shape, vocabulary, 10, Stream("bench", seed)) for seed in range(seeds)]
    stack = kind(models, ADAMW, CPU)
    drawers = [MaskDrawer(Stream("bench", seed), sites_of(models[0]), [0.3] * passes) for seed in range(seeds)]
    training = Training(1, BATCH, passes, alpha, ADAMW)
    generator = torch.Generator().manual_seed(0)
    whole = (seeds, BATCH, *shape)
    inputs = torch.randint(vocabulary, whole) if vocabulary else torch.rand(whole, generator=generator)
    batch = torch.cat([inputs] * passes, 1)
    targets = torch.randint(10, (seeds, BATCH), generator=generator)
    return lambda: make_step(stack, batch, targets, laid_masks(drawers, BATCH, passes, CPU), training, 0)


@pytest.mark.parametrize("arm", ["plain", "doubled batch", "R-Drop", "R-Drop, three passes"])
@pytest.mark.parametrize("name", ["perceptron 128, 128", "text Transformer, 1 layer"])
@pytest.mark.benchmark(group="R-Drop step")
def test_bench_rdrop_step(benchmark: BenchmarkFixture, name: str, arm: str) -> None:
    benchmark.group = f"R-Drop step, {name}"
    passes = {"plain": 1, "R-Drop, three passes": 3}.get(arm, 2)
    losses = benchmark(steps_of(name, OneByOne, 1, passes, 5.0 if arm.startswith("R-Drop") else 0.0))
    assert torch.isfinite(losses).all()


@pytest.mark.parametrize("kind", [OneByOne, Together])
@pytest.mark.parametrize("seeds", [1, 8, 32])
@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.benchmark(group="R-Drop seeds")
def test_bench_rdrop_seeds(benchmark: BenchmarkFixture, name: str, seeds: int, kind: Any) -> None:
    benchmark.group = f"R-Drop, {seeds} seeds, {name}"
    losses = benchmark(steps_of(name, kind, seeds, 2, 5.0))
    assert losses.shape == (seeds,) and torch.isfinite(losses).all()
