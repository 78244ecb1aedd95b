"""What a plan will cost before anything of it has run: operations counted from parameters, over a declared rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError
from harness.plan.design import Design
from harness.plan.state import PlanState
from harness.plan.trials import Trial, expand, outer_arm
from harness.spec.signature import imported


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
    """
    design = state.design
    rate = design.resources.teraflops
    if design.experiment.spec.operations is None or rate is None:
        return None
    count = _counter(design)
    done = {entry.trial.id for entry in state.states if entry.status == "done"}
    seen: dict[str, float] = {}
    wanted = [trial for trial in _at_most(state) if trial.id not in done]
    operations = 0.0
    for trial in wanted:
        key = repr(sorted(trial.parameters.items(), key=lambda item: item[0]))
        if key not in seen:
            seen[key] = count(trial.parameters)
        operations += seen[key]
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


def _counter(design: Design) -> Callable[[Mapping[str, Any]], float]:
    """Return the function that counts a trial's operations, with parameters checked as the trial function gets them."""
    experiment = design.experiment
    name = experiment.spec.operations
    assert name is not None
    try:
        function = imported(name, experiment.search, "function that counts operations")
    except UserError as error:
        raise experiment.source.error(("operations",), str(error)) from error
    known = design.function.parameters

    def count(parameters: Mapping[str, Any]) -> float:
        given = {key: known[key].check(value) for key, value in parameters.items() if key in known}
        missing = {key: p.default for key, p in known.items() if key not in given}
        try:
            return float(function(**missing | given))
        except Exception as error:
            message = f"'{name}' fails for a trial of this plan with {type(error).__name__}: {error}"
            raise experiment.source.error(("operations",), message) from error

    return count
