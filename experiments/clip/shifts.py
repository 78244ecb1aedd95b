"""The shifts themselves, on batches of uint8 images, with torchvision's operations."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, functional

from experiments.clip.shift_settings import (
    BlurSettings,
    ContrastSettings,
    GreySettings,
    InvertSettings,
    NoiseSettings,
    OccludeSettings,
    RotateSettings,
    ShiftSettings,
)
from harness.execution.streams import Stream

MID_GREY = 128
CHUNK = 512
"""Images that are shifted at once: turning them takes several times their memory."""


def shifted(images: Tensor, settings: ShiftSettings, stream: Stream) -> Tensor:
    """Return images with one shift applied, uint8 of the same shape; the given ones stay as they are.

    What is drawn depends on the stream and the number and shape of the images alone, so that shifts of one kind and
    several strengths draw the same.

    Args:
        images: uint8 [count, 1 or 3, side, side].
    """
    chunks = enumerate(images.split(CHUNK))
    return torch.cat([_shifted(chunk, settings, stream.child(place)) for place, chunk in chunks])


def _shifted(images: Tensor, settings: ShiftSettings, stream: Stream) -> Tensor:
    if isinstance(settings, NoiseSettings):
        return _noise(images, settings.deviation, stream)
    if isinstance(settings, BlurSettings):
        return _blur(images, settings.sigma)
    if isinstance(settings, GreySettings):
        return _grey(images)
    if isinstance(settings, InvertSettings):
        return functional.invert(images)
    if isinstance(settings, RotateSettings):
        return _rotate(images, settings.degrees, stream)
    if isinstance(settings, ContrastSettings):
        return _rounded(functional.adjust_contrast(_fractions(images), settings.factor))
    if isinstance(settings, OccludeSettings):
        return _occlude(images, settings.side, stream)
    return functional.adjust_hue(images, settings.degrees / 360)


def _noise(images: Tensor, deviation: float, stream: Stream) -> Tensor:
    with stream.as_torch_default():
        return _rounded(functional.gaussian_noise(_fractions(images), sigma=deviation))


def _grey(images: Tensor) -> Tensor:
    return _rounded(functional.rgb_to_grayscale(_fractions(images), num_output_channels=images.shape[1]))


def _fractions(images: Tensor) -> Tensor:
    """Return images in [0, 1]: on whole numbers some of torchvision's operations cut off what they ought to round."""
    return functional.to_dtype(images, torch.float32, scale=True)


def _rounded(fractions: Tensor) -> Tensor:
    return (255 * fractions).round_().to(torch.uint8)


def _blur(images: Tensor, sigma: float) -> Tensor:
    # Three deviations hold 99.7 % of the weight; a reflection reaches no further than the image does.
    radius = min(math.ceil(3 * sigma), images.shape[-1] - 1, images.shape[-2] - 1)
    return functional.gaussian_blur(images, [2 * radius + 1, 2 * radius + 1], [sigma, sigma])


def _rotate(images: Tensor, degrees: float, stream: Stream) -> Tensor:
    # Drawn out beforehand, so that no corner is black, which would be a shift of its own.
    side = images.shape[-1]
    margin = math.ceil(side * (math.sqrt(2) - 1) / 2) + 1
    wide = functional.pad(images, [margin], padding_mode="edge")
    left = torch.rand(len(images), generator=stream.torch()) < 0.5
    found = torch.empty_like(images)
    for chosen, angle in ((left, degrees), (~left, -degrees)):
        if not chosen.any():
            continue
        turned = functional.rotate(wide[chosen], angle, interpolation=InterpolationMode.BILINEAR)
        found[chosen] = functional.center_crop(turned, [side, side])
    return found


def _occlude(images: Tensor, share: float, stream: Stream) -> Tensor:
    count, _, height, width = images.shape
    square = max(1, round(share * min(height, width)))
    places = torch.rand(count, 2, generator=stream.torch())
    top = (places[:, 0] * (height - square + 1)).long()[:, None]
    left = (places[:, 1] * (width - square + 1)).long()[:, None]
    rows, columns = torch.arange(height), torch.arange(width)
    down = (rows >= top) & (rows < top + square)
    across = (columns >= left) & (columns < left + square)
    covered = (down[:, :, None] & across[:, None, :])[:, None]
    return torch.where(covered, torch.tensor(MID_GREY, dtype=torch.uint8), images)
