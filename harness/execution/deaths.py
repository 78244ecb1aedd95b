"""Workers on this machine that end: told by themselves, killed, or stopped because a trial took too long."""

from __future__ import annotations

import time

from harness.errors import UserError
from harness.execution.ends import Unfinished, overdue, record_end
from harness.execution.sweep import Sweep, SweepWorker, note, review, wait_for
from harness.store.attempt import Failure

DEATHS_BEFORE_FIRST = 2
"""How many workers may die before their first trial within one run."""


def bury(sweep: Sweep) -> None:
    """Take leave of workers that ended, and find out what became of the trials they had in hand."""
    for worker in [worker for worker in sweep.workers if not worker.job.running()]:
        for event in worker.events.read():
            note(sweep, worker, event)
        sweep.workers.remove(worker)
        if not worker.ended and not sweep.outcome.code_moved:
            _died(sweep, worker)
        if not sweep.outcome.store_error:
            # What it passed over was finished by somebody else, or somebody else is at it.
            review(sweep, [name for name in worker.trials if name in sweep.pending])


def _died(sweep: Sweep, worker: SweepWorker) -> None:
    """A worker ended without saying so: a full disk, or it was killed."""
    sweep.outcome.store_error = sweep.store.problem()
    if sweep.outcome.store_error:
        return
    output = worker.job.output()
    if worker.current is None:
        sweep.died_early += 1
        if sweep.died_early > DEATHS_BEFORE_FIRST:
            last = (output.strip().splitlines() or ["nothing"])[-1]
            raise UserError(f"{sweep.design.name}: workers end before their first trial; the last one said: {last}")
        return
    _record(sweep, worker, Failure("killed", "killed", "the worker's process ended in the middle of the trial", output))


def _record(sweep: Sweep, worker: SweepWorker, failure: Failure) -> None:
    name = str(worker.current)
    trial = sweep.pending.get(name)
    if trial is None:
        return
    deadline = time.monotonic() + 5
    while sweep.claims.is_held(name) and time.monotonic() < deadline:
        time.sleep(0.05)
    # Where it finished after all, a moment before its process ended, that attempt stands and nothing is written.
    place = sweep.claims.place.kept()
    unfinished = Unfinished(trial, worker.attempt, worker.began, f"{worker.name}@{place['host']}", place)
    record_end(sweep.store, sweep.design.name, sweep.run, sweep.code, unfinished, failure)
    sweep.tally.running.discard(name)
    review(sweep, [name])


def end_overdue(sweep: Sweep) -> None:
    """End a worker whose trial takes longer than the spec allows."""
    limit = sweep.design.resources.minutes * 60
    for worker in list(sweep.workers):
        if worker.current is not None and time.monotonic() - worker.since > limit:
            worker.job.stop()
            wait_for([worker])
            sweep.workers.remove(worker)
            _record(sweep, worker, overdue(sweep.design.resources.minutes, worker.job.output()))
