"""Colour jitter on batches: brightness, contrast, saturation and hue by a factor of each image's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import torch
from torch import Tensor

from experiments.simclr.augmentation_parameters import Parameters

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in grey, as torchvision has them (ITU-R 601)."""


def grey_of(images: Tensor) -> Tensor:
    """Return RGB images [N, 3, H, W] as grey, [N, 1, H, W]."""
    red, green, blue = images.split(1, dim=1)
    return red.mul(LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def brightened(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply, and clamp to 0..1; ``factor`` is [N, 1, 1, 1]."""
    return images.mul(factor).clamp_(0.0, 1.0)


def contrasted(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean of the grey image."""
    mean = (grey_of(images) if images.shape[1] == 3 else images).mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, factor).clamp_(0.0, 1.0)


def saturated(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grey image."""
    return torch.lerp(grey_of(images), images, factor).clamp_(0.0, 1.0) if images.shape[1] == 3 else images


def hue_shifted(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue by a share of the colour circle, in HSV (Smith 1978); value and saturation stay as they are."""
    if images.shape[1] != 3:
        return images
    red, green, blue = images.unbind(1)
    value = images.amax(dim=1)
    chroma = value - images.amin(dim=1)
    # Where there is no chroma the hue is nothing, and what is computed for it is multiplied by none.
    scale = chroma.clamp(min=1e-12).reciprocal_()
    is_red = value == red
    hue = torch.where(is_red, (green - blue).mul_(scale), (red - green).mul_(scale).add_(4.0))
    hue = torch.where((value == green) & ~is_red, (blue - red).mul_(scale).add_(2.0), hue)
    hue.add_(turns.reshape(-1, 1, 1) * 6.0)
    channels = []
    for start in (5.0, 3.0, 1.0):
        k = torch.remainder(hue + start, 6.0)
        dip = torch.minimum(k, 4.0 - k).clamp_(0.0, 1.0)
        channels.append(torch.addcmul(value, chroma, dip, value=-1.0))
    return torch.stack(channels, dim=1)


OPERATIONS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (brightened, contrasted, saturated, hue_shifted)


def jittered(images: Tensor, parameters: Parameters, shuffled: bool) -> Tensor:
    """Apply the four to the images that are jittered: one after the other, or in each image's own order."""
    rows = numpy.flatnonzero(parameters.jittered)
    if not len(rows):
        return images
    factors = torch.from_numpy(parameters.jitter[rows].astype(numpy.float32)).to(images.device)
    places = torch.from_numpy(rows).to(images.device)
    found = images if len(rows) == len(images) else images[places]
    if shuffled:
        found = _shuffled(found.clone(), factors, parameters.order[rows])
    else:
        for number, operation in enumerate(OPERATIONS):
            found = operation(found, factors[:, number, None, None, None])
    if len(rows) == len(images):
        return found
    images[places] = found
    return images


def _shuffled(images: Tensor, factors: Tensor, order: numpy.ndarray) -> Tensor:
    for place in range(4):
        for number, operation in enumerate(OPERATIONS):
            at = torch.from_numpy(numpy.flatnonzero(order[:, place] == number)).to(images.device)
            if len(at):
                images[at] = operation(images[at], factors[at, number, None, None, None])
    return images
