"""Percentiles with distribution-free intervals, and the sample sizes below which they do not exist.

For n independent samples the interval from the l-th to the u-th smallest covers the q-quantile of a
continuous law with probability P(l <= B < u), where B is binomial(n, q). The widest of them, smallest to
largest sample, reaches 95 % only from some n on: that n is the percentile's floor. Below it a percentile has
no interval and is printed as a dash.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import bdtr, stdtrit


@dataclass(frozen=True)
class Percentile:
    """A percentile with its order-statistic interval.

    ``value`` is the sample quantile (linear interpolation), ``low`` and ``high`` are samples, in the samples'
    unit; ``coverage`` is the probability that the interval reaches, at least the confidence asked for.
    """

    quantile: float
    value: float
    low: float
    high: float
    coverage: float
    samples: int

    @property
    def relative_half_width(self) -> float:
        """Half the interval over the value; infinite for a value of 0."""
        return (self.high - self.low) / 2 / abs(self.value) if self.value else math.inf


def _check(quantile: float, confidence: float) -> None:
    if not 0 < quantile < 1:
        raise ValueError(f"a quantile lies between 0 and 1 (0.9 for the 90th percentile), not {quantile}")
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, not {confidence}")


@lru_cache(maxsize=256)
def percentile_floor(quantile: float, confidence: float = 0.95) -> int:
    """Return the fewest samples with a two-sided interval: least n with 1 - q^n - (1 - q)^n >= confidence.

    Raises:
        ValueError: if an argument does not lie between 0 and 1.
    """
    _check(quantile, confidence)
    larger = max(quantile, 1 - quantile)
    # Without its smaller term the sum gives a lower bound of n, from which a few steps remain.
    n = max(1, math.ceil(math.log(1 - confidence) / math.log(larger)) - 1)
    while 1 - quantile**n - (1 - quantile) ** n < confidence:
        n += 1
    return n


@lru_cache(maxsize=4096)
def interval_ranks(n: int, quantile: float, confidence: float = 0.95) -> tuple[int, int, float] | None:
    """Return (l, u, coverage): 1-based ranks of the interval, None below the percentile's floor.

    The equal-tailed interval where both tails fit (as ``scipy.stats.quantile_test`` has it). For a high or
    low percentile and few samples one tail alone may be above (1 - confidence) / 2; then the narrowest
    interval in ranks that covers, among equals the one with the most coverage. The choice never looks at the
    data.

    Raises:
        ValueError: if ``quantile`` or ``confidence`` does not lie between 0 and 1.
    """
    if n < percentile_floor(quantile, confidence):
        return None
    below = np.concatenate([[0.0], bdtr(np.arange(n, dtype=float), n, quantile)])  # below[k] = P(B < k), 0..n
    tail = (1 - confidence) / 2
    first = int(np.searchsorted(below, tail, side="right")) - 1  # largest l with P(B < l) <= tail
    last = int(np.searchsorted(below, 1 - tail, side="left"))  # smallest u with P(B < u) >= 1 - tail
    if first >= 1 and last <= n:
        return first, last, float(below[last] - below[first])
    lower = np.arange(1, n)
    upper = np.searchsorted(below, below[lower] + confidence, side="left")
    fits = (upper > lower) & (upper <= n)
    lower, upper = lower[fits], upper[fits]
    if not len(lower):
        return None  # a rounding error away from the floor
    coverage = below[upper] - below[lower]
    best = np.lexsort((lower, -coverage, upper - lower))[0]
    return int(lower[best]), int(upper[best]), float(coverage[best])


def percentile_with_floor(
    samples: Sequence[float] | np.ndarray, quantile: float, confidence: float = 0.95
) -> Percentile | None:
    """Return the percentile with its two-sided order-statistic interval, or None where none exists.

    None also where a sample is not finite: a percentile of such data would be a number without a meaning.

    Args:
        samples: independent values in any order and unit.
        quantile: 0.9 for the 90th percentile.

    Raises:
        ValueError: if ``quantile`` or ``confidence`` does not lie between 0 and 1.
    """
    values = np.sort(np.asarray(samples, dtype=float))
    ranks = interval_ranks(len(values), float(quantile), float(confidence))
    if ranks is None or not np.isfinite(values).all():
        return None
    low, high, coverage = ranks
    return Percentile(
        quantile=float(quantile),
        value=float(np.quantile(values, quantile)),
        low=float(values[low - 1]),
        high=float(values[high - 1]),
        coverage=coverage,
        samples=len(values),
    )


def median_half_width(samples: Sequence[float] | np.ndarray, confidence: float = 0.95) -> float:
    """Return the relative half-width of the median's interval, of positive samples.

    The order-statistic interval where it exists (n >= 6 at 95 %); below that a t interval on the logarithms
    (n >= 2); infinite with one sample or none.
    """
    values = np.asarray(samples, dtype=float)
    estimate = percentile_with_floor(values, 0.5, confidence)
    if estimate is not None:
        return estimate.relative_half_width
    if len(values) < 2 or not (values > 0).all():
        return math.inf
    spread = float(np.std(np.log(values), ddof=1)) / math.sqrt(len(values))
    return math.expm1(min(700.0, float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * spread))
