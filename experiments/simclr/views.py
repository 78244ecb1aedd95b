"""Batches of two views: which images a step sees, and how they are augmented, as a function of the step alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy
import torch
from torch import Tensor

from experiments.data import DecodedPart, Part
from experiments.simclr.augmentation import as_float, augment, two_views
from experiments.simclr.augmentation_settings import AugmentationSettings, CropSettings
from experiments.simclr.loading import CropPlan, crop_batches
from harness.execution.streams import Stream


@dataclass(frozen=True)
class Share:
    """This process among those that train one model together; each takes its slice of every batch."""

    rank: int = 0
    processes: int = 1


class Order:
    """Which images each step sees: a new permutation every epoch, what is left over of it unseen.

    Any step can be asked for by itself, so that a resumed run sees what an uninterrupted one sees.
    """

    def __init__(self, stream: Stream, count: int, batch_size: int, share: Share) -> None:
        if count < batch_size:
            raise ValueError(f"a batch of {batch_size} needs as many training images; there are {count}")
        if batch_size % share.processes:
            raise ValueError(f"a batch of {batch_size} cannot be divided among {share.processes} processes")
        self.stream = stream
        self.count = count
        self.batch_size = batch_size
        self.share = share
        self.steps_per_epoch = count // batch_size
        self._epoch = -1
        self._permutation = numpy.zeros(0, dtype=numpy.int64)

    def indices(self, step: int) -> numpy.ndarray:
        """Return the images of this process at ``step``."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._permutation = epoch, self.stream.child(epoch).numpy.permutation(self.count)
        own = self.batch_size // self.share.processes
        start = place * self.batch_size + self.share.rank * own
        return self._permutation[start : start + own]


class Views(Protocol):
    """Where the training loop gets its batches from."""

    order: Order

    def batches(self, first: int, last: int) -> Iterator[Tensor]:
        """Give what the steps ``first`` to ``last - 1`` see, on the device, before augmentation."""
        ...

    def augmented(self, images: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return two views of a batch, float32 [N, C, size, size] in 0..1, on the device."""
        ...


def views_of(
    part: Part,
    batch_size: int,
    settings: AugmentationSettings,
    order: Stream,
    augmentation: Stream,
    device: torch.device,
    *,
    size: int | None = None,
    share: Share | None = None,
    loaders: int = 4,
) -> Views:
    """Return the views of a training part.

    Args:
        batch_size: images a step, over all processes.
        size: pixels of a view's side; default: that of the images. Images of unequal size need it.
        loaders: processes that read and crop images which lie in files.

    Raises:
        ValueError: the part has fewer images than a batch, the batch cannot be divided, or ``size`` is missing.
    """
    share = share or Share()
    batches = Order(order, len(part), batch_size, share)
    if not isinstance(part, DecodedPart):
        return ArrayViews(part, batches, settings, augmentation, device, size)
    if size is None:
        raise ValueError("images of unequal size need 'view_size', the pixels of a view's side")
    return FileViews(part, batches, settings, augmentation, device, size, loaders)


class ArrayViews:
    """Views of images that lie in memory as one array."""

    def __init__(
        self,
        part: Part,
        order: Order,
        settings: AugmentationSettings,
        augmentation: Stream,
        device: torch.device,
        size: int | None,
    ) -> None:
        self.part = part
        self.order = order
        self.settings = settings
        self.augmentation = augmentation
        self.device = device
        self.size = size

    def batches(self, first: int, last: int) -> Iterator[Tensor]:
        """Give uint8 images [N, C, H, W]."""
        for step in range(first, last):
            yield torch.from_numpy(self.part.images[self.order.indices(step)]).to(self.device)

    def augmented(self, images: Tensor, step: int) -> tuple[Tensor, Tensor]:
        generator = self.augmentation.child(step).child(self.order.share.rank).numpy
        return two_views(images, self.settings, generator, self.size)


class FileViews:
    """Views of images that lie in files: cropped and flipped by the loaders, all else done on the device.

    Images of unequal size cannot be stacked before they are cropped, so a loader decodes each image once and cuts
    both crops from its full resolution, as the paper does. Where one branch alone is augmented, both branches get one
    common crop, and the first is transformed further (section 3.1).
    """

    def __init__(
        self,
        part: DecodedPart,
        order: Order,
        settings: AugmentationSettings,
        augmentation: Stream,
        device: torch.device,
        size: int,
        loaders: int,
    ) -> None:
        self.part = part
        self.order = order
        if settings.one_branch:
            self.plan, self.settings = CropPlan(CropSettings(), 0.0, size, crops=1), settings
        else:
            self.plan = CropPlan(settings.crop, settings.flip, size, crops=2)
            self.settings = settings.model_copy(update={"crop": None, "flip": 0.0})
        self.augmentation = augmentation
        self.device = device
        self.loaders = loaders

    def batches(self, first: int, last: int) -> Iterator[Tensor]:
        """Give uint8 images [N, crops, 3, size, size]: the two crops of each image, or the one for both branches."""
        # A stream of its own: below the step's lies what is drawn on the device, and every process has a place 0.
        stream = self.augmentation.child("crop").child(self.order.share.rank)
        for crops, _ in crop_batches(self.part, self.order, first, last, self.plan, stream, self.loaders):
            yield crops.to(self.device, non_blocking=True)

    def augmented(self, images: Tensor, step: int) -> tuple[Tensor, Tensor]:
        generator = self.augmentation.child(step).child(self.order.share.rank).numpy
        if self.settings.one_branch:
            return augment(images[:, 0], self.settings, generator), as_float(images[:, 0])
        first, second = images.unbind(1)
        both = augment(torch.cat([first, second]), self.settings, generator)
        return both[: len(first)], both[len(first) :]
