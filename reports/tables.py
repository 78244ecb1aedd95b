"""Tables that a spec declares, made from the records."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Container, Sequence

import pandas

from harness.spec.models import level_name
from reports.cells import NOTHING, Cell, Heading, Table
from reports.collect import Results
from reports.declarations import Column, TableDeclaration, published_values
from reports.means import by_replicate, chosen, mean_of, trials_of
from reports.pictures.words import spoken


def build_table(declaration: TableDeclaration, results: Results) -> Table:
    """Return a declared table from the records: a row a level, or a combination of levels that has records.

    Where a column asks for differences from the paper, a last row gives the median of their sizes.
    """
    records = results.records(declaration.reading)
    factors = declaration.factors
    by_levels = _by_levels(records, factors)
    rows_of = _rows(by_levels, factors, results)
    labels = [", ".join(map(results.label, levels, factors)) for levels in rows_of]
    rows = [[Cell(text=label)] for label in labels]
    last = [Cell(text="median difference")]
    headings = [Heading(", ".join(map(spoken, factors)))]
    for column in declaration.columns:
        own = chosen(records, column.where)
        grouped = _by_levels(own, factors) if column.where else by_levels
        reference = _reference(column, own, factors[0])
        cells = [_cell(column, grouped.get(levels, own.iloc[:0]), reference) for levels in rows_of]
        if column.optional and all(cell.value is None and cell.text == NOTHING for cell in cells):
            continue
        blocks = [(Heading(column.label, column.unit, better=column.better), cells)]
        if column.published is not None:
            figures = published_values(column.published, results.design.experiment, factors[0])
            published = [_published(figures.get(", ".join(levels)), column) for levels in rows_of]
            blocks.append((Heading(f"paper: {column.published.locator}", column.unit, published=True), published))
            if column.difference:
                pairs = zip(cells, published, strict=True)
                blocks.append((Heading("difference", "%"), [_difference(ours, theirs) for ours, theirs in pairs]))
        for heading, block in blocks:
            headings.append(heading)
            for row, cell in zip(rows, block, strict=True):
                row.append(cell)
            sizes = [abs(c.value) for c in block if c.value is not None and math.isfinite(c.value)]
            summed = heading.label == "difference" and sizes
            last.append(Cell(statistics.median(sizes), digits=1) if summed else Cell(text=" "))
    if any(column.difference for column in declaration.columns):
        rows.append(last)
    return Table(declaration.title, declaration.caption, headings, rows)


def _by_levels(records: pandas.DataFrame, factors: Sequence[str]) -> dict[tuple[str, ...], pandas.DataFrame]:
    """Return the records at each combination of levels, by the levels' names; none where a factor is missing."""
    if records.empty or not set(factors) <= set(records):
        return {}
    names = [records[factor].map(level_name) for factor in factors]
    return {tuple(map(str, levels)): own for levels, own in records.groupby(names, sort=False)}


def _rows(found: Container[tuple[str, ...]], factors: Sequence[str], results: Results) -> list[tuple[str, ...]]:
    """Return the levels of one factor in the spec's order, or the combinations of several that have records."""
    combinations = list(itertools.product(*(results.levels(factor) for factor in factors)))
    return combinations if len(factors) == 1 else [levels for levels in combinations if levels in found]


def _published(figure: float | None, column: Column) -> Cell:
    if figure is None or column.published is None:
        return Cell(text=NOTHING)
    published = column.published
    # A published figure keeps the digits it was printed with, and loses none that it has.
    digits = max(published.digits, len(f"{figure:.10g}".partition(".")[2]))
    return Cell(figure, unit=column.unit, digits=digits, published=True, approximate=published.approximate)


def _difference(ours: Cell, theirs: Cell) -> Cell:
    """Return our value's difference from the paper's, in percent of the paper's."""
    if ours.value is None or not theirs.value:
        return Cell(text=NOTHING)
    return Cell(100 * (ours.value / theirs.value - 1), unit="%", digits=1, signed=True, trials=ours.trials)


def _reference(column: Column, records: pandas.DataFrame, factor: str) -> float | None:
    """Return what a column's figures are multiples of; None where it shows them as they are, or there is nothing."""
    if column.ratio_to is None:
        return None
    return _median(chosen(records, {factor: column.ratio_to}), column.metric)


def _cell(column: Column, own: pandas.DataFrame, reference: float | None) -> Cell:
    value = _median(own, column.metric)
    if value is not None and column.statistic == "mean":
        return _mean(column, own)
    if value is None:
        words = own[column.metric].dropna().astype(str).unique() if column.metric in own else []
        return Cell(text=", ".join(words) or NOTHING)
    low = _median(own, column.low) if column.low else None
    high = _median(own, column.high) if column.high else None
    if column.ratio_to is not None:
        if not reference:
            return Cell(text=NOTHING)
        value, low, high = value / reference, None, None
    trials = trials_of(own)
    return Cell(value, low, high, column.unit, column.digits, trials=trials)


def _mean(column: Column, own: pandas.DataFrame) -> Cell:
    """Return the mean over replicates with Student's interval, where there are two that differ."""
    trials = trials_of(own)
    values = by_replicate(own, column.metric)
    found = mean_of(values)
    # One NaN among the replicates is shown, never averaged away.
    if found is None or values.isna().any():
        return Cell(math.nan, unit=column.unit, digits=column.digits, trials=trials)
    low, high = (found.low, found.high) if found.low < found.high else (None, None)
    return Cell(found.value, low, high, column.unit, column.digits, trials=trials)


def _median(table: pandas.DataFrame, metric: str) -> float | None:
    """Return the median over trials; None where the metric is missing, and NaN where any trial has none."""
    if metric not in table or table.empty:
        return None
    numbers = pandas.to_numeric(table[metric], errors="coerce")
    if numbers.isna().all():
        return None
    # One NaN among the trials is shown, never averaged away.
    return float(numbers.median(skipna=False)) if numbers.notna().all() else math.nan
