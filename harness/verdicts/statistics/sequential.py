"""Interim looks that were declared beforehand: group-sequential tests with O'Brien-Fleming type spending.

The boundaries come from the exact recursive numerical integration over a Brownian path observed at the looks
(Armitage, McPherson & Rowe 1969; Jennison & Turnbull 2000, chapter 19), with the error spent by then fixed by
Lan & DeMets' (1983) function. A look's boundary depends on that look and those before it only, so a design that is cut
short, or whose later looks move, stays valid. For t tests on few replicates there is an exact version (Jennison &
Turnbull 1991); give ``sizes`` to get it.

Why not an anytime-valid interval: looks here are few and declared, and validity at every other moment has its price.
With looks at (4, 8, 16, 24) and alpha = 0.05 the final look is decided at 0.0463 (0.0451 for t tests). Robbins' (1970)
normal-mixture confidence sequence, known variance, tuned to be tightest at that very look, decides at |z| = 3.035, a
level of 0.0024: 1.9 times the replicates for 80 % power there. It would be the choice for looks nobody can declare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy
from numpy.typing import NDArray
from scipy import interpolate, optimize, special

_SMALLEST_STEP = 1e-4
_SMALLEST_SPENDING = 1e-290
_TABLE_END = 1e-20
_SMALLEST_P = 1e-200
_LARGEST_T = 1e140
_PANEL_NODES, _PANEL_WEIGHTS = numpy.polynomial.legendre.leggauss(16)


def spent(alpha: float, fraction: float) -> float:
    """Return the two-sided error spent by an information fraction.

    Lan & DeMets' (1983) function with boundaries like O'Brien & Fleming's, ``2 - 2 * Phi(z(1 - a / 2) / sqrt(t))``,
    is defined for a one-sided level a. As in the published tables and the usual programs (ld98, ldbounds, gsDesign)
    each side of the two-sided test gets it with ``a = alpha / 2``: ``4 - 4 * Phi(z(1 - alpha / 4) / sqrt(t))`` in all.
    (With the two-sided alpha put in its place the early looks would spend about ten times as much.)

    Args:
        alpha: two-sided significance level of the whole design, in (0, 1).
        fraction: share of the planned information, in [0, 1].

    Raises:
        ValueError: an argument outside its range.
    """
    _check_level(alpha)
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"an information fraction lies in [0, 1], not {fraction}")
    if fraction in (0.0, 1.0):
        return alpha * fraction
    return float(4.0 * special.ndtr(-_quantile(alpha) / math.sqrt(fraction)))


@lru_cache(maxsize=4096)
def nominal_levels(
    alpha: float, fractions: tuple[float, ...], sizes: tuple[int, ...] | None = None
) -> tuple[float, ...]:
    """Return the two-sided nominal significance level at each look.

    Under the null hypothesis the looks together reject with probability ``spent(alpha, fractions[-1])``, and those up
    to look k with ``spent(alpha, fractions[k])``.

    Without ``sizes`` the statistics are normal with known variance. Applied to the p-values of t tests (the
    significance-level approach, Jennison & Turnbull 2000, section 3.8) these levels are approximate, and at a few
    replicates not close enough: a nominal 5 % is 5.12 % in truth with looks at (4, 8, 16, 24) and 5.43 % at
    (2, 4, 6, 8) (two million simulated runs each). With ``sizes`` the levels are exact for one-sample (paired) t tests.

    Args:
        alpha: two-sided significance level of the whole design, in (0, 1).
        fractions: information fractions of the looks in (0, 1], increasing by at least 1e-4. The last is 1 in a full
            design; one that was cut short may end below.
        sizes: numbers of paired differences at the looks, at least 2 and increasing: levels for their t tests.

    Returns:
        One level per look; a level below the smallest float is 0 (that look cannot reject).

    Raises:
        ValueError: an alpha, fractions or sizes outside their range.
    """
    _check_level(alpha)
    looks = _checked_fractions(fractions)
    counts = _checked_sizes(sizes, looks)
    if looks[0] == 1.0:
        return (alpha,)
    return tuple(float(2.0 * special.ndtr(-bound)) for bound in _boundaries(_quantile(alpha), looks, counts))


def sequential_p(
    p_values: Sequence[float], fractions: tuple[float, ...], sizes: tuple[int, ...] | None = None
) -> float:
    """Return the smallest alpha at which some look made so far rejects: the sequential p-value (Liu & Anderson 2008).

    It is at most alpha exactly where a design at level alpha would have stopped with a rejection by now, so it can go
    into a correction for a family like any p-value. It never rises when a look is added. Interpolated from a table per
    design (relative error below 1e-4 for alpha in [1e-12, 0.5]; below 1e-20 extrapolated in proportion), built at the
    first call and kept.

    Args:
        p_values: two-sided p-values at the looks made so far, in [0, 1], at least one and at most one per fraction;
            NaN (a test that could not be made at that look) counts as 1.
        fractions: information fractions of all looks, as in :func:`nominal_levels`.
        sizes: numbers of paired differences at all looks where the p-values are those of t tests, likewise.

    Returns:
        A number in [0, 1]; exactly the p-value where the only look has fraction 1.

    Raises:
        ValueError: p-values, fractions or sizes outside their range or number.
    """
    looks = _checked_fractions(fractions)
    counts = _checked_sizes(sizes, looks)
    if not 1 <= len(p_values) <= len(looks):
        raise ValueError(f"{len(looks)} looks are planned and {len(p_values)} p-values given")
    p = [1.0 if math.isnan(value) else float(value) for value in p_values]
    if any(not 0.0 <= value <= 1.0 for value in p):
        raise ValueError("p-values must lie in [0, 1]")
    if looks[0] == 1.0:
        return p[0]
    table = _table(looks, counts)
    quantile = max(table.overall(-float(special.ndtri(value / 2.0)), look) for look, value in enumerate(p))
    return min(1.0, float(4.0 * special.ndtr(-quantile)))


def level_at_look(alpha: float, fractions: tuple[float, ...], look: int, sizes: tuple[int, ...] | None = None) -> float:
    """Return the two-sided nominal level at one look, from the table that :func:`sequential_p` uses.

    ``p <= level_at_look(alpha, fractions, look)`` at some look so far exactly where ``sequential_p`` is at most alpha
    (up to rounding), so an interval at confidence ``1 - level`` agrees with a decision by the sequential p-value.
    Agrees with :func:`nominal_levels` to about 1e-4 relative.

    Args:
        alpha: two-sided significance level of the whole design, in (0, 1).
        fractions: information fractions of all looks, as in :func:`nominal_levels`.
        look: index of the look, from 0.
        sizes: numbers of paired differences at all looks where t tests are made, likewise.

    Raises:
        ValueError: an alpha, fractions or sizes outside their range, or no such look.
    """
    _check_level(alpha)
    looks = _checked_fractions(fractions)
    counts = _checked_sizes(sizes, looks)
    if not 0 <= look < len(looks):
        raise ValueError(f"look {look} of {len(looks)}")
    if looks[0] == 1.0:
        return float(alpha)
    return float(2.0 * special.ndtr(-_table(looks, counts).bound(_quantile(alpha), look)))


@dataclass(frozen=True)
class _Table:
    """Boundaries (z scale, looks x grid) over a grid of normal quantiles z(1 - alpha / 4), linear between them.

    Evenly spaced quantiles are close to evenly spaced logarithms of alpha in the tail, and the boundaries are nearly
    linear in them.
    """

    quantiles: NDArray[numpy.float64]
    bounds: NDArray[numpy.float64]

    def bound(self, quantile: float, look: int) -> float:
        """The boundary at an overall quantile."""
        bounds = self.bounds[look]
        if quantile > self.quantiles[-1]:
            return quantile * float(bounds[-1] / self.quantiles[-1])
        return float(numpy.interp(quantile, self.quantiles, bounds))

    def overall(self, statistic: float, look: int) -> float:
        """The largest overall quantile whose boundary the statistic reaches; that of alpha = 1 if it reaches none."""
        bounds = self.bounds[look]
        if statistic > bounds[-1]:
            return statistic * float(self.quantiles[-1] / bounds[-1])
        return float(numpy.interp(statistic, bounds, self.quantiles))


@lru_cache(maxsize=256)
def _table(looks: tuple[float, ...], sizes: tuple[int, ...] | None) -> _Table:
    coarse = numpy.linspace(_quantile(1.0), _quantile(_TABLE_END), 161)
    exact = numpy.array([_boundaries(float(quantile), looks, sizes) for quantile in coarse]).T
    # A rejection at a small alpha must stay one at a larger alpha: boundaries never fall with the quantile.
    exact = numpy.minimum.accumulate(exact[:, ::-1], axis=1)[:, ::-1]
    fine = numpy.linspace(coarse[0], coarse[-1], 4801)
    return _Table(fine, interpolate.PchipInterpolator(coarse, exact, axis=1)(fine))


def _boundaries(quantile: float, looks: tuple[float, ...], sizes: tuple[int, ...] | None) -> list[float]:
    """Return the boundary of |Z| at each look for the overall level whose quantile z(1 - alpha / 4) is given."""
    return _normal_boundaries(quantile, looks) if sizes is None else _student_boundaries(quantile, looks, sizes)


def _normal_boundaries(quantile: float, looks: tuple[float, ...]) -> list[float]:
    """The boundaries for normal statistics with known variance.

    The density of the score (a Brownian path at the looks' fractions) on the part that went on is even, so it is kept
    on [0, boundary], at the nodes of a composite Gauss-Legendre rule of three kernel widths a panel.
    """
    alone = [_without_earlier_looks(quantile, fraction) for fraction in looks]
    if len(looks) == 1:
        return alone
    bounds = alone[:1]
    target = [float(4.0 * special.ndtr(-quantile / math.sqrt(fraction))) for fraction in looks]
    widths = [math.sqrt(later - earlier) for earlier, later in zip((0.0, *looks), looks, strict=False)]
    nodes, weights = _rule(bounds[0] * widths[0], looks[0], min(widths[0], widths[1]))
    mass = weights * _density(nodes / widths[0]) / widths[0]
    for look in range(1, len(looks)):
        width, spread = widths[look], math.sqrt(looks[look])
        spending = target[look] - target[look - 1]
        if spending < _SMALLEST_SPENDING:
            # Nothing measurable was spent before, so the first passage is the crossing itself.
            limit = alone[look] * spread
        else:
            limit = _crossing(nodes, mass, width, spending, spread)
        bounds.append(limit / spread)
        if look + 1 < len(looks):
            onward, weights = _rule(limit, looks[look], min(width, widths[look + 1]))
            kernel = _density((onward[:, None] - nodes) / width) + _density((onward[:, None] + nodes) / width)
            mass = weights * (kernel @ mass) / width
            nodes = onward
    return bounds


def _student_boundaries(quantile: float, looks: tuple[float, ...], sizes: tuple[int, ...]) -> list[float]:
    """The boundaries for t statistics, each on the z scale of its two-sided p-value (exact: Jennison & Turnbull 1991).

    Under the null hypothesis |Z| at any one look is half-normal whatever the degrees of freedom, so all that is needed
    is the probability to have gone on so far given the present |Z|; that follows from look to look, for the t
    statistics are a Markov chain whose reverse is known in closed form.
    """
    alone = [_without_earlier_looks(quantile, fraction) for fraction in looks]
    target = [float(4.0 * special.ndtr(-quantile / math.sqrt(fraction))) for fraction in looks]
    grid = _grid()
    steps = numpy.diff(grid)
    going_on = numpy.ones(grid.size)
    bounds = alone[:1]
    for look in range(1, len(looks)):
        reached = _reverse(sizes[look - 1], sizes[look])
        share = numpy.clip((bounds[-1] - grid[:-1]) / steps, 0.0, 1.0)
        going_on = numpy.diff(reached, axis=1) @ (share * (going_on[:-1] + going_on[1:]) / 2.0)
        spending = target[look] - target[look - 1]
        if spending < _SMALLEST_SPENDING:
            bounds.append(alone[look])
            continue
        inner = grid[:-1, None] + steps[:, None] * (_PANEL_NODES + 1.0) / 2.0
        height = 2.0 * _density(inner) * numpy.interp(inner, grid, going_on)
        tails = numpy.cumsum((height @ _PANEL_WEIGHTS * steps / 2.0)[::-1])[::-1]
        kept = int(numpy.count_nonzero(tails > spending * 1e-3))
        if spending >= tails[0]:
            bounds.append(0.0)
        elif spending <= tails[kept - 1]:
            bounds.append(float(grid[kept]))
        else:
            curve = interpolate.PchipInterpolator(numpy.log(tails[:kept])[::-1], grid[:kept][::-1])
            bounds.append(float(curve(math.log(spending))))
    return bounds


@lru_cache(maxsize=64)
def _reverse(earlier: int, later: int) -> NDArray[numpy.float64]:
    """P(|Z| at the earlier size is at most grid[i], given that |Z| at the later size is grid[j]), at [j, i].

    With the later sample's mean scaled to A = sqrt(n) * mean and its sum of squares about the mean to 1, the contrast
    between the earlier n' differences and the new ones is ``cos(x)``, one coordinate of a uniform direction in n - 1
    dimensions, and the earlier sum of squares about the mean is ``sin(x)**2`` times an independent
    Beta((n' - 1) / 2, (n - n' - 1) / 2). |t'| <= c is then an interval of the angle x.
    """
    grid = _grid()
    new = later - earlier
    log_p = math.log(2.0) + special.log_ndtr(-grid)
    # Below about 1e-250 scipy's quantiles of t break down; nothing here tells such a statistic from infinity.
    p = numpy.exp(numpy.maximum(log_p, math.log(_SMALLEST_P)))
    critical = numpy.minimum(-special.stdtrit(earlier - 1, p / 2.0), _LARGEST_T)
    present = numpy.minimum(-special.stdtrit(later - 1, p / 2.0), _LARGEST_T) / math.sqrt(later - 1)
    critical[0] = present[0] = 0.0
    shares, weights = _beta_rule(earlier, new)
    angles = numpy.linspace(0.0, math.pi / 2.0, 20_001)
    below = special.betainc((later - 2) / 2.0, 0.5, numpy.sin(angles) ** 2) / 2.0
    angles = numpy.concatenate([angles, math.pi - angles[-2::-1]])
    below = numpy.concatenate([below, 1.0 - below[-2::-1]])
    reached = numpy.zeros((grid.size, grid.size))
    for share, weight in zip(shares, weights, strict=True):
        slope = critical * math.sqrt(share * later / ((earlier - 1) * new))
        turn = numpy.arctan(slope)
        ratio = numpy.sqrt(earlier / new) * present[:, None] / numpy.sqrt(1.0 + slope**2)
        half = numpy.arccos(numpy.minimum(ratio, 1.0))
        low = numpy.clip(math.pi - half - turn, 0.0, math.pi)
        high = numpy.minimum(math.pi - half + turn, math.pi + half - turn)
        inside = numpy.interp(numpy.maximum(high, low), angles, below) - numpy.interp(low, angles, below)
        reached += weight * numpy.where(ratio < 1.0, inside, 0.0)
    return reached


def _beta_rule(earlier: int, new: int) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64]]:
    """Nodes and weights of an expectation over Beta((earlier - 1) / 2, (new - 1) / 2)."""
    if new == 1:
        return numpy.ones(1), numpy.ones(1)
    if earlier > 4:
        roots, weights = special.roots_jacobi(24, (new - 1) / 2.0 - 1.0, (earlier - 1) / 2.0 - 1.0)
        return (roots + 1.0) / 2.0, weights / weights.sum()
    # With one to three degrees of freedom a large t comes from a small share: angles graded towards 0.
    edges = math.pi / 2.0 * numpy.array([0.0, 1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5, 1.0])
    halves = numpy.diff(edges)[:, None] / 2.0
    angles = (edges[:-1, None] + halves * (_PANEL_NODES + 1.0)).ravel()
    weights = (halves * _PANEL_WEIGHTS).ravel() * numpy.sin(angles) ** (earlier - 2) * numpy.cos(angles) ** (new - 2)
    return numpy.sin(angles) ** 2, weights / weights.sum()


@lru_cache(maxsize=1)
def _grid() -> NDArray[numpy.float64]:
    return numpy.concatenate([numpy.arange(0.0, 8.0, 0.05), numpy.arange(8.0, 38.1, 0.2)])


def _without_earlier_looks(quantile: float, fraction: float) -> float:
    """The boundary of |Z| that spends all that is spent by a fraction at one look, in logarithms against underflow."""
    return -float(special.ndtri_exp(math.log(2.0) + float(special.log_ndtr(-quantile / math.sqrt(fraction)))))


def _crossing(
    nodes: NDArray[numpy.float64], mass: NDArray[numpy.float64], width: float, spending: float, spread: float
) -> float:
    """The limit of the score that is crossed, on either side, with probability ``spending`` by what went on so far."""

    def excess(limit: float) -> float:
        tails = special.ndtr((nodes - limit) / width) + special.ndtr((-nodes - limit) / width)
        return math.log(max(2.0 * float(mass @ tails), 1e-320)) - math.log(spending)

    # Without earlier looks the crossing would be more probable, so that quantile bounds the limit from above.
    high = -float(special.ndtri(spending / 2.0)) * spread * (1.0 + 1e-6) + 1e-9
    if excess(0.0) <= 0.0:
        return 0.0
    return float(optimize.brentq(excess, 0.0, high, xtol=1e-13, rtol=1e-13))


def _rule(limit: float, fraction: float, width: float) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64]]:
    """Nodes and weights on [0, limit], or as far as a normal density with that variance is a float above 0."""
    end = min(limit, 38.5 * math.sqrt(fraction))
    panels = max(2, math.ceil(end / (3.0 * width)))
    half = end / panels / 2.0
    centres = half * (2.0 * numpy.arange(panels) + 1.0)
    nodes = (centres[:, None] + half * _PANEL_NODES).ravel()
    return nodes, numpy.tile(half * _PANEL_WEIGHTS, panels)


def _density(values: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    return numpy.exp(-(values**2) / 2.0) / math.sqrt(2.0 * math.pi)


def _quantile(alpha: float) -> float:
    """z(1 - alpha / 4): the function's quantile for each side's alpha / 2."""
    return -float(special.ndtri(alpha / 4.0))


def _check_level(alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie in (0, 1), not {alpha}")


def _checked_fractions(fractions: Sequence[float]) -> tuple[float, ...]:
    looks = tuple(float(fraction) for fraction in fractions)
    steps = [later - earlier for earlier, later in zip((0.0, *looks), looks, strict=False)]
    if not looks or looks[-1] > 1.0 or not all(step >= _SMALLEST_STEP for step in steps):
        raise ValueError(f"fractions must lie in (0, 1] and increase by at least {_SMALLEST_STEP}, not {looks}")
    return looks


def _checked_sizes(sizes: Sequence[int] | None, looks: tuple[float, ...]) -> tuple[int, ...] | None:
    if sizes is None:
        return None
    counts = tuple(int(size) for size in sizes)
    if len(counts) != len(looks) or counts[0] < 2 or any(b <= a for a, b in zip(counts, counts[1:], strict=False)):
        raise ValueError(f"sizes must be one per look, at least 2 and increasing, not {sizes}")
    return counts
