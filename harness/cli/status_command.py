"""``harness status``: how far the experiments are."""

from __future__ import annotations

import time

import click

from harness.cli.options import store_option
from harness.execution import claims
from harness.plan.design import make_design
from harness.plan.state import state_of
from harness.spec.find import all_experiments, find_experiment
from harness.spec.load import Experiment
from harness.store.store import Store


@click.command("status")
@click.argument("spec", required=False)
@click.option("--profile", metavar="P", help="One profile (default: each that has results).")
@store_option
def status_command(spec: str | None, profile: str | None, store: str | None) -> None:
    """Show done, failed, stale, running and missing trials of SPEC, or of every experiment with results."""
    place = Store.at(store)
    experiments = [find_experiment(spec)] if spec else all_experiments()
    shown = False
    for experiment in experiments:
        for name in [profile] if profile else list(experiment.spec.profiles):
            line = _line(experiment, name, place)
            if line:
                click.echo(line)
                shown = True
    if not shown:
        click.echo(f"no results in {place.root}")


def _line(experiment: Experiment, profile: str, store: Store) -> str:
    design = make_design(experiment, profile)
    state = state_of(design, store)
    running = sum(_is_held(store, experiment.name, entry.trial.id) for entry in state.states)
    if not running and not any(entry.counted for entry in state.states):
        return ""
    counts = {name: state.count(name) for name in ("done", "failed", "stale", "missing")}
    counts["missing"] -= min(running, counts["missing"])
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    parts += [f"{running} running"] if running else []
    text = f"{experiment.name} ({profile}): {', '.join(parts)}, of {len(state.states)}"
    if design.select is not None:
        text += "; levels frozen" if state.selection is not None else "; still tuning"
    made = state.looks_made()
    if len(design.looks) > 1 and made:
        text += f"; look at {made[-1]} of at most {design.replicates} replicates made"
    return text


def _is_held(store: Store, experiment: str, trial: str) -> bool:
    claim = claims.read(store.claims_folder(experiment) / f"{trial}.json")
    return claim is not None and claim.held_by_live_process(time.time())
