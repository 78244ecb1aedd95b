"""``scenes``: one to four coloured, textured shapes on a background, with captions."""

from __future__ import annotations

import numpy

from experiments.data.colours import (
    NAMED_COLOURS,
    NAMES,
    at_luma,
    contrasting_luma,
    luma,
    of_hue,
    saturated,
    with_article,
)
from experiments.data.content import PARTS, Content
from experiments.data.draws import Draws
from experiments.data.masks import Bank, bank, mask_resolution, mask_side, place
from experiments.data.painting import CHUNK, Grain, painted
from experiments.data.parts import FactorInformation, Part, classes, number
from experiments.data.poses import draw_pose, pose_information, pose_of
from experiments.data.settings import ScenesSettings
from experiments.data.shapes import SHAPES, TEXTURES, shape_masks, texture_shades

COUNTS = ("one", "two", "three", "four")
BACKGROUNDS = ("plain", "graded", "cloudy")
AMPLITUDE = 0.12  # of a graded or cloudy background, at its edges


def make(settings: ScenesSettings, seed: int) -> Content:
    """Draw the three parts."""
    grid = _grid(settings)
    low, high = settings.scale_minimum / grid, settings.scale_maximum / grid
    resolution = mask_resolution(high, settings.size)
    masks = shape_masks(settings.shapes, resolution)
    stamps = bank(masks, mask_side(resolution) / resolution, settings.size, low, high)
    counts = {"train": settings.train, "validation": settings.validation, "test": settings.test}
    parts = {part: _part(settings, Draws("scenes", seed, part), counts[part], stamps) for part in PARTS}
    return Content(parts, _information(settings), "shape")


def _grid(settings: ScenesSettings) -> int:
    return 1 if settings.count_maximum == 1 else 2


def _information(settings: ScenesSettings) -> dict[str, FactorInformation]:
    found = {
        "shape": classes(tuple(SHAPES)[: settings.shapes]),
        "colour": classes(NAMES[: settings.colours]),
        "texture": classes(TEXTURES[: settings.textures]),
        "background": classes(BACKGROUNDS[: settings.backgrounds]),
        "count": classes(COUNTS[settings.count_minimum - 1 : settings.count_maximum]),
        "background_hue": number("degrees"),
        "background_saturation": number("fraction"),
        "background_lightness": number("fraction"),
    }
    for which in range(1, settings.count_maximum + 1):
        found |= pose_information(f"_{which}")
    return found


def _part(settings: ScenesSettings, draws: Draws, count: int, stamps: Bank) -> Part:
    factors = _factors(settings, draws, count)
    foreground = NAMED_COLOURS[factors["colour"]]
    background = saturated(
        at_luma(of_hue(factors["background_hue"]), factors["background_lightness"]), factors["background_saturation"]
    )
    phase_x, phase_y = draws.uniform("phase_x", 0, 1, count), draws.uniform("phase_y", 0, 1, count)
    slope_x, slope_y = draws.uniform("slope_x", -1, 1, count), draws.uniform("slope_y", -1, 1, count)
    grain = Grain(draws, settings.size, 3, AMPLITUDE, settings.noise)
    images = numpy.empty((count, 3, settings.size, settings.size), dtype=numpy.uint8)
    for start in range(0, count, CHUNK):
        chunk = slice(start, min(start + CHUNK, count))
        length = chunk.stop - start
        uncovered = numpy.ones((length, settings.size, settings.size))
        for which in range(1, settings.count_maximum + 1):
            there = start + numpy.flatnonzero(~numpy.isnan(factors[f"scale_{which}"][chunk]))
            pose = pose_of(factors, f"_{which}", there)
            uncovered[there - start] *= 1 - place(stamps, factors["shape"][there], pose, settings.size)
        pattern = _pattern(factors["background"][chunk], slope_x[chunk], slope_y[chunk], grain.texture(length))
        shade = texture_shades(
            factors["texture"][chunk], phase_x[chunk], phase_y[chunk], settings.size, _grid(settings)
        )
        noise = grain.noise(length)
        images[chunk] = painted(foreground[chunk], background[chunk], pattern, 1 - uncovered, noise, shade)
    return Part(images, factors, _captions(settings, factors))


def _pattern(
    kind: numpy.ndarray, slope_x: numpy.ndarray, slope_y: numpy.ndarray, clouds: numpy.ndarray
) -> numpy.ndarray:
    """Return what is added to backgrounds [count, size, size]: nothing, a slope, or smooth clouds."""
    size = clouds.shape[-1]
    position = ((2 * numpy.arange(size) + 1) / size - 1) * AMPLITUDE
    slope = slope_x[:, None, None] * position + slope_y[:, None, None] * position[:, None]
    kind = kind[:, None, None]
    return numpy.where(kind == 1, slope, numpy.where(kind == 2, clouds, 0.0))


def _factors(settings: ScenesSettings, draws: Draws, count: int) -> dict[str, numpy.ndarray]:
    colour = draws.integers("colour", settings.colours, count)
    objects = draws.integers("count", settings.count_maximum - settings.count_minimum + 1, count)
    found = {
        "shape": draws.integers("shape", settings.shapes, count),
        "colour": colour,
        "texture": draws.integers("texture_kind", settings.textures, count),
        "background": draws.integers("background", settings.backgrounds, count),
        "count": objects,
        "background_hue": draws.uniform("background_hue", 0, 360, count),
        "background_saturation": draws.uniform("background_saturation", 0, 0.5, count),
        "background_lightness": contrasting_luma(
            luma(NAMED_COLOURS[colour]), draws.uniform("side", 0, 1, count), draws.uniform("contrast", 0, 1, count)
        ),
    }
    grid = _grid(settings)
    cells = draws.permutation("cells", count, grid * grid)
    scales = settings.scale_minimum / grid, settings.scale_maximum / grid
    for which in range(1, settings.count_maximum + 1):
        row, column = numpy.divmod(cells[:, which - 1], grid)
        pose = draw_pose(draws, f"_{which}", count, column, row, grid, settings.shift, scales, settings.rotation)
        absent = objects + settings.count_minimum < which
        for name, values in pose.factors(f"_{which}").items():
            found[name] = numpy.where(absent, numpy.nan, values)
    return found


def _captions(settings: ScenesSettings, factors: dict[str, numpy.ndarray]) -> tuple[str, ...]:
    shapes, found = tuple(SHAPES), []
    for shape, colour, texture, background, extra in zip(
        *(factors[name] for name in ("shape", "colour", "texture", "background", "count")), strict=True
    ):
        count = settings.count_minimum + extra
        fill = "" if TEXTURES[texture] == "plain" else f" {TEXTURES[texture]}"
        if count == 1:
            objects = with_article(f"{NAMES[colour]}{fill} {shapes[shape]}")
        else:
            plural = "es" if shapes[shape].endswith("s") else "s"
            objects = f"{COUNTS[count - 1]} {NAMES[colour]}{fill} {shapes[shape]}{plural}"
        found.append(f"{objects} on a {BACKGROUNDS[background]} background")
    return tuple(found)
