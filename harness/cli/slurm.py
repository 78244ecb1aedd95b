"""A sweep on a cluster, as the command line asks for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import NotKnownYet, UserError
from harness.execution.slurm.continuation import stages_begun
from harness.execution.slurm.controller import Controller, NoAnswer
from harness.execution.slurm.driver import Cluster, gpus_of
from harness.plan.design import Design
from harness.plan.state import PlanState, TrialState, predicted_seconds
from harness.spec.site import slurm_options


def cluster_for(design: Design, jobs: int | None, detach: bool) -> Cluster:
    """Ask the controller, and put together what a sweep on Slurm needs.

    Raises:
        UserError: there is no Slurm here, its controller does not answer, or the site's file cannot be used.
    """
    options = slurm_options(design.resources.slurm, gpus_of(design))
    controller = Controller()
    limits = controller.require()
    try:
        longest = controller.longest_minutes(options.partition)
    except NoAnswer as error:
        which = f"the partition '{options.partition}'" if options.partition else "a default partition"
        raise UserError(f"--executor slurm: {which} is not known here ({error})") from error
    return Cluster(controller, limits, options, longest, jobs, None, detach)


def may_go_on(design: Design) -> bool:
    """Say whether a detached sweep has a stage after this one that it may begin by itself."""
    stages = len(design.looks) + (design.select is not None)
    return stages_begun() < stages - 1


def going_on(options: Mapping[str, Any], jobs: int | None, stale: str, underpowered: bool) -> tuple[str, ...]:
    """Return the arguments by which a detached sweep begins its next stage.

    Failed trials are not asked for again: a stage in which one fails each time would never end.
    """
    arguments = ["run", str(options["spec"]), "--executor", "slurm", "--detach", "--stale", stale]
    for name in ("profile", "replicates", "device", "store"):
        if options[name] is not None:
            arguments += [f"--{name}", str(options[name])]
    for setting in options["settings"]:
        arguments += ["--set", setting]
    arguments += ["--jobs", str(jobs)] if jobs else []
    arguments += ["--underpowered"] if underpowered else []
    return tuple(arguments)


def with_prediction(cluster: Cluster, state: PlanState, wanted: Sequence[TrialState]) -> Cluster:
    """Add what one of the wanted trials should take: from earlier attempts, or else from counted operations."""
    total = predicted_seconds(state, wanted, 1)
    if total is None:
        from harness.plan.cost import predicted_cost

        try:
            cost = predicted_cost(state, 1)
        except NotKnownYet:
            cost = None
        if cost is None or not cost.trials:
            return dataclasses.replace(cluster, expected_seconds=None)
        return dataclasses.replace(cluster, expected_seconds=cost.seconds / cost.trials)
    return dataclasses.replace(cluster, expected_seconds=total / max(1, len(wanted)))
