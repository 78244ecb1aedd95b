"""Curves over levels: the fitted change from end to end, where the best level is, and where two curves cross."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy
from scipy import stats

from harness.verdicts.statistics.bootstrap import mean_curve_draws
from harness.verdicts.statistics.estimates import StudentT
from harness.verdicts.statistics.means import is_constant, mean_estimate


def trend_contrast(positions: Sequence[float]) -> numpy.ndarray:
    """Return coefficients (sum 0) of the fitted end-to-end change: least-squares slope x (last - first position).

    On an exact line they give back its change: ``c @ (a + b * positions) = b * (positions[-1] - positions[0])``.

    Raises:
        ValueError: fewer than two positions, one that is not finite, or a last one that is the first.
    """
    places = numpy.asarray(positions, dtype=float)
    if places.ndim != 1 or places.size < 2 or not numpy.isfinite(places).all() or places[-1] == places[0]:
        raise ValueError("a trend needs at least two finite positions, the last other than the first")
    centred = places - places.mean()
    return numpy.asarray((places[-1] - places[0]) * centred / (centred @ centred))


@dataclass(frozen=True, eq=False)
class Optimum:
    """Which level is best, and an ``Estimate`` of how much better the claimed levels are than the null level.

    ``shares`` holds for each level the share of draws of the mean curve in which it is best, ``best`` is the best level
    of the mean curve itself. ``contrast`` is in the values' unit and positive where the claimed levels are better.
    """

    levels: tuple[str, ...]
    shares: numpy.ndarray
    best: str
    contrast: StudentT
    claimed: frozenset[str]

    @property
    def effect(self) -> float:
        return self.contrast.effect

    @property
    def n(self) -> int:
        return self.contrast.n

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the contrast's interval."""
        return self.contrast.interval(confidence)

    def tail(self, threshold: float, upwards: bool) -> float:
        """Return the contrast's tail."""
        return self.contrast.tail(threshold, upwards)

    def share_in_claim(self) -> float:
        """Return the share of draws whose best level is a claimed one."""
        inside = [share for level, share in zip(self.levels, self.shares, strict=True) if level in self.claimed]
        return min(1.0, math.fsum(inside))

    def likely(self, confidence: float = 0.95) -> tuple[str, ...]:
        """Return the smallest set of levels, in their order, that holds the best one in so large a share of draws."""
        falling = numpy.argsort(-self.shares, kind="stable")
        enough = numpy.cumsum(self.shares[falling]) >= confidence - 1e-12
        count = int(numpy.argmax(enough)) + 1 if enough.any() else len(self.levels)
        return tuple(self.levels[index] for index in sorted(falling[:count]))


def optimum(
    values: numpy.ndarray,
    levels: Sequence[str],
    claimed: frozenset[str],
    null: str | None,
    greatest: bool,
    generator: numpy.random.Generator,
    draws: int = 10000,
) -> Optimum:
    """Return where the best level lies, by the draws of ``mean_curve_draws``, and the contrast that says it is one.

    The contrast is, in each replicate, the mean of the claimed levels minus the null level (minus the mean of all other
    levels where ``null`` is None), with its sign turned where the smallest is best. Levels that are equally best in a
    draw share it.

    Args:
        values: curves, (replicates, levels), in one unit.
        levels: names of the levels, in the order of the columns.
        claimed: those in which the best one is claimed to be.
        null: the level to compare with, not a claimed one; None for all that are not claimed.
        greatest: whether the greatest or the smallest value is best.
        generator: where the draws come from.
        draws: how many.

    Raises:
        ValueError: fewer than two replicates, a value that is not finite, levels that do not fit the columns,
            claimed or null levels that do not exist or overlap, nothing to compare with, or a constant contrast.
    """
    data = numpy.asarray(values, dtype=float)
    names = tuple(levels)
    if data.ndim != 2 or data.shape[1] != len(names) or len(set(names)) != len(names):
        raise ValueError("an optimum needs a column for each level, and levels that differ")
    others = set(names) - claimed if null is None else {null}
    if not claimed or not others or not claimed | others <= set(names) or claimed & others:
        raise ValueError(
            "an optimum needs claimed levels and others to compare them with, all of them among its levels"
        )
    signed = data if greatest else -data
    curves = mean_curve_draws(signed, generator, draws)
    winners = curves == curves.max(axis=1, keepdims=True)
    shares = (winners / winners.sum(axis=1, keepdims=True)).mean(axis=0)
    inside = [names.index(level) for level in names if level in claimed]
    outside = [names.index(level) for level in names if level in others]
    contrast = mean_estimate(signed[:, inside].mean(axis=1) - signed[:, outside].mean(axis=1))
    return Optimum(names, shares, names[int(signed.mean(axis=0).argmax())], contrast, frozenset(claimed))


@dataclass(frozen=True, eq=False)
class Crossing:
    """Where the mean of a curve of differences falls through zero, on the positions' scale, between them linear.

    The first curve is claimed to be above the second before the crossing and below it after. The crossing is taken as
    +infinity where the difference stays above zero to the last position, and as -infinity where it is not above zero at
    the first one; thresholds outside of the positions are moved to their nearest end.

    "The crossing lies after t" says that the difference is above zero at every position up to t: an intersection-union
    test of Student's t tests there (n - 1 degrees of freedom), whose p-value is the largest of theirs. "Before t" says
    that it is below zero from t on. The interval inverts these tests (Fieller 1954 on each segment): it reaches from
    the first place where the difference is not significantly above zero to the last where it is not so below.
    For differences that fall through zero once this is the set of places whose t interval holds zero.

    Raises:
        ValueError: differences that are not (replicates, positions), fewer than two replicates or positions, positions
            that do not rise strictly, or anything that is not finite.
    """

    positions: numpy.ndarray
    differences: numpy.ndarray

    def __post_init__(self) -> None:
        places, data = numpy.asarray(self.positions, dtype=float), numpy.asarray(self.differences, dtype=float)
        if data.ndim != 2 or min(data.shape) < 2 or places.shape != data.shape[1:]:
            raise ValueError("a crossing needs at least two replicates and two positions")
        if not (numpy.isfinite(data).all() and numpy.isfinite(places).all() and (numpy.diff(places) > 0).all()):
            raise ValueError("a crossing needs finite differences at positions that rise strictly")
        object.__setattr__(self, "positions", places)
        object.__setattr__(self, "differences", data)

    @property
    def effect(self) -> float:
        means = self.differences.mean(axis=0)
        under = numpy.flatnonzero(means <= 0.0)
        if not under.size:
            return math.inf
        if under[0] == 0:
            return -math.inf
        before, after = means[under[0] - 1], means[under[0]]
        left, right = self.positions[under[0] - 1], self.positions[under[0]]
        return float(left + (right - left) * before / (before - after))

    @property
    def n(self) -> int:
        return len(self.differences)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the interval; an end is infinite where it is open, and both are where it is sure that none crosses."""
        limit = float(stats.t.isf((1.0 - confidence) / 2.0, self.n - 1))
        mirrored = self._mirrored()
        return _first_not_above(self.positions, self.differences, limit), -_first_not_above(*mirrored, limit)

    def tail(self, threshold: float, upwards: bool) -> float:
        """Return the one-sided p-value of "the crossing lies not after (``upwards``) or not before the threshold"."""
        if upwards:
            return float(stats.t.sf(_least_ratio(self.positions, self.differences, threshold), self.n - 1))
        return float(stats.t.sf(_least_ratio(*self._mirrored(), -threshold), self.n - 1))

    def _mirrored(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        return -self.positions[::-1], -self.differences[:, ::-1]


def crossing(positions: Sequence[float], differences: numpy.ndarray) -> Crossing:
    """Return where a curve of differences, (replicates, positions), falls through zero; see ``Crossing``."""
    return Crossing(numpy.asarray(positions, dtype=float), differences)


def _ratio(values: numpy.ndarray) -> float:
    """Return mean / standard error of differences at one place; without variation the mean's sign decides sharply."""
    mean = float(values.mean())
    if is_constant(values):
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / (float(values.std(ddof=1)) / math.sqrt(values.size))


def _moments(left: numpy.ndarray, right: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return mean and squared standard error of ``left + u (right - left)`` as coefficients of 1, u (and u^2)."""
    step = right - left
    (first, both), (_, second) = numpy.cov(left, step) / left.size
    return numpy.array([left.mean(), step.mean()]), numpy.array([first, 2.0 * both, second])


def _least_ratio(places: numpy.ndarray, data: numpy.ndarray, until: float) -> float:
    """Return the least t ratio of the interpolated differences from the first place to ``until``, exactly."""
    until = min(max(until, places[0]), places[-1])
    found = [_ratio(data[:, 0])]
    for left, right, start, end in _segments(places, data):
        if start >= until:
            break
        last = min(1.0, (until - start) / (end - start))
        (a, b), (v, w, x) = _moments(left, right)
        # The derivative of (a + b u) / sqrt(v + w u + x u^2) vanishes in one place at most.
        slope = b * w / 2.0 - a * x
        turn = (a * w / 2.0 - b * v) / slope if slope else math.nan
        found += [_ratio(left + u * (right - left)) for u in (turn, last) if 0.0 < u <= last]
    return min(found)


def _first_not_above(places: numpy.ndarray, data: numpy.ndarray, limit: float) -> float:
    """Return the first place whose t ratio is not above ``limit``: -infinity for the first one, infinity for none."""
    if not _ratio(data[:, 0]) > limit:
        return -math.inf
    for left, right, start, end in _segments(places, data):
        (a, b), variance = _moments(left, right)
        square = numpy.array([a * a, 2.0 * a * b, b * b]) - limit**2 * variance
        root = _first_root(square, certain=not _ratio(right) > limit)
        if root is not None:
            return float(start + root * (end - start))
    return math.inf


def _first_root(coefficients: numpy.ndarray, certain: bool) -> float | None:
    """Return the smallest root in [0, 1] of a quadratic that is positive at 0; 1 where ``certain`` but not found."""
    constant, linear, quadratic = (float(coefficient) for coefficient in coefficients)
    discriminant = linear**2 - 4.0 * quadratic * constant
    roots: list[float] = []
    if discriminant >= 0.0 or certain:
        half = -(linear + math.copysign(math.sqrt(max(discriminant, 0.0)), linear)) / 2.0
        roots = [top / bottom for top, bottom in ((half, quadratic), (constant, half)) if bottom]
    return min((max(root, 0.0) for root in roots if -1e-12 <= root <= 1.0), default=1.0 if certain else None)


def _segments(
    places: numpy.ndarray, data: numpy.ndarray
) -> Iterator[tuple[numpy.ndarray, numpy.ndarray, float, float]]:
    for index in range(len(places) - 1):
        yield data[:, index], data[:, index + 1], float(places[index]), float(places[index + 1])
