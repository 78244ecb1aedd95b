"""Power before money: what a plan could find, whether that decides its claims, and what would."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.plan.state import PlanState
from harness.spec.claims import ClaimBase, RatioClaim
from harness.store.attempt import DamagedAttempt
from harness.verdicts.data import Data, RoundData
from harness.verdicts.detectable import Unit, as_factor, distances, unit_of
from harness.verdicts.estimation import estimate
from harness.verdicts.evidence import gather, unfit
from harness.verdicts.families import is_tested, planned_level
from harness.verdicts.observations import Observations
from harness.verdicts.statistics.bootstrap import generator_for
from harness.verdicts.statistics.power import (
    detectable_effect,
    detectable_effect_with_looks,
    power_of_t,
    power_with_looks,
    replicates_needed,
)

POWER = 0.80
FEWEST_UNITS = 3
"""Units from which earlier attempts tell a standard deviation that a plan may count with."""
UNKNOWN_ITEMS = "not known: it is judged over test items, and their spread shows only in outcomes"


@dataclass(frozen=True)
class PlannedPower:
    """What a plan can find for one claim.

    Attributes:
        units: planned units of analysis (replicates, rounds, items); None where it is not known how many there will be.
        level: the two-sided level at which the claim is decided if it comes first in its family.
        sd, sd_from: standard deviation of one unit's effect (for ratios: of its logarithm), and where it comes from.
        mde: the smallest distance from the threshold found in 80 of 100 cases; for a ratio, a factor.
        effect, effect_from: the effect that must not be missed, in the claim's unit, and where it comes from.
        power: the chance that the plan decides the claim if that is the effect.
        expected_units: units used on average where looks may stop early.
        needed: replicates that decide in 80 of 100 cases; None where it is not known, or where none would.
        seconds: what the replicates still wanted for that would cost; None where it is not known.
        decides: whether the power reaches 80 %; None where it is not known, and over a fixed test set, whose size is no
            choice of a plan.
        problem: why the plan cannot decide; empty where it can or where it is not known.
        unknown: why nothing is known before there are results, where that is in the nature of the claim.
    """

    claim: str
    family: str
    units: int | None
    level: float
    sd: float | None = None
    sd_from: str = ""
    mde: float | None = None
    effect: float | None = None
    effect_from: str = ""
    power: float | None = None
    expected_units: float | None = None
    needed: int | None = None
    seconds: float | None = None
    decides: bool | None = None
    problem: str = ""
    unknown: str = ""

    def row(self) -> dict[str, Any]:
        """Return it as JSON data; what is not a finite number is null."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
            if key != "claim"
        }


def planned_power(
    state: PlanState, pilot: PlanState | None = None, seconds_of_replicate: float | None = None
) -> list[PlannedPower]:
    """Return the power of a plan for each of its claims; counts without sampling error are left out.

    The standard deviation comes from earlier attempts of this plan, from those of a ``pilot`` profile, or from what the
    claim declares under ``planning``, in this order.
    """
    observations = Observations(state, _reading(state))
    before = Observations(pilot, _reading(pilot)) if pilot is not None else None
    found = []
    for registered in state.design.experiment.claims:
        claim = registered.claim
        if is_tested(claim):
            found.append(_power(claim, state, observations, before, seconds_of_replicate))
    return found


def undecidable(powers: Sequence[PlannedPower]) -> list[PlannedPower]:
    """Return the confirmatory claims that a plan can hardly decide."""
    return [power for power in powers if power.family == "confirmatory" and power.decides is False]


def _reading(state: PlanState) -> str | None:
    return "matched" if state.design.select is not None else None


def _power(
    claim: ClaimBase,
    state: PlanState,
    observations: Observations,
    before: Observations | None,
    seconds: float | None,
) -> PlannedPower:
    if getattr(claim, "items", None) is not None:
        return _power_over_items(claim, state, observations)
    design = state.design
    level = planned_level(design.experiment, claim)
    unit, source, each = _spread(claim, observations, before)
    units = None if each is None else design.replicates * each
    plain = PlannedPower(claim.id, claim.family, units, level)
    if not design.profile.conclusive or _is_absent(claim, observations):
        return plain
    if units is not None and units < 2:
        return replace(plain, decides=False, problem="one replicate has no interval")
    if unit is None or units is None or each is None:
        return plain
    # Exploratory claims never stop a sweep, so they are looked at once.
    declared = design.looks if claim.family == "confirmatory" else design.looks[-1:]
    looks = tuple(look * each for look in declared)
    generator = generator_for(claim.id, "power")
    if len(looks) > 1:
        least = detectable_effect_with_looks(unit.sd, looks, level, generator, POWER, exact=_is_exact(looks, each))
    else:
        least = detectable_effect(unit.sd, units, level, POWER)
    known = replace(plain, sd=unit.sd, sd_from=source, mde=as_factor(least) if isinstance(claim, RatioClaim) else least)
    effect, effect_from = _wanted(claim)
    gaps = distances(claim, effect) if effect is not None else ()
    if not gaps or min(gaps) <= 0:
        return known
    gap = min(gaps)
    power, expected = _chance(claim, gaps, unit, looks, level, _is_exact(looks, each))
    needed = replicates_needed(gap, unit.sd, level, POWER)
    needed = math.ceil(needed / each) if needed is not None else None
    wanted = max(0, needed - design.replicates) if needed is not None else None
    return replace(
        known,
        effect=effect,
        effect_from=effect_from,
        power=power,
        expected_units=expected,
        needed=needed,
        seconds=seconds * wanted if seconds is not None and wanted is not None else None,
        decides=power >= POWER,
        problem="" if power >= POWER else _problem(claim, power, effect, effect_from, needed),
    )


def _power_over_items(claim: ClaimBase, state: PlanState, observations: Observations) -> PlannedPower:
    """Return the power over a fixed test set, which only results of this very plan tell: one replicate may be enough.

    What is declared under ``planning``, and what a pilot shows, is the spread of replicates or of other items.
    """
    level = planned_level(state.design.experiment, claim)
    plain = PlannedPower(claim.id, claim.family, None, level)
    if not state.design.profile.conclusive or _is_absent(claim, observations):
        return plain
    unit = _unit(claim, _data(claim, observations))
    if unit is None:
        return replace(plain, unknown=UNKNOWN_ITEMS)
    mde = detectable_effect(unit.sd, unit.n, level, POWER)
    known = replace(plain, units=unit.n, sd=unit.sd, sd_from=f"earlier attempts ({unit.n} items)", mde=mde)
    effect, effect_from = _wanted(claim)
    gaps = distances(claim, effect) if effect is not None else ()
    if not gaps or min(gaps) <= 0:
        return known
    power, _ = _chance(claim, gaps, unit, (unit.n,), level, exact=False)
    return replace(known, effect=effect, effect_from=effect_from, power=power)


def _is_exact(looks: tuple[int, ...], each: int) -> bool:
    """Say whether the looks are judged at levels that are exact for t tests: where replicates are the unit."""
    return each == 1 and looks[0] >= 2


def _problem(claim: ClaimBase, power: float, effect: float | None, effect_from: str, needed: int | None) -> str:
    enough = f"{needed} replicates would" if needed is not None else "no number of replicates would"
    return (
        f"it decides in {power:.0%} of cases if the effect is {effect:g} {claim.unit} ({effect_from}); {enough} in 80 %"
    )


def _is_absent(claim: ClaimBase, observations: Observations) -> bool:
    return any(observations.absent(arm) for arm in claim.arms().values())


def _wanted(claim: ClaimBase) -> tuple[float | None, str]:
    if claim.planning is not None and claim.planning.effect is not None:
        return claim.planning.effect, "declared"
    if claim.published is not None:
        return claim.published.value, "published"
    return None, ""


def _spread(
    claim: ClaimBase, observations: Observations, before: Observations | None
) -> tuple[Unit | None, str, int | None]:
    """Return the spread of one unit, where it comes from, and units a replicate (one, or the rounds of a process)."""
    timed = getattr(claim, "samples", None) is not None
    for source, each in ((observations, "earlier attempts"), (before, "the pilot")):
        data = _data(claim, source) if source is not None else None
        unit = _unit(claim, data)
        if data is not None and unit is not None:
            return unit, f"{each} ({unit.n} units)", _units_each(data, unit)
    if claim.planning is not None and claim.planning.sd is not None:
        return Unit(claim.planning.sd, 0), f"declared: {claim.planning.reason}", None if timed else 1
    return None, "", None if timed else 1


def _unit(claim: ClaimBase, data: Data | None) -> Unit | None:
    """Return the unit behind an estimate from earlier attempts; None where there are too few to tell."""
    if data is None:
        return None
    try:
        unit = unit_of(estimate(claim, data))
    except ValueError:
        return None
    return unit if unit is not None and unit.n >= FEWEST_UNITS else None


def _units_each(data: Data, unit: Unit) -> int:
    if not isinstance(data, RoundData) or unit.n <= len(data.groups):
        return 1
    return max(1, round(sum(len(group) for group in data.groups) / len(data.groups)))


def _data(claim: ClaimBase, observations: Observations) -> Data | None:
    try:
        data = gather(claim, observations).data
    except DamagedAttempt:
        return None
    return None if data is None or unfit(data) else data


def _chance(
    claim: ClaimBase, gaps: tuple[float, ...], unit: Unit, looks: tuple[int, ...], level: float, exact: bool
) -> tuple[float, float | None]:
    """Return the power at a distance from the threshold, and the units used on average where looks stop early.

    Within a band both ends must be cleared: what is returned is a bound from below, exact where only one end matters.
    """
    powers, expected = [], None
    for gap in gaps:
        if len(looks) > 1:
            found = power_with_looks(gap, unit.sd, looks, level, generator_for(claim.id, "power"), exact=exact)
            powers.append(found.power)
            expected = max(expected or 0.0, found.expected_n)
        else:
            powers.append(power_of_t(gap, unit.sd, looks[-1], level))
    return max(0.0, math.fsum(powers) - (len(powers) - 1)), expected
