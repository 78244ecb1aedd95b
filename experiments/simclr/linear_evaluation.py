"""Linear evaluation as in appendix B.6: a linear layer on a frozen encoder, trained on augmented images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from experiments.simclr.probe_settings import LinearEvaluationSettings
from experiments.simclr.probes import evaluation_mode

Batches = Iterable[tuple[Tensor, Tensor]]
"""Images, float32 [N, C, H, W] in 0..1, with labels [N], on the device."""


@dataclass(frozen=True)
class Accuracy:
    """Top-1 and top-5 accuracy in percent; with fewer than five classes the second is 100."""

    top1: float
    top5: float


def linear_evaluation(
    encoder: nn.Module,
    dimension: int,
    classes: int,
    training: Callable[[int], Batches],
    steps_per_epoch: int,
    held_out: Mapping[str, Callable[[], Batches]],
    settings: LinearEvaluationSettings,
    device: torch.device,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Accuracy]:
    """Train a linear layer on h and return its accuracy on each part that is held out.

    The encoder stays as it is, in evaluation mode: neither its weights nor batch norm's statistics move. The layer
    starts at zero, so no random number is drawn.

    Args:
        dimension: width of h.
        training: gives the augmented training images of an epoch.
        steps_per_epoch: how many batches ``training`` gives; the rate has fallen to 0 after all of them.
        held_out: by name, gives images that are looked at once.

    Raises:
        ValueError: an epoch has not ``steps_per_epoch`` batches.
    """
    layer = nn.Linear(dimension, classes).to(device)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    highest = settings.learning_rate * settings.batch_size / 256
    optimiser = torch.optim.SGD(
        layer.parameters(), lr=highest, momentum=settings.momentum, nesterov=settings.momentum > 0
    )
    total = settings.epochs * steps_per_epoch
    step = 0
    with evaluation_mode(encoder):
        for epoch in range(settings.epochs):
            for images, labels in training(epoch):
                with torch.no_grad():
                    h = encoder(images).float()
                for group in optimiser.param_groups:
                    group["lr"] = highest * 0.5 * (1.0 + math.cos(math.pi * step / total))
                optimiser.zero_grad()
                functional.cross_entropy(layer(h), labels).backward()
                optimiser.step()
                step += 1
                if progress:
                    progress(step, total)
            if step != (epoch + 1) * steps_per_epoch:
                raise ValueError(f"epoch {epoch} ended after {step} steps in all, not {(epoch + 1) * steps_per_epoch}")
        return {name: _accuracy(encoder, layer, batches(), classes) for name, batches in held_out.items()}


@torch.no_grad()
def _accuracy(encoder: nn.Module, layer: nn.Module, batches: Batches, classes: int) -> Accuracy:
    first = among_five = count = 0
    for images, labels in batches:
        best = layer(encoder(images).float()).topk(min(5, classes), dim=1).indices
        right = best == labels[:, None]
        first += int(right[:, 0].sum())
        among_five += int(right.any(dim=1).sum())
        count += len(labels)
    return Accuracy(100.0 * first / count, 100.0 * among_five / count)
