"""Means of a metric over replicates, of the records at some levels: what tables and pictures show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy
import pandas

from harness.spec.models import Scalar, level_name
from harness.verdicts.statistics.means import mean_estimate


@dataclass(frozen=True)
class Mean:
    """A mean over replicates with Student's 95 % interval; a point where there is no interval."""

    value: float
    low: float
    high: float
    replicates: int


def mean_of(values: Sequence[float] | numpy.ndarray) -> Mean | None:
    """Return the mean of the finite values with its interval; None where there are none."""
    data = numpy.asarray(values, dtype=float)
    data = data[numpy.isfinite(data)]
    if not data.size:
        return None
    try:
        low, high = mean_estimate(data).interval()
    except ValueError:
        low = high = float(data.mean())
    return Mean(float(data.mean()), low, high, data.size)


def chosen(records: pandas.DataFrame, where: Mapping[str, Scalar]) -> pandas.DataFrame:
    """Return the records at some levels of their factors; none where a factor is missing."""
    for factor, level in where.items():
        if factor not in records:
            return records.iloc[:0]
        records = records[records[factor].map(level_name) == level_name(level)]
    return records


def by_replicate(records: pandas.DataFrame, metric: str) -> pandas.Series:
    """Return a metric by replicate: its mean over whatever else varies."""
    if metric not in records or records.empty:
        return pandas.Series(dtype=float)
    return pandas.to_numeric(records[metric], errors="coerce").groupby(records["replicate"]).mean()
