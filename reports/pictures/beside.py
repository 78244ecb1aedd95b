"""Pictures of metrics by level beside the paper's figures, on one axis."""

from __future__ import annotations

import math
from collections.abc import Mapping

from reports.cells import Heading, Table
from reports.collect import Results
from reports.declarations import BesidePublishedPicture, published_values
from reports.means import Mean
from reports.pictures.axes import logarithmic_ticks
from reports.pictures.canvas import INK, MARKERS, SURFACE, canvas, legend_below, palette, spoken, wrapped
from reports.pictures.levels import means_by_level, present_levels
from reports.pictures.numbers import mean_cell, number, word
from reports.pictures.picture import Drawing
from reports.pictures.series import counted

SPREAD = 0.3
"""Of a row, over which its metrics stand below each other."""


def draw_beside_published(declaration: BesidePublishedPicture, results: Results) -> Drawing | None:
    """Metrics by level as marks, the paper's figures as hollow diamonds around them."""
    records = results.records("matched")
    levels = present_levels(results, declaration.rows, records)
    found = {
        metric: means
        for metric in declaration.metrics
        if (means := means_by_level(records, declaration.rows, levels, metric))
    }
    if not found:
        return None
    theirs = {}
    if declaration.published is not None:
        figures = published_values(declaration.published, results.design.experiment, declaration.rows)
        theirs = {level: figures[level] for level in levels if level in figures}
    figure, axes = canvas(len(levels))
    axis = axes[0][0]
    for index, (metric, means) in enumerate(found.items()):
        several = any(mean.low < mean.high for mean in means.values())
        shift = SPREAD * (index / max(1, len(found) - 1) - 0.5) if len(found) > 1 and several else 0.0
        values = [mean.value for mean in means.values()]
        spans = [[m.value - m.low for m in means.values()], [m.high - m.value for m in means.values()]]
        axis.errorbar(
            values, [levels.index(level) + shift for level in means], xerr=spans if several else None,
            linestyle="none", marker=MARKERS[index % len(MARKERS)], color=palette(index + 1)[index], markersize=8,
            markeredgecolor=SURFACE, markeredgewidth=0.8, capsize=3, label=wrapped(declaration.metrics[metric]),
        )  # fmt: skip
    if theirs and declaration.published is not None:
        axis.plot(
            list(theirs.values()), [levels.index(level) for level in theirs], "D", markerfacecolor="none",
            markeredgecolor=INK, markersize=12, markeredgewidth=1.6, label=f"paper ({declaration.published.locator})",
        )  # fmt: skip
    if declaration.logarithmic:
        shown = [v for m in found.values() for x in m.values() for v in (x.low, x.high)] + list(theirs.values())
        shown = [value for value in shown if value > 0 and math.isfinite(value)]
        axis.set_xscale("log")
        logarithmic_ticks(axis.xaxis, min(shown, default=1.0), max(shown, default=10.0))
    axis.set_yticks(range(len(levels)), [wrapped(results.label(level, declaration.rows)) for level in levels])
    axis.set_ylim(len(levels) - 0.5, -0.5)
    axis.set_xlabel(wrapped(declaration.unit, 80))
    axis.set_title(counted([mean for means in found.values() for mean in means.values()]))
    legend_below(figure, axis, 2)
    return Drawing(figure, _numbers(declaration, results, levels, found, theirs))


def _numbers(
    declaration: BesidePublishedPicture,
    results: Results,
    levels: list[str],
    found: Mapping[str, Mapping[str, Mean]],
    theirs: Mapping[str, float],
) -> Table:
    headings = [Heading(spoken(declaration.rows)), *(Heading(declaration.metrics[metric]) for metric in found)]
    if theirs and declaration.published is not None:
        headings.append(Heading(f"paper: {declaration.published.locator}", published=True))
    rows = []
    for level in levels:
        cells = [word(results.label(level, declaration.rows))]
        cells += [mean_cell(means.get(level)) for means in found.values()]
        rows.append([*cells, number(theirs.get(level), published=True)] if theirs else cells)
    return Table(declaration.title, f"In {declaration.unit}." if declaration.unit else "", headings, rows)
