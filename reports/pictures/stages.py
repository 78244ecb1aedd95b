"""Pictures of where time goes: stacked bars of stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
import pandas

from reports.cells import Heading, Table
from reports.collect import Results
from reports.declarations import StagesPicture
from reports.means import chosen, trials_of
from reports.pictures.canvas import canvas, legend_below, palette, spoken, wrapped
from reports.pictures.levels import present_levels
from reports.pictures.numbers import number, word
from reports.pictures.picture import Drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGE_PREFIX = "stage_ms_"
MILLISECONDS = 1000.0


def draw_stages(declaration: StagesPicture, results: Results) -> Drawing | None:
    """Stacked bars of stage times: absolute on the left, as shares of each level's own time on the right."""
    factor, records = declaration.rows, results.table
    levels = present_levels(results, factor, records)
    metrics = [name for name in records if str(name).startswith(STAGE_PREFIX)]
    if not levels or not metrics:
        return None
    medians = _medians(records, factor, levels, metrics).fillna(0.0)
    medians.columns = [name.removeprefix(STAGE_PREFIX) for name in metrics]
    grouped = grouped_stages(medians, declaration.groups)
    sums = grouped.sum(axis=1)
    if not sums.max() > 0:
        return None
    if declaration.total in records:
        totals = _medians(records, factor, levels, [declaration.total])[declaration.total]
    else:
        totals = sums
    trials = len(trials_of(records))
    figure = stacked_bars(
        grouped,
        totals,
        [results.label(level, factor) for level in levels],
        (f"median time of a {declaration.of}", f"share of the {declaration.of} (%)"),
        "one trial" if trials == 1 else f"medians over {trials} trials",
        sums,
    )
    return Drawing(figure, _numbers(declaration, results, grouped, totals, records))


def stacked_bars(
    parts: pandas.DataFrame,
    totals: pandas.Series,
    names: Sequence[str],
    axes_say: tuple[str, str],
    title: str,
    wholes: pandas.Series,
) -> Figure:
    """Return a figure with a bar a row: the parts' times on the left, their shares on the right.

    Args:
        parts: milliseconds, a row a bar and a column a part; some of them are positive.
        totals: milliseconds that are written at the end of each bar.
        names: what each bar is called.
        axes_say: the labels of the axis of times, without its unit, and of that of shares.
        title: what stands above the left panel.
        wholes: milliseconds of what the parts are shares of.
    """
    sums = parts.sum(axis=1)
    scale, unit = (MILLISECONDS, "s") if sums.max() >= MILLISECONDS else (1.0, "ms")
    figure, axes = canvas(len(parts), 2, width=12.0)
    labels = [wrapped(name) for name in names]
    times, shares = axes[0]
    _bars(times, parts / scale, f"{axes_say[0]} ({unit})", labels)
    _bars(shares, 100 * parts.div(wholes.replace(0.0, float("nan")), axis=0), axes_say[1], labels)
    for position, (end, total) in enumerate(zip(sums / scale, totals / scale, strict=True)):
        times.annotate(f" {total:.3g} {unit}", (end, position), va="center", fontsize=10)
    times.set_xlim(0, sums.max() / scale * 1.2)
    times.invert_yaxis()
    times.set_title(title)
    legend_below(figure, times, min(4, len(parts.columns)))
    return figure


def _bars(axis: Any, values: pandas.DataFrame, label: str, names: Sequence[str]) -> None:
    left = pandas.Series(0.0, index=values.index)
    for place, (column, colour) in enumerate(zip(values.columns, palette(len(values.columns)), strict=True)):
        # After the eighth stage colours begin again, hatched.
        hatch = "" if place < len(palette()) else "///"
        some = (values[column] > 0).to_numpy()
        if some.any():
            axis.barh(
                numpy.flatnonzero(some), values[column][some], left=left[some], color=colour, label=wrapped(column),
                height=0.7, hatch=hatch,
            )  # fmt: skip
        left = left + values[column].fillna(0.0)
    axis.set_xlabel(label)
    axis.set_yticks(range(len(values)), names)
    axis.grid(axis="y", visible=False)


def grouped_stages(medians: pandas.DataFrame, groups: dict[str, list[str]]) -> pandas.DataFrame:
    """Sum stages that are drawn as one; the rest keep their names. Columns are in the order of the groups."""
    grouped = {}
    for label, stages in groups.items():
        present = [stage for stage in stages if stage in medians]
        if present:
            grouped[label] = medians[present].sum(axis=1)
    named = {stage for stages in groups.values() for stage in stages}
    rest = {spoken(stage): medians[stage] for stage in medians if stage not in named}
    return pandas.DataFrame({**grouped, **rest})


def _medians(records: pandas.DataFrame, factor: str, levels: Sequence[str], metrics: Sequence[str]) -> pandas.DataFrame:
    """Return the median over trials of each metric, a row a level."""
    rows = {
        level: chosen(records, {factor: level})[list(metrics)].apply(pandas.to_numeric, errors="coerce").median()
        for level in levels
    }
    return pandas.DataFrame(rows).T


def _numbers(
    declaration: StagesPicture,
    results: Results,
    grouped: pandas.DataFrame,
    totals: pandas.Series,
    records: pandas.DataFrame,
) -> Table:
    """Return a row a level: its time, and every stage's."""
    headings = [
        Heading(spoken(declaration.rows)),
        Heading(declaration.of, "ms"),
        *(Heading(str(stage), "ms") for stage in grouped.columns),
    ]
    rows = []
    for level in grouped.index:
        trials = trials_of(chosen(records, {declaration.rows: level}))
        values = [totals[level], *grouped.loc[level]]
        cells = [number(float(value), "ms", trials=trials) for value in values]
        rows.append([word(results.label(level, declaration.rows)), *cells])
    return Table(declaration.title, "Medians over trials.", headings, rows)
