"""Drawing by stamping: a bank of masks, and copies of them placed at any position, size and angle.

A mask is a square array of coverages in [0, 1] around an object whose longer side, its frame, has length 1; the array
itself covers ``extent`` frames. Everything is elementwise float64 arithmetic, so that the bytes are the same on
every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy

from experiments.data.draws import sine_cosine
from experiments.data.poses import Pose

EXTENT = 1.4  # room around the frame for the antialiasing filter
LEVEL_RATIO = 1.2  # neighbouring filters differ by this factor in width
HALF_RATIO = math.sqrt(LEVEL_RATIO)


@dataclass(frozen=True)
class Bank:
    """Masks filtered for several scales: [levels, masks, side + 2, side + 2] with a border of zeros; ``boundaries``
    [levels - 1] are the scales between one level and the next."""

    masks: numpy.ndarray
    boundaries: numpy.ndarray
    extent: float


def bank(masks: numpy.ndarray, extent: float, size: int, scale_minimum: float, scale_maximum: float) -> Bank:
    """Return masks [count, side, side] ready to be placed in images of ``size`` pixels at scales in the range.

    The filter is a box as wide as one pixel of the image, so that placed copies are antialiased.
    """
    scales = [scale_minimum * HALF_RATIO]
    while scales[-1] * HALF_RATIO < scale_maximum:
        scales.append(scales[-1] * LEVEL_RATIO)
    side = masks.shape[-1]
    levels = [_boxed(masks, side / extent / (scale * size)) for scale in scales]
    padded = numpy.pad(numpy.stack(levels), ((0, 0), (0, 0), (1, 1), (1, 1)))
    return Bank(padded, numpy.array([scale * HALF_RATIO for scale in scales[:-1]]), extent)


def place(
    stamps: Bank,
    index: numpy.ndarray,
    pose: Pose,
    size: int,
) -> numpy.ndarray:
    """Return the coverages [count, size, size] of one placed mask an image; ``index`` [count] tells which."""
    padded_side = stamps.masks.shape[-1]
    side = padded_side - 2
    level = numpy.searchsorted(stamps.boundaries, pose.scale)
    sine, cosine = sine_cosine(pose.rotation)
    pixels = (numpy.arange(size) + 0.5) / size
    x = pixels[None, None, :] - pose.centre_x[:, None, None]
    y = pixels[None, :, None] - pose.centre_y[:, None, None]
    step = (side / stamps.extent / pose.scale)[:, None, None]
    middle = side / 2 + 0.5  # half a pixel to the pixels' centres, one for the border
    along = x * (cosine[:, None, None] * step) - y * (sine[:, None, None] * step) + middle
    down = x * (sine[:, None, None] * step) + y * (cosine[:, None, None] * step) + middle
    column, column_fraction = _split(along, side)
    row, row_fraction = _split(down, side)
    first = (level * stamps.masks.shape[1] + index) * (padded_side * padded_side)
    corner = first[:, None, None] + row * padded_side + column
    flat = stamps.masks.reshape(-1)
    above = _between(flat[corner], flat[corner + 1], column_fraction)
    below = _between(flat[corner + padded_side], flat[corner + padded_side + 1], column_fraction)
    return _between(above, below, row_fraction)


def rasterised(edges: numpy.ndarray, resolution: int, samples: int = 4) -> numpy.ndarray:
    """Return the mask [side, side] of closed outlines, filled by the nonzero winding rule.

    ``edges`` [count, 2, 2] are directed straight edges (x, y down) in frame units around 0; a frame has
    ``resolution`` pixels, each pixel ``samples`` x ``samples`` samples.
    """
    side = mask_side(resolution)
    fine = side * samples
    unit = fine / (side / resolution)  # samples a frame
    x0, y0 = edges[:, 0, 0] * unit + fine / 2, edges[:, 0, 1] * unit + fine / 2
    x1, y1 = edges[:, 1, 0] * unit + fine / 2, edges[:, 1, 1] * unit + fine / 2
    lines = numpy.arange(fine)[:, None] + 0.5
    crossed = (numpy.minimum(y0, y1) <= lines) & (lines < numpy.maximum(y0, y1))
    rows, which = numpy.nonzero(crossed)
    height = y1[which] - y0[which]
    crossing = x0[which] + (rows + 0.5 - y0[which]) * (x1[which] - x0[which]) / height
    columns = numpy.clip(numpy.ceil(crossing - 0.5), 0, fine).astype(numpy.int64)
    change = numpy.zeros((fine, fine + 1), dtype=numpy.int64)
    numpy.add.at(change, (rows, columns), numpy.where(height > 0, 1, -1))
    inside = numpy.cumsum(change, axis=1)[:, :fine] != 0
    return inside.reshape(side, samples, side, samples).sum(axis=(1, 3)) / (samples * samples)


def mask_resolution(scale_maximum: float, size: int) -> int:
    """Return how many pixels a mask's frame needs for images of ``size`` pixels.

    Three for one pixel of the largest copy: finer shows no difference. At most 160, since the masks of all fonts and
    letters are held at once.
    """
    return min(160, max(32, math.ceil(3 * scale_maximum * size)))


def mask_side(resolution: int) -> int:
    """Return the side in pixels of a mask that covers about EXTENT frames of ``resolution`` pixels."""
    return resolution + 2 * round(resolution * (EXTENT - 1) / 2)


def smooth_field(lattice: numpy.ndarray, size: int) -> numpy.ndarray:
    """Return lattices [count, points, points] interpolated linearly to [count, size, size]."""
    position = (numpy.arange(size) + 0.5) / size * (lattice.shape[-1] - 1)
    cell = numpy.minimum(numpy.floor(position).astype(numpy.int64), lattice.shape[-1] - 2)
    fraction = position - cell
    rows = _between(lattice[:, cell], lattice[:, cell + 1], fraction[None, :, None])
    return _between(rows[:, :, cell], rows[:, :, cell + 1], fraction)


def _split(position: numpy.ndarray, last: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    position = numpy.clip(position, 0, last + 1)
    cell = numpy.minimum(position.astype(numpy.int64), last)
    return cell, position - cell


def _between(first: numpy.ndarray, second: numpy.ndarray, fraction: numpy.ndarray) -> numpy.ndarray:
    return first + (second - first) * fraction


def _boxed(masks: numpy.ndarray, width: float) -> numpy.ndarray:
    """Average over a square of ``width`` mask pixels; less than one pixel wide changes nothing."""
    if width <= 1:
        return masks
    for axis in (1, 2):
        masks = _boxed_along(masks, width, axis)
    return masks


def _boxed_along(masks: numpy.ndarray, width: float, axis: int) -> numpy.ndarray:
    masks = numpy.moveaxis(masks, axis, -1)
    side = masks.shape[-1]
    integral = numpy.concatenate([numpy.zeros((*masks.shape[:-1], 1)), numpy.cumsum(masks, axis=-1)], axis=-1)
    centre = numpy.arange(side) + 0.5
    ends = []
    for end in (centre - width / 2, centre + width / 2):
        end = numpy.clip(end, 0, side)
        cell = numpy.minimum(end.astype(numpy.int64), side - 1)
        ends.append(_between(integral[..., cell], integral[..., cell + 1], end - cell))
    return numpy.moveaxis((ends[1] - ends[0]) / width, -1, axis)
