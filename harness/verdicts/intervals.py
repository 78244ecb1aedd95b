"""Intervals of a mean effect from few, paired observations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from scipy import stats

CONFIDENCE = 0.95
POWER = 0.80


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval. ``n`` counts the units of analysis; ``mde`` is the smallest effect, away from no
    effect, that this design finds with a power of 80 %."""

    mean: float
    low: float
    high: float
    n: int
    standard_error: float
    degrees_of_freedom: float
    mde: float


def t_estimate(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Return the mean of independent observations with Student's t interval (ddof = 1).

    Raises:
        ValueError: fewer than two observations, or one that is not finite.
    """
    data = numpy.asarray(values, dtype=float)
    if data.size < 2 or not numpy.isfinite(data).all():
        raise ValueError("a t interval needs at least two finite observations")
    error = float(data.std(ddof=1)) / math.sqrt(data.size)
    return _estimate(float(data.mean()), error, data.size - 1, data.size, confidence)


def rounds_in_processes(groups: Sequence[Sequence[float]], confidence: float = CONFIDENCE) -> Estimate:
    """Return the mean effect of rounds that are nested in processes, with a t interval.

    One-way random effects with the rounds weighted alike. Where the processes differ more than their rounds do, the
    mean square between processes is the error and its degrees of freedom are those of the processes; where they do
    not, all rounds are one sample. With one process the rounds are the sample.

    Raises:
        ValueError: fewer than two rounds in all, or one that is not finite.
    """
    filled = [numpy.asarray(group, dtype=float) for group in groups if len(group)]
    pooled = numpy.concatenate(filled) if filled else numpy.empty(0)
    if len(filled) < 2 or pooled.size - len(filled) < 1:
        return t_estimate(pooled.tolist(), confidence)
    if not numpy.isfinite(pooled).all():
        raise ValueError("a t interval needs at least two finite observations")
    mean = float(pooled.mean())
    between = sum(group.size * (group.mean() - mean) ** 2 for group in filled) / (len(filled) - 1)
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in filled) / (pooled.size - len(filled))
    if between <= within:
        return t_estimate(pooled.tolist(), confidence)
    error = math.sqrt(between / pooled.size)
    return _estimate(mean, error, len(filled) - 1, pooled.size, confidence)


def _estimate(mean: float, error: float, degrees: float, n: int, confidence: float) -> Estimate:
    quantile = float(stats.t.ppf(0.5 + confidence / 2, degrees))
    detectable = (quantile + float(stats.t.ppf(POWER, degrees))) * error
    return Estimate(mean, mean - quantile * error, mean + quantile * error, n, error, degrees, detectable)
