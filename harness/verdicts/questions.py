"""What a claim asks of its effect: the region that would confirm it, those that would contradict it, as p-values.

Every p-value here is on the scale of two-sided intervals: p <= a exactly where the interval at confidence 1 - a lies in
the region. So one local level decides all forms alike, and the interval shown agrees with the verdict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.spec.claims import (
    ClaimBase,
    CrossingClaim,
    Directed,
    EquivalenceClaim,
    NonInferiorityClaim,
    OptimumClaim,
    RatioClaim,
)
from harness.spec.models import Fidelity
from harness.verdicts.statistics.curves import Optimum
from harness.verdicts.statistics.estimates import Estimate, Exact
from harness.verdicts.statistics.fixed_sets import tost_p
from harness.verdicts.statistics.publication import small_telescope


@dataclass(frozen=True)
class Threshold:
    """A figure that the whole interval must lie beyond, upwards or downwards."""

    value: float
    upwards: bool


@dataclass(frozen=True)
class Band:
    """An interval in which the whole interval must lie."""

    low: float
    high: float


def target(claim: ClaimBase) -> Threshold | Band | None:
    """Return the region in which an effect confirms the claim; None for an optimum, which asks two things at once."""
    if isinstance(claim, OptimumClaim):
        return None
    if claim.at_least is not None:
        return Threshold(claim.at_least, True)
    if claim.at_most is not None:
        return Threshold(claim.at_most, False)
    if isinstance(claim, EquivalenceClaim):
        return Band(-claim.within.absolute, claim.within.absolute)
    if isinstance(claim, NonInferiorityClaim):
        upwards = claim.direction == "greater"
        return Threshold(-claim.tolerated.absolute if upwards else claim.tolerated.absolute, upwards)
    if isinstance(claim, Directed) and not isinstance(claim, CrossingClaim):
        return Threshold(no_effect(claim), claim.direction == "greater")
    assert claim.published is not None and claim.margin is not None
    return Band(*claim.margin.around(claim.published.value))


def no_effect(claim: ClaimBase) -> float:
    """Return the effect that is none: a ratio of one, a difference of zero."""
    return 1.0 if isinstance(claim, RatioClaim) else 0.0


def confirming_p(claim: ClaimBase, estimate: Estimate) -> float:
    """Return the smallest level at which the interval confirms the claim."""
    region = target(claim)
    if region is None:
        assert isinstance(estimate, Optimum)
        return _unit(max(1 - estimate.share_in_claim(), 2 * estimate.tail(_least(claim), True)))
    if isinstance(region, Threshold):
        if isinstance(estimate, Exact) and estimate.effect == region.value and not _states_bound(claim):
            # "Greater" is not "at least": a count that is the same in both arms has no direction.
            return 1.0
        return _unit(2 * estimate.tail(region.value, region.upwards))
    return inside_p(estimate, region)


def contradicting_p(claim: ClaimBase, estimate: Estimate) -> float:
    """Return the smallest level at which the interval lies wholly outside of what the claim says."""
    region = target(claim)
    if region is None:
        assert isinstance(estimate, Optimum)
        # Two ways to be wrong, so each is asked at half the level.
        return _unit(2 * min(estimate.share_in_claim(), 2 * estimate.tail(_least(claim), False)))
    if isinstance(region, Threshold):
        return _unit(2 * estimate.tail(region.value, not region.upwards))
    return _unit(2 * min(estimate.tail(region.low, False), estimate.tail(region.high, True)))


def _least(claim: ClaimBase) -> float:
    """Return the advantage that an optimum's claimed levels must have."""
    return 0.0 if claim.at_least is None else claim.at_least


def _states_bound(claim: ClaimBase) -> bool:
    return claim.at_least is not None or claim.at_most is not None


def _holds_without_effect(claim: ClaimBase) -> bool:
    """Say whether no effect at all would confirm the claim, as for an equivalence: a negligible one is no objection."""
    region, none = target(claim), no_effect(claim)
    if isinstance(region, Threshold):
        return region.value < none if region.upwards else region.value > none
    return isinstance(region, Band) and region.low <= none <= region.high


def negligible_p(claim: ClaimBase, estimate: Estimate) -> float:
    """Return the smallest level at which the interval lies in the band that counts as no effect; 1 without a band."""
    if claim.negligible is None or _holds_without_effect(claim):
        return 1.0
    centre, half = no_effect(claim), claim.negligible.absolute
    return inside_p(estimate, Band(centre - half, centre + half))


def inside_p(estimate: Estimate, band: Band) -> float:
    """Return the smallest level at which the interval lies within a band (two one-sided tests)."""
    return _unit(2 * tost_p(estimate, band.low, band.high))


def telescope(claim: ClaimBase, fidelity: Fidelity, spread: float | None) -> Threshold | None:
    """Return the effect that the original's runs could detect in one of three cases (Simonsohn 2015), as a threshold.

    None where the paper states no number of runs, where neither it nor our arms (``spread``, the standard deviation
    within an arm) tell how far runs spread, below the paper's own fidelity, and for forms that compare no two arms.
    """
    published, region = claim.published, target(claim)
    if fidelity != "paper" or published is None or published.number_of_runs is None or published.number_of_runs < 2:
        return None
    if not isinstance(region, Threshold) or isinstance(claim, RatioClaim | NonInferiorityClaim | CrossingClaim):
        return None
    # A figure printed with two dispersions is the difference of two arms; its telescope needs that of one arm.
    one_arm = published.dispersion if isinstance(published.dispersion, float) else spread
    if one_arm is None or not 0 < one_arm < math.inf or region.value != no_effect(claim):
        return None
    least = small_telescope(published.number_of_runs, one_arm)
    return Threshold(least if region.upwards else -least, region.upwards)


def telescope_p(estimate: Estimate, threshold: Threshold | None) -> float:
    """Return the smallest level at which the interval lies short of what the original could detect; 1 without that."""
    return 1.0 if threshold is None else _unit(2 * estimate.tail(threshold.value, not threshold.upwards))


def deciding_p(claim: ClaimBase, estimate: Estimate, threshold: Threshold | None = None) -> float:
    """Return the smallest level at which anything is decided: what families and looks correct.

    ``threshold`` is what the original could detect, where that is known (``telescope``).
    """
    return min(
        confirming_p(claim, estimate),
        contradicting_p(claim, estimate),
        negligible_p(claim, estimate),
        telescope_p(estimate, threshold),
    )


def _unit(p: float) -> float:
    return 1.0 if math.isnan(p) else min(1.0, max(0.0, p))
