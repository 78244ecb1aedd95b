"""Pictures of one metric against another, a labelled mark a level, beside the paper's figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.cells import Heading, Table
from reports.collect import Results
from reports.declarations import ScatterAxis, ScatterPicture, published_values
from reports.means import Mean
from reports.pictures.axes import logarithmic_ticks
from reports.pictures.canvas import INK, SOFT, SURFACE, canvas, legend_below, palette, spoken, with_unit, wrapped
from reports.pictures.levels import means_by_level, present_levels
from reports.pictures.numbers import mean_cell, number, word
from reports.pictures.picture import Drawing
from reports.pictures.placing import MARK, Box, place
from reports.pictures.series import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABEL_WIDTH, FONT = 26, 9
LINE_STEP = 8.0
"""How far apart, in points, a joining line is looked at when labels keep off it."""
AIR = 0.06
"""The share of an axis that stays free at both ends."""
Points = Mapping[str, tuple[float, float]]


def draw_scatter(declaration: ScatterPicture, results: Results) -> Drawing | None:
    """One metric against another: filled marks are ours, hollow ones the paper's, joined where both have a level."""
    records = results.records(declaration.reading)
    levels = present_levels(results, declaration.rows, records)
    x, y = (
        means_by_level(records, declaration.rows, levels, axis.metric, axis.low, axis.high)
        for axis in (declaration.x, declaration.y)
    )
    ours = {level: (x[level].value, y[level].value) for level in levels if level in x and level in y}
    ours = {level: point for level, point in ours.items() if _has_place(point, declaration)}
    if not ours:
        return None
    theirs = {level: point for level, point in _published(declaration, results).items() if level in ours}
    figure, axes = canvas(9)
    axis = axes[0][0]
    _scale(axis, declaration, [*ours.values(), *theirs.values()])
    colour = palette(1)[0]
    for level, point in theirs.items():
        axis.plot(*zip(ours[level], point, strict=True), color=SOFT, linewidth=1, alpha=0.7, zorder=1)
    spans = [_spans(x, ours), _spans(y, ours)]
    axis.errorbar(
        [point[0] for point in ours.values()], [point[1] for point in ours.values()], xerr=spans[0], yerr=spans[1],
        linestyle="none", marker="o", color=colour, markersize=9, markeredgecolor=SURFACE, capsize=3, label="here",
        zorder=3,
    )  # fmt: skip
    if theirs:
        locators = dict.fromkeys(a.published.locator for a in (declaration.x, declaration.y) if a.published)
        axis.plot(
            *zip(*theirs.values(), strict=True), "D", markerfacecolor="none", markeredgecolor=INK, markersize=9,
            markeredgewidth=1.4, label=wrapped(f"paper ({', '.join(locators)})"), zorder=4,
        )  # fmt: skip
    axis.set_xlabel(_axis_label(declaration.x))
    axis.set_ylabel(_axis_label(declaration.y))
    axis.set_title(counted([x[level] for level in ours]))
    legend_below(figure, axis, 2)
    _label(
        figure,
        axis,
        {level: wrapped(results.label(level, declaration.rows), LABEL_WIDTH, 2) for level in ours},
        ours,
        theirs,
    )
    return Drawing(figure, _numbers(declaration, results, list(ours), x, y, theirs))


def _has_place(point: tuple[float, float], declaration: ScatterPicture) -> bool:
    logarithmic = declaration.x.logarithmic, declaration.y.logarithmic
    return all(math.isfinite(value) and (value > 0 or not log) for value, log in zip(point, logarithmic, strict=True))


def _published(declaration: ScatterPicture, results: Results) -> dict[str, tuple[float, float]]:
    """Return the paper's points: the levels for which it has both figures."""
    if declaration.x.published is None or declaration.y.published is None:
        return {}
    x, y = (
        published_values(column, results.design.experiment, declaration.rows)
        for column in (declaration.x.published, declaration.y.published)
    )
    points = {level: (x[level], y[level]) for level in x if level in y}
    return {level: point for level, point in points.items() if _has_place(point, declaration)}


def _spans(means: Mapping[str, Mean], levels: Points) -> list[list[float]] | None:
    """Return how far intervals reach down and up; None where there are none."""
    own = [means[level] for level in levels]
    if not any(mean.low < mean.high for mean in own):
        return None
    return [[mean.value - mean.low for mean in own], [mean.high - mean.value for mean in own]]


def _scale(axis: Any, declaration: ScatterPicture, points: Sequence[tuple[float, float]]) -> None:
    """Set both axes' scales and limits, before labels find their places."""
    for place_, (declared, own, set_limits, set_scale) in enumerate(
        (
            (declaration.x, axis.xaxis, axis.set_xlim, axis.set_xscale),
            (declaration.y, axis.yaxis, axis.set_ylim, axis.set_yscale),
        )
    ):
        values = [point[place_] for point in points]
        low, high = min(values), max(values)
        if declared.logarithmic:
            factor = max(high / low, 1.5) ** AIR
            set_scale("log")
            set_limits(low / factor, high * factor)
            logarithmic_ticks(own, low / factor, high * factor)
        else:
            air = AIR * max(high - low, 0.1 * abs(high), 1e-9)
            set_limits(low - air, high + air)


def _label(figure: Figure, axis: Any, names: Mapping[str, str], ours: Points, theirs: Points) -> None:
    """Write a name beside each mark. The picture has to be laid out to know where there is room."""
    looks = {"fontsize": FONT, "ha": "center", "va": "center", "zorder": 5}
    texts = [axis.text(0, 0, name, **looks) for name in names.values()]
    figure.tight_layout()
    sizes = [(box.width, box.height) for box in (text.get_window_extent() for text in texts)]
    marks = {level: tuple(axis.transData.transform(point)) for level, point in ours.items()}
    far = {level: tuple(axis.transData.transform(point)) for level, point in theirs.items()}
    frame = axis.get_window_extent()
    panel = Box(frame.x0, frame.y0, frame.x1, frame.y1)
    others = [box for level, end in far.items() for box in _along(marks[level], end)]
    back = axis.transData.inverted()
    placed = place(list(marks.values()), sizes, panel, others)
    for text, mark, spot, (width, height) in zip(texts, marks.values(), placed, sizes, strict=True):
        text.set_position(back.transform((spot.x, spot.y)))
        edge = _within(mark[0], spot.x, width / 2), _within(mark[1], spot.y, height / 2)
        if spot.line and math.dist(edge, mark) > MARK:
            ends = [back.transform(mark), back.transform(edge)]
            axis.plot(*zip(*ends, strict=True), color=SOFT, linewidth=0.7, linestyle=":", zorder=2)


def _within(value: float, middle: float, half: float) -> float:
    return min(max(value, middle - half), middle + half)


def _along(start: tuple[float, float], end: tuple[float, float]) -> list[Box]:
    """Return boxes along the line that joins two marks, and around the second, for labels to keep off."""
    steps = int(math.dist(start, end) / LINE_STEP)
    points = [
        tuple(a + (b - a) * step / max(1, steps) for a, b in zip(start, end, strict=True)) for step in range(steps)
    ]
    boxes = [Box(x - LINE_STEP / 4, y - LINE_STEP / 4, x + LINE_STEP / 4, y + LINE_STEP / 4) for x, y in points]
    return [*boxes, Box(end[0] - MARK, end[1] - MARK, end[0] + MARK, end[1] + MARK)]


def _axis_label(declared: ScatterAxis) -> str:
    scale = "log scale" if declared.logarithmic else ""
    return wrapped(with_unit(declared.label, ", ".join(part for part in (declared.unit, scale) if part)), 60)


def _numbers(
    declaration: ScatterPicture,
    results: Results,
    levels: Sequence[str],
    x: Mapping[str, Mean],
    y: Mapping[str, Mean],
    theirs: Points,
) -> Table:
    headings = [Heading(spoken(declaration.rows))]
    headings += [Heading(axis.label, axis.unit) for axis in (declaration.x, declaration.y)]
    if theirs:
        headings += [
            Heading(f"paper: {axis.label}", axis.unit, published=True) for axis in (declaration.x, declaration.y)
        ]
    rows = []
    for level in levels:
        cells = [word(results.label(level, declaration.rows))]
        cells += [mean_cell(x[level], declaration.x.unit), mean_cell(y[level], declaration.y.unit)]
        if theirs:
            for value, axis in zip(theirs.get(level, (None, None)), (declaration.x, declaration.y), strict=True):
                rough = axis.published is not None and axis.published.approximate
                cells.append(number(value, axis.unit, published=True, approximate=rough and value is not None))
        rows.append(cells)
    return Table(declaration.title, counted([x[level] for level in levels]), headings, rows)
