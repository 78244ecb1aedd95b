"""Panels beside a claim's effect: arms replicate by replicate, or curves along a factor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy

from reports.pictures.canvas import INK, MARKERS, SERIES, SOFT, SURFACE, with_unit, wrapped
from reports.pictures.claim_axes import MOST_TICKS, scale_of, tick_texts, ticks
from reports.pictures.claim_panels import LABEL, SMALL, spread
from reports.pictures.claim_sketch import MOST_DOTS, Arms, Curves, Line
from reports.pictures.words import ELLIPSIS

MOST_LINES = 30
"""Replicates up to which each has a line of its own."""


def draw_arms(axis: Any, arms: Arms) -> None:
    """Draw every arm's values on a row, the first on top; a line joins what is of one replicate."""
    scale = scale_of(arms.drawn)
    assert scale is not None
    rows = range(len(arms.arms))
    if arms.joined and len(arms.names) <= MOST_LINES:
        # One path with gaps: a line a replicate would be as many elements.
        xs = list(chain.from_iterable((*replicate, math.nan) for replicate in zip(*arms.values, strict=True)))
        axis.plot(xs, [*rows, math.nan] * len(arms.names), color=SOFT, linewidth=0.9, alpha=0.6)
    for row, values in enumerate(arms.values):
        shown = [value for value in values if math.isfinite(value)]
        heights = [float(row)] * len(shown)
        if not arms.joined and len(shown) <= MOST_DOTS:
            heights = spread(shown, row, 0.22)
        looks = {"markersize": 5, "markeredgewidth": 0, "alpha": 0.75 if len(shown) <= 20 else 0.35}
        axis.plot(shown, heights, MARKERS[0], color=INK, **looks)
    scale.lay(axis, 4)
    axis.set_yticks(list(rows), [wrapped(name, LABEL, 3) for name in arms.arms], fontsize=SMALL)
    axis.grid(visible=False)
    axis.set_xlabel(wrapped(with_unit(arms.label, arms.unit), 32, 2), fontsize=SMALL + 1)


def draw_curves(axis: Any, curves: Curves, wide: bool) -> None:
    """Draw curves with intervals over the levels; ``wide`` says that it has the picture's whole width."""
    if curves.fit:
        (x, y), (to_x, to_y) = curves.fit
        axis.plot([x, to_x], [y, to_y], color=SOFT, linewidth=1.4, linestyle="--")
    step = min(abs(b - a) for a, b in zip(curves.places, curves.places[1:], strict=False))
    for index in sorted(curves.claimed):
        place = curves.places[index]
        axis.axvspan(place - 0.4 * step, place + 0.4 * step, color=SERIES[2], alpha=0.16, linewidth=0)
    for index, line in enumerate(curves.lines):
        _draw_line(axis, curves.places, line, index, alone=len(curves.lines) == 1)
    _name_levels(axis, curves, wide)
    found = scale_of(curves.drawn)
    assert found is not None
    marks = ticks(found.low, found.high, False, 4)
    axis.set_ylim(found.low, found.high)
    axis.set_yticks(marks, tick_texts(marks), fontsize=SMALL)
    axis.grid(visible=False, axis="x")
    axis.set_ylabel(wrapped(with_unit(curves.label, curves.unit), 26, 2), fontsize=SMALL + 1)
    if len(curves.lines) > 1:
        axis.legend(fontsize=SMALL, loc="best", handlelength=1.6, borderaxespad=0.2)


def _draw_line(axis: Any, places: Sequence[float], line: Line, index: int, alone: bool) -> None:
    colour = SERIES[(0, 3)[index % 2]]
    if alone and len(line.replicates) <= MOST_LINES:
        xs = list(chain.from_iterable((*places, math.nan) for _ in line.replicates))
        ys = list(chain.from_iterable((*map(float, row), math.nan) for row in line.replicates))
        axis.plot(xs, ys, color=colour, linewidth=0.8, alpha=0.4)
    means = numpy.array(line.means)
    reach = [numpy.nan_to_num(means - line.lows), numpy.nan_to_num(numpy.array(line.highs) - means)]
    looks: dict[str, Any] = {"marker": MARKERS[index], "markersize": 6, "markeredgecolor": SURFACE, "capsize": 3}
    axis.errorbar(places, means, yerr=reach, color=colour, label=wrapped(line.label, 24, 2), linewidth=1.8, **looks)


def _name_levels(axis: Any, curves: Curves, wide: bool) -> None:
    """Write levels below the axis, those that have room; under them how often each is best."""
    places = curves.places
    whole = places[-1] - places[0]
    axis.set_xlim(places[0] - 0.08 * whole, places[-1] + 0.08 * whole)
    characters = (76 if wide else 40) // len(places)
    nearest = 0.6 * abs(whole) / len(places)
    names: list[str] = []
    last = -math.inf
    for index, (place, level) in enumerate(zip(places, curves.levels, strict=True)):
        share = f"\n{100 * curves.shares[index]:.0f} %" if curves.shares else ""
        free = abs(place - last) >= nearest
        name = wrapped(level, max(4, characters), 2)
        name = name if ELLIPSIS not in name else wrapped(curves.short[index], max(4, characters), 2)
        names.append(f"{name}{share}" if free or share else "")
        last = place if free else last
    axis.set_xticks(list(places), names, fontsize=SMALL if len(places) <= MOST_TICKS else SMALL - 2)
    below = "; under it, share of draws in which it is best" if curves.shares else ""
    axis.set_xlabel(wrapped(f"{curves.along}{below}", 44, 2), fontsize=SMALL + 1)
