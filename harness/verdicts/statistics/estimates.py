"""Estimates: a point with an interval at any confidence and one-sided p-values that agree with the interval.

For every class here ``tail(t, True) < a / 2`` exactly where ``interval(1 - a)[0] > t``, and ``tail(t, False) < a / 2``
exactly where ``interval(1 - a)[1] < t`` (up to ties and, for draws, up to one draw): a decision by the p-value and one
by the interval are the same decision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy
from scipy import special


class Estimate(Protocol):
    """An estimated parameter, in any unit; ``n`` counts the units of analysis behind it."""

    @property
    def effect(self) -> float:
        """The point estimate."""

    @property
    def n(self) -> int:
        """The number of units of analysis."""

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the two-sided, equal-tailed interval, in the effect's unit."""

    def tail(self, threshold: float, upwards: bool) -> float:
        """Return the one-sided p-value of "the parameter is not above (``upwards``) or not below the threshold"."""


@dataclass(frozen=True)
class Exact:
    """A count without sampling error: the interval is the point, and a threshold is reached (p = 0) or not (p = 1)."""

    effect: float
    n: int

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the point, twice."""
        return self.effect, self.effect

    def tail(self, threshold: float, upwards: bool) -> float:
        """Return 0 where the count is at the threshold or beyond it, else 1."""
        reached = self.effect >= threshold if upwards else self.effect <= threshold
        return 0.0 if reached else 1.0


@dataclass(frozen=True)
class StudentT:
    """An estimate with a standard error, both in the effect's unit: ``(effect - parameter) / standard_error ~ t(df)``.

    Raises:
        ValueError: an effect that is not finite, a standard error that is not finite and positive, or degrees of
            freedom that are not positive.
    """

    effect: float
    standard_error: float
    degrees_of_freedom: float
    n: int

    def __post_init__(self) -> None:
        if not math.isfinite(self.effect) or not 0.0 < self.standard_error < math.inf:
            raise ValueError("a t estimate needs a finite effect and a finite standard error above zero")
        if not self.degrees_of_freedom > 0.0:
            raise ValueError("a t estimate needs degrees of freedom above zero")

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return effect -/+ t((1 + confidence) / 2, df) x standard error."""
        # The same numbers as scipy.stats.t's, without its checks of every argument: intervals are asked for often.
        quantile = -float(special.stdtrit(self.degrees_of_freedom, (1.0 - confidence) / 2.0))
        half = quantile * self.standard_error
        return self.effect - half, self.effect + half

    def tail(self, threshold: float, upwards: bool) -> float:
        """Return P(T >= (effect - threshold) / standard error), or the other tail's for ``upwards=False``."""
        distance = (self.effect - threshold) / self.standard_error
        return float(special.stdtr(self.degrees_of_freedom, -distance if upwards else distance))


@dataclass(frozen=True, eq=False)
class Draws:
    """A bootstrap distribution with percentile intervals; ``draws`` is kept sorted and read-only, in the effect's unit.

    The tail counts draws that are not beyond the threshold, (1 + count) / (draws + 1) (Davison & Hinkley 1997, 4.2.3),
    so it is never below 1 / (draws + 1). Two instances are equal only if they are the same object.

    Raises:
        ValueError: there are no draws, or one is not finite.
    """

    effect: float
    draws: numpy.ndarray
    n: int

    def __post_init__(self) -> None:
        ordered = numpy.sort(numpy.asarray(self.draws, dtype=float), axis=None)
        if not ordered.size or not numpy.isfinite(ordered).all():
            raise ValueError("a bootstrap estimate needs finite draws")
        ordered.flags.writeable = False
        object.__setattr__(self, "draws", ordered)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the quantiles of the draws at (1 - confidence) / 2 and 1 minus that (``numpy.quantile``, linear)."""
        outside = (1.0 - confidence) / 2.0
        low, high = numpy.quantile(self.draws, [outside, 1.0 - outside])
        return float(low), float(high)

    def tail(self, threshold: float, upwards: bool) -> float:
        """Return (1 + the number of draws not beyond the threshold) / (the number of draws + 1)."""
        below = int(numpy.searchsorted(self.draws, threshold, side="right" if upwards else "left"))
        against = below if upwards else self.draws.size - below
        return (1 + against) / (self.draws.size + 1)


@dataclass(frozen=True)
class LogScale:
    """The exponential of a parameter that was estimated as a natural logarithm, such as a ratio."""

    inner: Estimate

    @property
    def effect(self) -> float:
        return _exponential(self.inner.effect)

    @property
    def n(self) -> int:
        return self.inner.n

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the exponentials of the inner interval's ends (infinite where they overflow)."""
        low, high = self.inner.interval(confidence)
        return _exponential(low), _exponential(high)

    def tail(self, threshold: float, upwards: bool) -> float:
        """Return the inner tail at the threshold's logarithm; a threshold of 0 or less is surely passed."""
        if threshold <= 0.0:
            return 0.0 if upwards else 1.0
        return self.inner.tail(math.log(threshold), upwards)


@dataclass(frozen=True)
class Mirrored:
    """Minus a parameter."""

    inner: Estimate

    @property
    def effect(self) -> float:
        return -self.inner.effect

    @property
    def n(self) -> int:
        return self.inner.n

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the inner interval, mirrored at zero."""
        low, high = self.inner.interval(confidence)
        return -high, -low

    def tail(self, threshold: float, upwards: bool) -> float:
        """Return the inner tail of minus the threshold, the other way."""
        return self.inner.tail(-threshold, not upwards)


@dataclass(frozen=True)
class Weakest:
    """The smallest of several parameters, whatever the dependence between their estimates.

    That it lies above a threshold is an intersection-union test (Berger 1982): every part must, each at the full level.
    That it lies below is a union: one part must, at a k-th of the level (Bonferroni).

    Raises:
        ValueError: there are no parts.
    """

    parts: tuple[Estimate, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("the weakest of no estimates does not exist")

    @property
    def effect(self) -> float:
        return min(part.effect for part in self.parts)

    @property
    def n(self) -> int:
        return min(part.n for part in self.parts)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the least low end at ``confidence`` and the least high end at ``1 - (1 - confidence) / parts``."""
        strict = 1.0 - (1.0 - confidence) / len(self.parts)
        low = min(part.interval(confidence)[0] for part in self.parts)
        return low, min(part.interval(strict)[1] for part in self.parts)

    def tail(self, threshold: float, upwards: bool) -> float:
        """Return the largest upward tail of the parts, or the smallest downward one times their number (at most 1)."""
        tails = [part.tail(threshold, upwards) for part in self.parts]
        return max(tails) if upwards else min(1.0, len(tails) * min(tails))


def _exponential(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
