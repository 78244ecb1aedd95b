"""The numbers in pictures as typed cells."""

from __future__ import annotations

import math

from reports.cells import Cell
from reports.means import Mean

MOST_DIGITS = 8


def word(text: str) -> Cell:
    """Return a cell that is words; a dash where there are none."""
    return Cell(text=text) if text else Cell()


def count(value: int) -> Cell:
    return Cell(float(value), digits=0)


def number(
    value: float | None,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    *,
    published: bool = False,
    approximate: bool = False,
    trials: tuple[str, ...] = (),
) -> Cell:
    """Return a cell with as many digits as its value needs; one of the paper's own loses none that were printed."""
    if value is None or not math.isfinite(value):
        return Cell(unit=unit, published=published, trials=trials)
    shown = printed_digits(value) if published else enough_digits(value, low, high)
    return Cell(value, low, high, unit, shown, published=published, approximate=approximate, trials=trials)


def mean_cell(mean: Mean | None, unit: str = "", *, intervals: bool = True) -> Cell:
    """Return a mean with its interval, where it has one that is shown."""
    if mean is None:
        return Cell(unit=unit)
    apart = intervals and mean.low < mean.high
    low, high = (mean.low, mean.high) if apart else (None, None)
    return number(mean.value, unit, low, high, trials=mean.trials)


def enough_digits(value: float, low: float | None = None, high: float | None = None) -> int:
    """Return how many digits after the point show an interval's half width to two digits, or else a value to four."""
    apart = (high - low) / 2 if low is not None and high is not None else 0.0
    if math.isfinite(apart) and apart > 0:
        return _clamped(1 - math.floor(math.log10(apart)))
    return _clamped(3 - math.floor(math.log10(abs(value)))) if value and math.isfinite(value) else 0


def printed_digits(value: float) -> int:
    """Return how many digits after the point a printed figure has."""
    return min(MOST_DIGITS, len(f"{value:.10g}".partition(".")[2])) if "e" not in f"{value:.10g}" else MOST_DIGITS


def _clamped(digits: int) -> int:
    return max(0, min(MOST_DIGITS, digits))
