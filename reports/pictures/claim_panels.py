"""The panel of a claim's effect: units as dots, the intervals, the published figure, and what they are held against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.verdicts.judgement import Judgement
from harness.verdicts.questions import Band, target
from reports.pictures.canvas import INK, SERIES, SOFT, SURFACE, wrapped
from reports.pictures.claim_axes import Scale, scale_of
from reports.pictures.claim_sketch import Row, Sketch, Units
from reports.strip import bounds_of, no_effect_of

OURS, THEIRS = SERIES[0], SERIES[1]
PAPER = "the paper"
GOLDEN = (math.sqrt(5) - 1) / 2
SPREAD = 0.44
"""How far dots of one row are spread over its height, so that they do not hide each other."""
LABEL = 20
SMALL = 9


@dataclass(frozen=True)
class Stand:
    """Where the rows of an effect's panel stand, from the top in rows' heights; None is a row that is not there."""

    rows: tuple[float, ...]
    effect: float | None
    paper: float | None
    bottom: float

    def labelled(self, sketch: Sketch) -> list[tuple[float, str]]:
        """Return where which label stands."""
        named = [(place, row.label) for place, row in zip(self.rows, sketch.rows, strict=True) if row.label]
        own = ((self.effect, sketch.effect), (self.paper, PAPER))
        return named + [(place, label) for place, label in own if place is not None]


def stand_of(sketch: Sketch, judgement: Judgement) -> Stand:
    """Return where rows stand; steps of an ordering stand between the arms that they lead from and to."""
    places: list[float] = []
    steps = sum(not row.label for row in sketch.rows)
    top = steps + 0.5 if steps else -0.5
    for row in sketch.rows:
        if not row.label:
            places.append(len(places) + 0.5)
            continue
        height = 1.4 if len(row.units.values) > 1 else 1.0
        places.append(top + height / 2)
        top += height
    below = [judgement.estimate is not None, judgement.claim.published is not None]
    effect, paper = (top + sum(below[:index]) + 0.5 if there else None for index, there in enumerate(below))
    return Stand(tuple(places), effect, paper, top + sum(below))


def effect_scale(sketch: Sketch, judgement: Judgement) -> Scale | None:
    """Return the axis of the effect; None where nothing finite stands on it."""
    claim = judgement.claim
    units = [value for row in sketch.rows for value in row.drawn]
    measured = [judgement.effect, *judgement.interval, *units]
    if not any(math.isfinite(value) for value in measured):
        return None
    against = [*bounds_of(claim)]
    if claim.published is not None:
        against.append(claim.published.value)
    if (nothing := no_effect_of(claim)) is not None:
        against.append(nothing)
    wanted = [*judgement.adjusted, *(judgement.bounds or ())]
    # Where nothing but the margin decides, its ends are what is to be seen.
    (against if isinstance(target(claim), Band) else wanted).extend(_margin(judgement))
    return scale_of([*measured, *against], wanted, sketch.logarithmic)


def draw_effect(axis: Any, sketch: Sketch, judgement: Judgement, scale: Scale, stand: Stand) -> None:
    """Draw the rows of units and parts, the effect with its intervals, the paper's figure, and the lines across."""
    draw_references(axis, judgement, scale)
    for row, place in zip(sketch.rows, stand.rows, strict=True):
        _draw_row(axis, row, scale, place)
    if stand.effect is not None:
        draw_interval(axis, judgement, scale, stand.effect)
    if stand.paper is not None:
        draw_published(axis, judgement, scale, stand.paper)
    label_rows(axis, stand.labelled(sketch), stand.bottom)


def label_rows(axis: Any, rows: Sequence[tuple[float, str]], bottom: float) -> None:
    """Name rows beside a panel, from the top."""
    axis.set_yticks([place for place, _ in rows], [wrapped(text, LABEL, 2) for _, text in rows], fontsize=SMALL)
    axis.set_ylim(bottom, -0.5)
    axis.grid(visible=False)


def draw_references(axis: Any, judgement: Judgement, scale: Scale) -> None:
    """Draw the margin as a band, no effect as a line, and the bounds as dotted lines, all across."""
    margin = [min(scale.high, max(scale.low, end)) for end in _margin(judgement)]
    if margin and margin[0] < margin[1]:
        axis.axvspan(*scale.places(margin), color=THEIRS, alpha=0.16, linewidth=0)
    nothing = no_effect_of(judgement.claim)
    if nothing is not None and scale.holds(nothing):
        axis.axvline(scale.place(nothing), color=SOFT, linewidth=1.2)
    for bound in bounds_of(judgement.claim):
        if scale.holds(bound):
            axis.axvline(scale.place(bound), color=INK, linewidth=1.6, linestyle=":")


def _margin(judgement: Judgement) -> tuple[float, ...]:
    claim = judgement.claim
    if claim.published is None or claim.margin is None:
        return ()
    return claim.margin.around(claim.published.value)


def _draw_row(axis: Any, row: Row, scale: Scale, place: float) -> None:
    if row.units.many:
        _draw_histogram(axis, row.units, scale, place)
    elif row.units.values:
        # Steps of an ordering stand closer to each other than other rows do.
        height = SPREAD if row.label else 0.6 * SPREAD
        heights = spread(row.units.values, place, height) if len(row.units.values) > 1 else [place]
        faint = 0.5 if len(row.units.values) > 8 else 0.75
        axis.plot(
            scale.places(row.units.values), heights, "o", color=OURS, alpha=faint, markersize=5, markeredgewidth=0
        )
    if math.isfinite(row.low) and math.isfinite(row.high):
        axis.plot(scale.places([row.low, row.high]), [place, place], color=OURS, linewidth=2)
    if math.isfinite(row.effect):
        axis.plot([scale.place(row.effect)], [place], "|", color=INK, markersize=11, markeredgewidth=2)


def spread(values: Sequence[float], place: float, height: float = SPREAD) -> list[float]:
    """Return places up to ``height`` off ``place`` that keep neighbours apart, the same for the same values."""
    heights = [place] * len(values)
    for rank, index in enumerate(sorted(range(len(values)), key=lambda index: values[index])):
        heights[index] = place + height * 2 * ((rank * GOLDEN) % 1 - 0.5)
    return heights


def _draw_histogram(axis: Any, units: Units, scale: Scale, place: float) -> None:
    counts, edges = units.histogram()
    foot = place + 0.6
    tops = foot - 1.1 * counts / counts.max()
    axis.stairs(tops, scale.places(edges.tolist()), baseline=foot, fill=True, color=OURS, alpha=0.6, linewidth=0)


def draw_interval(axis: Any, judgement: Judgement, scale: Scale, place: float) -> None:
    """Draw the effect with the interval shown, and thinner the one that decides; ends beyond the axis are arrows."""
    if not judgement.exact:
        if judgement.bounds is not None:
            _bar(axis, judgement.bounds, scale, place + 0.3, linewidth=1.2, linestyle=(0, (3, 2)))
        if judgement.level < judgement.shown_level:
            _bar(axis, judgement.adjusted, scale, place, linewidth=1.6)
        _bar(axis, judgement.interval, scale, place, linewidth=5, solid_capstyle="butt")
    if math.isfinite(judgement.effect):
        looks = {"markersize": 7, "markeredgecolor": SURFACE, "markeredgewidth": 1}
        axis.plot([scale.place(judgement.effect)], [place], "o", color=OURS, zorder=4, **looks)


def _bar(axis: Any, interval: tuple[float, float], scale: Scale, place: float, **looks: Any) -> None:
    low, high = interval
    if math.isnan(low) or math.isnan(high):
        return
    axis.plot(scale.places([low, high]), [place, place], color=OURS, **looks)
    for end, arrow, beyond in ((low, "<", low < scale.low), (high, ">", high > scale.high)):
        if beyond:
            axis.plot([scale.place(end)], [place], arrow, color=OURS, markersize=6, clip_on=False)


def draw_published(axis: Any, judgement: Judgement, scale: Scale, place: float) -> None:
    """Draw the paper's figure as a diamond, with the margin as a bar."""
    published = judgement.claim.published
    assert published is not None
    if margin := _margin(judgement):
        axis.plot(scale.places(margin), [place, place], color=THEIRS, linewidth=1.2)
    if scale.holds(published.value):
        axis.plot([scale.place(published.value)], [place], "D", color=THEIRS, markersize=8, markeredgewidth=0)
