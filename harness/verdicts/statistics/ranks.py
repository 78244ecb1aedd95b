"""Wilcoxon's signed-rank interval: the other defensible answer where a t interval is the usual one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy
from scipy import stats

LARGEST_EXACT = 60
"""Up to so many values the null distribution is counted out; above, its normal approximation is used."""


@dataclass(frozen=True)
class SignedRank:
    """The pseudomedian of values (the median of Walsh averages) with the interval that inverts the signed-rank test.

    Assumes a symmetric law, not a normal one. Below six values a two-sided 95 % interval does not exist: it is
    infinite. Ties between a threshold and a Walsh average count half, which is conservative by at most one rank.
    """

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.values)

    @cached_property
    def walsh(self) -> numpy.ndarray:
        """All averages of two values, a value with itself included, in order: n (n + 1) / 2 of them."""
        data = numpy.asarray(self.values, dtype=float)
        first, second = numpy.triu_indices(len(data))
        return numpy.sort((data[first] + data[second]) / 2)

    @property
    def effect(self) -> float:
        return float(numpy.median(self.walsh))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the Walsh averages between which the test does not reject (Hollander & Wolfe, section 3.3)."""
        half = (1 - confidence) / 2
        below = _cumulative(self.n)
        # The largest number of averages that may lie outside on one side, with probability at most half.
        outside = int(numpy.searchsorted(below, half, side="right")) - 1
        if outside < 0:
            return -math.inf, math.inf
        return float(self.walsh[outside]), float(self.walsh[-1 - outside])

    def tail(self, threshold: float, upwards: bool) -> float:
        """Return the one-sided p-value of "the centre is not beyond threshold"."""
        against = self.walsh <= threshold if upwards else self.walsh >= threshold
        return float(_cumulative(self.n)[int(against.sum())])


def signed_rank(values: Sequence[float]) -> SignedRank:
    """Return the signed-rank estimate of values.

    Raises:
        ValueError: there are none, or one is not finite.
    """
    if not values or not numpy.isfinite(values).all():
        raise ValueError("a signed-rank interval needs finite values")
    return SignedRank(tuple(float(value) for value in values))


@lru_cache(maxsize=256)
def _cumulative(n: int) -> numpy.ndarray:
    """Return P(T <= k) for k = 0 .. n (n + 1) / 2, T the sum of positive ranks of n symmetric values."""
    largest = n * (n + 1) // 2
    if n > LARGEST_EXACT:
        mean, variance = n * (n + 1) / 4, n * (n + 1) * (2 * n + 1) / 24
        return numpy.asarray(stats.norm.cdf((numpy.arange(largest + 1) + 0.5 - mean) / math.sqrt(variance)))
    counts = numpy.zeros(largest + 1)
    counts[0] = 1.0
    for rank in range(1, n + 1):
        counts[rank:] = (counts[rank:] + counts[:-rank]) / 2
        counts[:rank] /= 2
    return numpy.asarray(numpy.cumsum(counts))
