"""What the picture of a claim is made of, before it is drawn: rows of units and parts, and a panel beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

MOST_DOTS = 60
"""Units up to which each is a dot; more of them are a histogram."""
MOST_ROWS = 8
"""Parts up to which each has a row of its own; more of them are marks in one row."""


@dataclass(frozen=True)
class Units:
    """Single values that an interval rests on, in the claim's unit, each with its name; only finite ones."""

    names: tuple[str, ...]
    values: tuple[float, ...]

    @property
    def many(self) -> bool:
        return len(self.values) > MOST_DOTS

    def histogram(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return how many values lie between which edges."""
        return numpy.histogram(self.values, bins=min(30, round(math.sqrt(len(self.values)))))


NONE = Units((), ())


def units(names: Sequence[str], values: Sequence[float] | numpy.ndarray) -> Units:
    """Return the finite ones among values with their names."""
    kept = [(name, float(value)) for name, value in zip(names, values, strict=True) if math.isfinite(value)]
    return Units(tuple(name for name, _ in kept), tuple(value for _, value in kept))


@dataclass(frozen=True)
class Row:
    """A row above the effect: units as dots, a part of the effect with its own 95 % interval, or both.

    ``heading`` is that of the units' column in the table of numbers, the same for units of one kind.
    """

    label: str
    units: Units = NONE
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    heading: str = ""

    @property
    def drawn(self) -> tuple[float, ...]:
        """All finite values in the row."""
        own = [value for value in (self.effect, self.low, self.high) if math.isfinite(value)]
        return (*self.units.values, *own)


@dataclass(frozen=True)
class Arms:
    """Every arm's value in every replicate: ``values`` has an array an arm, in the order of ``names``.

    ``joined`` says that replicates pair. An arm that lacks a replicate has NaN there.
    """

    label: str
    unit: str
    arms: tuple[str, ...]
    names: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    joined: bool

    @property
    def drawn(self) -> tuple[float, ...]:
        return tuple(value for arm in self.values for value in arm if math.isfinite(value))


@dataclass(frozen=True)
class Line:
    """One curve: its mean at each level with a 95 % interval, and a curve a replicate, (replicates, levels)."""

    label: str
    means: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    replicates: numpy.ndarray


@dataclass(frozen=True)
class Curves:
    """Curves over the levels of a factor, which stand at ``places``.

    ``levels`` are what they are called, ``short`` their own names, for where there is no room for more.
    ``claimed`` are the levels that a claim names as best, ``shares`` the chance of each to be it; ``fit`` is a line
    through two points of the panel.
    """

    along: str
    label: str
    unit: str
    levels: tuple[str, ...]
    short: tuple[str, ...]
    places: tuple[float, ...]
    lines: tuple[Line, ...]
    names: tuple[str, ...]
    claimed: frozenset[int] = frozenset()
    shares: tuple[float, ...] = ()
    fit: tuple[tuple[float, float], tuple[float, float]] | None = None

    @property
    def drawn(self) -> tuple[float, ...]:
        every = [v for line in self.lines for v in (*line.means, *line.lows, *line.highs, *line.replicates.flat)]
        return tuple(float(value) for value in every if math.isfinite(value))


@dataclass(frozen=True)
class Sketch:
    """A picture in words and numbers.

    ``axis`` is the label of the effect's axis, ``effect`` what the effect's row is called; ``seen`` says what the
    panels show. ``logarithmic`` is true of ratios, and of places on a log scale.
    """

    title: str
    axis: str
    effect: str
    seen: str
    rows: tuple[Row, ...] = ()
    left: Arms | None = None
    curves: Curves | None = None
    logarithmic: bool = False

    @property
    def drawn(self) -> tuple[float, ...]:
        """All finite values of units and parts."""
        panels = [panel.drawn for panel in (self.left, self.curves) if panel is not None]
        return tuple(value for part in [*(row.drawn for row in self.rows), *panels] for value in part)
