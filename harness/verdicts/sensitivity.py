"""Would the verdict change without one replicate, by the other defensible interval, or with other margins?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.spec.claims import ClaimBase, OptimumClaim
from harness.verdicts.data import CellData, Data, ItemData, RoundData
from harness.verdicts.estimation import estimate, has_other
from harness.verdicts.intention import scenarios
from harness.verdicts.looks import Look
from harness.verdicts.rules import Circumstances, Verdict, decide
from harness.verdicts.statistics.estimates import Estimate

MOST_UNITS = 200
MOST_BOOTSTRAPS = 40
MOST_RESAMPLED = 2000
NAMED = 4


@dataclass(frozen=True)
class Check:
    """One check of a verdict: what was varied, the verdicts that came out other than the reported one, and how."""

    varied: str
    changes: bool
    found: str


def sensitivity(claim: ClaimBase, look: Look, around: Circumstances, verdict: Verdict) -> tuple[Check, ...]:
    """Return what was tried and whether the verdict stands; nothing where there is no effect to vary, or a count."""
    if look.effect is None or look.data is None or claim.exact:
        return ()
    checks = [_leave_one_out(claim, look.data, around, verdict)]
    if has_other(claim):
        other = _verdict(claim, look.data, around, other=True)
        checks.append(Check(f"interval: {_other_name(look.data)}", other != verdict, other))
    if claim.has_margins:
        for factor, name in ((2.0, "twice the margin"), (0.5, "half the margin")):
            found = _decided(claim.relaxed(factor), look.effect, look.bounds, around)
            checks.append(Check(name, found != verdict, found))
    return tuple(checks)


def _verdict(claim: ClaimBase, data: Data, around: Circumstances, *, other: bool = False) -> Verdict:
    """Return the verdict on other data, whatever lost trials would have given; no estimate decides nothing."""
    try:
        bounds = [estimate(claim, filled, other=other) for filled in scenarios(claim, data)]
        return _decided(claim, estimate(claim, data, other=other), bounds, around)
    except ValueError:
        return "inconclusive"


def _decided(claim: ClaimBase, found: Estimate, bounds: Sequence[Estimate], around: Circumstances) -> Verdict:
    verdict = decide(claim, found, around).verdict
    return "inconclusive" if any(decide(claim, bound, around).verdict != verdict for bound in bounds) else verdict


def _leave_one_out(claim: ClaimBase, data: Data, around: Circumstances, verdict: Verdict) -> Check:
    units = _units(data)
    slow = isinstance(data, ItemData) or isinstance(claim, OptimumClaim) or claim.pool.rule == "interquartile mean"
    most = MOST_BOOTSTRAPS if slow else MOST_UNITS
    if units > most:
        return Check("leave one out", False, f"not tried: {units} units are more than {most}")
    if (
        claim.pool.rule == "interquartile mean"
        and isinstance(data, CellData)
        and data.cells.values.size > MOST_RESAMPLED
    ):
        return Check("leave one out", False, f"not tried: more than {MOST_RESAMPLED} values to resample each time")
    changed = []
    for name, rest in data.leave_one_out():
        found = _verdict(claim, rest, around)
        if found != verdict:
            changed.append(f"{found} without {name}")
    shown = "; ".join(changed[:NAMED]) + (f"; and {len(changed) - NAMED} more" if len(changed) > NAMED else "")
    return Check("leave one out", bool(changed), shown or verdict)


def _units(data: Data) -> int:
    if isinstance(data, CellData):
        return len(data.cells.replicates)
    if isinstance(data, RoundData):
        return len(data.groups) if len(data.groups) > 1 else sum(len(group) for group in data.groups)
    assert isinstance(data, ItemData)
    return len(data.replicates) if len(data.replicates) > 1 else len(set(data.classes))


def _other_name(data: Data) -> str:
    return f"Student's t over {data.clusters}" if isinstance(data, ItemData) else "signed ranks (no normal law assumed)"
