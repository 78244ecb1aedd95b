"""The tables of a report: those that the spec declares, or one that every spec gets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas

from reports.collect import Results
from reports.declarations import Column, TableDeclaration
from reports.pictures.words import spoken

TITLE = "Means by level"
CAPTION = "Means over replicates, each with Student's 95 % interval. Every spec that declares no table has this one."
MOST_METRICS = 6
DIGITS = 3
"""Digits that are shown of a metric's usual size, those before the point included."""


def table_declarations(results: Results) -> Sequence[TableDeclaration]:
    """Return what the spec declares; where that is nothing, a row a combination of levels and a column a metric.

    The metrics are those that the claims are about, or else the first ones that the trials returned.
    """
    declared = results.declaration.tables
    factors = [factor.name for factor in results.design.factors if factor.name in results.table]
    varied = [name for name in factors if len(results.levels(name)) > 1] or factors
    metrics = _metrics(results)
    if declared or not varied or not metrics:
        return declared
    columns = tuple(
        Column(metric=name, label=spoken(name), statistic="mean", digits=_digits(results.table[name]))
        for name in metrics
    )
    return (TableDeclaration(title=TITLE, caption=CAPTION, rows=tuple(varied), columns=columns),)


def _metrics(results: Results) -> list[str]:
    known = {"experiment", "profile", "trial", "attempt", "replicate", *(f.name for f in results.design.factors)}
    numeric = [name for name in results.table.select_dtypes("number") if name not in known]
    claimed = dict.fromkeys(registered.claim.metric for registered in results.design.experiment.claims)
    return [name for name in claimed if name in numeric] or numeric[:MOST_METRICS]


def _digits(values: pandas.Series) -> int:
    """Return how many digits after the point show three of the median's."""
    size = float(values.abs().median())
    return min(8, max(0, DIGITS - 1 - math.floor(math.log10(size)))) if size > 0 and math.isfinite(size) else DIGITS
