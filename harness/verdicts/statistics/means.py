"""Means with Student's t intervals: of a sample, of two unpaired groups, of rounds nested in processes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy
from scipy import stats

from harness.verdicts.statistics.estimates import StudentT

ROUNDING = 1e-12
"""Variation of at most this share of the largest absolute value is rounding, not variation."""

CONSTANT = "every value is the same, so there is no variation to build an interval from"


def is_constant(values: Sequence[float] | numpy.ndarray) -> bool:
    """Say whether values, at least one, differ by no more than rounding: max - min <= 1e-12 x the largest absolute."""
    data = numpy.asarray(values, dtype=float)
    return bool(numpy.ptp(data) <= ROUNDING * numpy.abs(data).max())


def mean_estimate(values: Sequence[float] | numpy.ndarray) -> StudentT:
    """Return the mean of independent values, in their unit, with Student's t (ddof = 1, n - 1 degrees of freedom).

    Raises:
        ValueError: fewer than two values, one that is not finite, or all the same up to rounding.
    """
    data = _checked(values)
    if is_constant(data):
        raise ValueError(CONSTANT)
    error = float(data.std(ddof=1)) / math.sqrt(data.size)
    return StudentT(float(data.mean()), error, data.size - 1, data.size)


def welch_estimate(first: Sequence[float] | numpy.ndarray, second: Sequence[float] | numpy.ndarray) -> StudentT:
    """Return the mean of the first group minus that of the second, unpaired, without assuming equal variances.

    Welch's t with the degrees of freedom of Welch (1947) and Satterthwaite (1946); ``n`` counts the values of both
    groups. One constant group is no obstacle, two are.

    Raises:
        ValueError: a group with fewer than two values or one that is not finite, or both groups constant.
    """
    one, two = _checked(first), _checked(second)
    if is_constant(one) and is_constant(two):
        raise ValueError(CONSTANT)
    shares = [float(group.var(ddof=1)) / group.size for group in (one, two)]
    variance = sum(shares)
    largest = max(shares)
    # The shares are compared with the larger of them, so that squares of tiny variances do not vanish.
    relative = [(share / largest) ** 2 / (group.size - 1) for share, group in zip(shares, (one, two), strict=True)]
    degrees = (variance / largest) ** 2 / sum(relative)
    return StudentT(float(one.mean() - two.mean()), math.sqrt(variance), degrees, one.size + two.size)


def rounds_in_processes(groups: Sequence[Sequence[float]]) -> StudentT:
    """Return the mean of rounds that are nested in processes; ``n`` is the number of rounds in all.

    Rounds of one process share what the process drew once (addresses, code layout, threads), so they are not
    independent. Empty groups are ignored. Then:

    - From two processes on, the process is the unit: Student's t over the process means, each weighed alike, with
      k - 1 degrees of freedom. For balanced groups it is exact whatever the variance between processes. Pooling all
      rounds where the processes do not look different ("sometimes pooling", Bancroft 1964) gives shorter intervals, but
      they undercover, because the look is used twice: simulated with 3 processes of 6 to 20 rounds, down to 93.0 % at a
      nominal 95 %, with 2 processes down to 87 %. (Always pooling is far worse: 62 % where the standard deviation
      between 3 processes of 20 rounds is half of the one within.) Two processes, with one degree of freedom, decide
      next to nothing: that is what two values are worth.
    - With one process its rounds are the sample: what they say holds for that process.

    Raises:
        ValueError: fewer than two rounds in all, one that is not finite, or units that are all the same up to rounding.
    """
    filled = [numpy.asarray(group, dtype=float) for group in groups if len(group)]
    pooled = _checked(numpy.concatenate(filled) if filled else ())
    if len(filled) == 1:
        return mean_estimate(pooled)
    found = mean_estimate([float(group.mean()) for group in filled])
    return StudentT(found.effect, found.standard_error, found.degrees_of_freedom, pooled.size)


def pairing_correlation(
    first: Sequence[float] | numpy.ndarray, second: Sequence[float] | numpy.ndarray
) -> float | None:
    """Return Pearson's correlation over pairs, in [-1, 1]; None below three pairs or where a side is constant.

    Raises:
        ValueError: sides of different lengths, or a value that is not finite.
    """
    one, two = numpy.asarray(first, dtype=float), numpy.asarray(second, dtype=float)
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError("a correlation needs as many first as second values")
    if not (numpy.isfinite(one).all() and numpy.isfinite(two).all()):
        raise ValueError("a correlation needs finite values")
    if one.size < 3 or is_constant(one) or is_constant(two):
        return None
    return float(stats.pearsonr(one, two).statistic)


def _checked(values: Sequence[float] | numpy.ndarray) -> numpy.ndarray:
    data = numpy.asarray(values, dtype=float)
    if data.ndim != 1 or data.size < 2 or not numpy.isfinite(data).all():
        raise ValueError("a t interval needs at least two finite values")
    return data
