"""Means along a factor, line by line: what curves, effects and bars are drawn from, and their numbers as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy
import pandas

from reports.cells import Heading, Table
from reports.collect import Results
from reports.declarations import BarsPicture, CurvesPicture, EffectsPicture, PublishedCurves
from reports.means import Mean, by_replicate, chosen, mean_of, trials_of
from reports.pictures.numbers import mean_cell, number, word
from reports.pictures.words import spoken

AlongFactor = BarsPicture | CurvesPicture | EffectsPicture
Lines = Mapping[str, Mapping[str, Mean]]
"""Means by line (an empty name where there is but one), then by level of the factor along which they go."""
Statistic = Callable[[pandas.DataFrame, pandas.DataFrame], tuple[pandas.Series, tuple[str, ...]]]
"""Of the records of a line, and of those of them at a level: values by replicate, and the trials they came from."""

CLOSE = 0.04
"""The share of a log axis within which a second label has no room."""


def lines_of(
    declaration: AlongFactor, results: Results, records: pandas.DataFrame, statistic: Statistic | None = None
) -> Lines:
    """Return the means by level of ``by``, then by level of ``along``; only those that there are.

    They are of the metric at each level, or of what ``statistic`` makes of it.
    """

    def own(line: pandas.DataFrame, part: pandas.DataFrame) -> tuple[pandas.Series, tuple[str, ...]]:
        return by_replicate(part, declaration.metric), trials_of(part)

    values = statistic or own
    found: dict[str, dict[str, Mean]] = {}
    for group in results.levels(declaration.by) if declaration.by else [""]:
        part = chosen(records, {declaration.by: group}) if declaration.by else records
        for level in results.levels(declaration.along):
            mean = mean_of(*values(part, chosen(part, {declaration.along: level})))
            if mean is not None:
                found.setdefault(group, {})[level] = mean
    return found


@dataclass(frozen=True)
class Along:
    """Where each level stands on an axis: at its number on a log scale, or at its place among the others."""

    positions: Mapping[str, float]
    logarithmic: bool

    def at(self, value: float) -> float | None:
        """Return where a number stands between the levels; None where they are no numbers."""
        if self.logarithmic:
            return value if value > 0 else None
        if len(self.positions) < 2 or not all(map(is_number, self.positions)):
            return None
        numbers, places = zip(*sorted((float(level), place) for level, place in self.positions.items()), strict=True)
        return float(numpy.interp(value, numbers, places))

    def shifted(self, level: str, share: float) -> float:
        """Return where a level stands, moved by a share of the axis."""
        places = list(self.positions.values())
        place = self.positions[level]
        if self.logarithmic:
            return place * (max(places) / min(places)) ** share
        return place + share * max(1.0, max(places) - min(places))

    def labelled(self) -> list[str]:
        """Return the levels that have room for a label: on a log axis some stand close together."""
        if not self.logarithmic:
            return list(self.positions)
        span = math.log(max(self.positions.values()) / min(self.positions.values())) or 1.0
        kept: list[str] = []
        for level in sorted(self.positions, key=self.positions.__getitem__):
            if not kept or math.log(self.positions[level] / self.positions[kept[-1]]) > CLOSE * span:
                kept.append(level)
        return kept


def along_of(
    declaration: AlongFactor,
    results: Results,
    published: PublishedCurves | None = None,
    left_out: Collection[str] = (),
    logarithmic: bool = False,
) -> Along:
    """Return where the levels of a picture's factor stand, the paper's among ours; those left out have no place."""
    extra = [level for values in (published.values.values() if published else ()) for level in values]
    levels = [x for x in dict.fromkeys([*results.levels(declaration.along), *extra]) if x not in left_out]
    if logarithmic and all(is_number(level) and float(level) > 0 for level in levels):
        return Along({level: float(level) for level in levels}, True)
    if extra and all(map(is_number, levels)):
        levels.sort(key=float)
    return Along({level: float(place) for place, level in enumerate(levels)}, False)


def named(group: str, factor: str, results: Results) -> str:
    """Return how a line is called; a level that is a bare number says of what."""
    label = results.label(group, factor)
    return f"{spoken(factor)} {label}" if factor and is_number(label) else label


def is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def counted(means: Collection[Mean], intervals: bool = True) -> str:
    """Return over how many replicates means are, as they stand above a picture."""
    counts = [mean.replicates for mean in means]
    low, high = min(counts), max(counts)
    if high == 1:
        return f"one replicate each, {'its own' if any(mean.low < mean.high for mean in means) else 'no'} interval"
    between = ", 95 % intervals" if intervals else ""
    return f"means over {low if low == high else f'{low} to {high}'} replicates{between}"


def lines_table(
    declaration: AlongFactor,
    results: Results,
    lines: Lines,
    names: Mapping[str, str],
    published: PublishedCurves | None = None,
    *,
    intervals: bool = True,
) -> Table:
    """Return the drawn means, a row a level, a column a line; beside each the paper's figures, where it has any."""
    theirs = published.values if published else {}
    drawn = (*lines.values(), *theirs.values())
    known = [*results.levels(declaration.along), *(level for values in theirs.values() for level in values)]
    levels = [level for level in dict.fromkeys(known) if any(level in part for part in drawn)]
    headings, columns = [Heading(spoken(declaration.along))], []
    for group, means in lines.items():
        headings.append(Heading(names[group] or declaration.label, declaration.unit))
        columns.append([mean_cell(means.get(level), declaration.unit, intervals=intervals) for level in levels])
        if published is not None and group in theirs:
            headings.append(Heading(f"paper: {published.locator}", declaration.unit, published=True))
            columns.append([number(theirs[group].get(level), declaration.unit, published=True) for level in levels])
    labels = [word(results.label(level, declaration.along)) for level in levels]
    caption = f"{declaration.label}: {counted([m for means in lines.values() for m in means.values()], intervals)}"
    return Table(declaration.title, caption, headings, list(zip(labels, *columns, strict=True)))
