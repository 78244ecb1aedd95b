"""Augmentation of batches, every image by parameters of its own (appendix A of the paper, and Figure 4)."""

from __future__ import annotations

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from experiments.simclr.augmentation_parameters import Parameters, draw_parameters
from experiments.simclr.augmentation_settings import AugmentationSettings
from experiments.simclr.colour import grey_of, jittered

HOLE = 0.5
"""What a cutout is filled with."""


def two_views(
    images: Tensor, settings: AugmentationSettings, generator: numpy.random.Generator, size: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return two views of each image [N, C, H, W] (uint8, or floats in 0..1): float32 [N, C, size, size] in 0..1.

    The parameters of all first views are drawn before those of the second views. With ``one_branch`` the second view
    is the image itself.
    """
    if settings.one_branch:
        plain = as_float(images)
        if size is not None and plain.shape[-2:] != (size, size):
            plain = functional.interpolate(plain, (size, size), mode="bilinear", align_corners=False)
        return augment(images, settings, generator, size), plain
    both = augment(images.repeat(2, 1, 1, 1), settings, generator, size)
    return both[: len(images)], both[len(images) :]


def augment(
    images: Tensor, settings: AugmentationSettings, generator: numpy.random.Generator, size: int | None = None
) -> Tensor:
    """Return one view of each image; see ``two_views``."""
    count, _, height, width = images.shape
    return apply(images, draw_parameters(count, height, width, settings, generator), settings, size)


def apply(images: Tensor, parameters: Parameters, settings: AugmentationSettings, size: int | None = None) -> Tensor:
    """Transform each image by its own parameters, on the device that it is on.

    Colour jitter and grey need three channels and leave images of one as they are, but for brightness and contrast.
    """
    height, width = images.shape[-2:]
    found = as_float(images)
    side = (size, size) if size is not None else (height, width)
    if settings.crop is not None or settings.flip or side != (height, width):
        found = _cropped(found, parameters, side, "bilinear" if settings.crop is None else settings.crop.interpolation)
    else:
        found = found.clone() if found is images else found
    if settings.rotate is not None:
        for turns in (1, 2, 3):
            rows = _rows(parameters.turns == turns, found)
            found[rows] = torch.rot90(found[rows], turns, (-2, -1))
    if settings.cutout is not None:
        found = _cut(found, parameters.hole, (height, width))
    if settings.colour is not None:
        found = jittered(found, parameters, settings.colour.shuffled)
    if settings.grey and found.shape[1] == 3:
        rows = _rows(parameters.grey, found)
        found[rows] = grey_of(found[rows]).expand(-1, 3, -1, -1)
    if settings.sobel is not None:
        rows = _rows(parameters.sobel, found)
        found[rows] = sobel_of(found[rows])
    if settings.noise is not None:
        found = _noisy(found, parameters)
    if settings.blur is not None:
        rows = _rows(parameters.sigma > 0, found)
        found[rows] = _blurred(found[rows], parameters.sigma[parameters.sigma > 0])
    return found


def as_float(images: Tensor) -> Tensor:
    """Return images as float32 in 0..1; uint8 is divided by 255."""
    return images.float().div_(255.0) if images.dtype == torch.uint8 else images.float()


def _rows(chosen: numpy.ndarray, images: Tensor) -> Tensor:
    return torch.from_numpy(numpy.flatnonzero(chosen)).to(images.device)


def _cropped(images: Tensor, parameters: Parameters, side: tuple[int, int], interpolation: str) -> Tensor:
    """Cut out each box and resize it, flipped or not, as ``resize`` without antialiasing does; nothing outside is seen."""
    height, width = images.shape[-2:]
    box = parameters.box.astype(numpy.float32)
    # Where the middle of each new pixel lies in the old image, kept within the box.
    down = _sampled(box[:, 0], box[:, 2], side[0], interpolation)
    across = _sampled(box[:, 1], box[:, 3], side[1], interpolation)
    across = numpy.where(parameters.flip[:, None], across[:, ::-1], across)
    y = torch.from_numpy((2 * down + 1) / height - 1).to(images.device)
    x = torch.from_numpy((2 * across + 1) / width - 1).to(images.device)
    shape = (len(images), *side)
    grid = torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], dim=-1)
    found = functional.grid_sample(images, grid, mode=interpolation, padding_mode="border", align_corners=False)
    return found.clamp_(0.0, 1.0) if interpolation == "bicubic" else found


def _sampled(start: numpy.ndarray, length: numpy.ndarray, count: int, interpolation: str) -> numpy.ndarray:
    at = (numpy.arange(count, dtype=numpy.float32) + 0.5)[None, :] * (length / count)[:, None] - 0.5
    if interpolation == "bilinear":
        at = numpy.clip(at, 0.0, length[:, None] - 1.0)
    return start[:, None] + at


def _cut(images: Tensor, hole: numpy.ndarray, drawn_for: tuple[int, int]) -> Tensor:
    """Fill each hole, given in pixels of the image before it was resized."""
    height, width = images.shape[-2:]
    top, left, bottom, right = (torch.from_numpy(column).to(images.device) for column in hole.T)
    y = (torch.arange(height, device=images.device) + 0.5) * (drawn_for[0] / height)
    x = (torch.arange(width, device=images.device) + 0.5) * (drawn_for[1] / width)
    down = (y >= top[:, None]) & (y < bottom[:, None])
    across = (x >= left[:, None]) & (x < right[:, None])
    return images.masked_fill((down[:, :, None] & across[:, None, :])[:, None], HOLE)


def sobel_of(images: Tensor) -> Tensor:
    """Return the magnitude of the grey image's gradient, in 0..1 (a step from black to white has 1), in all channels."""
    grey = grey_of(images) if images.shape[1] == 3 else images
    along = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=images.device) / 4.0
    filters = torch.stack([along, along.T])[:, None]
    slopes = functional.conv2d(functional.pad(grey, (1, 1, 1, 1), mode="replicate"), filters)
    return slopes.square().sum(dim=1, keepdim=True).sqrt().clamp_(max=1.0).expand_as(images)


def _noisy(images: Tensor, parameters: Parameters) -> Tensor:
    drawn = numpy.random.Generator(numpy.random.Philox(parameters.noise_seed)).standard_normal(
        images.shape, dtype=numpy.float32
    )
    deviation = torch.from_numpy(parameters.deviation.astype(numpy.float32)).to(images.device)[:, None, None, None]
    return (images + deviation * torch.from_numpy(drawn).to(images.device)).clamp_(0.0, 1.0)


def kernel_size(height: int) -> int:
    """Return the blur's kernel size: a tenth of the image's height, made odd, at least three pixels."""
    return max(3, 2 * (height // 20) + 1)


def _blurred(images: Tensor, sigma: numpy.ndarray) -> Tensor:
    """Blur each image by its own sigma, in pixels, the edges mirrored as torchvision does."""
    count, channels, height, width = images.shape
    if not count:
        return images
    size = kernel_size(height)
    half = size // 2
    at = torch.arange(-half, half + 1, dtype=torch.float32, device=images.device)
    wide = torch.from_numpy(sigma.astype(numpy.float32)).to(images.device)[:, None]
    kernel = torch.exp(-0.5 * (at / wide).square())
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    groups = count * channels
    rows = functional.pad(images, (half, half, half, half), mode="reflect").reshape(
        1, groups, *(n + 2 * half for n in (height, width))
    )
    rows = functional.conv2d(rows, kernel[:, None, :, None], groups=groups)
    return functional.conv2d(rows, kernel[:, None, None, :], groups=groups).reshape(images.shape)
