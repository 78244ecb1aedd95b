"""``harness run``."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from harness.cli.main import INTERRUPTED, SOME_FAILED, UNUSABLE_INPUT
from harness.cli.options import Selection, design_options, select
from harness.cli.slurm import cluster_for, going_on, may_go_on, with_prediction
from harness.cli.stages import Stages, refuse_undecidable, saving
from harness.errors import UserError
from harness.execution.claims import Claims
from harness.execution.display import duration
from harness.execution.driver import EXECUTORS, Outcome, run_sweep, worker_count
from harness.execution.place import Place
from harness.execution.slurm.driver import Cluster, size_on
from harness.plan.device import require_device
from harness.plan.hooks import require_ready
from harness.plan.lock import lock_plan
from harness.plan.state import TrialState, predicted_seconds, progress_of
from harness.spec.arms import check_arms

TRACEBACKS_SHOWN = 3


@click.command("run")
@design_options
@click.option("--executor", type=click.Choice(EXECUTORS), default="local", show_default=True, help="Where trials run.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="At a time: trials here (default: what the CPUs "
              "hold), tasks on Slurm.")  # fmt: skip
@click.option("--detach", is_flag=True, help="On Slurm: return once the trials are submitted; see 'harness status'.")
@click.option("--retry-failed", is_flag=True, help="Run failed trials again.")
@click.option("--stale", type=click.Choice(["rerun", "keep"]), default="rerun", show_default=True,
              help="What becomes of results made with other code.")  # fmt: skip
@click.option("--underpowered", is_flag=True, help="Run a plan that can hardly decide its claims; the report says so.")
def run_command(
    executor: Any,
    jobs: int | None,
    detach: bool,
    retry_failed: bool,
    stale: str,
    underpowered: bool,
    **options: Any,
) -> int:
    """Run the trials of SPEC that are missing. Interrupt it when you like: what is finished stays finished.

    Where the spec declares looks, the sweep stops as soon as every confirmatory claim is decided. Where it tunes,
    tuning trials run first, and each arm's best levels are frozen before any trial that is reported.
    """
    if detach and executor != "slurm":
        raise UserError(f"--detach: goes with --executor slurm; trials of --executor {executor} end with their driver")
    selection = select(**options)
    check_arms(selection.design.experiment)
    if executor != "slurm":
        require_device(selection.design.device)
    cluster = cluster_for(selection.design, jobs, detach) if executor == "slurm" else None
    if cluster is not None and detach and may_go_on(selection.design):
        cluster = dataclasses.replace(cluster, then=going_on(options, jobs, stale, underpowered))
    Claims(selection.store.claims_folder(selection.design.name), Place.here()).clear_dead()
    for sentence in selection.state.damaged:
        click.echo(f"damaged and ignored: {sentence}", err=True)
    how = _How(executor, jobs, cluster)
    stages = Stages(selection, retry_failed, stale == "keep")
    wanted = stages.wanted()
    if not wanted:
        return _nothing_to_do(stages.selection, stale)
    require_ready(selection.design, [entry.trial for entry in wanted])
    unsure = refuse_undecidable(stages.selection, allowed=underpowered)
    selection.store.require_writable()
    lock_plan(stages.selection.state, selection.store, unsure)
    while wanted:
        status = _run_stage(stages, wanted, how)
        if status is not None:
            return status
        try:
            wanted = stages.wanted()
        except UserError as error:
            click.echo(f"harness: {error}", err=True)
            return SOME_FAILED
    return _conclude(stages.selection, Outcome())


@dataclass(frozen=True)
class _How:
    executor: Any
    jobs: int | None
    cluster: Cluster | None


def _run_stage(stages: Stages, wanted: Sequence[TrialState], how: _How) -> int | None:
    """Run what one stage wants; return an exit status where the sweep cannot go on."""
    selection, design = stages.selection, stages.selection.design
    cluster = how.cluster
    if cluster is None:
        workers = worker_count(design, how.jobs, len(wanted))
        where = f"{workers} at a time"
    else:
        cluster = with_prediction(cluster, selection.state, wanted)
        size = size_on(cluster, design.resources, len(wanted))
        workers = size.jobs
        tasks = "1 Slurm task" if size.tasks == 1 else f"{size.tasks} Slurm tasks"
        where = f"as {tasks}, at most {size.jobs} at a time"
    predicted = predicted_seconds(selection.state, wanted, workers)
    click.echo(_announcement(stages, len(wanted), where, predicted), err=True)
    outcome = run_sweep(
        design,
        wanted,
        selection.store,
        selection.state.code,
        executor=how.executor,
        jobs=how.jobs,
        predicted=predicted,
        cluster=cluster,
    )
    try:
        stages.refresh()
    except UserError as error:
        # The code moved into a state that cannot even be read, as while an editor saves it.
        if not outcome.code_moved:
            raise
        click.echo(f"harness: {error}", err=True)
    if cluster is not None and cluster.detach:
        return _detached(stages.selection, outcome)
    if outcome.interrupted or outcome.code_moved or outcome.store_error or outcome.cancelled:
        return _conclude(stages.selection, outcome)
    tried = {entry.trial.id for entry in wanted}
    left = [entry for entry in stages.selection.state.states if entry.trial.id in tried and entry.status == "missing"]
    if left:
        click.echo(f"{design.name}: {len(left)} trials were not run, {left[0].trial.id} first; run it again", err=True)
        return SOME_FAILED
    return None


def _announcement(stages: Stages, wanted: int, where: str, predicted: float | None) -> str:
    design, state = stages.selection.design, stages.selection.state
    stale = state.count("stale")
    parts = [f"{wanted} of {len(state.states)} trials to run"]
    parts += [stages.name()] if stages.name() else []
    parts += [f"{stale} of them because the code changed"] if stale else []
    parts += [where, f"on {design.device}"]
    parts += [f"about {duration(predicted)}"] if predicted else []
    return f"{design.name} ({design.profile_name}): {', '.join(parts)}"


def _detached(selection: Selection, outcome: Outcome) -> int:
    name = selection.design.name
    arrays = ", ".join(str(job) for job in outcome.jobs)
    if not outcome.detached:
        click.echo(
            f"{name}: nothing to submit; what is missing is running elsewhere ('harness status {name}')", err=True
        )
        return 0
    click.echo(
        f"{name}: {outcome.detached} tasks go on by themselves (job {arrays}); 'harness status {name}' shows how far, "
        f"'harness cancel {name}' ends them, and the same command without --detach follows them",
        err=True,
    )
    return 0


def _nothing_to_do(selection: Selection, stale: str) -> int:
    state = selection.state
    failed, old = state.count("failed"), state.count("stale")
    kept = f", {old} stale and kept" if old else ""
    lost = f", {failed} failed (--retry-failed runs them again)" if failed else ""
    done = f"{state.count('done')} of {len(state.states)} trials done"
    saved = f"; {saved}" if (saved := saving(selection)) else ""
    click.echo(f"{selection.design.name}: nothing to run; {done}{kept}{lost}{saved}", err=True)
    return SOME_FAILED if failed else 0


def _kind(entry: TrialState) -> str:
    failure = entry.counted.attempt.failure if entry.counted else None
    return failure.kind if failure else ""


def _conclude(selection: Selection, outcome: Outcome) -> int:
    """Say how the sweep ended, from what the store holds now, and return the exit status."""
    state = selection.state
    name = selection.design.name
    # So that 'harness status' need not open what this run has left.
    with contextlib.suppress(UserError):
        progress_of(selection.design, selection.store)
    if outcome.store_error:
        click.echo(f"harness: {outcome.store_error}; {state.count('done')} finished trials are kept", err=True)
        return UNUSABLE_INPUT
    failures = [entry for entry in state.states if entry.status == "failed"]
    for entry in failures[:TRACEBACKS_SHOWN]:
        failure = entry.counted.attempt.failure if entry.counted else None
        if failure is not None:
            click.echo(f"\nfailed: {entry.trial.id} ({failure.kind}): {failure.message}", err=True)
            click.echo(failure.traceback.rstrip(), err=True)
    if len(failures) > TRACEBACKS_SHOWN:
        click.echo(f"\n... and {len(failures) - TRACEBACKS_SHOWN} more failed trials", err=True)
    click.echo(f"{name}: {state.count('done')} of {len(state.states)} trials done, {len(failures)} failed", err=True)
    if saved := saving(selection):
        click.echo(f"{name}: {saved}", err=True)
    if outcome.interrupted:
        arrays = ", ".join(str(job) for job in outcome.jobs)
        goes_on = f"Slurm job {arrays} goes on ('harness cancel {name}' ends it); " if arrays else ""
        click.echo(f"{name}: interrupted; {goes_on}the same command goes on where it stopped", err=True)
        return INTERRUPTED
    cancelled = outcome.cancelled + sum(_kind(entry) == "cancelled" for entry in failures)
    if cancelled:
        click.echo(f"{name}: tasks were cancelled; the same command runs the {cancelled} trials they left", err=True)
        return SOME_FAILED
    if outcome.code_moved:
        click.echo(f"{name}: the code changed while its trials waited; run the command again", err=True)
        return SOME_FAILED
    sys.stderr.flush()
    return SOME_FAILED if failures else 0
