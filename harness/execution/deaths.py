"""Workers that end: told by themselves, killed, or stopped because a trial took too long."""

from __future__ import annotations

import time

from harness.errors import UserError
from harness.execution import claims
from harness.execution.orders import OrderedTrial
from harness.execution.sweep import Sweep, SweepWorker, note, settle, wait_for
from harness.store.attempt import Attempt, Failure, write_attempt
from harness.store.store import new_attempt_id

DEATHS_PER_TRIAL = 2
"""How often a worker may die in the same trial within one run before the trial is left as failed."""


def bury(sweep: Sweep) -> None:
    """Take leave of workers that ended, and find out what became of the trial a dead one was at."""
    for worker in [worker for worker in sweep.workers if not worker.job.running()]:
        for event in worker.events.read():
            note(sweep, worker, event)
        sweep.workers.remove(worker)
        if worker.ended:
            _drop_answered(sweep, worker)
        elif not sweep.outcome.code_moved:
            _died(sweep, worker)


def _drop_answered(sweep: Sweep, worker: SweepWorker) -> None:
    """Settle what a worker passed over because another driver finished it, or is at it."""
    for name in worker.trials:
        if name in sweep.pending and not any(other.current == name for other in sweep.workers):
            trial = sweep.pending[name]
            new = set(sweep.store.attempt_ids(sweep.design.name, name)) - set(trial.known_attempts)
            held = claims.read(sweep.store.claims_folder(sweep.design.name) / f"{name}.json")
            if new or (held is not None and held.held_by_live_process(time.time())):
                settle(sweep, name, failed=False)


def _died(sweep: Sweep, worker: SweepWorker) -> None:
    """A worker ended without saying so: a full disk, or it was killed."""
    sweep.outcome.store_error = sweep.store.problem()
    if sweep.outcome.store_error:
        return
    output = worker.job.output()
    if worker.current is None:
        sweep.deaths[""] = sweep.deaths.get("", 0) + 1
        if sweep.deaths[""] > DEATHS_PER_TRIAL:
            last = (output.strip().splitlines() or ["nothing"])[-1]
            raise UserError(f"{sweep.design.name}: workers end before their first trial; the last one said: {last}")
        return
    _record_death(sweep, worker.current, "killed", "the worker's process ended in the middle of the trial", output)


def _record_death(sweep: Sweep, name: str, kind: str, message: str, output: str) -> None:
    trial = sweep.pending.get(name)
    if trial is None:
        return
    claim = sweep.store.claims_folder(sweep.design.name) / f"{name}.json"
    holder = claims.read(claim)
    deadline = time.monotonic() + 5
    while holder and holder.held_by_live_process(time.time()) and time.monotonic() < deadline:
        time.sleep(0.05)
    # It may have finished after all, a moment before its process ended.
    if set(sweep.store.attempt_ids(sweep.design.name, name)) - set(trial.known_attempts):
        settle(sweep, name, failed=False)
        return
    now = time.time()
    attempt = Attempt(
        id=new_attempt_id(now),
        trial=name,
        experiment=sweep.design.name,
        identity=trial.identity,
        arm=trial.arm,
        replicate=trial.replicate,
        records=(),
        failure=Failure(kind, kind, message, output),
        started=now,
        seconds=0.0,
        code=sweep.code,
        environment="",
        run=sweep.run,
        worker="driver",
    )
    folder = sweep.store.attempts_folder(sweep.design.name, name)
    folder.mkdir(parents=True, exist_ok=True)
    write_attempt(folder, attempt, {}, None)
    claims.release(claim)
    sweep.tally.running.discard(name)
    sweep.deaths[name] = sweep.deaths.get(name, 0) + 1
    if sweep.deaths[name] >= DEATHS_PER_TRIAL or kind == "time limit":
        settle(sweep, name, failed=True)
    else:
        known = (*trial.known_attempts, attempt.id)
        sweep.pending[name] = OrderedTrial(**{**trial.__dict__, "known_attempts": known})


def end_overdue(sweep: Sweep) -> None:
    """End a worker whose trial takes longer than the spec allows."""
    limit = sweep.design.resources.minutes * 60
    for worker in list(sweep.workers):
        if worker.current is not None and time.monotonic() - worker.since > limit:
            name = worker.current
            worker.job.stop()
            wait_for([worker])
            sweep.workers.remove(worker)
            message = f"took longer than the {sweep.design.resources.minutes:g} minutes that its resources allow"
            _record_death(sweep, name, "time limit", message, worker.job.output())
