"""Evidence for a claim out of the attempts that count: which arms, which units, which effect."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.measure.summaries import log_ratios_by_round, round_shares
from harness.plan.state import PlanState, TrialState
from harness.plan.trials import canonical
from harness.spec.claims import Arm, Claim, RatioClaim, ValueClaim
from harness.spec.models import level_name
from harness.store.attempt import read_samples, sample_names
from harness.verdicts.intervals import Estimate, rounds_in_processes, t_estimate
from harness.verdicts.rules import Evidence

GATE = "gate_"
"""Metrics with this prefix are structural checks: true, or the claim's arms are not comparable."""

MINIMUM_ROUNDS = 6
"""The fewest rounds that carry a timing verdict: from six on a median has a two-sided 95 % order-statistic interval."""


@dataclass(frozen=True)
class _Observation:
    """One record of an arm and the trial it came from."""

    entry: TrialState
    record: Mapping[str, Any]


def gather(claim: Claim, state: PlanState, *, stale: bool = False) -> Evidence:
    """Return the evidence that the store holds for a claim under one profile.

    Nothing is raised for missing, damaged or non-finite data: the evidence says so.
    """
    absent = _absent_arms(claim, state)
    if absent:
        return Evidence(missing=absent)
    usable = [entry for entry in state.states if _usable(entry, stale)]
    if not usable:
        failed = state.count("failed")
        return Evidence(
            missing=f"{failed} of {len(state.states)} trials failed, none finished" if failed else "no finished trial"
        )
    trials = tuple(entry.trial.id for entry in usable)
    observed = {role: list(_observations(usable, arm)) for role, arm in claim.arms().items()}
    unequal = _failed_gates(observed.values())
    if unequal:
        return Evidence(unequal=unequal, trials=trials)
    if claim.samples is not None and (untimed := _untimed(usable, claim.samples)):
        return Evidence(missing=untimed, trials=trials)
    if isinstance(claim, RatioClaim):
        return replace(_ratio(claim, usable, observed), trials=trials)
    if claim.stages:
        return replace(_stage_share(claim, usable), trials=trials)
    return replace(_value(claim, observed["arm"]), trials=trials)


def _usable(entry: TrialState, stale: bool) -> bool:
    return entry.counted is not None and (entry.status == "done" or (stale and entry.status == "stale"))


def _absent_arms(claim: Claim, state: PlanState) -> str:
    """Say which level of the claim's arms this profile leaves out, if any."""
    present = {factor.name: {level.name for level in factor.levels} for factor in state.design.factors}
    for arm in claim.arms().values():
        for factor, level in arm.items():
            if level_name(level) not in present.get(factor, set()):
                return f"the profile '{state.design.profile_name}' does not run {factor} {level_name(level)}"
    return ""


def _observations(usable: Sequence[TrialState], arm: Arm) -> Iterable[_Observation]:
    wanted = {factor: level_name(level) for factor, level in arm.items()}
    for entry in usable:
        assert entry.counted is not None
        # A trial's arm shows named levels by name, as the claim does.
        plain = {factor: level_name(shown) for factor, shown in entry.trial.arm.items()}
        if any(plain[factor] != level for factor, level in wanted.items() if factor in plain):
            continue
        for record in entry.counted.attempt.records:
            blocked = {f: str(record[f]) for f in entry.trial.blocked}
            if all(blocked[factor] == level for factor, level in wanted.items() if factor in blocked):
                yield _Observation(entry, record)


def _failed_gates(groups: Iterable[Sequence[_Observation]]) -> str:
    failed = []
    for observations in groups:
        for observation in observations:
            for key, value in observation.record.items():
                if key.startswith(GATE) and value is False:
                    detail = observation.record.get(f"detail_{key.removeprefix(GATE)}", "")
                    name = key.removeprefix(GATE).replace("_", " ")
                    levels = ", ".join(str(observation.record[f]) for f in observation.entry.trial.blocked)
                    failed.append(f"{levels}: the check '{name}' failed{f': {detail}' if detail else ''}")
    return "; ".join(dict.fromkeys(failed))


def _untimed(usable: Sequence[TrialState], samples: str) -> str:
    """Say why trials have no raw samples, where some have none: a failed check stops the timing of all arms."""
    for entry in usable:
        assert entry.counted is not None
        if samples not in sample_names(entry.counted.folder):
            every = [_Observation(entry, record) for record in entry.counted.attempt.records]
            return f"nothing was timed: {_failed_gates([every]) or f'the trial kept no samples {samples!r}'}"
    return ""


def _ratio(claim: RatioClaim, usable: Sequence[TrialState], observed: Mapping[str, list[_Observation]]) -> Evidence:
    """Return the ratio on the log scale: over rounds within processes, or over replicates."""
    if claim.samples is not None:
        if not _interleaved(claim, usable):
            return Evidence(unequal="the arms did not run interleaved in one trial, so their rounds do not pair")
        groups = kept_log_ratios(claim, usable, claim.samples)
        units = sum(len(group) for group in groups)
        if units < MINIMUM_ROUNDS:
            return _too_few_rounds(units)
        if not all(math.isfinite(value) for group in groups for value in group):
            return Evidence(n=units, unfit="a round has a time of zero")
        return _from_log(rounds_in_processes(groups))
    pairs = _paired(
        observed["numerator"], observed["denominator"], claim.metric, set(claim.numerator) | set(claim.denominator)
    )
    logs = [math.log(a / b) if a > 0 and b > 0 else math.nan for a, b in pairs]
    if any(not math.isfinite(value) for value in logs):
        return Evidence(n=len(logs), unfit=f"{claim.metric} is not a positive number in every trial")
    if claim.exact:
        return _exact([math.exp(value) for value in logs], claim.metric)
    if len(logs) < 2:
        return Evidence(n=len(logs), unfit=f"{len(logs)} paired replicates; an interval needs at least 2")
    return _from_log(t_estimate(logs))


def _from_log(estimate: Estimate) -> Evidence:
    return Evidence(
        math.exp(estimate.mean),
        math.exp(estimate.low),
        math.exp(estimate.high),
        estimate.n,
        math.exp(estimate.mde),
    )


def kept_log_ratios(claim: RatioClaim, usable: Sequence[TrialState], samples: str) -> list[list[float]]:
    """Return the log ratio of each kept round, grouped by process.

    Raises:
        DamagedAttempt: the raw samples are missing or have other bytes than were written.
    """
    groups = []
    for entry in usable:
        assert entry.counted is not None
        table = read_samples(entry.counted.folder, samples)
        names = _arm_name(entry, claim.numerator), _arm_name(entry, claim.denominator)
        groups.append(log_ratios_by_round(table, *names).tolist())
    return groups


def _interleaved(claim: RatioClaim, usable: Sequence[TrialState]) -> bool:
    """Say whether both arms ran in the same trials, so that their rounds pair."""
    for entry in usable:
        for factor in claim.numerator.keys() | claim.denominator.keys():
            if factor not in entry.trial.blocked and claim.numerator.get(factor) != claim.denominator.get(factor):
                return False
    return True


def _too_few_rounds(units: int) -> Evidence:
    problem = f"{units} rounds are left after those in which the machine was busy; at least {MINIMUM_ROUNDS} are needed"
    return Evidence(n=units, unfit=problem)


def _arm_name(entry: TrialState, arm: Arm) -> str:
    """Return the name under which a trial's raw samples hold an arm: its blocked levels, in the spec's order."""
    return ",".join(level_name(arm[factor]) for factor in entry.trial.blocked if factor in arm)


def _stage_share(claim: ValueClaim, usable: Sequence[TrialState]) -> Evidence:
    """Return the mean share of stages over rounds within processes, in percent."""
    groups = []
    for entry in usable:
        assert entry.counted is not None and claim.samples is not None
        table = read_samples(entry.counted.folder, claim.samples)
        groups.append((100 * round_shares(table, _arm_name(entry, claim.arm), claim.stages)).tolist())
    units = sum(len(group) for group in groups)
    if units < MINIMUM_ROUNDS:
        return _too_few_rounds(units)
    if not all(math.isfinite(value) for group in groups for value in group):
        return Evidence(n=units, unfit=f"a round has no samples of {', '.join(claim.stages)}")
    estimate = rounds_in_processes(groups)
    return Evidence(estimate.mean, estimate.low, estimate.high, estimate.n, estimate.mde)


def _paired(
    numerator: Sequence[_Observation], denominator: Sequence[_Observation], metric: str, named: set[str]
) -> list[tuple[float, float]]:
    """Return values of both arms that share a replicate and every level that the claim does not name."""
    first, second = ({_pairing(o, named): _number(o, metric) for o in side} for side in (numerator, denominator))
    return [(first[key], second[key]) for key in sorted(first.keys() & second.keys())]


def _pairing(observation: _Observation, named: set[str]) -> tuple[int, str]:
    """Return what two observations must share to be a pair: the replicate, and the levels the claim leaves open."""
    trial = observation.entry.trial
    open_levels = {f: level_name(shown) for f, shown in trial.arm.items() if f not in named}
    open_levels |= {f: str(observation.record[f]) for f in trial.blocked if f not in named}
    return trial.replicate, canonical(open_levels)


def _number(observation: _Observation, metric: str) -> float:
    value = observation.record.get(metric)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _value(claim: ValueClaim, observations: Sequence[_Observation]) -> Evidence:
    """Return a value: exact where every replicate counts the same, else a mean with its interval."""
    values = [_number(observation, claim.metric) for observation in observations]
    if not values:
        return Evidence(missing="no finished trial of this arm")
    bad = sum(not math.isfinite(value) for value in values)
    if bad:
        return Evidence(
            n=len(values), unfit=f"{claim.metric} is missing or not finite in {bad} of {len(values)} records"
        )
    if claim.exact:
        return _exact(values, claim.metric)
    if len(values) < 2:
        return Evidence(n=len(values), unfit="one measurement; an interval needs at least 2")
    estimate = t_estimate(values)
    return Evidence(estimate.mean, estimate.low, estimate.high, estimate.n, estimate.mde)


def _exact(values: Sequence[float], metric: str) -> Evidence:
    """Return a count, which has no sampling error: every trial must give the same."""
    if not values:
        return Evidence(unfit="no pair of finished trials")
    if max(values) - min(values) > 1e-12 * abs(values[0]):
        return Evidence(n=len(values), unfit=f"{metric} should be the same in every trial, but is not")
    return Evidence(values[0], values[0], values[0], len(values), exact=True)
