"""Axes of claims' pictures: how far they reach, whether by value or by logarithm, and their ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_TICKS = 6
STRETCH = 3.0
"""How far an axis grows for what is worth seeing but not needed, to each side, in spans of what is needed."""
FURTHEST = 1e300


@dataclass(frozen=True)
class Scale:
    """A stretch of an axis, in the claim's unit; where ``logarithmic``, places are natural logarithms."""

    low: float
    high: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return where a value stands, in the axis' own numbers; what lies beyond the ends stands at the end."""
        if math.isnan(value):
            return math.nan
        held = min(self.high, max(self.low, value))
        return math.log(held) if self.logarithmic else held

    def places(self, values: Sequence[float]) -> list[float]:
        return [self.place(value) for value in values]

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def lay(self, axis: Any, count: int = MOST_TICKS, ends: str = "") -> None:
        """Give a horizontal axis these limits and at most about ``count`` ticks; ``ends`` is written behind numbers."""
        found = ticks(self.low, self.high, self.logarithmic, count)
        axis.set_xlim(self.place(self.low), self.place(self.high))
        axis.set_xticks(self.places(found), [f"{text}{ends}" for text in tick_texts(found)])


def scale_of(needed: Sequence[float], wanted: Sequence[float] = (), logarithmic: bool = False) -> Scale | None:
    """Return an axis that holds all of ``needed`` and what of ``wanted`` is not far from them; None for no finite one.

    What is not positive has no place on a logarithmic axis.
    """

    def usable(values: Sequence[float]) -> list[float]:
        kept = [value for value in values if abs(value) < FURTHEST and (value > 0 or not logarithmic)]
        return [math.log(value) for value in kept] if logarithmic else kept

    first = usable(needed)
    if not first:
        return None
    low, high = min(first), max(first)
    span = high - low or (0.2 if logarithmic else 0.2 * abs(high) or 1.0)
    near = [value for value in usable(wanted) if low - STRETCH * span <= value <= high + STRETCH * span]
    low, high = min([low, *near]), max([high, *near])
    pad = 0.06 * max(high - low, span / 2)
    ends = (low - pad, high + pad)
    if logarithmic:
        ends = (math.exp(max(-700.0, ends[0])), math.exp(min(700.0, ends[1])))
    return Scale(*ends, logarithmic)


def ticks(low: float, high: float, logarithmic: bool, count: int = MOST_TICKS) -> list[float]:
    """Return round numbers from low to high, at most ``count`` or one more."""
    from matplotlib.ticker import MaxNLocator

    if logarithmic and high / low > 5:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        for factors, step in [((1, 2, 5), 1), ((1, 3), 1)] + [((1,), step) for step in (1, 2, 5, 10, 20, 50, 100)]:
            found = [
                factor * 10.0**power
                for power in range(first - first % step, last + 1, step)
                for factor in factors
                if low <= factor * 10.0**power <= high
            ]
            if len(found) <= count:
                return found
    tried = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(value) for value in tried if low <= value <= high]


def tick_texts(values: Sequence[float]) -> list[str]:
    """Return ticks as text: evenly spaced ones with digits alike, others each with its own."""
    gaps = [b - a for a, b in zip(values, values[1:], strict=False)]
    if not gaps or max(gaps) > 1.5 * min(gaps):
        return [_signed(f"{value:,.12g}" if 1e-4 <= abs(value) < 1e6 else f"{value:.4g}") for value in values]
    step, largest = min(gaps), max(map(abs, values))
    rounded = [0.0 if abs(value) < 1e-6 * step else value for value in values]
    if largest >= 1e6 or step < 1e-6:
        digits = max(1, math.ceil(math.log10(largest / step)) + 2)
        return [_signed(f"{value:.{digits}g}") for value in rounded]
    digits = next(d for d in range(10) if all(abs(round(value, d) - value) < step / 20 for value in rounded))
    return [_signed(f"{value:,.{digits}f}") for value in rounded]


def _signed(text: str) -> str:
    return text.replace("-", "−")
