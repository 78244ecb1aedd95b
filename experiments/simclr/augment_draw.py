"""What is drawn for each image: the parameters of every transformation, as small arrays of one row an image."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy
from numpy import ndarray

from experiments.simclr.augmentation_settings import AugmentationSettings, ColourSettings, CropSettings

__all__ = ["JITTERS", "Parameters", "draw_crops", "draw_parameters", "parameters_of", "uniforms"]

CROP_TRIES = 10
"""Boxes tried before the central one is taken, as in torchvision's ``RandomResizedCrop``."""
CROP_NUMBERS = 2 * CROP_TRIES + 2
JITTERS = ("brightness", "contrast", "saturation", "hue")
"""The parts of the colour jitter, in the order of appendix A; ``Parameters.order`` holds places in this list."""

CHANCES = ("flip", "jitter", "grey", "cutout", "sobel", "noise", "blur", "rotate")
"""What is applied to an image or not."""
AMOUNTS = (*JITTERS, "cutout_side", "noise_sigma", "blur_sigma")
"""What is drawn evenly from a range."""

_WIDTHS = {
    "crop": CROP_NUMBERS,
    "chances": len(CHANCES),
    "amounts": len(AMOUNTS),
    "order": len(JITTERS),
    "cutout_place": 2,
    "noise_seed": 1,
    "quarter_turns": 1,
}
NUMBERS = sum(_WIDTHS.values())
"""Uniform numbers drawn for an image, whatever is switched on."""


@dataclass(frozen=True)
class Parameters:
    """The parameters of ``N`` images; a transformation that is off is selected for none of them.

    Attributes:
        crop: int64 [N, 4], top, left, height and width of the box, in pixels of the image.
        flip, jitter, grey, cutout, sobel, noise, blur: bool [N], whether the transformation is applied.
        brightness, contrast, saturation: float64 [N], factors; 1 changes nothing.
        hue: float64 [N], shift in turns.
        order: int64 [N, 4], places in ``JITTERS`` in the order of application.
        cutout_side: float64 [N], side of the square over the view's shorter side.
        cutout_place: float64 [N, 2], in 0..1, where the square lies in the room that it has, downwards and rightwards.
        noise_sigma: float64 [N], standard deviation on the scale 0..1.
        noise_seed: int64 [N], key of the generator of the image's noise.
        blur_sigma: float64 [N], standard deviation in pixels of the view.
        quarter_turns: int64 [N], counter-clockwise rotation in steps of 90 degrees, 0 to 3.
    """

    crop: ndarray
    flip: ndarray
    jitter: ndarray
    brightness: ndarray
    contrast: ndarray
    saturation: ndarray
    hue: ndarray
    order: ndarray
    grey: ndarray
    cutout: ndarray
    cutout_side: ndarray
    cutout_place: ndarray
    sobel: ndarray
    noise: ndarray
    noise_sigma: ndarray
    noise_seed: ndarray
    blur: ndarray
    blur_sigma: ndarray
    quarter_turns: ndarray

    def __len__(self) -> int:
        return len(self.crop)

    def rows(self, chosen: slice | ndarray) -> Parameters:
        """Return the parameters of some of the images."""
        return Parameters(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


def uniforms(count: int, generator: numpy.random.Generator, views: int = 1) -> ndarray:
    """Return float64 [views * count, NUMBERS] in [0, 1): the first views of all images, then the second ones.

    They are drawn image by image, so an image's numbers do not depend on how many images follow it.
    """
    drawn = generator.random((count, views, NUMBERS))
    return drawn.swapaxes(0, 1).reshape(views * count, NUMBERS)


def draw_parameters(
    count: int, height: int, width: int, settings: AugmentationSettings, generator: numpy.random.Generator
) -> Parameters:
    """Draw the parameters of ``count`` images of ``height`` x ``width`` pixels.

    Every transformation has its own numbers in an image's row, drawn whether it is on or off: switching one on or off
    changes no parameter of another, and always moves the generator on equally far.
    """
    return parameters_of(uniforms(count, generator), height, width, settings)


def parameters_of(numbers: ndarray, height: int, width: int, settings: AugmentationSettings) -> Parameters:
    """Return the parameters that uniform numbers [N, NUMBERS] stand for."""
    ends = numpy.cumsum(list(_WIDTHS.values()))
    own = {name: numbers[:, end - wide : end] for (name, wide), end in zip(_WIDTHS.items(), ends, strict=True)}
    count = len(numbers)
    if settings.crop is None:
        crop = numpy.broadcast_to(numpy.array([0, 0, height, width], dtype=numpy.int64), (count, 4))
    else:
        crop = _boxes(own["crop"], height, width, settings.crop)
    # All columns of a kind at once: the arrays are so small that every call of NumPy costs the same.
    selected = dict(zip(CHANCES, (own["chances"] < _probabilities(settings)).T, strict=True))
    amounts = dict(zip(AMOUNTS, _between(own["amounts"], _ranges(settings)).T, strict=True))
    if settings.colour is not None and settings.colour.shuffled:
        order = numpy.argsort(own["order"], axis=1)
    else:
        order = numpy.broadcast_to(numpy.arange(len(JITTERS)), (count, len(JITTERS)))
    turns = 1 + (own["quarter_turns"][:, 0] * 3.0).astype(numpy.int64)
    return Parameters(
        crop=crop,
        order=order,
        cutout_place=own["cutout_place"],
        noise_seed=(own["noise_seed"][:, 0] * 2.0**53).astype(numpy.int64),
        quarter_turns=turns * selected.pop("rotate"),
        **selected,
        **amounts,
    )


def _probabilities(settings: AugmentationSettings) -> list[float]:
    parts = {"jitter": settings.colour, **{name: getattr(settings, name) for name in CHANCES[3:]}}
    chances = {name: part.probability if part is not None else 0.0 for name, part in parts.items()}
    return [({"flip": settings.flip, "grey": settings.grey} | chances)[name] for name in CHANCES]


def _ranges(settings: AugmentationSettings) -> ndarray:
    """Return the two ends of the range of each amount, float64 [2, 7]; of what is off, a range that changes nothing."""
    colour = settings.colour or ColourSettings(strength=0.0)
    ranges = {
        **colour.ranges,
        "cutout_side": settings.cutout.side if settings.cutout else (0.0, 0.0),
        "noise_sigma": settings.noise.sigma if settings.noise else (0.0, 0.0),
        "blur_sigma": settings.blur.sigma if settings.blur else (1.0, 1.0),
    }
    return numpy.array([ranges[name] for name in AMOUNTS]).T


def draw_crops(count: int, height: int, width: int, crop: CropSettings, generator: numpy.random.Generator) -> ndarray:
    """Draw ``count`` boxes within an image, int64 [count, 4]: top, left, height, width in pixels.

    The rule is that of torchvision's ``RandomResizedCrop``: area and logarithm of the aspect ratio are drawn evenly, a
    box that does not fit is drawn again, and after ten the central box of the nearest permitted ratio is taken.
    """
    return _boxes(generator.random((count, CROP_NUMBERS)), height, width, crop)


def _boxes(numbers: ndarray, height: int, width: int, crop: CropSettings) -> ndarray:
    """Return the boxes of uniform numbers [N, CROP_NUMBERS]: the tries' areas, their ratios, then the two places."""
    area = _between(numbers[:, :CROP_TRIES], crop.scale) * (height * width)
    low, high = crop.ratio
    ratio = numpy.exp(_between(numbers[:, CROP_TRIES : 2 * CROP_TRIES], (math.log(low), math.log(high))))
    wide = numpy.rint(numpy.sqrt(area * ratio))
    tall = numpy.rint(numpy.sqrt(area / ratio))
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    chosen = fits.argmax(axis=1)  # the first that fits, and 0 where none does
    every = numpy.arange(len(numbers))
    sides = numpy.stack([tall[every, chosen], wide[every, chosen]], axis=1)
    room = numpy.array([height, width]) - sides + 1
    corner = numpy.floor(numbers[:, 2 * CROP_TRIES :] * room)
    boxes = numpy.concatenate([corner, sides], axis=1).astype(numpy.int64)
    boxes[~fits[every, chosen]] = _central_box(height, width, crop)
    return boxes


def _central_box(height: int, width: int, crop: CropSettings) -> tuple[int, int, int, int]:
    low, high = crop.ratio
    tall, wide = height, width
    if width / height < low:
        tall = round(width / low)
    elif width / height > high:
        wide = round(height * high)
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def _between(numbers: ndarray, limits: tuple[float, float] | ndarray) -> ndarray:
    return limits[0] + (limits[1] - limits[0]) * numbers
