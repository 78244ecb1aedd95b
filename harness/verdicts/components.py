"""The parts of a pooled or composed effect, each with an interval of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy
from scipy import stats

from harness.spec.claims import ClaimBase, CrossingClaim, OptimumClaim, OrderingClaim, RatioClaim, TrendClaim
from harness.verdicts.cells import Cells
from harness.verdicts.data import CellData, Data
from harness.verdicts.estimation import contrast, effects, estimate
from harness.verdicts.statistics.curves import Optimum
from harness.verdicts.statistics.estimates import Estimate


@dataclass(frozen=True)
class Component:
    """A setting, a step of an ordering, or a level of a curve; ``share`` is the chance that a level is the best."""

    label: str
    effect: float
    low: float
    high: float
    n: int
    share: float | None = None


def components(claim: ClaimBase, data: Data | None, found: Estimate | None) -> tuple[Component, ...]:
    """Return the parts of an effect, at 95 % each without correction; empty where the effect has no parts."""
    if not isinstance(data, CellData) or claim.exact:
        return ()
    cells = data.cells.of(data.cells.whole)
    if len(cells.replicates) < 2 or not cells.settings:
        return ()
    parts: list[Component] = []
    if isinstance(claim, TrendClaim | OptimumClaim | CrossingClaim):
        shares = [float(share) for share in found.shares] if isinstance(found, Optimum) else None
        parts += _means([f"at {role}" for role in cells.roles], cells.values.mean(axis=2), shares)
    if isinstance(claim, OrderingClaim):
        names = [", ".join(str(level) for level in arm.values()) for arm in claim.order]
        steps = [f"{first} − {second}" for first, second in zip(names, names[1:], strict=False)]
        parts += _means(steps, (cells.values[:, :-1] - cells.values[:, 1:]).mean(axis=2))
    if len(cells.settings) > 1:
        parts += _settings(claim, cells)
    return tuple(parts)


def _settings(claim: ClaimBase, cells: Cells) -> list[Component]:
    """Return the effect in each setting that was pooled; of an optimum its contrast."""
    if isinstance(claim, OrderingClaim | CrossingClaim):
        return [part for index, name in enumerate(cells.settings) for part in _one(claim, cells.setting(index), name)]
    try:
        values = contrast(claim, cells) if isinstance(claim, OptimumClaim) else effects(claim, cells)
    except ValueError:
        return []
    parts = _means(cells.settings, values)
    if not isinstance(claim, RatioClaim):
        return parts
    return [replace(p, effect=math.exp(p.effect), low=math.exp(p.low), high=math.exp(p.high)) for p in parts]


def _means(labels: Sequence[str], values: numpy.ndarray, shares: Sequence[float] | None = None) -> list[Component]:
    """Return the mean of each column of values, (replicates, labels), with Student's interval.

    A column without variation has no interval: its ends are NaN.
    """
    n = len(values)
    means, errors = values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(n)
    halves = numpy.where(errors > 0, stats.t.ppf(0.975, n - 1) * errors, math.nan)
    return [
        Component(label, float(mean), float(mean - half), float(mean + half), n, shares[index] if shares else None)
        for index, (label, mean, half) in enumerate(zip(labels, means, halves, strict=True))
    ]


def _one(claim: ClaimBase, cells: Cells, label: str) -> list[Component]:
    try:
        found = estimate(claim, CellData(cells))
    except ValueError:
        return []
    low, high = found.interval()
    return [Component(label, found.effect, low, high, found.n)]
