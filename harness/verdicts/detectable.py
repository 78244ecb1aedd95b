"""What a design can find: the spread of a unit, the smallest effect found in 80 of 100 cases, replicates to decide."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from harness.spec.claims import ClaimBase, RatioClaim
from harness.verdicts.questions import Band, Threshold, target
from harness.verdicts.statistics.curves import Optimum
from harness.verdicts.statistics.estimates import Draws, Estimate, LogScale, Mirrored, StudentT, Weakest
from harness.verdicts.statistics.power import detectable_effect, replicates_needed


@dataclass(frozen=True)
class Unit:
    """A unit of analysis: the standard deviation of its effect, on the analysis' scale, and how many there are."""

    sd: float
    n: int


def unit_of(found: Estimate) -> Unit | None:
    """Return the unit behind an estimate; None for counts and for what has no such unit (rates, crossings)."""
    if isinstance(found, LogScale | Mirrored):
        return unit_of(found.inner)
    if isinstance(found, Weakest):
        parts = [unit for part in found.parts if (unit := unit_of(part)) is not None]
        return max(parts, key=lambda unit: unit.sd / math.sqrt(unit.n), default=None)
    if isinstance(found, Optimum):
        return unit_of(found.contrast)
    if isinstance(found, StudentT):
        # Processes, where they are the unit, are fewer than their rounds: the degrees of freedom say how many count.
        units = max(2, round(found.degrees_of_freedom) + 1)
        return Unit(found.standard_error * math.sqrt(units), units)
    if isinstance(found, Draws):
        # The tails of studentised draws have no standard deviation at few units: half the interval has one.
        low, high = found.interval()
        return Unit((high - low) / 2 / float(stats.norm.ppf(0.975)) * math.sqrt(found.n), found.n)
    return None


def smallest_found(claim: ClaimBase, unit: Unit | None, level: float) -> float | None:
    """Return the smallest distance from the threshold that the design finds with a power of 80 %.

    In the claim's unit; for a ratio as a factor. None where there is no unit.
    """
    if unit is None or level <= 0:
        return None
    least = detectable_effect(unit.sd, unit.n, level)
    return as_factor(least) if isinstance(claim, RatioClaim) else least


def as_factor(logarithm: float) -> float:
    """Return the exponential; infinity where it is too large for a number."""
    try:
        return math.exp(logarithm)
    except OverflowError:
        return math.inf


def distances(claim: ClaimBase, effect: float) -> tuple[float, ...]:
    """Return how far an effect lies from what it must pass, on the scale of the analysis (for ratios: a logarithm).

    For a band these are the distances to both ends, negative for an end that the effect lies beyond. Nothing where
    there is no distance.
    """
    region = target(claim)
    if isinstance(region, Band):
        return effect - region.low, region.high - effect
    threshold = region.value if isinstance(region, Threshold) else claim.at_least or 0.0
    if isinstance(claim, RatioClaim):
        return (abs(math.log(effect / threshold)),) if effect > 0 and threshold > 0 else ()
    return (abs(effect - threshold),)


def deciding_replicates(claim: ClaimBase, unit: Unit | None, effect: float, level: float) -> int | None:
    """Return how many units decide the claim in 80 of 100 cases if the effect is ``effect``; None if none would."""
    if unit is None or not math.isfinite(effect) or level <= 0:
        return None
    wanted = min((abs(gap) for gap in distances(claim, effect)), default=0.0)
    return replicates_needed(wanted, unit.sd, level) if wanted else None
