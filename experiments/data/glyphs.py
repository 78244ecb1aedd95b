"""``glyphs``: copies of one letter in different fonts, one foreground and one background colour.

A task for representations that must forget colour in part: the class is the letter and the family of its hue, the
fonts of the test part are new.
"""

from __future__ import annotations

import string

import numpy

from experiments.data.colours import at_luma, contrasting_luma, of_hue, saturated
from experiments.data.content import PARTS, Content
from experiments.data.draws import Draws
from experiments.data.letters import letter_masks, text_fonts
from experiments.data.masks import Bank, bank, mask_resolution, mask_side, place
from experiments.data.painting import CHUNK, Grain, painted
from experiments.data.parts import FactorInformation, Part, classes, number
from experiments.data.poses import draw_pose, pose_information, pose_of
from experiments.data.settings import GlyphsSettings

TEST_FONTS = 5
VALIDATION_FONTS = 3


def make(settings: GlyphsSettings, seed: int) -> Content:
    """Draw the three parts. The indices of fonts and letters mean the same in all parts."""
    resolution = mask_resolution(settings.scale_maximum, settings.size)
    masks = letter_masks(settings.letters, resolution)
    extent = mask_side(resolution) / resolution
    stamps = bank(masks, extent, settings.size, settings.scale_minimum, settings.scale_maximum)
    fonts = fonts_of_parts(seed)
    counts = {"train": settings.train, "validation": settings.validation, "test": settings.test}
    parts = {part: _part(settings, Draws("glyphs", seed, part), counts[part], fonts[part], stamps) for part in PARTS}
    return Content(parts, _information(settings), "class")


def fonts_of_parts(seed: int) -> dict[str, numpy.ndarray]:
    """Return the fonts of each part, as indices of ``text_fonts()``: disjoint, drawn per seed."""
    order = Draws("glyphs", seed, "all").permutation("fonts", len(text_fonts()))
    held_out = TEST_FONTS + VALIDATION_FONTS
    return {
        "train": numpy.sort(order[held_out:]),
        "validation": numpy.sort(order[TEST_FONTS:held_out]),
        "test": numpy.sort(order[:TEST_FONTS]),
    }


def _information(settings: GlyphsSettings) -> dict[str, FactorInformation]:
    letters = tuple(string.ascii_uppercase[: settings.letters])
    edges = [f"{360 * family / settings.hue_families:g}" for family in range(settings.hue_families + 1)]
    families = tuple(f"hue {low}-{high}" for low, high in zip(edges[:-1], edges[1:], strict=True))
    found = {
        "class": classes(tuple(f"{letter}, {family}" for letter in letters for family in families)),
        "letter": classes(letters),
        "hue_family": classes(families),
        "hue": number("degrees"),
        "saturation": number("fraction"),
        "lightness": number("fraction"),
        "background_hue": number("degrees"),
        "background_saturation": number("fraction"),
        "background_lightness": number("fraction"),
    }
    for copy in range(1, settings.copies + 1):
        found[f"font_{copy}"] = classes(tuple(path.stem for path in text_fonts()))
        found |= pose_information(f"_{copy}")
    return found


def _part(settings: GlyphsSettings, draws: Draws, count: int, fonts: numpy.ndarray, stamps: Bank) -> Part:
    factors = _factors(settings, draws, count, fonts)
    foreground = saturated(at_luma(of_hue(factors["hue"]), factors["lightness"]), factors["saturation"])
    background = saturated(
        at_luma(of_hue(factors["background_hue"]), factors["background_lightness"]), factors["background_saturation"]
    )
    grain = Grain(draws, settings.size, 3, settings.texture, settings.noise)
    images = numpy.empty((count, 3, settings.size, settings.size), dtype=numpy.uint8)
    for start in range(0, count, CHUNK):
        chunk = slice(start, min(start + CHUNK, count))
        uncovered = numpy.ones((chunk.stop - start, settings.size, settings.size))
        for copy in range(1, settings.copies + 1):
            mask = factors[f"font_{copy}"][chunk] * settings.letters + factors["letter"][chunk]
            uncovered *= 1 - place(stamps, mask, pose_of(factors, f"_{copy}", chunk), settings.size)
        length = len(uncovered)
        images[chunk] = painted(
            foreground[chunk], background[chunk], grain.texture(length), 1 - uncovered, grain.noise(length)
        )
    return Part(images, factors)


def _factors(settings: GlyphsSettings, draws: Draws, count: int, fonts: numpy.ndarray) -> dict[str, numpy.ndarray]:
    letter = draws.integers("letter", settings.letters, count)
    family = draws.integers("hue_family", settings.hue_families, count)
    lightness = draws.uniform("lightness", 0.2, 0.8, count)
    found = {
        "class": letter * settings.hue_families + family,
        "letter": letter,
        "hue_family": family,
        "hue": (family + draws.uniform("hue", 0, 1, count)) * (360 / settings.hue_families),
        "saturation": draws.uniform("saturation", 0.6, 1, count),
        "lightness": lightness,
        "background_hue": draws.uniform("background_hue", 0, 360, count),
        "background_saturation": draws.uniform("background_saturation", 0.3, 1, count),
        "background_lightness": contrasting_luma(
            lightness, draws.uniform("side", 0, 1, count), draws.uniform("contrast", 0, 1, count)
        ),
    }
    grid = 1 if settings.copies == 1 else 2
    scales = settings.scale_minimum, settings.scale_maximum
    for copy in range(settings.copies):
        row, column = divmod(copy, grid)
        suffix = f"_{copy + 1}"
        found[f"font{suffix}"] = fonts[draws.integers(f"font{suffix}", len(fonts), count)]
        pose = draw_pose(draws, suffix, count, column, row, grid, settings.jitter, scales, settings.rotation)
        found |= pose.factors(suffix)
    return found
