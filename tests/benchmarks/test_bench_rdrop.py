"""R-Drop: its loss and step beside floors without the consistency term, seeds together beside one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from beside import Beside
from losses import same_step, step_of
from torch import Tensor
from torch.nn import functional

from experiments.rdrop.dropout import MaskDrawer, sites_of
from experiments.rdrop.loss import rdrop_loss
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

BATCH, ALPHA = 32, 5.0
CPU = torch.device("cpu")
ADAMW = OptimiserSettings(learning_rate=0.001)
MODELS: dict[str, tuple[SmallModelSettings, Sequence[int], int]] = {
    "perceptron 64, 64": (PerceptronSettings(kind="perceptron", widths=(64, 64)), (1, 8, 8), 0),
    "perceptron 128, 128": (PerceptronSettings(kind="perceptron", widths=(128, 128)), (1, 8, 8), 0),
    "perceptron 256, 256": (PerceptronSettings(kind="perceptron", widths=(256, 256)), (1, 8, 8), 0),
    "text Transformer, 1 layer": (TransformerSettings(kind="transformer", layers=1), (16,), 400),
    "vision Transformer, 2 layers": (VisionTransformerSettings(kind="vision-transformer", patch=2), (1, 8, 8), 0),
}
GROUP = "R-Drop"
SIZES = {"seeds": (1, 8, 32)}
MOST_TRANSFORMERS = 8


def steps_of(name: str, kind: Any, seeds: int, passes: int, alpha: float) -> Callable[[], Tensor]:
    """Return a call that makes one step of every one of ``seeds`` models, dropout masks drawn anew."""
    settings, shape, vocabulary = MODELS[name]
    models = [build_small_model(settings, shape, vocabulary, 10, Stream("bench", seed)) for seed in range(seeds)]
    stack = kind(models, ADAMW, CPU)
    drawers = [MaskDrawer(Stream("bench", seed), sites_of(models[0]), [0.3] * passes) for seed in range(seeds)]
    training = Training(1, BATCH, passes, alpha, ADAMW)
    generator = torch.Generator().manual_seed(0)
    whole = (seeds, BATCH, *shape)
    inputs = (
        torch.randint(vocabulary, whole, generator=generator) if vocabulary else torch.rand(whole, generator=generator)
    )
    batch = torch.cat([inputs] * passes, 1)
    targets = torch.randint(10, (seeds, BATCH), generator=generator)
    return lambda: make_step(stack, batch, targets, laid_masks(drawers, BATCH, passes, CPU), training, 0)


def plain(logits: Tensor, targets: Tensor) -> Tensor:
    """The loss of two passes as one writes it down: two cross-entropies and half of alpha times both divergences."""
    first, second = functional.log_softmax(logits, -1).chunk(2)
    negative = functional.nll_loss(first, targets) + functional.nll_loss(second, targets)
    both = functional.kl_div(first, second, reduction="batchmean", log_target=True)
    both = both + functional.kl_div(second, first, reduction="batchmean", log_target=True)
    return negative + ALPHA * both / 2


@pytest.mark.parametrize(("batch", "classes"), [(32, 10), (256, 1000)])
def test_bench_rdrop_loss(beside: Beside, batch: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2 * batch, classes, generator=generator, requires_grad=True)
    targets = torch.randint(classes, (batch,), generator=generator)
    beside(
        f"R-Drop loss with gradients, batch {batch}, {classes:,} classes",
        step_of(lambda given: rdrop_loss(given, targets, ALPHA).total, logits),
        step_of(lambda given: plain(given, targets), logits),
        rival="plain arithmetic",
        group="Losses",
        agree=same_step,
    )


@pytest.mark.parametrize(("passes", "floor"), [(2, "a doubled batch without it"), (3, "a trebled batch without it")])
@pytest.mark.parametrize("name", ["perceptron 128, 128", "text Transformer, 1 layer"])
def test_bench_rdrop_step(beside: Beside, name: str, passes: int, floor: str) -> None:
    """What the consistency term adds to a step: the floor sees as many examples, and its loss is the cross-entropy."""

    def more(ours: Any, theirs: Any) -> None:
        assert torch.isfinite(ours).all() and (ours > theirs).all()

    beside(
        f"R-Drop step with {passes} passes, {name}",
        steps_of(name, OneByOne, 1, passes, ALPHA),
        steps_of(name, OneByOne, 1, passes, 0.0),
        rival=floor,
        group=GROUP,
        agree=more,
    )


@pytest.mark.parametrize("name", list(MODELS))
def test_bench_rdrop_seeds(beside: Beside, name: str, seeds: int) -> None:
    if seeds > MOST_TRANSFORMERS and "Transformer" in name:
        pytest.skip("a third of a second a step, and no other ratio than with fewer")

    def same(ours: Any, theirs: Any) -> None:
        assert ours.shape == (seeds,)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)

    beside(
        f"step of {seeds} {'model' if seeds == 1 else 'models'} together, {name}",
        steps_of(name, Together, seeds, 2, ALPHA),
        steps_of(name, OneByOne, seeds, 2, ALPHA),
        rival="one after the other",
        group=f"{GROUP}, seeds together",
        agree=same,
    )
