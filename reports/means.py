"""Means of a metric over replicates, of the records at some levels: what tables and pictures show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy
import pandas

from harness.spec.models import Scalar, level_name
from harness.verdicts.statistics.means import mean_estimate


@dataclass(frozen=True)
class Mean:
    """A mean over replicates with Student's 95 % interval; a point where there is no interval.

    ``trials`` are the ids of those that it came from, where they are known.
    """

    value: float
    low: float
    high: float
    replicates: int
    trials: tuple[str, ...] = ()


def mean_of(values: Sequence[float] | numpy.ndarray, trials: Iterable[str] = ()) -> Mean | None:
    """Return the mean of the finite values with its interval; None where there are none."""
    data = numpy.asarray(values, dtype=float)
    data = data[numpy.isfinite(data)]
    if not data.size:
        return None
    try:
        low, high = mean_estimate(data).interval()
    except ValueError:
        low = high = float(data.mean())
    return Mean(float(data.mean()), low, high, data.size, tuple(trials))


def chosen(records: pandas.DataFrame, where: Mapping[str, Scalar]) -> pandas.DataFrame:
    """Return the records at some levels of their factors; none where a factor is missing."""
    for factor, level in where.items():
        if factor not in records:
            return records.iloc[:0]
        records = records[_are(records[factor], level_name(level))]
    return records


def _are(levels: pandas.Series, name: str) -> pandas.Series:
    """Say which levels are the one of that name; fast where a column holds one type, as nearly all do."""
    if pandas.api.types.is_object_dtype(levels):
        return levels.map(_name) == name
    return levels.isin([level for level in levels.unique().tolist() if _name(level) == name])


def _name(level: Scalar) -> str:
    # Where the other levels are texts or numbers, the level ``null`` has become NaN.
    return level_name(None if pandas.isna(level) else level)


def trials_of(records: pandas.DataFrame) -> tuple[str, ...]:
    """Return the ids of the trials that records came from, each once."""
    return tuple(records["trial"].unique()) if "trial" in records else ()


def by_replicate(records: pandas.DataFrame, metric: str) -> pandas.Series:
    """Return a metric by replicate: its mean over whatever else varies."""
    if metric not in records or records.empty:
        return pandas.Series(dtype=float)
    return pandas.to_numeric(records[metric], errors="coerce").groupby(records["replicate"]).mean()
