"""Pictures of means over replicates along a factor: curves, and effects (differences of two arms)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy
import pandas

from harness.spec.models import Scalar, level_name
from reports.cells import Table
from reports.collect import Results
from reports.declarations import CurvesPicture, EffectsPicture, PublishedCurves
from reports.means import Mean, by_replicate, chosen, trials_of
from reports.pictures.canvas import (
    INK,
    MARKERS,
    STYLES,
    SURFACE,
    canvas,
    legend_below,
    palette,
    spoken,
    with_unit,
    wrapped,
)
from reports.pictures.clouds import cloud_of, draw_cloud
from reports.pictures.crossings import crossing_of, draw_crossing
from reports.pictures.numbers import number, word
from reports.pictures.picture import Drawing
from reports.pictures.series import Along, Lines, along_of, counted, is_number, lines_of, lines_table, named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FAINT = 0.6
BESIDE, CROWDED = 0.016, 0.35
"""How far lines stand beside each other, so that their intervals can be told apart: as a share of the axis, and of the
distance between levels at most."""
LEGEND_WIDTH, WIDE_LABEL = 52, 22
"""Characters of a line in a legend, and of a label that is too long for four columns."""
BELOW = 105
"""Characters that stand beside each other below an axis."""


def draw_curves(declaration: CurvesPicture, results: Results) -> Drawing | None:
    """The mean of a metric along a factor, a line for each level of another, and the paper's figures faintly behind."""
    records = chosen(results.records(declaration.reading), declaration.where)
    across = {level_name(level) for level in declaration.across}
    left_out = {level_name(level) for level in declaration.without} - across
    lines = _without(lines_of(declaration, results, records), left_out)
    if not any(lines.values()):
        return None
    along = along_of(declaration, results, declaration.published, across | left_out, declaration.logarithmic)
    if not along.positions:
        return None
    names = {group: _line_name(group, declaration, results) for group in lines}
    figure = _draw_lines(declaration, results, _without(lines, across), names, along, declaration.published)
    axis = figure.axes[0]
    for index, (group, means) in enumerate(lines.items()):
        for place, level in enumerate(level for level in means if level in across):
            words = [results.label(level, declaration.along), *([names[group]] if group else [])]
            # With several lines each has what stands across in its own colour; one line has others behind its own.
            colour = palette(len(lines) + len(across) + 1)[index if declaration.by else 1 + place]
            _draw_across(axis, means[level], colour, place, ", ".join(words), declaration.intervals)
    numbers = lines_table(declaration, results, lines, names, declaration.published, intervals=declaration.intervals)
    extra = []
    cloud = cloud_of(declaration, results)
    if cloud is not None:
        draw_cloud(axis, cloud, along)
        extra.append(cloud.row(declaration.unit))
    crossing = crossing_of(declaration, results)
    if crossing is not None:
        draw_crossing(axis, crossing, along)
        extra += crossing.rows()
    _legend(figure, axis, len(lines) * (1 + len(across)))
    return Drawing(figure, _longer(numbers, extra))


def draw_effects(declaration: EffectsPicture, results: Results) -> Drawing | None:
    """The paired difference of two arms along a factor, with no effect and the paper's figures as lines across."""
    records = chosen(results.records(declaration.reading), declaration.where)

    def effect(
        control: Mapping[str, Scalar], line: pandas.DataFrame, part: pandas.DataFrame
    ) -> tuple[pandas.Series, tuple[str, ...]]:
        # An arm that names the factor itself is the same all along the line, but not that of another line.
        arms = [chosen(line if declaration.along in arm else part, arm) for arm in (declaration.treatment, control)]
        ours, theirs = (by_replicate(arm, declaration.metric) for arm in arms)
        return (ours - theirs).dropna(), trials_of(pandas.concat(arms))

    found: dict[str, Mapping[str, Mean]] = {}
    names: dict[str, str] = {}
    for label, control in (declaration.controls or {"": declaration.control}).items():
        for group, means in lines_of(declaration, results, records, partial(effect, control)).items():
            found[label or group] = means
            names[label or group] = label or (named(group, declaration.by, results) if group else "")
    left_out = {level_name(level) for level in declaration.without}
    lines = _without(found, left_out)
    if not any(lines.values()):
        return None
    along = along_of(declaration, results, None, left_out, declaration.logarithmic)
    figure = _draw_lines(declaration, results, lines, names, along, None)
    axis = figure.axes[0]
    axis.axhline(0.0, color=INK, linewidth=1.2)
    theirs = []
    for place, (locator, value) in enumerate(declaration.published.items()):
        label = wrapped(f"paper: {value:+g} {declaration.unit} ({locator})", LEGEND_WIDTH)
        axis.axhline(value, color=INK, linestyle=STYLES[1 + place % 3], alpha=0.7, linewidth=1.6, label=label)
        theirs.append((word(f"paper: {locator}"), number(value, declaration.unit, published=True)))
    _legend(figure, axis, len(lines))
    numbers = lines_table(declaration, results, lines, names, intervals=declaration.intervals)
    return Drawing(figure, _longer(numbers, theirs))


def _without(lines: Lines, left_out: Collection[str]) -> Lines:
    return {group: {at: mean for at, mean in means.items() if at not in left_out} for group, means in lines.items()}


def _longer(numbers: Table, rows: Any) -> Table:
    """Return a table with further rows, each as long as the others."""
    width = len(numbers.headings)
    return replace(numbers, rows=[*numbers.rows, *([*row, *[word("")] * width][:width] for row in rows)])


def _line_name(group: str, declaration: CurvesPicture, results: Results) -> str:
    if group:
        return named(group, declaration.by, results)
    return "here" if declaration.published else f"by {spoken(declaration.along)}"


def _legend(figure: Figure, axis: Any, columns: int) -> None:
    labels = [str(label) for label in axis.get_legend_handles_labels()[1]]
    longest = max((len(line) for label in labels for line in label.split("\n")), default=0)
    legend_below(figure, axis, 2 if longest > WIDE_LABEL else min(4, columns))


def _draw_across(axis: Any, mean: Mean, colour: str, style: int, label: str, intervals: bool) -> None:
    """Draw a level that has no place on the axis, such as a control, as a line across with a band of its interval."""
    axis.axhline(mean.value, color=colour, linestyle=STYLES[1 + style % 3], linewidth=2, label=wrapped(label))
    if intervals:
        axis.axhspan(mean.low, mean.high, facecolor=colour, alpha=0.1, linewidth=0)


def with_gaps(levels: Sequence[str], joined: bool | None) -> list[str | None]:
    """Return a line's levels with None where the line breaks: beside levels that are no numbers, which have no order.

    With ``joined`` the line breaks nowhere, or everywhere.
    """
    found: list[str | None] = []
    for before, level in itertools.pairwise(["", *levels]):
        ordered = is_number(before) and is_number(level) if joined is None else joined
        found += [level] if ordered or not before else [None, level]
    return found


def _points(means: Mapping[str, Mean], level: str | None) -> tuple[float, float, float]:
    """Return a mean with the ends of its interval; NaN for a gap in the line."""
    if level is None:
        return (math.nan,) * 3
    return means[level].value, means[level].low, means[level].high


def _draw_lines(
    declaration: CurvesPicture | EffectsPicture,
    results: Results,
    lines: Lines,
    names: Mapping[str, str],
    along: Along,
    published: PublishedCurves | None,
) -> Figure:
    """Draw the means with their intervals; the caller draws the legend, when all lines are there."""
    figure, axes = canvas(6)
    axis = axes[0][0]
    spread = min(BESIDE * (len(lines) - 1), CROWDED / max(1, len(along.positions) - 1))
    for index, (group, means) in enumerate(lines.items()):
        if not means:
            continue
        shift = spread * (index / max(1, len(lines) - 1) - 0.5)
        shown = with_gaps(list(means), declaration.joined)
        where = [math.nan if level is None else along.shifted(level, shift) for level in shown]
        middle, low, high = numpy.array([_points(means, level) for level in shown]).T
        spans = [middle - low, high - middle]
        colour, name = palette(index + 1)[index], wrapped(names[group]) or spoken(declaration.along)
        axis.errorbar(
            where, middle, yerr=spans if declaration.intervals else None, label=name, color=colour,
            linestyle="-" if len(shown) < 2 * len(means) - 1 else "none", marker=MARKERS[index % len(MARKERS)],
            markersize=8, capsize=4, linewidth=2, markeredgecolor=SURFACE, markeredgewidth=0.8, zorder=3,
        )  # fmt: skip
        theirs = published.values.get(group, {}) if published else {}
        if theirs:
            at = sorted(theirs, key=along.positions.__getitem__)
            axis.plot(
                [along.positions[level] for level in at], [theirs[level] for level in at],
                label=f"paper, {name}" if group else "paper", color=colour, marker="D", markerfacecolor=SURFACE,
                markersize=8, linestyle="--", alpha=FAINT, linewidth=1.5,
            )  # fmt: skip
    if along.logarithmic:
        axis.set_xscale("log")
    labels = along.labelled()
    ticks = [along.positions[level] for level in labels]
    width = max(6, BELOW // len(labels))
    axis.set_xticks(ticks, [wrapped(results.label(level, declaration.along), width, 4) for level in labels])
    axis.minorticks_off()
    axis.set_xlabel(spoken(declaration.along))
    axis.set_ylabel(wrapped(with_unit(declaration.label, declaration.unit)))
    drawn = [mean for means in lines.values() for mean in means.values()]
    axis.set_title(counted(drawn, declaration.intervals) if drawn else "")
    return figure
