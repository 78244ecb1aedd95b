"""Images that lie in files, decoded and cropped to one size by loader processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional

from experiments.data import DecodedPart
from experiments.simclr.augmentation import draw_crops
from experiments.simclr.augmentation_settings import CropSettings
from harness.execution.streams import Stream

CENTRE_RATIO = 256 / 224
"""The test image's shorter side is resized to this many times the crop's: 256 to 224 in appendix B.6."""


@dataclass(frozen=True)
class CropPlan:
    """How images become tensors of one size: ``crops`` random crops each, or one from the centre where it is None."""

    crop: CropSettings | None
    flip: float
    size: int
    crops: int = 1


class Indices(Protocol):
    """Which images a step's batch holds."""

    def indices(self, step: int) -> numpy.ndarray: ...


@dataclass(frozen=True)
class InSequence:
    """All images of a part in their order, the last batch as short as it must be."""

    count: int
    batch_size: int

    @property
    def steps(self) -> int:
        return -(-self.count // self.batch_size)

    def indices(self, step: int) -> numpy.ndarray:
        return numpy.arange(step * self.batch_size, min(self.count, (step + 1) * self.batch_size))


def crop_batches(
    part: DecodedPart, order: Indices, first: int, last: int, plan: CropPlan, stream: Stream, loaders: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give, for the steps ``first`` to ``last - 1``, uint8 crops [N, crops, 3, size, size] and labels [N].

    What an image is cropped to depends on the stream, the step and its place in the batch alone, so neither the number
    of loaders nor a resumed run changes a byte.
    """
    yield from DataLoader(
        _CroppedBatches(part, order, first, last, plan, stream),
        batch_size=None,
        num_workers=loaders,
        pin_memory=torch.cuda.is_available(),
    )


class _CroppedBatches(Dataset[tuple[Tensor, Tensor]]):
    """A data set whose items are whole batches."""

    def __init__(
        self, part: DecodedPart, order: Indices, first: int, last: int, plan: CropPlan, stream: Stream
    ) -> None:
        self.part = part
        self.order = order
        self.first = first
        self.last = last
        self.plan = plan
        self.stream = stream

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        if place >= len(self):
            raise IndexError(place)
        step = self.first + place
        stream, indices = self.stream.child(step), self.order.indices(step)
        images = [self._crops(int(index), stream.child(position)) for position, index in enumerate(indices)]
        return torch.stack(images), torch.from_numpy(self.part.factors["label"][indices].astype(numpy.int64))

    def _crops(self, index: int, stream: Stream) -> Tensor:
        image = functional.pil_to_tensor(self.part.image(index))
        if self.plan.crop is None:
            return _centre(image, self.plan.size)[None]
        height, width = image.shape[-2:]
        boxes = draw_crops(self.plan.crops, height, width, self.plan.crop, stream.numpy)
        flips = stream.child("flip").numpy.random(self.plan.crops) < self.plan.flip
        crops = []
        for (top, left, tall, wide), flipped in zip(boxes, flips, strict=True):
            sides = [self.plan.size, self.plan.size]
            crop = functional.resized_crop(
                image,
                int(top),
                int(left),
                int(tall),
                int(wide),
                sides,
                self.plan.crop.interpolation_mode,
                antialias=True,
            )
            crops.append(functional.horizontal_flip(crop) if flipped else crop)
        return torch.stack(crops)


def _centre(image: Tensor, size: int) -> Tensor:
    resized = functional.resize(image, [round(size * CENTRE_RATIO)], antialias=True)
    return functional.center_crop(resized, [size, size])
