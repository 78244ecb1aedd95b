"""Power of the paired t test: what a design can find, and how many replicates would decide.

Power counts rejections *on the side of the effect*: a two-sided test that rejects on the wrong side has found nothing.
Without looks it is exact (noncentral t); with interim looks it is simulated from the statistics' exact joint law.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from scipy import optimize, special, stats

from harness.verdicts.statistics.sequential import nominal_levels

DRAWS = 20_000
_NODES, _WEIGHTS = numpy.polynomial.legendre.leggauss(200)
_REACH = 10.0


@dataclass(frozen=True)
class LookPower:
    """A design with looks: ``power`` is the probability to stop, at any look, with a rejection on the side of the
    effect; ``expected_n`` the mean number of paired differences used (a run that never rejects uses all)."""

    power: float
    expected_n: float


def power_of_t(effect: float, sd: float, n: int, level: float = 0.05) -> float:
    """Return the probability that a two-sided t test over paired differences rejects on the side of the effect.

    ``P(T > t(1 - level / 2, n - 1))`` for T noncentral t with n - 1 degrees of freedom and noncentrality
    ``|effect| / sd * sqrt(n)``, exact for normal differences (numerical error below 1e-9).

    Args:
        effect: the true mean difference, in the metric's unit; only its size matters.
        sd: standard deviation of a single paired difference, in the same unit.
        n: number of paired differences; fewer than two never reject.
        level: two-sided significance level, in (0, 1).

    Raises:
        ValueError: an effect or sd that is not finite, a negative sd, or a level outside (0, 1).
    """
    standardised = _standardised(effect, sd)
    _check_probability("level", level)
    if n < 2 or (sd == 0.0 and effect == 0.0):
        return 0.0
    if math.isinf(standardised):
        return 1.0
    return _upper_tail(float(stats.t.isf(level / 2.0, n - 1)), n - 1, standardised * math.sqrt(n))


def noncentrality(degrees: int, level: float, power: float) -> float:
    """Return the noncentrality at which a two-sided t test rejects on the upper side with the given probability.

    Args:
        degrees: degrees of freedom, at least 1.
        level: two-sided significance level, in (0, 1).
        power: the wanted probability, in (0, 1); at or below ``level / 2`` the answer is 0.

    Raises:
        ValueError: degrees below 1, or a level or power outside (0, 1).
    """
    _check_probability("level", level)
    _check_probability("power", power)
    if degrees < 1:
        raise ValueError(f"a t test needs at least one degree of freedom, not {degrees}")
    if power <= level / 2.0:
        return 0.0
    critical = float(stats.t.isf(level / 2.0, degrees))
    high = critical + 1.0
    while _upper_tail(critical, degrees, high) < power:
        high *= 2.0
    return float(optimize.brentq(lambda shift: _upper_tail(critical, degrees, shift) - power, 0.0, high, rtol=1e-13))


def detectable_effect(sd: float, n: int, level: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest effect that :func:`power_of_t` finds with the given power, in the unit of ``sd``.

    Args:
        sd: standard deviation of a single paired difference.
        n: number of paired differences.
        level: two-sided significance level, in (0, 1).
        power: the wanted probability, in (0, 1).

    Returns:
        A size of at least 0; infinity for fewer than two differences.

    Raises:
        ValueError: an sd that is negative or not finite, or a level or power outside (0, 1).
    """
    _standardised(0.0, sd)
    _check_probability("level", level)
    _check_probability("power", power)
    if n < 2:
        return math.inf
    return noncentrality(n - 1, level, power) * sd / math.sqrt(n)


def replicates_needed(
    effect: float, sd: float, level: float = 0.05, power: float = 0.8, most: int = 100_000
) -> int | None:
    """Return the smallest number of paired differences with which :func:`power_of_t` reaches the given power.

    Args:
        effect: the true mean difference, in the metric's unit; only its size matters.
        sd: standard deviation of a single paired difference, in the same unit.
        level: two-sided significance level, in (0, 1).
        power: the wanted probability, in (0, 1).
        most: the largest number considered.

    Returns:
        At least 2; None where the effect is 0 or ``most`` differences do not suffice.

    Raises:
        ValueError: an effect or sd that is not finite, a negative sd, or a level or power outside (0, 1).
    """
    _standardised(effect, sd)
    _check_probability("level", level)
    _check_probability("power", power)
    if effect == 0.0 or most < 2 or power_of_t(effect, sd, most, level) < power:
        return None
    short, enough = 1, 2
    while enough < most and power_of_t(effect, sd, enough, level) < power:
        short, enough = enough, min(2 * enough, most)
    while enough - short > 1:
        middle = (short + enough) // 2
        if power_of_t(effect, sd, middle, level) < power:
            short = middle
        else:
            enough = middle
    return enough


def power_with_looks(
    effect: float,
    sd: float,
    looks: tuple[int, ...],
    level: float,
    generator: numpy.random.Generator,
    draws: int = DRAWS,
    exact: bool = False,
) -> LookPower:
    """Return power and expected size of a design with interim looks, by simulation.

    Normal differences go through t tests at the nominal levels of :func:`.sequential.nominal_levels` with information
    fractions ``looks / looks[-1]``; a run stops at its first rejection, on either side. What is drawn for each block
    between looks is its mean and its sum of squares (independent, exact for normal differences), not each difference.
    The standard error of the power is at most ``0.5 / sqrt(draws)``.

    Args:
        effect: the true mean difference, in the metric's unit; only its size matters.
        sd: standard deviation of a single paired difference, in the same unit.
        looks: numbers of paired differences at the looks, increasing; a look at one difference never rejects.
        level: two-sided significance level of the whole design, in (0, 1).
        generator: the source of randomness; the same state gives the same answer.
        draws: number of simulated runs.
        exact: whether the levels are those exact for t tests (``sizes`` of :func:`.sequential.nominal_levels`; then the
            first look must have two differences) instead of those for normal statistics.

    Raises:
        ValueError: an effect or sd that is not finite, a negative sd, a level outside (0, 1), looks that are not
            positive and increasing, or draws below 1.
    """
    standardised = _standardised(effect, sd)
    runs = _simulated(looks, level, generator, draws, exact)
    if sd == 0.0 and effect == 0.0:
        return LookPower(0.0, float(looks[-1]))
    return runs.outcome(standardised)


def detectable_effect_with_looks(
    sd: float,
    looks: tuple[int, ...],
    level: float,
    generator: numpy.random.Generator,
    power: float = 0.8,
    exact: bool = False,
) -> float:
    """Return the effect that a design with looks finds with the given power, in the unit of ``sd``.

    Bisection over one set of 20,000 simulated runs (common random numbers): each run's rejection on the side of the
    effect is monotone in the effect, so the simulated power is too. The error is that of the simulated power,
    about 0.003 at a power of 0.8, which is about one percent of the effect.

    Args:
        sd: standard deviation of a single paired difference.
        looks: numbers of paired differences at the looks, increasing.
        level: two-sided significance level of the whole design, in (0, 1).
        generator: the source of randomness; the same state gives the same answer.
        power: the wanted probability, in (0, 1).
        exact: as in :func:`power_with_looks`.

    Returns:
        A size of at least 0; infinity where the last look has fewer than two differences.

    Raises:
        ValueError: an sd that is negative or not finite, a level or power outside (0, 1), or looks that are not
            positive and increasing.
    """
    _standardised(0.0, sd)
    _check_probability("power", power)
    runs = _simulated(looks, level, generator, DRAWS, exact)
    if looks[-1] < 2:
        return math.inf
    if sd == 0.0 or runs.outcome(0.0).power >= power:
        return 0.0
    low, high = 0.0, 1.0
    while runs.outcome(high).power < power:
        low, high = high, 2.0 * high
    while high - low > 1e-6 * high:
        middle = (low + high) / 2.0
        if runs.outcome(middle).power < power:
            low = middle
        else:
            high = middle
    return high * sd


@dataclass(frozen=True)
class _Runs:
    """Simulated runs with mean 0 and sd 1: ``means`` and ``errors`` (of the mean) are runs x looks."""

    sizes: NDArray[numpy.float64]
    critical: NDArray[numpy.float64]
    means: NDArray[numpy.float64]
    errors: NDArray[numpy.float64]

    def outcome(self, standardised: float) -> LookPower:
        bound = self.critical * self.errors
        found = self.means + standardised > bound
        stopped = found | (self.means + standardised < -bound)
        first = numpy.argmax(stopped, axis=1)
        rows = numpy.arange(first.size)
        used = numpy.where(stopped[rows, first], self.sizes[first], self.sizes[-1])
        return LookPower(float(found[rows, first].mean()), float(used.mean()))


def _simulated(
    looks: tuple[int, ...], level: float, generator: numpy.random.Generator, draws: int, exact: bool
) -> _Runs:
    if not looks or looks[0] < 1 or any(later <= earlier for earlier, later in zip(looks, looks[1:], strict=False)):
        raise ValueError(f"looks must be positive and increasing, not {looks}")
    if draws < 1:
        raise ValueError(f"draws must be positive, not {draws}")
    fractions = tuple(look / looks[-1] for look in looks)
    levels = numpy.array(nominal_levels(level, fractions, tuple(looks) if exact else None))
    sizes = numpy.array(looks, dtype=float)
    blocks = numpy.diff(sizes, prepend=0.0)
    sums = generator.standard_normal((draws, sizes.size)) * numpy.sqrt(blocks)
    within = numpy.zeros((draws, sizes.size))
    several = blocks > 1
    within[:, several] = generator.chisquare(blocks[several] - 1.0, (draws, int(several.sum())))
    squares = numpy.cumsum(within + sums**2 / blocks, axis=1)
    means = numpy.cumsum(sums, axis=1) / sizes
    degrees = numpy.maximum(sizes - 1.0, 1.0)
    variance = numpy.maximum(squares - sizes * means**2, 0.0) / degrees
    # scipy's quantiles of t break down for tails below about 1e-250; a look at such a level cannot reject.
    able = (sizes >= 2) & (levels > 1e-200)
    critical = numpy.where(able, stats.t.isf(numpy.where(able, levels, 0.5) / 2.0, degrees), numpy.inf)
    # At one difference the error is 0 up to rounding: infinity keeps infinity * 0 out of the comparison.
    errors = numpy.where(sizes < 2, numpy.inf, numpy.sqrt(variance / sizes))
    return _Runs(sizes, critical, means, errors)


def _upper_tail(critical: float, degrees: int, shift: float) -> float:
    """P(T > critical) for T = (Z + shift) / W noncentral t and a positive critical value.

    scipy's own routine does not converge, and takes minutes, at large shifts (met at tiny levels or many replicates).
    So either the normal law is averaged over W = sqrt(chi square / degrees), or, where ``critical * W`` varies more
    than Z does, the chi-square law over Z; each integrand is then smooth on the scale of its nodes.
    """
    if critical / math.sqrt(2.0 * degrees) > 1.0:
        start = max(-_REACH, -shift)
        normal = start + (_REACH - start) * (_NODES + 1.0) / 2.0
        density = numpy.exp(-(normal**2) / 2.0) / math.sqrt(2.0 * math.pi)
        below = special.chdtr(degrees, degrees * ((shift + normal) / critical) ** 2)
        return float((_REACH - start) / 2.0 * (_WEIGHTS * density) @ below)
    spread = _REACH / math.sqrt(2.0 * degrees)
    start = max(0.0, 1.0 - spread)
    ratio = start + (1.0 + spread - start) * (_NODES + 1.0) / 2.0
    logarithm = (degrees - 1.0) * numpy.log(ratio) - degrees * (ratio**2 - 1.0) / 2.0
    density = _WEIGHTS * numpy.exp(logarithm)
    return float(density @ special.ndtr(shift - critical * ratio) / density.sum())


def _standardised(effect: float, sd: float) -> float:
    """|effect| / sd; infinity for an effect without dispersion."""
    if not math.isfinite(effect) or not math.isfinite(sd) or sd < 0.0:
        raise ValueError(f"effect and sd must be finite and sd not negative, not {effect} and {sd}")
    if sd == 0.0:
        return math.inf if effect else 0.0
    return abs(effect) / sd


def _check_probability(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} must lie in (0, 1), not {value}")
