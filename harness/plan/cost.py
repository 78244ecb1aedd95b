"""What a plan will cost before anything of it has run: operations counted from parameters, over a declared rate."""

from __future__ import annotations

from dataclasses import dataclass

from harness.plan.hooks import Hook
from harness.plan.state import PlanState
from harness.plan.trials import Trial, expand, outer_arm


@dataclass(frozen=True)
class Cost:
    """The cost of the trials that are not done.

    ``trials`` includes the reported trials of a design that is not tuned yet: at most two readings of each arm.
    ``device_hours`` are hours of one GPU (of one processor where a trial takes none).
    """

    trials: int
    operations: float
    seconds: float
    device_hours: float


def predicted_cost(state: PlanState, workers: int) -> Cost | None:
    """Return the cost by counted operations; None where the spec counts none or the profile declares no rate.

    Raises:
        UserError: the function that counts does not exist, or fails for a trial of the plan.
        NotKnownYet: it cannot say yet.
    """
    design = state.design
    rate = design.resources.teraflops
    if design.experiment.spec.operations is None or rate is None:
        return None
    count = Hook(design, "operations", design.experiment.spec.operations)
    done = {entry.trial.id for entry in state.states if entry.status == "done"}
    wanted = [trial for trial in _at_most(state) if trial.id not in done]
    operations = float(sum(count(trial) for trial in wanted))
    seconds = operations / (rate * 1e12)
    devices = max(1, design.resources.gpus)
    return Cost(len(wanted), operations, seconds / max(1, workers), seconds * devices / 3600)


def _at_most(state: PlanState) -> list[Trial]:
    """Return the trials of a plan; before it is tuned, each tuned arm's matched trials stand for its best ones too."""
    design = state.design
    if design.select is None or state.selection is not None:
        return [entry.trial for entry in state.states]
    trials = expand(design, {})
    tuned = {outer_arm(design, trial.arm) for trial in trials if "tuning" in trial.readings}
    best = [t for t in trials if "matched" in t.readings and outer_arm(design, t.arm) in tuned]
    return [*trials, *best]
