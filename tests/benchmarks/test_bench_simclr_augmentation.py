"""What two views of a batch cost, beside torchvision image by image in the same run. Nothing is asserted of a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from experiments.simclr.augmentation import draw_parameters, two_views
from experiments.simclr.augmentation_settings import AugmentationSettings, ColourSettings

BATCH, SIDE = 64, 20
POLICIES = {
    "crop, flip, colour, grey": AugmentationSettings(blur=None),
    "shuffled": AugmentationSettings(blur=None, colour=ColourSettings(shuffled=True)),
    "with blur": AugmentationSettings(),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def images() -> Tensor:
    return torch.from_numpy(numpy.random.default_rng(0).integers(0, 256, (BATCH, 3, SIDE, SIDE), dtype=numpy.uint8))


@pytest.mark.parametrize("name", POLICIES)
def test_bench_two_views_of_64_small_images(benchmark: Any, images: Tensor, name: str) -> None:
    generator = numpy.random.default_rng(0)
    first, second = benchmark(two_views, images, POLICIES[name], generator)
    assert first.shape == second.shape == images.shape


def test_bench_parameters_of_64_pairs(benchmark: Any) -> None:
    generator = numpy.random.default_rng(0)
    assert len(benchmark(draw_parameters, 2 * BATCH, SIDE, SIDE, AugmentationSettings(), generator)) == 2 * BATCH


@pytest.mark.parametrize("name", ["crop, flip, colour, grey", "with blur"])
def test_bench_torchvision_image_by_image(benchmark: Any, images: Tensor, name: str) -> None:
    blur = [v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], p=0.5)] if name == "with blur" else []
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

    def image_by_image() -> tuple[Tensor, Tensor]:
        first, second = (torch.stack([transform(image) for image in images]) for _ in range(2))
        return first, second

    first, second = benchmark(image_by_image)
    assert first.shape == second.shape == images.shape
