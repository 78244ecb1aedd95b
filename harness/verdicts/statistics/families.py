"""Families of tests: one decision per member, with the error rate of the family held.

Both procedures hand back, next to the adjusted p-value, the *local level* at which a member was decided. An interval at
confidence ``1 - level`` then tells the same story as the decision, provided that the p-value inverts the interval:
the value under test lies outside the interval exactly where the member is rejected (up to the boundary case of
equality, which counts as rejected here). For Holm that agreement is all that is claimed: its local intervals do not
cover all parameters simultaneously (Guilbaud 2008; Strassburger & Bretz 2008), the decisions are what is protected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray


@dataclass(frozen=True)
class Adjusted:
    """One member of a family after the correction.

    ``p`` is the adjusted p-value (compare it with the family's alpha), ``level`` the local significance level at which
    this member is decided: its own p-value is at most ``level`` exactly where ``rejected`` is true. All are pure
    numbers in [0, 1].
    """

    p: float
    level: float
    rejected: bool


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[Adjusted]:
    """Return Holm's step-down correction (Holm 1979), which holds the familywise error rate under any dependence.

    With m members sorted by p-value the one of rank r (from 0) is decided at ``alpha / (m - r)`` while every one before
    it was rejected; from the first that is not rejected on, all share the level of that first one. Members with the
    same p-value have the same rank (the lowest of theirs), so they get one level and one decision, in any order.

    Args:
        p_values: the family's p-values, each in [0, 1]; NaN (a test that could not be made) counts as 1.
        alpha: the familywise error rate, in (0, 1).

    Returns:
        One entry per p-value in the order given; an empty list for an empty family.

    Raises:
        ValueError: a p-value outside [0, 1] or an alpha outside (0, 1).
    """
    p = _checked(p_values, alpha)
    members = p.size
    order = numpy.argsort(p, kind="stable")
    ascending = p[order]
    factors = members - numpy.arange(members)
    adjusted = numpy.minimum(numpy.maximum.accumulate(ascending * factors), 1.0)
    levels = alpha / factors[numpy.searchsorted(ascending, ascending, side="left")]
    failed = numpy.flatnonzero(ascending > levels)
    if failed.size:
        levels[failed[0] :] = levels[failed[0]]
    return _in_order(order, ascending, adjusted, levels)


def benjamini_hochberg(p_values: Sequence[float], alpha: float = 0.05) -> list[Adjusted]:
    """Return the step-up correction of Benjamini & Hochberg (1995), which holds the false discovery rate.

    It holds under independence and positive regression dependence (Benjamini & Yekutieli 2001). With R rejections among
    m members every member's level is ``max(R, 1) * alpha / m``: the intervals at confidence ``1 - level`` of the
    rejected members are the FCR-adjusted ones of Benjamini & Yekutieli (2005), of which an expected share of at
    most alpha fails to cover.

    Args:
        p_values: the family's p-values, each in [0, 1]; NaN (a test that could not be made) counts as 1.
        alpha: the false discovery rate, in (0, 1).

    Returns:
        One entry per p-value in the order given; an empty list for an empty family.

    Raises:
        ValueError: a p-value outside [0, 1] or an alpha outside (0, 1).
    """
    p = _checked(p_values, alpha)
    members = p.size
    if not members:
        return []
    order = numpy.argsort(p, kind="stable")
    ascending = p[order]
    ranks = numpy.arange(1, members + 1)
    adjusted = numpy.minimum(numpy.minimum.accumulate((ascending / (ranks / members))[::-1])[::-1], 1.0)
    passed = numpy.flatnonzero(ascending <= ranks / members * alpha)
    rejections = int(passed[-1]) + 1 if passed.size else 0
    levels = numpy.full(members, max(rejections, 1) / members * alpha)
    return _in_order(order, ascending, adjusted, levels)


def _checked(p_values: Sequence[float], alpha: float) -> NDArray[numpy.float64]:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie in (0, 1), not {alpha}")
    p = numpy.array(p_values, dtype=float)
    p[numpy.isnan(p)] = 1.0
    if p.ndim != 1 or ((p < 0.0) | (p > 1.0)).any():
        raise ValueError("p-values must be a flat sequence of numbers in [0, 1]")
    return p


def _in_order(
    order: NDArray[numpy.intp],
    ascending: NDArray[numpy.float64],
    adjusted: NDArray[numpy.float64],
    levels: NDArray[numpy.float64],
) -> list[Adjusted]:
    """Put the sorted results back where their p-values stood."""
    results: list[Adjusted | None] = [None] * order.size
    for place, p, corrected, level in zip(order, ascending, adjusted, levels, strict=True):
        results[place] = Adjusted(float(corrected), float(level), bool(p <= level))
    return [result for result in results if result is not None]
