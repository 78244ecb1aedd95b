"""``harness cancel``: takes a sweep off a cluster."""

from __future__ import annotations

import click

from harness.cli.options import store_option
from harness.errors import UserError
from harness.execution.slurm.adoption import find_job
from harness.execution.slurm.controller import Controller, NoAnswer
from harness.execution.slurm.states import state_called
from harness.execution.slurm.submission import Submission, open_submissions
from harness.spec.find import find_experiment
from harness.store.store import Store


@click.command("cancel")
@click.argument("spec")
@click.option("--profile", metavar="P", help="Only what was submitted for this profile.")
@store_option
def cancel_command(spec: str, profile: str | None, store: str | None) -> None:
    """End the Slurm jobs that SPEC's sweeps in this store have submitted, and no others.

    What is finished stays finished; 'harness run' goes on with the rest. A run on this machine ends with Ctrl-C.
    """
    experiment = find_experiment(spec)
    if profile is not None and profile not in experiment.spec.profiles:
        raise UserError(f"{experiment.name}: no profile '{profile}' (known: {', '.join(experiment.spec.profiles)})")
    wanted = open_submissions(Store.at(store), experiment.name)
    wanted = [found for found in wanted if profile is None or found.profile == profile]
    ended = 0
    for submission in wanted:
        controller = Controller()
        try:
            find_job(submission, controller)
            job = submission.job
            # A number may have come again; the name has not.
            tasks = [task for task in controller.queue([job] if job else []) if task.name == submission.name]
            phases = [phase for task in tasks if (phase := state_called(task.state).phase) != "ended"]
            waiting = phases.count("waiting")
            running = len(phases) - waiting
            # Whether or not Slurm has it yet: its tasks see the mark when they begin.
            submission.mark("cancelled")
            if running or waiting:
                _cancel(submission, controller)
                ended += 1
                click.echo(f"{experiment.name}: job {job} cancelled: {running} tasks that ran, {waiting} that waited")
        except NoAnswer as error:
            raise UserError(
                f"{experiment.name}: Slurm does not answer ({error}); try again, or see 'scancel'"
            ) from error
    if not ended:
        click.echo(f"{experiment.name}: nothing of it is on a cluster")


def _cancel(submission: Submission, controller: Controller) -> None:
    try:
        controller.cancel([str(submission.job)])
    except NoAnswer:
        # It was not cancelled, so nothing may say so.
        submission.unmark("cancelled")
        raise
