"""The random parameters of augmentation, a row an image: drawn by NumPy, the same whatever else is switched on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy

from experiments.simclr.augmentation_settings import AugmentationSettings, CropSettings

TRIES = 10
"""Crops that are drawn until one lies within the image, as in torchvision's ``RandomResizedCrop``."""
UNIFORMS = (
    "top", "left", "flip", "jittered", "brightness", "contrast", "saturation", "hue",
    "first", "second", "third", "fourth", "grey", "turned", "turns", "hole", "hole_y", "hole_x", "hole_side",
    "sobel", "noisy", "deviation", "blurred", "sigma",
    *(f"area_{number}" for number in range(TRIES)),
    *(f"ratio_{number}" for number in range(TRIES)),
)  # fmt: skip
"""What the uniform numbers of a row are for."""


@dataclass(frozen=True)
class Parameters:
    """What is done to each of N images.

    ``box`` [N, 4] holds the crop's top, left, height and width in pixels; ``jitter`` [N, 4] the brightness, contrast
    and saturation factors and the hue's shift in turns, where ``jittered``; ``order`` [N, 4] which of these comes
    first, second, ...; ``turns`` quarter turns; ``hole`` [N, 4] the cutout's top, left, bottom and right. A sigma,
    deviation, turn or hole of 0 and a flag that is false leave an image as it is. ``noise_seed`` is of the whole batch.
    """

    box: numpy.ndarray
    flip: numpy.ndarray
    turns: numpy.ndarray
    hole: numpy.ndarray
    jittered: numpy.ndarray
    jitter: numpy.ndarray
    order: numpy.ndarray
    grey: numpy.ndarray
    sobel: numpy.ndarray
    deviation: numpy.ndarray
    sigma: numpy.ndarray
    noise_seed: int

    def __len__(self) -> int:
        return len(self.flip)


def draw_parameters(
    count: int, height: int, width: int, settings: AugmentationSettings, generator: numpy.random.Generator
) -> Parameters:
    """Draw the parameters of ``count`` images of ``height`` x ``width`` pixels.

    Every image takes one row of uniform numbers, whatever is switched on: one transformation never shifts another.
    """
    drawn = dict(zip(UNIFORMS, generator.random((count, len(UNIFORMS))).T, strict=True))
    noise_seed = int(generator.integers(0, 2**63))
    off = numpy.zeros(count, dtype=bool)
    box = numpy.tile(numpy.array([0, 0, height, width]), (count, 1))
    if settings.crop is not None:
        tries = numpy.stack([[drawn[f"{what}_{number}"] for number in range(TRIES)] for what in ("area", "ratio")])
        box = boxes(tries[0].T, tries[1].T, drawn["top"], drawn["left"], height, width, settings.crop)
    jittered, jitter = off, numpy.tile(numpy.array([1.0, 1.0, 1.0, 0.0]), (count, 1))
    order = numpy.tile(numpy.arange(4), (count, 1))
    if (colour := settings.colour) is not None:
        jittered = drawn["jittered"] < colour.probability
        names = ("brightness", "contrast", "saturation", "hue")
        jitter = numpy.stack([_between(r, drawn[n]) for n, r in zip(names, colour.ranges(), strict=True)], axis=1)
        if colour.shuffled:
            order = numpy.argsort(
                numpy.stack([drawn[n] for n in ("first", "second", "third", "fourth")], axis=1), axis=1
            )
    turns, hole = numpy.zeros(count, dtype=numpy.int64), numpy.zeros((count, 4), dtype=numpy.int64)
    if (rotate := settings.rotate) is not None:
        turns = numpy.where(drawn["turned"] < rotate.probability, 1 + numpy.floor(3 * drawn["turns"]).astype(int), 0)
    if (cutout := settings.cutout) is not None:
        side = numpy.where(drawn["hole"] < cutout.probability, _between(cutout.side, drawn["hole_side"]), 0.0)
        hole = _holes(side, drawn["hole_y"], drawn["hole_x"], height, width)
    deviation, sigma = numpy.zeros(count), numpy.zeros(count)
    if (noise := settings.noise) is not None:
        deviation = numpy.where(drawn["noisy"] < noise.probability, _between(noise.deviation, drawn["deviation"]), 0.0)
    if (blur := settings.blur) is not None:
        sigma = numpy.where(drawn["blurred"] < blur.probability, _between(blur.sigma, drawn["sigma"]), 0.0)
    sobel = off if settings.sobel is None else drawn["sobel"] < settings.sobel.probability
    flip, grey = drawn["flip"] < settings.flip, drawn["grey"] < settings.grey
    return Parameters(box, flip, turns, hole, jittered, jitter, order, grey, sobel, deviation, sigma, noise_seed)


def draw_crops(
    count: int, height: int, width: int, settings: CropSettings, generator: numpy.random.Generator
) -> numpy.ndarray:
    """Draw crops alone, [count, 4]: top, left, height, width."""
    drawn = generator.random((count, 2 * TRIES + 2))
    areas, ratios = drawn[:, :TRIES], drawn[:, TRIES : 2 * TRIES]
    return boxes(areas, ratios, drawn[:, -2], drawn[:, -1], height, width, settings)


def boxes(
    areas: numpy.ndarray,
    ratios: numpy.ndarray,
    top: numpy.ndarray,
    left: numpy.ndarray,
    height: int,
    width: int,
    settings: CropSettings,
) -> numpy.ndarray:
    """Return crops [N, 4] from uniform numbers: the first of the tries [N, TRIES] that fits, else the central crop.

    Area and ratio are drawn as in torchvision's ``RandomResizedCrop``: the area uniformly, the ratio's logarithm too.
    """
    area = height * width * _between(settings.scale, areas)
    ratio = numpy.exp(_between((math.log(settings.ratio[0]), math.log(settings.ratio[1])), ratios))
    wide = numpy.rint(numpy.sqrt(area * ratio)).astype(numpy.int64)
    tall = numpy.rint(numpy.sqrt(area / ratio)).astype(numpy.int64)
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    place = numpy.argmax(fits, axis=1)
    rows = numpy.arange(len(area))
    any_fits = fits.any(axis=1)
    central = _central(height, width, settings)
    tall = numpy.where(any_fits, tall[rows, place], central[0])
    wide = numpy.where(any_fits, wide[rows, place], central[1])
    above = numpy.where(any_fits, numpy.floor(top * (height - tall + 1)), (height - tall) // 2).astype(numpy.int64)
    before = numpy.where(any_fits, numpy.floor(left * (width - wide + 1)), (width - wide) // 2).astype(numpy.int64)
    return numpy.stack([above, before, tall, wide], axis=1)


def _central(height: int, width: int, settings: CropSettings) -> tuple[int, int]:
    """Return height and width of the largest crop whose ratio is in range."""
    low, high = settings.ratio
    if width / height < low:
        return round(width / low), width
    if width / height > high:
        return height, round(height * high)
    return height, width


def _between(ends: tuple[float, float], uniform: numpy.ndarray) -> numpy.ndarray:
    return ends[0] + (ends[1] - ends[0]) * uniform


def _holes(side: numpy.ndarray, y: numpy.ndarray, x: numpy.ndarray, height: int, width: int) -> numpy.ndarray:
    """Return top, left, bottom and right of squares whose middle is anywhere in the image; they may stick out."""
    pixels = numpy.rint(side * min(height, width)).astype(numpy.int64)
    top = numpy.floor(y * height).astype(numpy.int64) - pixels // 2
    left = numpy.floor(x * width).astype(numpy.int64) - pixels // 2
    return numpy.stack([top, left, top + pixels, left + pixels], axis=1)
