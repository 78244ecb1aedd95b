"""Ticks of logarithmic axes as plain numbers."""

from __future__ import annotations

import math
from typing import Any

STEPS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 2.0, 3.0, 5.0, 7.0), tuple(1 + place / 4 for place in range(36)))
FEWEST, MOST = 3, 9


def tick_values(low: float, high: float) -> list[float]:
    """Return round numbers between two positive ones, as many as an axis has room for; none for other numbers."""
    if not (0 < low <= high < math.inf):
        return []
    chosen: list[float] = []
    for steps in STEPS:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(found) > MOST and chosen:
            break
        chosen = found
        if len(found) >= FEWEST + 1:
            break
    # Many decades: every second, or third.
    return chosen[:: math.ceil(len(chosen) / MOST)] if chosen else []


def logarithmic_ticks(axis: Any, low: float, high: float, pattern: str = "{:g}") -> None:
    """Give a log axis, which shows at least from ``low`` to ``high``, plain numbers at round places."""
    ticks = tick_values(low * 0.999, high * 1.001) or [low, high]
    axis.set_ticks(ticks, [pattern.format(float(f"{tick:.6g}")).replace("e+0", "e") for tick in ticks])
    axis.set_minor_locator(_no_ticks())


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()
