"""The numbers in a claim's picture as a table: units, parts, the effect with its intervals, the published figure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.verdicts.judgement import Judgement
from reports.cells import Cell, Heading, Table
from reports.pictures.claim_panels import PAPER
from reports.pictures.claim_sketch import Curves, Sketch
from reports.pictures.claim_words import NAME, TITLE, one_line, percent
from reports.pictures.numbers import count, number
from reports.strip import bounds_of

EFFECT = "effect"


def numbers_of(sketch: Sketch, judgement: Judgement) -> Table:
    """Return the table: a column for each arm, level and kind of unit, one for the effect; a row a unit, then its own.

    Columns and rows are told apart by more than their names, which may be the same where they are cut.
    """
    unit = one_line(judgement.claim.unit)
    columns: dict[tuple[str, int], dict[str, Cell]] = {}
    rows: dict[str, None] = {}
    found = [
        *_beside(sketch),
        *_units(sketch, unit),
        *((row, (EFFECT, 0), c) for row, c in _effect(sketch, judgement, unit)),
    ]
    for row, column, cell in found:
        rows[row] = None
        columns.setdefault(column, {})[row] = cell
    # A column's unit is that of its cells; shares have a unit of their own in a row of theirs.
    headings = [
        Heading(one_line(name, 2 * NAME), next((cell.unit for cell in column.values() if cell.unit), ""))
        for (name, _), column in columns.items()
    ]
    cells = [
        [Cell(text=one_line(row, 2 * NAME)), *(column.get(row, Cell()) for column in columns.values())] for row in rows
    ]
    return Table(one_line(sketch.title, TITLE), "", [Heading("")] + headings, cells)


Found = Iterator[tuple[str, tuple[str, int], Cell]]
"""Rows, columns with what sets them apart from others of that name, and the cells there."""


def _beside(sketch: Sketch) -> Found:
    """Yield the values of the panel beside the effect: of arms, or of curves at their levels."""
    if sketch.left is not None:
        for place, (arm, values) in enumerate(zip(sketch.left.arms, sketch.left.values, strict=True)):
            for name, value in zip(sketch.left.names, values, strict=True):
                yield name, (arm, place), number(value, sketch.left.unit)
    if sketch.curves is not None:
        yield from _curves(sketch.curves)


def _curves(curves: Curves) -> Found:
    for place, line in enumerate(curves.lines):
        before = f"{line.label}, " if len(curves.lines) > 1 else ""
        columns = [
            (f"{before}{curves.along} {level}", place * len(curves.levels) + index)
            for index, level in enumerate(curves.levels)
        ]
        for name, values in zip(curves.names, line.replicates, strict=True):
            for column, value in zip(columns, values, strict=True):
                yield name, column, number(float(value), curves.unit)
        for column, mean, low, high in zip(columns, line.means, line.lows, line.highs, strict=False):
            yield "mean", column, number(mean, curves.unit, low, high)
        for column, share in zip(columns, curves.shares, strict=False):
            yield "share of draws in which it is best", column, Cell(100 * share, unit="%", digits=1)


def _units(sketch: Sketch, unit: str) -> Found:
    """Yield the units behind the effect, and its parts; of a histogram how many lie where."""
    for row in sketch.rows:
        column = (row.heading or EFFECT, 0)
        if row.units.many:
            counts, edges = row.units.histogram()
            for low, high, found in zip(edges, edges[1:], counts, strict=False):
                yield f"{low:.4g} to {high:.4g}", (f"{row.label or row.heading}: how many", 0), count(int(found))
        else:
            for name, value in zip(row.units.names, row.units.values, strict=True):
                yield name, column, number(value, unit)
        if math.isfinite(row.effect):
            yield row.label or "mean", column, number(row.effect, unit, row.low, row.high)


def _effect(sketch: Sketch, judgement: Judgement, unit: str) -> Iterator[tuple[str, Cell]]:
    """Yield the effect with the interval shown and with the one that decides, and what they are held against."""
    claim, effect = judgement.claim, judgement.effect
    if judgement.exact:
        yield sketch.effect, number(effect, unit)
    elif judgement.estimate is not None:
        shown = f"{sketch.effect}, {percent(1 - judgement.shown_level)} interval"
        yield shown, _with_interval(effect, judgement.interval, unit)
        if judgement.level < judgement.shown_level:
            decides = f"{sketch.effect}, the interval that decides ({percent(1 - judgement.level)})"
            yield decides, _with_interval(effect, judgement.adjusted, unit)
        if judgement.bounds is not None:
            yield "if what was lost were the worst or best", _with_interval(effect, judgement.bounds, unit)
    if claim.published is not None:
        low, high = claim.margin.around(claim.published.value) if claim.margin is not None else (None, None)
        name = f"{PAPER}, with its margin" if claim.margin is not None else PAPER
        yield name, number(claim.published.value, unit, low, high, published=True)
    for bound in bounds_of(claim):
        yield f"bound {bound:g}", number(bound, unit, published=True)


def _with_interval(effect: float, interval: tuple[float, float], unit: str) -> Cell:
    """Return an effect as a cell; one that is not reached, or an end that is open, is said in words."""
    if all(map(math.isfinite, (effect, *interval))):
        return number(effect, unit, *interval)
    low, high = map(_open, interval)
    return Cell(effect, *interval, unit=unit, text=f"{_open(effect)} [{low}, {high}]")


def _open(value: float) -> str:
    if math.isnan(value):
        return "no number"
    if math.isinf(value):
        return "beyond the last level" if value > 0 else "before the first level"
    return f"{value:.4g}"
