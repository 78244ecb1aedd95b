"""Pictures of means over replicates: curves along a factor, effects along a factor, grids of two factors."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy
import pandas

from harness.spec.models import Scalar, level_name
from reports.collect import Results
from reports.declarations import CurvesPicture, EffectsPicture, GridPicture, PublishedCurves
from reports.means import Mean, by_replicate, chosen, mean_of
from reports.pictures.canvas import canvas, legend_below

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FAINT = 0.45
TICK_WIDTH, LABEL_WIDTH = 10, 34
"""Characters of a line below and beside an axis, before it goes on in the next."""


def draw_curves(declaration: CurvesPicture, results: Results) -> Figure | None:
    """The mean of a metric along a factor, a line for each level of another, and the paper's figures faintly behind."""
    records = chosen(results.records(declaration.reading), declaration.where)
    lines = _series(declaration, results, records, lambda line, part: by_replicate(part, declaration.metric))
    if not lines:
        return None
    across = {level_name(level) for level in declaration.across}
    left_out = across | {level_name(level) for level in declaration.without}
    curves = {group: {a: m for a, m in means.items() if a not in left_out} for group, means in lines.items()}
    figure = _lines(declaration, results, curves, declaration.published, left_out)
    for index, (group, means) in enumerate(lines.items()):
        for place, level in enumerate(level for level in results.levels(declaration.along) if level in across):
            if level in means:
                words = [results.label(level, declaration.along)]
                words += [results.label(group, declaration.by)] if group else []
                # With several lines each has what stands across in its own colour; one line has others behind its own.
                colour = index if declaration.by else 1 + place
                _across(figure.axes[0], means[level], colour, place, ", ".join(words))
    longest = max(len(str(label)) for label in figure.axes[0].get_legend_handles_labels()[1])
    wide = bool(declaration.published) or longest > LABEL_WIDTH // 2
    legend_below(figure, figure.axes[0], 2 if wide else min(4, len(lines) * (1 + len(across))))
    return figure


def _across(axis: Any, mean: Mean, colour: int, style: int, label: str) -> None:
    """Draw a level that has no place on the axis, such as a control, as a line across with a band of its interval."""
    import seaborn

    shade = seaborn.color_palette("colorblind")[colour % 10]
    axis.axhline(mean.value, color=shade, linestyle=("--", ":", "-.")[style % 3], linewidth=2, label=label)
    axis.axhspan(mean.low, mean.high, color=shade, alpha=0.08, linewidth=0)


def draw_effects(declaration: EffectsPicture, results: Results) -> Figure | None:
    """The paired difference of two arms along a factor, with no effect and the paper's figures as lines across."""
    records = chosen(results.records(declaration.reading), declaration.where)

    def effect(control: Mapping[str, Scalar], line: pandas.DataFrame, part: pandas.DataFrame) -> pandas.Series:
        # An arm that names the factor itself is the same all along the line, but not that of another line.
        found = [
            by_replicate(chosen(line if declaration.along in arm else part, arm), declaration.metric)
            for arm in (declaration.treatment, control)
        ]
        return (found[0] - found[1]).dropna()

    lines: dict[str, dict[str, Mean]] = {}
    for label, control in (declaration.controls or {"": declaration.control}).items():
        for group, means in _series(declaration, results, records, partial(effect, control)).items():
            lines[label or group] = means
    left_out = {level_name(level) for level in declaration.without}
    lines = {name: {at: mean for at, mean in means.items() if at not in left_out} for name, means in lines.items()}
    if not any(lines.values()):
        return None
    figure = _lines(declaration, results, lines, None, left_out)
    axis = figure.axes[0]
    axis.axhline(0.0, color="black", linewidth=1)
    for place, (locator, value) in enumerate(declaration.published.items()):
        style = ("--", ":", "-.")[place % 3]
        axis.axhline(value, color="black", linestyle=style, alpha=0.7, label=f"published: {value:+g} ({locator})")
    legend_below(figure, axis, 2)
    return figure


def _series(
    declaration: CurvesPicture | EffectsPicture, results: Results, records: pandas.DataFrame, statistic: Any
) -> dict[str, dict[str, Mean]]:
    """Return the means by level of ``by`` (an empty name without it), then by level of ``along``.

    ``statistic`` is of the records of a line, and of those of them at a level, by replicate.
    """
    found: dict[str, dict[str, Mean]] = {}
    for group in results.levels(declaration.by) if declaration.by else [""]:
        part = chosen(records, {declaration.by: group}) if declaration.by else records
        for level in results.levels(declaration.along):
            mean = mean_of(statistic(part, chosen(part, {declaration.along: level})))
            if mean is not None:
                found.setdefault(group, {})[level] = mean
    return found


def _positions(
    declaration: CurvesPicture | EffectsPicture,
    results: Results,
    published: PublishedCurves | None,
    left_out: Collection[str] = (),
) -> dict[str, float]:
    """Return where each level of ``along`` stands: its number on a log scale, or its place in the spec's order."""
    extra = [level for values in (published.values.values() if published else ()) for level in values]
    levels = [x for x in dict.fromkeys([*results.levels(declaration.along), *extra]) if x not in left_out]
    if declaration.logarithmic:
        return {level: float(level) for level in levels}
    if extra and all(map(_is_number, levels)):
        # The paper's levels among ours, in the order of their numbers.
        levels.sort(key=float)
    return {level: float(place) for place, level in enumerate(levels)}


def _lines(
    declaration: CurvesPicture | EffectsPicture,
    results: Results,
    lines: Mapping[str, Mapping[str, Mean]],
    published: PublishedCurves | None,
    left_out: Collection[str] = (),
) -> Figure:
    """Draw the means with their intervals; the caller draws the legend, when all lines are there."""
    import seaborn

    positions = _positions(declaration, results, published, left_out)
    figure, axes = canvas(6)
    axis = axes[0][0]
    palette = seaborn.color_palette("colorblind")
    counts = [mean.replicates for means in lines.values() for mean in means.values()]
    for index, (group, means) in enumerate(lines.items()):
        # Lines beside each other, so that their intervals can be told apart.
        shift = (index - (len(lines) - 1) / 2) * 0.06
        where = [_shifted(positions[level], shift, declaration.logarithmic) for level in means]
        middle = numpy.array([mean.value for mean in means.values()])
        spans = [middle - [m.low for m in means.values()], [m.high for m in means.values()] - middle]
        drawn = spans if declaration.intervals else None
        marker = ("o", "s", "^", "v", "P", "X")[index % 6]
        name = named(group, declaration.by, results) or ("here" if published else declaration.along.replace("_", " "))
        looks = {"color": palette[index], "marker": marker, "markersize": 8, "capsize": 4, "linewidth": 2}
        axis.errorbar(where, middle, yerr=drawn, label=name, **looks)
        theirs = published.values.get(group, {}) if published else {}
        if theirs:
            at = sorted(theirs, key=lambda level: positions[level])
            label = f"published, {name}" if group else "published"
            axis.plot(
                [positions[level] for level in at], [theirs[level] for level in at], label=label, color=palette[index],
                marker="D", markerfacecolor="none", markersize=9, linestyle="--", alpha=FAINT,
            )  # fmt: skip
    if declaration.logarithmic:
        axis.set_xscale("log")
    axis.set_xticks(
        list(positions.values()), [fill(results.label(level, declaration.along), TICK_WIDTH) for level in positions]
    )
    axis.minorticks_off()
    axis.set_xlabel(declaration.along.replace("_", " "))
    unit = f" ({declaration.unit})" if declaration.unit else ""
    axis.set_ylabel(fill(f"{declaration.label}{unit}", LABEL_WIDTH))
    axis.set_title(_counted(counts, declaration.intervals), loc="left", fontsize=10)
    figure.tight_layout()
    return figure


def named(group: str, factor: str, results: Results) -> str:
    """Return how a line is called; a level that is a bare number says of what."""
    label = results.label(group, factor)
    return f"{factor.replace('_', ' ')} {label}" if factor and _is_number(label) else label


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _shifted(position: float, shift: float, logarithmic: bool) -> float:
    return position * math.exp(shift) if logarithmic else position + shift


def _counted(counts: Sequence[int], intervals: bool = True) -> str:
    low, high = min(counts), max(counts)
    between = ", 95 % intervals" if intervals else ""
    return f"means over {low if low == high else f'{low} to {high}'} replicates{between}"


def draw_grid(declaration: GridPicture, results: Results) -> Figure | None:
    """The mean of a metric for each pair of levels, with half its interval's width, beside the paper's grid."""
    records = chosen(results.records(declaration.reading), declaration.where)
    rows, columns = results.levels(declaration.rows), results.levels(declaration.columns)
    digits = declaration.digits
    ours = pandas.DataFrame(numpy.nan, index=rows, columns=columns)
    texts = pandas.DataFrame("", index=rows, columns=columns)
    counts = []
    for row in rows:
        for column in columns:
            part = chosen(records, {declaration.rows: row, declaration.columns: column})
            mean = mean_of(by_replicate(part, declaration.metric))
            if mean is not None:
                ours.loc[row, column] = mean.value
                texts.loc[row, column] = f"{mean.value:.{digits}f}\n± {(mean.high - mean.low) / 2:.{digits}f}"
                counts.append(mean.replicates)
    if not counts:
        return None
    theirs = _published_grid(declaration.published)
    panels = 1 if theirs is None else 2
    figure, axes = canvas(1.3 * len(rows), panels, width=3.0 + 5.0 * panels, share=False)
    unit = f" ({declaration.unit})" if declaration.unit else ""
    _heat(axes[0][0], ours, texts, declaration, results, f"here: {declaration.label}{unit}, {_counted(counts)}")
    if theirs is not None and declaration.published is not None:
        printed = theirs.map(f"{{:.{digits}f}}".format)
        _heat(axes[0][1], theirs, printed, declaration, results, f"the paper: {declaration.published.locator}")
    for axis in axes[0]:
        axis.set_xlabel(declaration.columns.replace("_", " "))
    axes[0][0].set_ylabel(declaration.rows.replace("_", " "))
    figure.tight_layout()
    return figure


def _published_grid(published: PublishedCurves | None) -> pandas.DataFrame | None:
    if published is None:
        return None
    return pandas.DataFrame({row: dict(values) for row, values in published.values.items()}).T


def _heat(
    axis: Any,
    values: pandas.DataFrame,
    texts: pandas.DataFrame,
    declaration: GridPicture,
    results: Results,
    title: str,
) -> None:
    import seaborn

    kept = values.dropna(how="all", axis=0).dropna(how="all", axis=1)
    seaborn.heatmap(
        kept, annot=texts.loc[kept.index, kept.columns], fmt="", cmap="cividis", cbar=False, ax=axis, linewidths=1,
        annot_kws={"fontsize": 10},
    )  # fmt: skip
    axis.set_xticklabels([results.label(level, declaration.columns) for level in kept.columns], rotation=30, ha="right")
    axis.set_yticklabels([results.label(level, declaration.rows) for level in kept.index], rotation=0)
    axis.grid(visible=False)
    axis.set_title(title, fontsize=10, loc="left")
