"""Pictures of two factors: a grid of means beside the paper's own grid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy
import pandas

from reports.cells import Heading, Table
from reports.collect import Results
from reports.declarations import GridPicture, PublishedCurves
from reports.means import Mean, by_replicate, chosen, mean_of, trials_of
from reports.pictures.canvas import SURFACE, canvas, spoken, with_unit, wrapped
from reports.pictures.numbers import mean_cell, number, word
from reports.pictures.picture import Drawing
from reports.pictures.series import counted

COLOURS = "cividis"
"""Even in lightness and the same to the colour-blind; cells keep their colours on dark pages."""
LABEL_WIDTH, TITLE_WIDTH = 16, 46
CROWDED = 4
"""With more columns their labels are tilted, with more rows the numbers are smaller."""
Means = dict[tuple[str, str], Mean]


def draw_grid(declaration: GridPicture, results: Results) -> Drawing | None:
    """The mean of a metric for each pair of levels, with half its interval's width, beside the paper's grid."""
    means = _means(declaration, results)
    if not means:
        return None
    ours = _frame({pair: mean.value for pair, mean in means.items()}, declaration, results)
    theirs = _published(declaration.published)
    figure, axes = canvas(
        1.1 * max(len(ours), len(theirs)) + 1, 1 if theirs.empty else 2, 7.8 if theirs.empty else 12.4, share=False
    )
    written = {pair: _written(mean, declaration.digits) for pair, mean in means.items()}
    texts = pandas.DataFrame({c: {r: written.get((r, c), "") for r in ours.index} for c in ours.columns})
    title = f"here: {with_unit(declaration.label, declaration.unit)},\n{_count(means)}"
    _heat(axes[0][0], ours, texts, declaration, results, title)
    if not theirs.empty and declaration.published is not None:
        title = wrapped(f"the paper: {declaration.published.locator}", TITLE_WIDTH, 2)
        _heat(axes[0][1], theirs, theirs.map(f"{{:.{declaration.digits}f}}".format), declaration, results, title)
    return Drawing(figure, _numbers(declaration, results, means))


def _written(mean: Mean, digits: int) -> str:
    half = f"\n± {(mean.high - mean.low) / 2:.{digits}f}" if mean.low < mean.high else ""
    return f"{mean.value:.{digits}f}{half}"


def _means(declaration: GridPicture, results: Results) -> Means:
    records = chosen(results.records(declaration.reading), declaration.where)
    found = {}
    for row in results.levels(declaration.rows):
        line = chosen(records, {declaration.rows: row})
        for column in results.levels(declaration.columns):
            part = chosen(line, {declaration.columns: column})
            mean = mean_of(by_replicate(part, declaration.metric), trials_of(part))
            if mean is not None:
                found[row, column] = mean
    return found


def _count(means: Means) -> str:
    several = any(mean.low < mean.high for mean in means.values())
    return counted(means.values(), intervals=False) + (" ± half of the 95 % interval" if several else "")


def _frame(values: dict[tuple[str, str], float], declaration: GridPicture, results: Results) -> pandas.DataFrame:
    """Return values as a frame in the spec's order, without rows and columns that have none."""
    frame = pandas.DataFrame(
        numpy.nan, index=results.levels(declaration.rows), columns=results.levels(declaration.columns)
    )
    for (row, column), value in values.items():
        frame.loc[row, column] = value
    return frame.dropna(how="all", axis=0).dropna(how="all", axis=1)


def _published(published: PublishedCurves | None) -> pandas.DataFrame:
    if published is None:
        return pandas.DataFrame()
    return pandas.DataFrame({row: dict(values) for row, values in published.values.items()}).T


def _heat(
    axis: Any, values: pandas.DataFrame, texts: pandas.DataFrame, declaration: GridPicture, results: Results, title: str
) -> None:
    """Draw one grid. Cells and the texts on them keep their colours on dark pages, where they are as readable."""
    import seaborn

    seaborn.heatmap(
        values, annot=texts, fmt="", cmap=COLOURS, cbar=False, ax=axis, linewidths=1.5, linecolor=SURFACE,
        annot_kws={"fontsize": 10 if len(values) <= CROWDED else 9},
    )  # fmt: skip
    tilted = len(values.columns) > CROWDED
    axis.set_xticks(
        numpy.arange(len(values.columns)) + 0.5, _ticks(values.columns, declaration.columns, results),
        rotation=30 if tilted else 0, ha="right" if tilted else "center",
    )  # fmt: skip
    axis.set_yticks(numpy.arange(len(values.index)) + 0.5, _ticks(values.index, declaration.rows, results), rotation=0)
    axis.grid(visible=False)
    axis.set_xlabel(spoken(declaration.columns))
    axis.set_ylabel(spoken(declaration.rows))
    axis.set_title(title)


def _ticks(levels: Iterable[str], factor: str, results: Results) -> list[str]:
    return [wrapped(results.label(level, factor), LABEL_WIDTH, 2) for level in levels]


def _numbers(declaration: GridPicture, results: Results, means: Means) -> Table:
    """Return a row a pair of levels: the mean here, and the paper's figure where there is one."""
    published = declaration.published.values if declaration.published else {}
    locator = declaration.published.locator if declaration.published else ""
    pairs = list(dict.fromkeys([*means, *((row, column) for row, line in published.items() for column in line)]))
    headings = [
        Heading(spoken(declaration.rows)),
        Heading(spoken(declaration.columns)),
        Heading(declaration.label, declaration.unit),
        *([Heading(f"paper: {locator}", declaration.unit, published=True)] if published else []),
    ]
    rows = []
    for row, column in pairs:
        cells = [
            word(results.label(row, declaration.rows)),
            word(results.label(column, declaration.columns)),
            mean_cell(means.get((row, column)), declaration.unit),
        ]
        if published:
            cells.append(number(published.get(row, {}).get(column), declaration.unit, published=True))
        rows.append(cells)
    return Table(declaration.title, f"{declaration.label}: {counted(means.values())}", headings, rows)
