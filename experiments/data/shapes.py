"""The shapes and the textures of scenes."""

from __future__ import annotations

from collections.abc import Callable

import numpy

from experiments.data.masks import mask_side

SAMPLES = 4  # samples along a mask pixel's side


def _polygon(*corners: tuple[float, float]) -> Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]:
    """Return the test whether points lie in a polygon (even-odd rule), x to the right and y down."""

    def inside(x: numpy.ndarray, y: numpy.ndarray) -> numpy.ndarray:
        found = numpy.zeros(numpy.broadcast(x, y).shape, dtype=bool)
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            if y0 != y1:
                found ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        return found

    return inside


def _disc(x: numpy.ndarray, y: numpy.ndarray, radius: float = 0.5, centre: float = 0.0) -> numpy.ndarray:
    return (x - centre) * (x - centre) + y * y <= radius * radius


def _heart(x: numpy.ndarray, y: numpy.ndarray) -> numpy.ndarray:
    """(u^2 + v^2 - 1)^3 <= u^2 v^3, v up, in units in which the curve is about 2.3 wide."""
    u, v = x * 2.3, 0.1 - y * 2.3
    body = u * u + v * v - 1
    return body * body * body <= u * u * v * v * v


# Longer side about 1, centred; the star and the hexagon from the cosines of 36, 72 and 30 degrees.
SHAPES: dict[str, Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]] = {
    "circle": _disc,
    "square": _polygon((-0.44, -0.44), (0.44, -0.44), (0.44, 0.44), (-0.44, 0.44)),
    "triangle": _polygon((0.0, -0.46), (0.5, 0.42), (-0.5, 0.42)),
    "star": _polygon(
        (0.0, -0.5),
        (0.1180, -0.1124),
        (0.4755, -0.1545),
        (0.1910, 0.0621),
        (0.2939, 0.4545),
        (0.0, 0.2008),
        (-0.2939, 0.4545),
        (-0.1910, 0.0621),
        (-0.4755, -0.1545),
        (-0.1180, -0.1124),
    ),
    "cross": lambda x, y: (
        ((numpy.abs(x) <= 0.15) & (numpy.abs(y) <= 0.5)) | ((numpy.abs(y) <= 0.15) & (numpy.abs(x) <= 0.5))
    ),
    "ring": lambda x, y: _disc(x, y) & ~_disc(x, y, 0.28),
    "heart": _heart,
    "hexagon": _polygon((-0.5, 0.0), (-0.25, -0.433), (0.25, -0.433), (0.5, 0.0), (0.25, 0.433), (-0.25, 0.433)),
    "crescent": lambda x, y: _disc(x, y) & ~_disc(x, y, 0.42, 0.22),
    "arrow": _polygon((0.0, -0.5), (0.42, 0.0), (0.15, 0.0), (0.15, 0.5), (-0.15, 0.5), (-0.15, 0.0), (-0.42, 0.0)),
}
TEXTURES = ("plain", "striped", "chequered", "dotted")
DARK = 0.65  # what the dark half of a texture leaves of the foreground
PERIODS = {1: 5, 2: 8}  # of a texture along the image's side, by the cells along it


def shape_masks(count: int, resolution: int) -> numpy.ndarray:
    """Return the masks [count, side, side] of the first shapes; a frame has ``resolution`` pixels."""
    side = mask_side(resolution)
    position = ((numpy.arange(side * SAMPLES) + 0.5) / SAMPLES - side / 2) / resolution
    inside = [shape(position[None, :], position[:, None]) for shape in list(SHAPES.values())[:count]]
    stacked = numpy.stack(inside).reshape(count, side, SAMPLES, side, SAMPLES)
    return stacked.sum(axis=(2, 4)) / (SAMPLES * SAMPLES)


def texture_shades(
    texture: numpy.ndarray, phase_x: numpy.ndarray, phase_y: numpy.ndarray, size: int, grid: int
) -> numpy.ndarray:
    """Return the factors [count, size, size] by which textures darken the foreground; ``texture`` and the phases are
    [count], ``grid`` the cells along the image's side."""
    position = (numpy.arange(size) + 0.5) / size * PERIODS[grid]
    x = numpy.mod(position[None, None, :] + phase_x[:, None, None], 1)
    y = numpy.mod(position[None, :, None] + phase_y[:, None, None], 1)
    kind = texture[:, None, None]
    striped = (kind == 1) & (y < 0.5)
    chequered = (kind == 2) & ((x < 0.5) != (y < 0.5))
    dotted = (kind == 3) & ((x - 0.5) * (x - 0.5) + (y - 0.5) * (y - 0.5) < 0.1)
    return numpy.where(striped | chequered | dotted, DARK, 1.0)
