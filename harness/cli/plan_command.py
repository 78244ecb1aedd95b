"""``harness plan``: what would run, and how long it would take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import Selection, design_options, select
from harness.cli.stages import seconds_of_replicate
from harness.errors import NotKnownYet
from harness.execution.display import duration
from harness.execution.driver import worker_count
from harness.plan.cost import predicted_cost
from harness.plan.design import Design
from harness.plan.lock import deviations
from harness.plan.state import PlanState, due, predicted_seconds
from harness.plan.trials import outer_arm
from harness.spec.claims import RatioClaim

if TYPE_CHECKING:
    from harness.verdicts.planned_power import PlannedPower


@click.command("plan")
@design_options
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Trials at a time, for the predicted time.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option("--pilot", metavar="P", help="A profile with results whose spread the power is computed from.")
@click.option("--trials", "show_trials", is_flag=True, help="List every trial with its state.")
def plan_command(jobs: int | None, as_json: bool, pilot: str | None, show_trials: bool, **options: Any) -> None:
    """Show the trials of SPEC, the time that those not done will take, and the power of each claim.

    The power is the chance that the plan decides the claim if the effect is what was published (or what the claim's
    'planning' declares); it needs a standard deviation, from earlier attempts, a pilot profile or a declaration.
    """
    selection = select(**options)
    powers = _powers(selection, select(**{**options, "profile": pilot}) if pilot else None)
    plan = describe_plan(selection, jobs, powers)
    if as_json:
        click.echo(json.dumps(plan, indent=2))
        return
    counts = plan["trials"]
    click.echo(f"{plan['experiment']}, profile {plan['profile']}, on {selection.design.device}")
    click.echo("  " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    if counts["planned"] - counts["done"]:
        click.echo(f"  time for what is missing: {_time(plan, selection.design)}")
    for sentence in selection.state.damaged:
        click.echo(f"  damaged: {sentence}")
    for sentence in deviations(selection.state, selection.store):
        click.echo(f"  deviation: {sentence}")
    for power in powers:
        click.echo(f"  power: {power_line(power, selection.design)}")
    if show_trials:
        for entry in selection.state.states:
            click.echo(f"  {entry.status:8} {entry.trial.id}")


def _time(plan: Mapping[str, Any], design: Design) -> str:
    cost = plan.get("predicted_cost")
    known = "unknown: no attempt of it is stored yet"
    if "cost_unknown" in plan:
        known += f", and its operations cannot be counted. {plan['cost_unknown']}"
    if plan["predicted_seconds"] is not None:
        known = f"about {duration(plan['predicted_seconds'])}"
    if cost is None:
        return known
    hours = "GPU hours" if design.resources.gpus else "processor hours"
    source = "by earlier attempts" if cost["measured"] else "by operations, since no attempt of it is stored yet"
    rate = f"at {design.resources.teraflops:g} Tflop/s a trial"
    counted = f"{cost['operations']:.3g} operations in {cost['trials']} trials, {rate}"
    return f"{known} {source}; {cost['device_hours']:,.1f} {hours} ({counted})"


def _powers(selection: Selection, pilot: Selection | None) -> list[PlannedPower]:
    """Return the power of each claim; the statistics behind it are loaded only where there are claims."""
    if not selection.design.experiment.claims:
        return []
    from harness.verdicts.planned_power import planned_power

    seconds = seconds_of_replicate(selection.state, 1)
    return planned_power(selection.state, pilot.state if pilot else None, seconds)


def power_line(power: PlannedPower, design: Design) -> str:
    """Return what a plan can find for one claim, in one line."""
    claim = next(r.claim for r in design.experiment.claims if r.claim.id == power.claim)
    if power.sd is None:
        unknown = power.unknown or "not known: no earlier attempts, no pilot, no declared spread"
        return f"{power.claim}: {power.problem or unknown}"
    size = f"a factor of {power.mde:.3g}" if isinstance(claim, RatioClaim) else f"{power.mde:.3g} {claim.unit}".rstrip()
    text = f"{power.claim}: {power.units} units find {size} from the threshold in 80 of 100 cases"
    text += f" (sd {power.sd:.3g} from {power.sd_from}; level {power.level:.3g})"
    if power.power is None:
        return text
    text += f"; decides in {power.power:.0%} if the effect is {power.effect:g} ({power.effect_from})"
    if power.expected_units is not None:
        text += f", after {power.expected_units:.1f} units on average"
    if not power.decides and power.needed is not None:
        cost = f", about {duration(power.seconds)} more" if power.seconds else ""
        text += f"; {power.needed} replicates would decide{cost}"
    return text


def describe_plan(selection: Selection, jobs: int | None, powers: Sequence[PlannedPower]) -> dict[str, Any]:
    """Return the plan in the shape that ``--json`` prints; a claim without a power, such as a count, has null."""
    state = selection.state
    wanted = due(state, retry_failed=False, keep_stale=False)
    workers = worker_count(selection.design, jobs, len(wanted))
    seconds = predicted_seconds(state, wanted, workers)
    cost, unknown = None, ""
    try:
        cost = predicted_cost(state, workers)
    except NotKnownYet as error:
        unknown = str(error)
    known = {power.claim: power.row() for power in powers}
    plan: dict[str, Any] = {
        "experiment": selection.design.name,
        "profile": selection.design.profile_name,
        "trials": {
            "planned": len(state.states),
            "done": state.count("done"),
            "failed": state.count("failed"),
            "stale": state.count("stale"),
        },
        "predicted_seconds": cost.seconds if seconds is None and cost is not None else seconds,
        "power": {r.claim.id: known.get(r.claim.id) for r in selection.design.experiment.claims},
    }
    if unknown:
        plan["cost_unknown"] = unknown
    if cost is not None:
        plan["predicted_cost"] = {
            "trials": cost.trials,
            "operations": cost.operations,
            "device_hours": cost.device_hours,
            "measured": seconds is not None,
        }
    if len(selection.design.looks) > 1:
        plan["looks"] = list(selection.design.looks)
    if selection.design.select is not None:
        plan["select"] = describe_selection(state)
    return plan


def describe_selection(state: PlanState) -> dict[str, Any]:
    """Return how far tuning is, and how many trials will be reported: at most two readings of each arm."""
    select = state.design.select
    assert select is not None
    tuning = [entry for entry in state.states if "tuning" in entry.trial.readings]
    arms = {outer_arm(state.design, entry.trial.arm) for entry in tuning}
    return {
        "tuning_trials": len(tuning),
        "frozen": None
        if state.selection is None
        else {arm: dict(levels) for arm, levels in state.selection.best.items()},
        "reported_trials_at_most": 2 * len(arms) * state.design.replicates,
    }
