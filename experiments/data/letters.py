"""The capitals of the fonts that matplotlib carries, as masks."""

from __future__ import annotations

import functools
import string
from pathlib import Path

import matplotlib
import numpy
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath

from experiments.data.masks import mask_side, rasterised

CURVE_STEPS = 8  # straight pieces that stand for one Bezier curve


@functools.cache
def text_fonts() -> tuple[Path, ...]:
    """Return matplotlib's text fonts in the order of their file names.

    The rule: every one of a-z and A-Z is mapped to a glyph that the font itself names by that letter. It leaves out
    the symbol fonts, among them those that keep other signs at the letters' places.
    """
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return tuple(path for path in sorted(folder.glob("*.ttf")) if _has_letters(FT2Font(str(path))))


def _has_letters(font: FT2Font) -> bool:
    mapped = font.get_charmap()
    return all(
        ord(letter) in mapped and font.get_glyph_name(mapped[ord(letter)]) == letter for letter in string.ascii_letters
    )


@functools.lru_cache(maxsize=2)
def letter_masks(letters: int, resolution: int) -> numpy.ndarray:
    """Return the masks [fonts x letters, side, side] of the first capitals, font by font.

    A letter's longer side fills the frame (``resolution`` pixels), its centre is the mask's.
    """
    masks = numpy.zeros((len(text_fonts()) * letters, mask_side(resolution), mask_side(resolution)))
    for index in range(len(masks)):
        font, letter = divmod(index, letters)
        masks[index] = rasterised(letter_edges(text_fonts()[font], string.ascii_uppercase[letter]), resolution)
    masks.flags.writeable = False
    return masks


def letter_edges(font: Path, letter: str) -> numpy.ndarray:
    """Return a letter's outline as directed edges [count, 2, 2] in frame units, x to the right and y down.

    The outline is taken as vectors, without hinting, so that no rasteriser's version plays a part.
    """
    outline = TextPath((0, 0), letter, size=100, prop=FontProperties(fname=str(font)))
    edges = numpy.array(list(_straight_edges(outline)), dtype=float)
    points = edges.reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    return (edges - (low + high) / 2) / (high - low).max() * numpy.array([1.0, -1.0])


def _straight_edges(outline: Outline) -> list[tuple[numpy.ndarray, numpy.ndarray]]:
    edges: list[tuple[numpy.ndarray, numpy.ndarray]] = []
    start = here = numpy.zeros(2)
    for vertices, code in outline.iter_segments(curves=True, simplify=False):
        points = vertices.reshape(-1, 2)
        if code == Outline.MOVETO:
            _join(edges, here, start)
            start = here = points[0]
        elif code == Outline.CLOSEPOLY:
            _join(edges, here, start)
            here = start
        else:
            for point in _curve(here, points):
                _join(edges, here, point)
                here = point
    _join(edges, here, start)
    return edges


def _join(edges: list[tuple[numpy.ndarray, numpy.ndarray]], here: numpy.ndarray, there: numpy.ndarray) -> None:
    if (here != there).any():
        edges.append((here, there))


def _curve(start: numpy.ndarray, points: numpy.ndarray) -> list[numpy.ndarray]:
    """Return points along a line, a quadratic or a cubic Bezier curve, by De Casteljau's construction."""
    if len(points) == 1:
        return [points[0]]
    found = []
    for step in range(1, CURVE_STEPS + 1):
        control = numpy.vstack([start, points])
        while len(control) > 1:
            control = control[:-1] + (control[1:] - control[:-1]) * (step / CURVE_STEPS)
        found.append(control[0])
    return found
