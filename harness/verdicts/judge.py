"""Every claim of an experiment, judged: the rows of ``claims.json``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from harness.plan.state import PlanState
from harness.spec.claims import ClaimBase
from harness.spec.models import Fidelity
from harness.store.attempt import DamagedAttempt
from harness.store.store import Store
from harness.verdicts.certificates import Floor, floor_of
from harness.verdicts.components import components
from harness.verdicts.data import CellData
from harness.verdicts.detectable import deciding_replicates, smallest_found, unit_of
from harness.verdicts.evidence import Evidence, gather
from harness.verdicts.exact_tests import exact_test
from harness.verdicts.families import Membership, memberships
from harness.verdicts.judgement import Judgement
from harness.verdicts.laws import warning
from harness.verdicts.looks import Look, look_at
from harness.verdicts.observations import Observations
from harness.verdicts.rules import ALPHA, Circumstances, Decision, decide
from harness.verdicts.sensitivity import sensitivity
from harness.verdicts.statistics.sequential import level_at_look, sequential_p


@dataclass(frozen=True)
class _Case:
    """A claim under one reading, its evidence, and what the data say at each look that was made."""

    claim: ClaimBase
    reading: str | None
    observations: Observations
    evidence: Evidence
    looks: tuple[Look, ...]
    fractions: tuple[float, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...] | None:
        """Numbers of paired differences at the looks, where replicates are what a t test is made of."""
        looks = self.observations.state.design.looks
        of_replicates = isinstance(self.evidence.data, CellData) and looks[0] >= 2
        return looks if of_replicates and len(self.fractions) == len(looks) else None

    @cached_property
    def p(self) -> float:
        """The claim's p-value over all looks made; 1 while none is made."""
        return sequential_p([look.p for look in self.looks], self.fractions, self.sizes) if self.looks else 1.0

    def level_at(self, level: float, index: int) -> float:
        """Return what a local level leaves for one look."""
        return level_at_look(level, self.fractions, index, self.sizes)


def judge(state: PlanState, store: Store | None = None) -> list[Judgement]:
    """Judge every claim that the experiment serves, under the profile of ``state``.

    A confirmatory claim is decided at the first look at which its p-value passes its local level: that of its family's
    procedure, spent over the declared looks; an exploratory one once, at the last look made. Where trials are still
    wanting, nothing is decided. A spec that tunes has two readings, and a claim that names none is judged in both.
    ``store`` is where A/A certificates are looked up.
    """
    cases = _cases(state)
    places = memberships(state.design.experiment, [case.claim for case in cases], [case.p for case in cases])
    return [_judged(case, place, state, store) for case, place in zip(cases, places, strict=True)]


def _cases(state: PlanState) -> list[_Case]:
    design = state.design
    readings: tuple[str | None, ...] = ("matched", "best") if design.select is not None else (None,)
    fractions = tuple(look / design.replicates for look in design.looks)
    made = state.looks_made()
    cases = []
    for reading in readings:
        observations = Observations(state, reading)
        for registered in design.experiment.claims:
            claim = registered.claim
            if reading is not None and claim.reading not in (None, reading):
                continue
            try:
                evidence = gather(claim, observations)
            except DamagedAttempt as error:
                evidence = Evidence(missing=f"an attempt is damaged: {error}")
            # Exploratory claims never stop a sweep: they are looked at once, where it stopped.
            seen, spent = (made, fractions) if claim.family == "confirmatory" else (made[-1:], (1.0,))
            looks = tuple(look_at(claim, evidence, number, design.profile.fidelity) for number in seen)
            cases.append(_Case(claim, reading, observations, evidence, looks, spent))
    return cases


def _judged(case: _Case, place: Membership, state: PlanState, store: Store | None) -> Judgement:
    design, claim = state.design, case.claim
    floor = floor_of(claim, case.evidence, state, store)
    whole = all(arm.lost == 0 for arm in case.evidence.arms)
    # A claim is decided at the first look that decides it, and stays decided; else the last look speaks.
    for index, look in enumerate(case.looks):
        level, shown = (case.level_at(a, index) for a in (place.level, ALPHA))
        around = _circumstances(look, design.profile.fidelity, level, shown, floor, whole)
        decision = _decision(case, look, around, floor, state)
        if decision.verdict != "inconclusive":
            break
    if not case.looks:
        # Not all trials of the first look are there: what there is, is shown, and decides nothing.
        look = look_at(claim, case.evidence, design.replicates, design.profile.fidelity)
        level, shown = place.level, ALPHA
        around = _circumstances(look, design.profile.fidelity, level, shown, floor, whole)
        decision = _decision(case, look, around, floor, state)
    unit = unit_of(look.effect) if look.effect is not None else None
    # Where no rule was applied to the numbers, there is no verdict that other numbers could change.
    by_rule = bool(case.looks) and design.profile.conclusive and not floor.miscalibrated
    planning = claim.planning
    needed = None
    if look.effect is not None and decision.verdict == "inconclusive":
        goal = planning.effect if planning and planning.effect is not None else look.effect.effect
        needed = deciding_replicates(claim, unit, goal, place.level)
    return Judgement(
        claim=claim,
        experiment=design.name,
        profile=design.profile_name,
        fidelity=design.profile.fidelity,
        reading=case.reading,
        verdict=decision.verdict,
        reason=decision.reason,
        estimate=look.effect,
        level=level,
        shown_level=shown,
        family=place,
        p=case.p,
        look=look.replicates if case.looks else None,
        looks=design.looks,
        replicates=_replicates(look),
        planned=len(state.states),
        finished=state.count("done"),
        trials=case.evidence.trials,
        arms=case.evidence.arms,
        bounds=_bounds(look, shown),
        unit_of_analysis=look.data.unit() if look.data is not None and not claim.exact else "",
        correlation=look.data.correlation() if look.data is not None else None,
        components=components(claim, look.data, look.effect),
        mde=smallest_found(claim, unit, level),
        units=unit.n if unit is not None else None,
        needed=needed,
        sensitivity=sensitivity(claim, look, around, decision.verdict) if by_rule else (),
        warning=warning(claim, look.data),
        exact_test=exact_test(claim, look.data),
        certificate=floor.sentence,
    )


def _circumstances(
    look: Look, fidelity: Fidelity, level: float, shown: float, floor: Floor, whole: bool
) -> Circumstances:
    return Circumstances(fidelity, level, shown, floor.ratio, whole, _replicates(look), look.telescope)


def _replicates(look: Look) -> int:
    """Return how many replicates an effect rests on: those with a value in every arm."""
    return int(look.data.cells.whole.sum()) if isinstance(look.data, CellData) else look.replicates


def _decision(case: _Case, look: Look, around: Circumstances, floor: Floor, state: PlanState) -> Decision:
    evidence, design = case.evidence, state.design
    if evidence.missing:
        return Decision("not run", evidence.missing)
    if evidence.unequal:
        return Decision("not comparable", evidence.unequal)
    if not design.profile.conclusive:
        return Decision("inconclusive", "this profile only shows that everything runs; it is too small to decide")
    if not case.looks:
        return Decision("inconclusive", _waiting(state))
    if look.effect is None:
        return Decision("inconclusive", look.unfit)
    if floor.miscalibrated:
        return Decision("inconclusive", floor.miscalibrated)
    decision = decide(case.claim, look.effect, around)
    others = {decide(case.claim, bound, around).verdict for bound in look.bounds} - {decision.verdict}
    if others:
        lost = sum(arm.lost for arm in evidence.arms)
        named = f"{lost} results are lost, and the verdict depends on what they would have been"
        return Decision("inconclusive", f"{named} (from {decision.verdict} to {', '.join(sorted(others))})")
    if len(design.looks) > 1:
        made = f"decided at {look.replicates} of at most {design.replicates} replicates"
        if decision.verdict == "inconclusive":
            made = f"after {look.replicates} of at most {design.replicates} replicates"
        return replace(decision, reason=f"{decision.reason}; {made}")
    return decision


def _waiting(state: PlanState) -> str:
    design = state.design
    if len(design.looks) > 1:
        wanted = sum(entry.trial.replicate < design.looks[0] for entry in state.states)
        return f"{state.count('done')} of the {wanted} trials before the first look are finished"
    return f"{state.count('done')} of {len(state.states)} planned trials are finished; a verdict waits for all of them"


def _bounds(look: Look, level: float) -> tuple[float, float] | None:
    """Return the worst-case bound: the union of the intervals under all fillings of what was lost."""
    if look.effect is None or not look.bounds:
        return None
    ends = [bound.interval(1 - level) for bound in (look.effect, *look.bounds)]
    return min(low for low, _ in ends), max(high for _, high in ends)
