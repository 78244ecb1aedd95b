"""Tests and intervals on a fixed set of items or of pairs: rates, discordant pairs, sign flips, equivalence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from scipy import stats

from harness.verdicts.statistics.estimates import Estimate

MOST_EXACT = 14
"""Differences up to which all sign flips are tried."""

FLIPS = 5_000
"""Random sign flips where there are too many to try all of them."""


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's (1927) score interval of a rate, as fractions in [0, 1].

    Raises:
        ValueError: n below 1, successes outside 0 .. n, or a confidence outside [0, 1].
    """
    _check_counts(successes, n)
    if confidence == 1.0:
        return 0.0, 1.0
    found = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


@dataclass(frozen=True)
class Wilson:
    """The rate of ``successes`` among ``n`` independent items, a fraction, with Wilson's interval and the score test.

    Raises:
        ValueError: n below 1, or successes outside 0 .. n.
    """

    successes: int
    n: int

    def __post_init__(self) -> None:
        _check_counts(self.successes, self.n)

    @property
    def effect(self) -> float:
        return self.successes / self.n

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return Wilson's interval, which holds the rates that the score test does not reject."""
        return wilson(self.successes, self.n, confidence)

    def tail(self, threshold: float, upwards: bool) -> float:
        """Return P(Z >= (rate - t) / sqrt(t (1 - t) / n)), Z normal, or the other tail's for ``upwards=False``.

        Rates lie in [0, 1], so outside of that, and at 0 and 1, where the score has no variance, the answer is sure.
        """
        variance = threshold * (1.0 - threshold) / self.n
        if 0.0 < threshold < 1.0 and variance == 0.0:
            threshold = 0.0  # so near to it that its score has no variance either
        if not 0.0 < threshold < 1.0:
            beyond = self.effect > threshold if upwards else self.effect < threshold
            return 0.0 if beyond else 1.0
        score = (self.effect - threshold) / math.sqrt(variance)
        return float(stats.norm.sf(score if upwards else -score))


def mcnemar_p(first_correct: Sequence[bool] | numpy.ndarray, second_correct: Sequence[bool] | numpy.ndarray) -> float:
    """Return McNemar's exact two-sided p-value: a binomial test on the pairs of which exactly one is correct.

    1.0 without such a pair.

    Raises:
        ValueError: sides of different lengths.
    """
    first, second = numpy.asarray(first_correct, dtype=bool), numpy.asarray(second_correct, dtype=bool)
    if first.shape != second.shape:
        raise ValueError("McNemar's test needs as many first as second outcomes")
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def sign_flip_p(differences: Sequence[float] | numpy.ndarray, generator: numpy.random.Generator | None = None) -> float:
    """Return the two-sided sign-flip p-value of "the differences are symmetric around zero", by their mean.

    All 2^n flips are tried up to n = 14, so the least value is 2 / 2^n; above, 5,000 random ones from the generator
    (then (1 + count) / (5,000 + 1) on the nearer side, doubled).

    Raises:
        ValueError: no difference, one that is not finite, or more than 14 without a generator.
    """
    data = numpy.asarray(differences, dtype=float)
    if data.ndim != 1 or not data.size or not numpy.isfinite(data).all():
        raise ValueError("a sign-flip test needs finite differences")
    if data.size == 1:
        return 1.0
    exact = data.size <= MOST_EXACT
    if not exact and generator is None:
        raise ValueError("a sign-flip test of more than 14 differences needs a generator for its random flips")
    found = stats.permutation_test(
        (data,),
        numpy.mean,
        permutation_type="samples",
        n_resamples=2**MOST_EXACT if exact else FLIPS,
        vectorized=True,
        batch=max(1, 2_000_000 // data.size),
        random_state=generator,
    )
    return float(found.pvalue)


def tost_p(estimate: Estimate, low: float, high: float) -> float:
    """Return the p-value of "the parameter is not between low and high": two one-sided tests (Schuirmann 1987).

    Raises:
        ValueError: low is not below high.
    """
    if not low < high:
        raise ValueError("an equivalence band needs a low end below its high end")
    return max(estimate.tail(low, True), estimate.tail(high, False))


def _check_counts(successes: int, n: int) -> None:
    if not (n >= 1 and 0 <= successes <= n):
        raise ValueError(f"{successes} of {n} is not a rate")
