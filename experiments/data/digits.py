"""``digits`` and ``coloured-digits``: scikit-learn's real handwritten digits, as they are or in colours.

1,797 images of 8 x 8 pixels with values 0..16, the test set of the UCI optical recognition data.
"""

from __future__ import annotations

import numpy
from sklearn.datasets import load_digits

from experiments.data.colours import NAMED_COLOURS, NAMES, at_luma, contrasting_luma, luma, with_article
from experiments.data.content import PARTS, Content
from experiments.data.draws import Draws, quantised
from experiments.data.masks import Bank, bank, place
from experiments.data.painting import CHUNK, Grain, painted
from experiments.data.parts import FactorInformation, Part, classes, number
from experiments.data.poses import Pose, draw_pose, pose_information, pose_of
from experiments.data.settings import ColouredDigitsSettings, DigitsSettings

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
EXTENT = 1.0  # a digit's 8 x 8 pixels are its frame
SHARES = {"train": 0.6, "validation": 0.15, "test": 0.25}  # of the digits, where images are drawn with replacement
ITEM = number("index in scikit-learn's list")


def make(settings: DigitsSettings, seed: int) -> Content:
    """Draw disjoint parts of the digits without replacement and enlarge them linearly."""
    pixels, digit = _digits(settings.classes)
    order = Draws("digits", seed, "all").permutation("items", len(pixels))
    stamps = bank(pixels, EXTENT, settings.size, 1.0, 1.0)
    parts, start = {}, 0
    for part, count in zip(PARTS, (settings.train, settings.validation, settings.test), strict=True):
        items = order[start : start + count]
        start += count
        middle = numpy.full(count, 0.5)
        pose = Pose(middle, middle, numpy.ones(count), numpy.zeros(count))
        images = quantised(place(stamps, items, pose, settings.size))[:, None]
        parts[part] = Part(images, {"digit": digit[items], "item": _numbers(items, settings.classes)})
    return Content(parts, {"digit": classes(WORDS[: settings.classes]), "item": ITEM}, "digit")


def make_coloured(settings: ColouredDigitsSettings, seed: int) -> Content:
    """Draw digits with replacement from the part's own ones and paint them."""
    pixels, digit = _digits(settings.classes)
    stamps = bank(pixels, EXTENT, settings.size, settings.scale_minimum, settings.scale_maximum)
    items = _items_of_parts(digit, seed)
    counts = {"train": settings.train, "validation": settings.validation, "test": settings.test}
    parts = {
        part: _coloured(settings, Draws("coloured-digits", seed, part), counts[part], items[part], digit, stamps)
        for part in PARTS
    }
    return Content(parts, _information(settings), "digit")


def _digits(count: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the first ``count`` digits' coverages [images, 8, 8] in [0, 1], and which digits they are."""
    found = load_digits(n_class=count)
    return found.images / 16, found.target.astype(numpy.int64)


def _numbers(items: numpy.ndarray, count: int) -> numpy.ndarray:
    """Return the indices in scikit-learn's whole list of items of the list of the first ``count`` digits."""
    return numpy.flatnonzero(load_digits().target < count)[items].astype(numpy.float64)


def _items_of_parts(digit: numpy.ndarray, seed: int) -> dict[str, numpy.ndarray]:
    """Split the digits in SHARES within every class, so that every part has every class."""
    rank = Draws("coloured-digits", seed, "all").stream("items").random(len(digit))
    found: dict[str, list[numpy.ndarray]] = {part: [] for part in PARTS}
    for value in range(int(digit.max()) + 1):
        own = numpy.flatnonzero(digit == value)
        own = own[numpy.argsort(rank[own], kind="stable")]
        first = round(SHARES["train"] * len(own))
        second = first + round(SHARES["validation"] * len(own))
        for part, items in zip(PARTS, numpy.split(own, [first, second]), strict=True):
            found[part].append(items)
    return {part: numpy.sort(numpy.concatenate(items)) for part, items in found.items()}


def _information(settings: ColouredDigitsSettings) -> dict[str, FactorInformation]:
    grounds = NAMES[: settings.colours] if settings.background == "colours" else ("grey",)
    return {
        "digit": classes(WORDS[: settings.classes]),
        "colour": classes(NAMES[: settings.colours]),
        "background": classes(grounds),
        "background_lightness": number("fraction"),
        "item": ITEM,
        **pose_information(),
    }


def _coloured(
    settings: ColouredDigitsSettings, draws: Draws, count: int, pool: numpy.ndarray, digit: numpy.ndarray, stamps: Bank
) -> Part:
    items = pool[draws.integers("item", len(pool), count)]
    colour = draws.integers("colour", settings.colours, count)
    foreground = NAMED_COLOURS[colour]
    lightness = contrasting_luma(
        luma(foreground), draws.uniform("side", 0, 1, count), draws.uniform("contrast", 0, 1, count)
    )
    if settings.background == "colours":
        # Another colour than the foreground's, each equally likely.
        ground = (colour + 1 + draws.integers("background", settings.colours - 1, count)) % settings.colours
        background = at_luma(NAMED_COLOURS[ground], lightness)
    else:
        ground = numpy.zeros(count, dtype=numpy.int64)
        background = numpy.repeat(lightness[:, None], 3, axis=1)
    scales = settings.scale_minimum, settings.scale_maximum
    pose = draw_pose(draws, "", count, 0, 0, 1, settings.shift, scales, settings.rotation)
    factors = {
        "digit": digit[items],
        "colour": colour,
        "background": ground,
        "background_lightness": lightness,
        "item": _numbers(items, settings.classes),
        **pose.factors(),
    }
    grain = Grain(draws, settings.size, 3, settings.texture, settings.noise)
    images = numpy.empty((count, 3, settings.size, settings.size), dtype=numpy.uint8)
    for start in range(0, count, CHUNK):
        chunk = slice(start, min(start + CHUNK, count))
        coverage = place(stamps, items[chunk], pose_of(factors, "", chunk), settings.size)
        length = len(coverage)
        images[chunk] = painted(
            foreground[chunk], background[chunk], grain.texture(length), coverage, grain.noise(length)
        )
    grounds = _information(settings)["background"].values
    captions = tuple(
        f"{with_article(f'{NAMES[c]} {WORDS[d]}')} on {with_article(f'{grounds[g]} background')}"
        for c, d, g in zip(colour, factors["digit"], ground, strict=True)
    )
    return Part(images, factors, captions)
