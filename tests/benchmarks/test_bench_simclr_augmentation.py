"""Two views of a batch beside torchvision image by image, and the drawing of their parameters beside torchvision's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from beside import Beside
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import v2

from experiments.simclr.augmentation import draw_parameters, two_views
from experiments.simclr.augmentation_settings import AugmentationSettings, ColourSettings

BATCH, SIDE = 64, 20
POLICIES = {
    "crop, flip, colour, grey": AugmentationSettings(blur=None),
    "the same, colours in random order": AugmentationSettings(blur=None, colour=ColourSettings(shuffled=True)),
    "the same with blur": AugmentationSettings(),
}


def images() -> Tensor:
    return torch.from_numpy(numpy.random.default_rng(0).integers(0, 256, (BATCH, 3, SIDE, SIDE), dtype=numpy.uint8))


def image_by_image(batch: Tensor, blurred: bool) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return what makes two views with torchvision; its colours always come in random order."""
    blur = [v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], p=0.5)] if blurred else []
    transform = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomResizedCrop(SIDE, antialias=False),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
            v2.RandomGrayscale(0.2),
            *blur,
        ]
    )

    def views() -> tuple[Tensor, Tensor]:
        first, second = (torch.stack([transform(image) for image in batch]) for _ in range(2))
        return first, second

    return views


def alike(ours: Any, theirs: Any) -> None:
    """Assert that two draws of views are images of one shape, range and about one mean; draws are random."""
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.shape == other.shape == (BATCH, 3, SIDE, SIDE) and mine.dtype == other.dtype
        assert float(mine.min()) >= 0 and float(mine.max()) <= 1
        assert abs(float(mine.mean() - other.mean())) < 0.1


@pytest.mark.parametrize("name", POLICIES)
def test_bench_two_views_of_64_small_images(beside: Beside, name: str) -> None:
    generator, batch = numpy.random.default_rng(0), images()
    beside(
        f"two views of {BATCH} images, {name}",
        lambda: two_views(batch, POLICIES[name], generator),
        image_by_image(batch, blurred="blur" in name),
        rival="torchvision, image by image",
        group="SimCLR's augmentation",
        agree=alike,
    )


def test_bench_parameters_of_64_pairs(beside: Beside) -> None:
    generator, image = numpy.random.default_rng(0), images()[0]
    jitter = transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)

    def one_by_one() -> list[Any]:
        return [
            (
                transforms.RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]),
                transforms.ColorJitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue),
            )
            for _ in range(2 * BATCH)
        ]

    def as_many(ours: Any, theirs: Any) -> None:
        assert len(ours) == len(theirs) == 2 * BATCH

    beside(
        f"random parameters of {BATCH} pairs",
        lambda: draw_parameters(2 * BATCH, SIDE, SIDE, AugmentationSettings(), generator),
        one_by_one,
        rival="torchvision, one by one",
        group="SimCLR's augmentation",
        agree=as_many,
    )
