"""Changes of place, sharpness and content of a batch of images, each image by its own amount."""

from __future__ import annotations

import numpy
import torch
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from harness.errors import UserError

__all__ = ["blur", "blur_radius", "crop_coefficients", "cut_out_", "gaussian_noise", "resample", "sobel"]


def crop_coefficients(
    boxes: ndarray, flip: ndarray, image: tuple[int, int], view: tuple[int, int], *, clamped: bool
) -> ndarray:
    """Return where the pixels of cropped, resized and flipped views lie in their images, as lines: float64 [N, 2, 4].

    Pixel ``j`` of a view's axis (x, then y) lies at ``slope * (j + 0.5) + intercept``, kept between the last two
    numbers, in the coordinates of ``grid_sample`` with ``align_corners=False``.

    Args:
        boxes: int [N, 4], top, left, height and width in pixels of the image.
        flip: bool [N], horizontally.
        image, view: their height and width.
        clamped: keep places between the centres of the box's outermost pixels, so that bilinear interpolation takes
            nothing from outside the box, as if it had been cut out first.
    """
    start, length = boxes[:, 1::-1].astype(numpy.float64), boxes[:, :1:-1].astype(numpy.float64)  # x before y
    scale = 2.0 / numpy.array(image[::-1])
    slope = length / numpy.array(view[::-1])
    mirrored = numpy.stack([flip, numpy.zeros_like(flip)], axis=1)
    slope, origin = numpy.where(mirrored, -slope, slope), numpy.where(mirrored, start + length, start)
    margin = 0.5 if clamped else -numpy.inf
    lines = [
        slope * scale,
        origin * scale - 1.0,
        (start + margin) * scale - 1.0,
        (start + length - margin) * scale - 1.0,
    ]
    return numpy.stack(lines, axis=2)


def resample(images: Tensor, lines: Tensor, view: tuple[int, int], mode: str) -> Tensor:
    """Return views [N, C, *view] of images [N, C, H, W] along the lines of :func:`crop_coefficients`."""
    height, width = view
    slope, intercept, low, high = lines.split(1, dim=2)
    pixels = torch.arange(max(height, width), dtype=images.dtype, device=images.device).add_(0.5)
    places = (pixels * slope).add_(intercept)
    places = torch.minimum(torch.maximum(places, low), high)
    grid = images.new_empty(len(images), height, width, 2)
    grid[..., 0] = places[:, 0, None, :width]
    grid[..., 1] = places[:, 1, :height, None]
    views = functional.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)
    return views.clamp_(0.0, 1.0)  # cubic curves overshoot, and weights add up to 1 to rounding only


def cut_out_(images: Tensor, rows: Tensor, sides: Tensor, places: Tensor, fill: float) -> Tensor:
    """Overwrite a square of the images ``rows`` with ``fill``.

    Args:
        sides: [n], the squares' sides over the images' shorter side; rounded to whole pixels.
        places: [n, 2] in [0, 1), where the squares lie in the room that they have, downwards and rightwards.
    """
    height, width = images.shape[2:]
    length = (sides * min(height, width)).round_()
    top = (places[:, 0] * (height - length + 1)).floor_()
    left = (places[:, 1] * (width - length + 1)).floor_()
    inside = _within(top, length, height).unsqueeze(2) & _within(left, length, width).unsqueeze(1)
    images[rows] = images[rows].masked_fill_(inside.unsqueeze(1), fill)
    return images


def _within(start: Tensor, length: Tensor, size: int) -> Tensor:
    pixels = torch.arange(size, device=start.device)
    return (pixels >= start.unsqueeze(1)) & (pixels < (start + length).unsqueeze(1))


def blur_radius(height: int) -> int:
    """Return the pixels on each side of the blur's centre: its kernel spans a tenth of the height (appendix A).

    The kernel is made odd as in the authors' code (22 becomes 23) and is of three pixels at least: below a height of 20
    the rule alone would leave one, which is no blur.
    """
    return max(1, height // 10 // 2)


def blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Return images [N, C, H, W] blurred by Gaussians of ``sigmas`` [N] pixels, mirrored at the borders.

    Raises:
        UserError: the images are narrower than half the kernel.
    """
    height, width = images.shape[2:]
    radius = blur_radius(height)
    if radius >= min(height, width):
        raise UserError(f"images of {height}x{width} pixels are too narrow to be blurred over {2 * radius + 1} pixels.")
    offsets = torch.arange(radius + 1, dtype=images.dtype, device=images.device)
    weights = (offsets / sigmas.unsqueeze(1)).square_().mul_(-0.5).exp_()
    weights = weights / (2.0 * weights.sum(dim=1, keepdim=True) - 1.0)
    taps = weights.t().reshape(radius + 1, -1, 1, 1, 1)
    padded = functional.pad(images, (radius, radius, radius, radius), mode="reflect")
    return _along(_along(padded, taps, 2), taps, 3).clamp_(0.0, 1.0)


def _along(padded: Tensor, taps: Tensor, axis: int) -> Tensor:
    """Filter along one axis with symmetric taps [radius + 1, N, 1, 1, 1], the centre first.

    Shifted sums, not a convolution: they stay in float32 under autocast and TF32, and the images of a batch do not
    share an instruction whose rounding could depend on how many they are.
    """
    radius = len(taps) - 1
    size = padded.shape[axis] - 2 * radius
    filtered = padded.narrow(axis, radius, size) * taps[0]
    for offset in range(1, radius + 1):
        both = padded.narrow(axis, radius - offset, size) + padded.narrow(axis, radius + offset, size)
        filtered.add_(both.mul_(taps[offset]))
    return filtered


def sobel(images: Tensor) -> Tensor:
    """Return the magnitude of the Sobel gradient of each channel of images [N, C, H, W], cut off at 1."""
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    smooth_down = padded[:, :, :-2] + 2.0 * padded[:, :, 1:-1] + padded[:, :, 2:]
    smooth_across = padded[..., :-2] + 2.0 * padded[..., 1:-1] + padded[..., 2:]
    across = smooth_down[..., 2:] - smooth_down[..., :-2]
    down = smooth_across[:, :, 2:] - smooth_across[:, :, :-2]
    return across.square_().add_(down.square_()).sqrt_().clamp_(max=1.0)


def gaussian_noise(seeds: ndarray, shape: tuple[int, ...]) -> Tensor:
    """Return standard normal noise [n, *shape], float32 on the CPU: for each image from a generator of its own.

    A generator an image makes the noise independent of the rest of the batch and of the device.
    """
    noise = numpy.empty((len(seeds), *shape), dtype=numpy.float32)
    for own, seed in zip(noise, seeds.tolist(), strict=True):
        numpy.random.Generator(numpy.random.Philox(key=seed)).standard_normal(dtype=numpy.float32, out=own)
    return torch.from_numpy(noise)
