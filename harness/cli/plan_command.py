"""``harness plan``: what would run, and how long it would take."""

from __future__ import annotations

import json
from typing import Any

import click

from harness.cli.options import Selection, design_options, select
from harness.execution.display import duration
from harness.execution.driver import worker_count
from harness.plan.state import due, predicted_seconds


@click.command("plan")
@design_options
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Trials at a time, for the predicted time.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option("--trials", "show_trials", is_flag=True, help="List every trial with its state.")
def plan_command(jobs: int | None, as_json: bool, show_trials: bool, **options: Any) -> None:
    """Show the trials of SPEC: planned, done, failed, stale, and the time that the rest will take."""
    selection = select(**options)
    plan = describe_plan(selection, jobs)
    if as_json:
        click.echo(json.dumps(plan, indent=2))
        return
    counts = plan["trials"]
    click.echo(f"{plan['experiment']}, profile {plan['profile']}, on {selection.design.device}")
    click.echo("  " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    seconds = plan["predicted_seconds"]
    rest = counts["planned"] - counts["done"]
    if rest:
        known = "unknown: no attempt of it is stored yet" if seconds is None else f"about {duration(seconds)}"
        click.echo(f"  time for what is missing: {known}")
    for sentence in selection.state.damaged:
        click.echo(f"  damaged: {sentence}")
    if show_trials:
        for entry in selection.state.states:
            click.echo(f"  {entry.status:8} {entry.trial.id}")


def describe_plan(selection: Selection, jobs: int | None) -> dict[str, Any]:
    """Return the plan in the shape that ``--json`` prints."""
    state = selection.state
    wanted = due(state, retry_failed=False, keep_stale=False)
    workers = worker_count(selection.design, jobs, len(wanted))
    return {
        "experiment": selection.design.name,
        "profile": selection.design.profile_name,
        "trials": {
            "planned": len(state.states),
            "done": state.count("done"),
            "failed": state.count("failed"),
            "stale": state.count("stale"),
        },
        "predicted_seconds": predicted_seconds(state, wanted, workers),
        "power": {registered.claim.id: None for registered in selection.design.experiment.claims},
    }
