"""Structural checks: what must hold before two arms are compared, or a count is set beside a published one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy

from harness.plan.state import TrialState
from harness.spec.claims import ClaimBase
from harness.spec.figures import Gate
from harness.verdicts.observations import GATE, Fate, Observations


def recorded_gates(entry: TrialState, records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each check that a trial recorded as failed."""
    failed = []
    for record in records:
        for key, value in record.items():
            if key.startswith(GATE) and value is False:
                detail = record.get(f"detail_{key.removeprefix(GATE)}", "")
                levels = ", ".join(str(record[factor]) for factor in entry.trial.blocked)
                where = levels or ", ".join(f"{f} {level}" for f, level in entry.trial.arm.items())
                name = key.removeprefix(GATE).replace("_", " ")
                failed.append(f"{where}: the check '{name}' failed{f': {detail}' if detail else ''}")
    return list(dict.fromkeys(failed))


def failed_gates(claim: ClaimBase, observations: Observations) -> str:
    """Return what the checks of a claim found wrong, recorded by trials or declared by the claim; empty if nothing."""
    masks = {role: observations.mask(arm) for role, arm in claim.arms().items()}
    any_arm = numpy.any(list(masks.values()), axis=0)
    failed: list[str] = []
    for row in observations.with_failed_gates:
        record = observations.records[row]
        if any_arm[row] and record is not None:
            failed += recorded_gates(observations.entries[row], [record])
    for gate in claim.gates:
        if gate.equal:
            failed += _equal(gate, masks, observations)
        elif gate.arm is not None and (absent := observations.absent(gate.arm)):
            failed.append(f"{gate.metric} cannot be checked: {absent} ({gate.reason})")
        else:
            wanted = masks if gate.arm is None else {_named(gate.arm): observations.mask(gate.arm)}
            for role, mask in wanted.items():
                values = _values(gate, mask, observations)
                failed += _single(gate, role, values)
                if gate.arm is not None and not values:
                    failed.append(f"{role}: {gate.metric} is not measured, so it cannot be checked ({gate.reason})")
    return "; ".join(dict.fromkeys(failed))


def _named(arm: Mapping[str, Any]) -> str:
    return ", ".join(f"{factor} {level}" for factor, level in arm.items())


def _values(gate: Gate, mask: numpy.ndarray, observations: Observations) -> list[float]:
    rows = mask & (observations.fates == Fate.FINISHED)
    return sorted(set(observations.metric(gate.metric)[rows].tolist()), key=lambda v: (math.isnan(v), v))


def _agree(gate: Gate, first: float, second: float) -> bool:
    return math.isclose(first, second, rel_tol=gate.relative, abs_tol=gate.absolute)


def _single(gate: Gate, role: str, values: Sequence[float]) -> list[str]:
    """Check every value that an arm recorded; one that is missing has failed."""
    failed = []
    for value in values:
        if gate.value is not None and not _agree(gate, value, gate.value):
            failed.append(f"{role}: {gate.metric} is {value:.6g} and should be {gate.value:.6g} ({gate.reason})")
        elif gate.at_least is not None and not value >= gate.at_least:
            failed.append(f"{role}: {gate.metric} is {value:.6g}, below {gate.at_least:.6g} ({gate.reason})")
        elif gate.at_most is not None and not value <= gate.at_most:
            failed.append(f"{role}: {gate.metric} is {value:.6g}, above {gate.at_most:.6g} ({gate.reason})")
    return failed


def _equal(gate: Gate, masks: Mapping[str, numpy.ndarray], observations: Observations) -> list[str]:
    found = {role: _values(gate, mask, observations) for role, mask in masks.items()}
    everything = [value for values in found.values() for value in values]
    if not everything or all(_agree(gate, value, everything[0]) for value in everything):
        return []
    shown = ", ".join(f"{role} {'/'.join(f'{value:.6g}' for value in values)}" for role, values in found.items())
    return [f"the arms differ in {gate.metric}: {shown} ({gate.reason})"]
