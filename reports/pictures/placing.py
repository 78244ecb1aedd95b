"""Where labels of marks stand so that they cover neither each other nor a mark."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle, in points."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Return the area that two boxes share."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, wide) * max(0.0, high)

    def outside(self, panel: Box) -> float:
        """Return the area of the box that does not lie within a panel."""
        return (self.right - self.left) * (self.top - self.bottom) - self.overlap(panel)

    def distance(self, x: float, y: float) -> float:
        """Return how far a point lies from the box; 0 within it."""
        return math.hypot(max(self.left - x, 0.0, x - self.right), max(self.bottom - y, 0.0, y - self.top))


@dataclass(frozen=True)
class Placed:
    """The middle of a label, and whether it needs a line to its mark: it stands far away, or another is as near."""

    x: float
    y: float
    line: bool


Point = tuple[float, float]
DISTANCES = (9.0, 18.0, 30.0, 44.0, 60.0, 80.0)
"""Of a label from its mark, in points, the nearest first."""
DIRECTIONS = 12
MARK = 6.0
"""Half the width of a mark with a little air, in points."""
FAR = 16.0
"""A label that stands farther from its mark than this, in points, needs a line to it."""


def place(marks: Sequence[Point], sizes: Sequence[Point], panel: Box, others: Sequence[Box] = ()) -> list[Placed]:
    """Return where each mark's label stands: near it, and covering no mark and no label that was placed before.

    Where there is no such place it is the one that covers least.

    Args:
        marks, sizes: where marks are, and width and height of their labels; all in points.
        panel: where labels should be.
        others: what else labels should not cover.
    """
    taken = [*(Box(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in marks), *others]
    placed = []
    for mark, size in zip(marks, sizes, strict=True):
        # Marks that lie on this one cannot be told from it anyway.
        rivals = [other for other in marks if math.dist(other, mark) > MARK]
        candidates = [(_box(middle, size), middle) for middle in _around(*mark, size)]
        # What is covered matters most; then whose label it is; then, as candidates come in this order, how near it is.
        costs = [
            (round(sum(box.overlap(other) for other in taken) + box.outside(panel), 6), _unclear(box, mark, rivals))
            for box, _ in candidates
        ]
        box, (x, y) = candidates[costs.index(min(costs))]
        taken.append(box)
        placed.append(Placed(x, y, box.distance(*mark) > FAR or _unclear(box, mark, rivals)))
    return placed


def _unclear(box: Box, mark: Point, rivals: Sequence[Point]) -> bool:
    return any(box.distance(*rival) <= box.distance(*mark) for rival in rivals)


def _around(x: float, y: float, size: Point) -> Iterator[Point]:
    """Yield where a label's middle may be: to the right first, then around, then farther away."""
    for distance, step in itertools.product(DISTANCES, range(DIRECTIONS)):
        # Right, then alternately up and down: 0, 1, -1, 2, -2, ... twelfths of a turn.
        turn = (step + 1) // 2 * (1 if step % 2 else -1)
        across, up = math.cos(2 * math.pi * turn / DIRECTIONS), math.sin(2 * math.pi * turn / DIRECTIONS)
        yield x + across * (distance + size[0] / 2), y + up * (distance + size[1] / 2)


def _box(middle: Point, size: Point) -> Box:
    (x, y), (width, height) = middle, size
    return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
