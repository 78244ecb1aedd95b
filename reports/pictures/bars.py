"""Pictures of means over replicates as grouped bars, the paper's bars faintly behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.collect import Results
from reports.declarations import BarsPicture
from reports.means import chosen
from reports.pictures.canvas import INK, canvas, legend_below, palette, spoken, with_unit, wrapped
from reports.pictures.picture import Drawing
from reports.pictures.series import Along, along_of, counted, lines_of, lines_table, named

GROUP = 0.84
"""The share of the distance between groups that their bars take."""
OURS, THEIRS = 0.62, 0.96
"""The width of a bar as a share of its place: ours stands before the paper's."""
TICK_WIDTH = 12


def draw_bars(declaration: BarsPicture, results: Results) -> Drawing | None:
    """A mean with its interval for each pair of levels, as a bar from 0, before the paper's bar for that pair."""
    records = chosen(results.records(declaration.reading), declaration.where)
    lines = lines_of(declaration, results, records)
    if not lines:
        return None
    published = declaration.published
    theirs = published.values if published else {}
    along = along_of(declaration, results, published)
    names = {group: named(group, declaration.by, results) for group in lines}
    figure, axes = canvas(6.5, width=11.0)
    axis = axes[0][0]
    for index, (group, means) in enumerate(lines.items()):
        colour, name = palette(index + 1)[index], wrapped(names[group])
        width = GROUP / len(lines)
        offset = width * (index - (len(lines) - 1) / 2)
        own = theirs.get(group, {})
        if own:
            _bars(axis, along, own, offset, THEIRS * width, color=colour, alpha=0.22, label=f"paper, {name}", zorder=1)
        middle = {level: mean.value for level, mean in means.items()}
        _bars(axis, along, middle, offset, OURS * width, color=colour, label=name, zorder=2)
        for level, mean in means.items():
            place = along.positions[level] + offset
            if declaration.intervals and mean.low < mean.high:
                axis.errorbar(
                    [place], [mean.value], yerr=[[mean.value - mean.low], [mean.high - mean.value]], color=INK,
                    capsize=4, linewidth=1.4, zorder=3,
                )  # fmt: skip
            top = max(mean.value, mean.high if declaration.intervals else mean.value)
            axis.annotate(
                f"{mean.value:.{declaration.digits}f}", (place, top), (0, 3), textcoords="offset points", ha="center",
                va="bottom", fontsize=9, zorder=4,
            )  # fmt: skip
    labels = [wrapped(results.label(level, declaration.along), TICK_WIDTH) for level in along.positions]
    axis.set_xticks(list(along.positions.values()), labels)
    axis.grid(axis="x", visible=False)
    axis.margins(y=0.1)
    axis.set_xlabel(spoken(declaration.along))
    axis.set_ylabel(wrapped(with_unit(declaration.label, declaration.unit)))
    axis.set_title(counted([mean for means in lines.values() for mean in means.values()], declaration.intervals))
    legend_below(figure, axis, min(4, len(lines)))
    return Drawing(figure, lines_table(declaration, results, lines, names, published, intervals=declaration.intervals))


def _bars(axis: Any, along: Along, values: Mapping[str, float], offset: float, width: float, **looks: Any) -> None:
    places = [along.positions[level] + offset for level in values]
    axis.bar(places, list(values.values()), width, **looks)
