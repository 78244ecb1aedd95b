"""The table of the verdict rules: claim, effect, circumstances, verdict, over all forms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy
from scipy import stats
from synthetic import published_yaml

from harness.spec.claims import (
    ClaimBase,
    CrossingClaim,
    DifferenceClaim,
    EquivalenceClaim,
    NonInferiorityClaim,
    OptimumClaim,
    OrderingClaim,
    RatioClaim,
    TrendClaim,
    ValueClaim,
)
from harness.verdicts.statistics.curves import Optimum, crossing
from harness.verdicts.statistics.estimates import Draws, Estimate, Exact, LogScale, Mirrored, StudentT, Weakest
from harness.verdicts.statistics.fixed_sets import Wilson

BASE = {"id": "c", "paper": "P", "arxiv": "2101.00001v1", "locator": "Table 1", "statement": "S.", "metric": "m"}
A, B = {"a": 1}, {"a": 2}
HALF = float(stats.t.isf(0.025, 9))
"""Half the width of a 95 % interval with nine degrees of freedom, in standard errors."""


def claim_of(kind: type[ClaimBase], form: str, **keys: Any) -> Any:
    return kind(**{**BASE, "form": form, **keys})


def ratio(**keys: Any) -> Any:
    return claim_of(RatioClaim, "ratio", **{"numerator": A, "denominator": B, **keys})


def value(**keys: Any) -> Any:
    return claim_of(ValueClaim, "value", **{"arm": A, **keys})


def difference(**keys: Any) -> Any:
    return claim_of(DifferenceClaim, "difference", **{"treatment": A, "control": B, **keys})


def no_worse(**keys: Any) -> Any:
    tolerated = {"absolute": 1.0, "reason": "r"}
    return claim_of(
        NonInferiorityClaim, "non_inferiority", **{"treatment": A, "control": B, "tolerated": tolerated, **keys}
    )


def same(**keys: Any) -> Any:
    within = {"absolute": 1.0, "reason": "r"}
    return claim_of(EquivalenceClaim, "equivalence", **{"treatment": A, "control": B, "within": within, **keys})


def trend(**keys: Any) -> Any:
    return claim_of(TrendClaim, "trend", **{"along": "x", **keys})


def best(**keys: Any) -> Any:
    return claim_of(OptimumClaim, "optimum", **{"along": "x", "claimed": (2,), "against": 1, **keys})


def ordering(**keys: Any) -> Any:
    return claim_of(OrderingClaim, "ordering", **{"order": (A, B, {"a": 3}), **keys})


def crosses(**keys: Any) -> Any:
    return claim_of(CrossingClaim, "crossing", **{"along": "x", "first": A, "second": B, **keys})


@dataclass(frozen=True)
class Sharp:
    """An interval whose ends are given to the last digit, or are no numbers at all."""

    effect: float
    low: float
    high: float
    n: int = 10

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        return self.low, self.high

    def tail(self, threshold: float, upwards: bool) -> float:
        return 0.0 if (self.low > threshold if upwards else self.high < threshold) else 1.0


def seen(effect: float, low: float, high: float) -> Estimate:
    """Return an estimate whose 95 % interval reaches from low to high."""
    assert low <= effect <= high
    return StudentT((low + high) / 2, (high - low) / 2 / HALF, 9, 10)


def near(effect: float, standard_error: float = 0.1) -> StudentT:
    return StudentT(effect, standard_error, 9, 10)


def times(factor: float, standard_error: float = 0.01) -> LogScale:
    return LogScale(near(math.log(factor), standard_error))


def located(
    shares: tuple[float, float, float], contrast: StudentT, claimed: frozenset[str] = frozenset({"2"})
) -> Optimum:
    names = ("1", "2", "3")
    return Optimum(names, numpy.array(shares), names[int(numpy.argmax(shares))], contrast, claimed)


def curve(*means: float, noise: float = 0.02) -> Estimate:
    """Return where differences at 1, 2 and 4 fall through zero; four replicates around the means."""
    around = numpy.array([[1.0, -1.0, 0.5], [-1.0, 1.0, -0.5], [0.5, -0.5, -1.0], [-0.5, 0.5, 1.0]])
    return crossing([1.0, 2.0, 4.0], numpy.array(means) + noise * around)


def rising(*effects: float) -> Weakest:
    return Weakest(tuple(near(effect) for effect in effects))


def falling(*effects: float) -> Mirrored:
    return Mirrored(Weakest(tuple(Mirrored(near(effect)) for effect in effects)))


PAPER = {
    "published": {"value": 60, "locator": "Table 1", "basis": "source"},
    "margin": {"relative": 0.25, "reason": "r"},
}
TENFOLD = {**PAPER, "at_least": 10, "bound_reason": "tens"}
AT_MOST = {"at_most": 10, "bound_reason": "few"}
AT_LEAST_2 = {"at_least": 2.0, "bound_reason": "b"}
ONE = published_yaml(1.0, 0.5)
SPREAD = published_yaml(1.0, 0.05, dispersion=0.4, runs=5)
"""One hundredth off the margin, but a repetition of the original falls within 1 ± t(4) x 0.4 x sqrt(1/5 + 1/ours)."""
TWENTY = published_yaml(1.0, 0.5, dispersion=1.0, runs=20)
"""Two groups of 20 runs with sd 1 have a power of one third at 0.4956."""
NEGLIGIBLE = {"negligible": {"absolute": 0.5, "reason": "r"}}

Case = tuple[Any, Estimate, dict[str, Any], str]

CASES: list[Case] = [
    # A ratio without a published figure: the direction is all there is.
    (ratio(), seen(2, 1.5, 2.5), {}, "direction only"),
    (ratio(), seen(0.5, 0.4, 0.6), {}, "contradicted"),
    (ratio(), seen(1.1, 0.9, 1.3), {}, "inconclusive"),
    (ratio(direction="less"), seen(0.5, 0.4, 0.6), {}, "direction only"),
    (ratio(direction="less"), seen(2, 1.5, 2.5), {}, "contradicted"),
    # With one: size, then fidelity.
    (ratio(**PAPER), seen(60, 55, 65), {}, "reproduced"),
    (ratio(**PAPER), Sharp(60, 45, 75), {}, "reproduced"),
    (ratio(**PAPER), Sharp(60, 44.9, 75), {}, "direction only"),
    (ratio(**PAPER), seen(60, 55, 65), {"fidelity": "reduced"}, "direction only"),
    (ratio(**PAPER), seen(60, 55, 65), {"fidelity": "proxy"}, "direction only"),
    (ratio(**PAPER), seen(200, 190, 210), {}, "direction only"),
    # With a bound that the sentence states.
    (ratio(**TENFOLD), seen(60, 55, 65), {}, "reproduced"),
    (ratio(**TENFOLD), seen(12, 11, 13), {}, "direction only"),
    (ratio(**TENFOLD), seen(8, 7, 9), {}, "contradicted"),
    (ratio(**TENFOLD), seen(0.5, 0.4, 0.6), {}, "contradicted"),
    (ratio(**TENFOLD), seen(10, 9, 11), {}, "inconclusive"),
    (ratio(**TENFOLD), seen(8, 7, 9), {"fidelity": "proxy"}, "contradicted"),
    # On the scale on which ratios are analysed.
    (ratio(), times(2), {}, "direction only"),
    (ratio(), times(0.5), {}, "contradicted"),
    (ratio(), times(1.005), {}, "inconclusive"),
    (ratio(**PAPER), times(60), {}, "reproduced"),
    (ratio(**published_yaml(2.0, 0.1)), times(2, 0.05), {}, "direction only"),
    (ratio(negligible={"absolute": 0.1, "reason": "r"}), times(1.04), {}, "contradicted"),
    # The smallest ratio that the machine resolves.
    (ratio(), times(1.05), {"floor": 1.1}, "inconclusive"),
    (ratio(), times(1.5), {"floor": 1.1}, "direction only"),
    (ratio(), times(0.95), {"floor": 1.1}, "inconclusive"),
    (ratio(), times(0.95), {}, "contradicted"),
    (ratio(), times(0.8), {"floor": 1.1}, "contradicted"),
    (ratio(**TENFOLD), times(10.5), {"floor": 1.1}, "inconclusive"),
    (ratio(**TENFOLD), times(10.5), {}, "direction only"),
    (ratio(**TENFOLD), times(60), {"floor": 1.1}, "reproduced"),
    (value(**AT_MOST), near(9.5), {"floor": 1.1}, "direction only"),
    # Values against a figure.
    (value(**PAPER), seen(60, 58, 62), {}, "reproduced"),
    (value(**PAPER), seen(60, 58, 62), {"fidelity": "proxy"}, "direction only"),
    (value(**PAPER), seen(90, 88, 92), {}, "contradicted"),
    (value(**PAPER), seen(75, 74, 76), {}, "inconclusive"),
    (value(**PAPER), seen(60, 58, 62), {"whole": False}, "direction only"),
    (value(**PAPER), Exact(61, 3), {}, "reproduced"),
    (value(**PAPER), Exact(75.1, 3), {}, "contradicted"),
    (value(**PAPER), Exact(61, 3), {"fidelity": "proxy"}, "direction only"),
    (value(**published_yaml(0.9, 0.1)), Wilson(90, 100), {}, "reproduced"),
    (value(**published_yaml(0.9, 0.1)), Wilson(50, 100), {}, "contradicted"),
    (value(**published_yaml(0.9, 0.1)), Wilson(80, 100), {}, "inconclusive"),
    # Values against a bound.
    (value(**AT_MOST), seen(5, 4, 6), {}, "direction only"),
    (value(**AT_MOST), seen(15, 14, 16), {}, "contradicted"),
    (value(**AT_MOST), seen(10, 9, 11), {}, "inconclusive"),
    (value(**AT_MOST), Exact(10, 1), {}, "direction only"),
    (value(**AT_MOST), Exact(11, 1), {}, "contradicted"),
    (value(**PAPER, at_least=50, bound_reason="b"), seen(60, 58, 62), {}, "reproduced"),
    # Numbers that are none.
    (ratio(**PAPER), Sharp(math.nan, 55, 65), {}, "inconclusive"),
    (ratio(**PAPER), Sharp(60, math.nan, math.nan), {}, "inconclusive"),
    (ratio(**PAPER), Sharp(60, -math.inf, math.inf), {}, "inconclusive"),
    (difference(), Sharp(math.inf, 1, math.inf), {}, "inconclusive"),
    # A difference.
    (difference(), near(1), {}, "direction only"),
    (difference(), near(-1), {}, "contradicted"),
    (difference(), near(0.1), {}, "inconclusive"),
    (difference(direction="less"), near(-1), {}, "direction only"),
    (difference(direction="less"), near(1), {}, "contradicted"),
    (difference(**ONE), near(1), {}, "reproduced"),
    (difference(**ONE), near(1), {"fidelity": "reduced"}, "direction only"),
    (difference(**ONE), near(1), {"fidelity": "proxy"}, "direction only"),
    (difference(**ONE), near(1), {"whole": False}, "direction only"),
    (difference(**ONE), near(1.4), {}, "direction only"),
    (difference(**ONE), near(-1), {"fidelity": "proxy"}, "contradicted"),
    (difference(**ONE), Draws(1.0, stats.norm.ppf(numpy.arange(1, 2000) / 2000, 1, 0.1), 9), {}, "reproduced"),
    # The level left by a family and by looks: t(9) must pass 4.781 at one in a thousand.
    (difference(), near(0.47), {"level": 0.001}, "inconclusive"),
    (difference(), near(0.49), {"level": 0.001}, "direction only"),
    (difference(**published_yaml(1.0, 0.3)), near(1), {"shown_level": 0.05}, "reproduced"),
    (difference(**published_yaml(1.0, 0.3)), near(1), {"shown_level": 0.001}, "direction only"),
    # An effect that counts as none.
    (difference(**NEGLIGIBLE), near(0.1), {}, "contradicted"),
    (difference(**NEGLIGIBLE), near(0.3, 0.08), {}, "contradicted"),
    (difference(**NEGLIGIBLE), near(0.4), {}, "direction only"),
    (difference(**NEGLIGIBLE), near(0.4, 0.4), {}, "inconclusive"),
    (difference(**NEGLIGIBLE), near(0.1), {"fidelity": "proxy"}, "contradicted"),
    # A bound on a difference.
    (difference(**AT_LEAST_2), near(3), {}, "direction only"),
    (difference(**AT_LEAST_2), near(1), {}, "contradicted"),
    (difference(**AT_LEAST_2), near(2.1), {}, "inconclusive"),
    (difference(at_most=2.0, bound_reason="b", **NEGLIGIBLE), near(0.1), {}, "direction only"),
    # A repetition of the original: within 0.392 to 1.608 for our ten.
    (difference(**SPREAD), near(1.2), {"replicates": 10}, "reproduced"),
    (difference(**SPREAD), near(1.7), {"replicates": 10}, "direction only"),
    (difference(**SPREAD), near(1.2), {"replicates": 10, "fidelity": "reduced"}, "direction only"),
    (difference(**SPREAD), near(1.2), {"replicates": 10, "whole": False}, "direction only"),
    (difference(**SPREAD), near(1.2), {"replicates": 1}, "direction only"),
    (difference(**published_yaml(1.0, 0.05, dispersion=0.4)), near(1.2), {"replicates": 10}, "direction only"),
    (difference(**published_yaml(1.0, 0.05, runs=5)), near(1.2), {"replicates": 10}, "direction only"),
    (difference(**published_yaml(1.0, 0.05, dispersion=0.4, runs=1)), near(1.2), {"replicates": 10}, "direction only"),
    (difference(**published_yaml(1.0, 0.05, dispersion=(0.24, 0.32), runs=5)), near(1.2), {"replicates": 10}, "reproduced"),
    (difference(**published_yaml(1.0, 0.05, dispersion=0.1, runs=5)), near(1.4), {"replicates": 10}, "direction only"),
    (value(**SPREAD), near(1.5), {"replicates": 10}, "contradicted"),
    # Below what the original could have detected.
    (difference(**TWENTY), near(0.1), {}, "contradicted"),
    (difference(**TWENTY), near(0.25, 0.1), {}, "direction only"),
    (difference(**TWENTY), near(0.2, 0.2), {}, "inconclusive"),
    (difference(**TWENTY), near(0.1), {"fidelity": "reduced"}, "inconclusive"),
    (difference(direction="less", **published_yaml(-1.0, 0.5, dispersion=1.0, runs=20)), near(-0.1), {}, "contradicted"),
    (difference(**published_yaml(1.0, 0.5, runs=20)), near(0.1), {}, "inconclusive"),
    (difference(**published_yaml(1.0, 0.5, runs=20)), near(0.1), {"spread": 1.0}, "contradicted"),
    (difference(**published_yaml(1.0, 0.5, runs=20)), near(0.1), {"spread": 0.0}, "inconclusive"),
    (difference(**published_yaml(1.0, 0.5, runs=20)), near(0.1), {"spread": math.nan}, "inconclusive"),
    (difference(**published_yaml(1.0, 0.5, dispersion=1.0)), near(0.1), {}, "inconclusive"),
    (difference(**published_yaml(1.0, 0.5, dispersion=0.0, runs=20)), near(0.1), {}, "inconclusive"),
    (difference(**published_yaml(1.0, 0.5, dispersion=1.0, runs=1)), near(0.1), {}, "inconclusive"),
    (difference(**published_yaml(1.0, 0.5, dispersion=(1.0, 1.0), runs=20)), near(0.1), {}, "inconclusive"),
    # No worse than.
    (no_worse(), near(-0.5), {}, "direction only"),
    (no_worse(), near(0.5), {}, "direction only"),
    (no_worse(), near(-1), {}, "inconclusive"),
    (no_worse(), near(-1.5), {}, "contradicted"),
    (no_worse(direction="less"), near(0.5), {}, "direction only"),
    (no_worse(direction="less"), near(1.5), {}, "contradicted"),
    (no_worse(**published_yaml(-0.5, 0.5)), near(-0.5), {}, "reproduced"),
    (no_worse(**published_yaml(-0.5, 0.5)), near(-0.5), {"fidelity": "reduced"}, "direction only"),
    (no_worse(**NEGLIGIBLE), near(0), {}, "direction only"),
    (no_worse(**TWENTY), near(-1, 0.2), {}, "inconclusive"),
    # The same.
    (same(), near(0), {}, "direction only"),
    (same(), near(0.7), {}, "direction only"),
    (same(), near(0.9), {}, "inconclusive"),
    (same(), near(2), {}, "contradicted"),
    (same(), near(-2), {}, "contradicted"),
    (same(), near(0, 1), {}, "inconclusive"),
    (same(**published_yaml(0.0, 0.5)), near(0), {}, "reproduced"),
    (same(**published_yaml(0.0, 0.5)), near(0), {"fidelity": "proxy"}, "direction only"),
    (same(**published_yaml(0.5, 0.1)), near(0), {}, "direction only"),
    (same(**NEGLIGIBLE), near(0), {}, "direction only"),
    # A trend.
    (trend(), near(1), {}, "direction only"),
    (trend(), near(-1), {}, "contradicted"),
    (trend(direction="less"), near(-1), {}, "direction only"),
    (trend(), near(0.1), {}, "inconclusive"),
    (trend(**ONE), near(1), {}, "reproduced"),
    (trend(**ONE), near(1), {"fidelity": "reduced"}, "direction only"),
    # An optimum: where it is, and that it is one.
    (best(), located((0, 0.99, 0.01), near(1)), {}, "direction only"),
    (best(), located((0, 0.99, 0.01), near(1)), {"level": 0.005}, "inconclusive"),
    (best(), located((0, 0.9, 0.1), near(1)), {}, "inconclusive"),
    (best(), located((0, 0.99, 0.01), near(0.1)), {}, "inconclusive"),
    (best(), located((0, 0.01, 0.99), near(1)), {}, "contradicted"),
    (best(), located((0, 0.99, 0.01), near(-1)), {}, "contradicted"),
    (best(claimed=(2, 3)), located((0.01, 0.5, 0.49), near(1), frozenset({"2", "3"})), {}, "direction only"),
    (best(**ONE), located((0, 0.99, 0.01), near(1)), {}, "reproduced"),
    (best(**ONE), located((0, 0.99, 0.01), near(1)), {"fidelity": "proxy"}, "direction only"),
    (best(**ONE), located((0, 0.99, 0.01), near(3)), {}, "direction only"),
    (best(**AT_LEAST_2), located((0, 0.99, 0.01), near(3)), {}, "direction only"),
    (best(**AT_LEAST_2), located((0, 0.99, 0.01), near(2.1)), {}, "inconclusive"),
    (best(**AT_LEAST_2), located((0, 0.01, 0.99), near(3)), {}, "contradicted"),
    (best(**AT_LEAST_2), located((0, 0.99, 0.01), near(1)), {}, "contradicted"),
    # An order: each step must hold.
    (ordering(), rising(1, 2), {}, "direction only"),
    (ordering(), rising(1, 0.1), {}, "inconclusive"),
    (ordering(), rising(1, -1), {}, "contradicted"),
    (ordering(direction="less"), falling(-1, -2), {}, "direction only"),
    (ordering(direction="less"), falling(-1, 1), {}, "contradicted"),
    (ordering(**ONE), rising(1, 2), {}, "reproduced"),
    (ordering(**ONE), rising(1, 2), {"fidelity": "reduced"}, "direction only"),
    (ordering(), Exact(2, 2), {}, "direction only"),
    # Where curves cross: at 2.33.
    (crosses(**published_yaml(2.0, 1.0)), curve(1, 0.2, -1), {}, "reproduced"),
    (crosses(**published_yaml(2.0, 1.0)), curve(1, 0.2, -1), {"fidelity": "reduced"}, "direction only"),
    (crosses(**published_yaml(2.0, 1.0)), curve(1, 0.2, -1), {"whole": False}, "direction only"),
    (crosses(**published_yaml(3.5, 0.5)), curve(1, 0.2, -1), {}, "contradicted"),
    (crosses(**published_yaml(2.0, 1.0)), curve(1, 0.2, -1, noise=2), {}, "inconclusive"),
    (crosses(at_least=1.5, bound_reason="b"), curve(1, 0.2, -1), {}, "direction only"),
    (crosses(at_least=3.9, bound_reason="b"), curve(1, 0.2, -1), {}, "contradicted"),
    (crosses(at_most=3.0, bound_reason="b"), curve(1, 0.2, -1), {}, "direction only"),
    (crosses(at_least=3.0, bound_reason="b"), curve(1, 1, 1), {}, "direction only"),
    (crosses(**published_yaml(2.0, 1.0)), curve(1, 1, 1), {}, "contradicted"),
    (crosses(**published_yaml(2.0, 1.0), at_least=1.5, bound_reason="b"), curve(1, 1, 1), {}, "direction only"),
    (crosses(at_least=2.0, bound_reason="b"), curve(-1, -1, -1), {}, "contradicted"),
    # Counts: greater is not at least.
    (difference(), Exact(5, 2), {}, "direction only"),
    (difference(), Exact(0, 2), {}, "contradicted"),
    (difference(), Exact(-5, 2), {}, "contradicted"),
    (difference(direction="less"), Exact(0, 2), {}, "contradicted"),
    (difference(**published_yaml(0.2, 0.5)), Exact(0, 2), {}, "contradicted"),
    (difference(at_least=0.0, bound_reason="b"), Exact(0, 2), {}, "direction only"),
    (ratio(), Exact(1, 2), {}, "contradicted"),
    (ratio(**TENFOLD), Exact(10, 2), {}, "direction only"),
    (no_worse(), Exact(-1, 2), {}, "contradicted"),
    (same(), Exact(0, 2), {}, "direction only"),
]  # fmt: skip
