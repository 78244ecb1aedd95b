"""What stopping at a declared look saved."""

from __future__ import annotations

from collections.abc import Sequence

from harness.execution.display import duration
from harness.plan.state import PlanState, predicted_seconds
from harness.verdicts.judgement import Judgement


def all_decided(judgements: Sequence[Judgement]) -> bool:
    """Say whether more replicates could change nothing: there are confirmatory claims, and none of them is open."""
    confirmatory = [j for j in judgements if j.claim.family == "confirmatory"]
    return bool(confirmatory) and not any(j.verdict == "inconclusive" for j in confirmatory)


def saved_by_looks(state: PlanState, judgements: Sequence[Judgement]) -> str:
    """Say how many trials, and about how much time, an early stop saved; empty where there was none."""
    design, made = state.design, state.looks_made()
    if len(design.looks) < 2 or not made or made[-1] == design.replicates or not all_decided(judgements):
        return ""
    left = [entry for entry in state.states if entry.trial.replicate >= made[-1] and entry.status == "missing"]
    if not left:
        return ""
    seconds = predicted_seconds(state, left, 1)
    time = f", about {duration(seconds)} of trial time" if seconds else ""
    at = f"at {made[-1]} of at most {design.replicates} replicates"
    return f"every confirmatory claim is decided {at}; {len(left)} of {len(state.states)} trials were not needed{time}"
