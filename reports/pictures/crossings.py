"""Where two curves cross, as a crossing claim was judged, as a mark along the axis of their factor."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reports.cells import Cell
from reports.collect import Results
from reports.declarations import CurvesPicture
from reports.pictures.canvas import INK, SURFACE, wrapped
from reports.pictures.numbers import number, word
from reports.pictures.series import Along

HEIGHT = 0.05
"""Of the mark above the axis, as a share of the panel."""


@dataclass(frozen=True)
class Crossing:
    """The place of a crossing with its interval and the paper's figure, in the factor's own unit.

    Infinite where the curves do not meet within the levels that were run.
    """

    place: float
    low: float
    high: float
    published: float | None
    unit: str
    trials: tuple[str, ...]

    def rows(self) -> Iterator[tuple[Cell, Cell]]:
        """Return the crossing, and the paper's, as rows of a table."""
        if math.isfinite(self.place):
            ends = (self.low, self.high) if math.isfinite(self.low) and math.isfinite(self.high) else (None, None)
            yield word("where the means cross"), number(self.place, self.unit, *ends, trials=self.trials)
        else:
            yield word("where the means cross"), word(self.beyond())
        if self.published is not None:
            yield word("where they cross in the paper"), number(self.published, self.unit, published=True)

    def beyond(self) -> str:
        return "beyond the last level" if self.place > 0 else "before the first level"


def crossing_of(declaration: CurvesPicture, results: Results) -> Crossing | None:
    """Return the declared crossing as it was judged; None where there is none, or no data for it."""
    for judgement in results.judgements:
        claim = judgement.claim
        if not declaration.crossing or claim.id != declaration.crossing or math.isnan(judgement.effect):
            continue
        if judgement.reading in (None, declaration.reading):
            theirs = claim.published.value if claim.published is not None else None
            return Crossing(judgement.effect, *judgement.interval, theirs, claim.unit, judgement.trials)
    return None


def draw_crossing(axis: Any, crossing: Crossing, along: Along) -> None:
    """Mark the crossing, its interval and the paper's figure just above the axis."""
    panel = axis.get_xaxis_transform()
    first, last = min(along.positions.values()), max(along.positions.values())
    place = along.at(crossing.place) if math.isfinite(crossing.place) else None
    if place is not None:
        label = f"means cross at {crossing.place:.3g} {crossing.unit}"
        axis.plot([place, place], [0, 1], color=INK, linestyle=":", linewidth=1.2, transform=panel, zorder=1)
        axis.plot([place], [HEIGHT], "o", color=INK, markersize=8, transform=panel, zorder=4, label=wrapped(label))
        ends = [along.at(end) if math.isfinite(end) else end for end in (crossing.low, crossing.high)]
        low, high = (min(max(first if end is None else end, first), last) for end in ends)
        axis.plot([low, high], [HEIGHT, HEIGHT], color=INK, linewidth=3, transform=panel, zorder=4)
    else:
        label = f"means cross {crossing.beyond()}"
        edge = last if crossing.place > 0 else first
        axis.plot(
            [edge], [HEIGHT], ">" if crossing.place > 0 else "<", color=INK, markersize=9, transform=panel, zorder=4,
            label=label,
        )  # fmt: skip
    theirs = along.at(crossing.published) if crossing.published is not None else None
    if theirs is not None:
        axis.plot(
            [theirs], [HEIGHT], "D", markerfacecolor=SURFACE, markeredgecolor=INK, markersize=9, transform=panel,
            zorder=5, label=f"paper: at {crossing.published:g}",
        )  # fmt: skip
