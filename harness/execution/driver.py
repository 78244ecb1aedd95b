"""The driver: orders trials from workers, follows what they say, and replaces those that die.

Outcomes are collected one by one. What counts in the end is read from the store, not from a worker's word.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from harness.errors import UserError
from harness.execution import claims
from harness.execution.display import Display, Tally
from harness.execution.launchers import Job, Launcher, LocalLauncher
from harness.execution.orders import EventReader, Order, OrderedTrial, ProcessName
from harness.execution.worker import execute
from harness.plan.design import Design
from harness.plan.state import TrialState
from harness.store.atomic import write_json
from harness.store.attempt import Attempt, Failure, write_attempt
from harness.store.store import Store, new_attempt_id

Executor = Literal["inline", "local"]
EXECUTORS: tuple[Executor, ...] = ("inline", "local")
DEATHS_PER_TRIAL = 2
"""How often a worker may die in the same trial within one run before the trial is left as failed."""


@dataclass
class Outcome:
    """How a run of a sweep ended."""

    run: str
    executed: int = 0
    failed: int = 0
    interrupted: bool = False
    code_moved: bool = False
    store_error: str = ""


@dataclass
class _Worker:
    """A launched worker: its job, what it reports, and the trial it is at."""

    name: str
    job: Job
    events: EventReader
    trials: list[str]
    current: str | None = None
    since: float = 0.0
    ended: bool = False


@dataclass
class _Sweep:
    """The state of one run of the driver."""

    design: Design
    store: Store
    code: str
    run: str
    folder: Path
    threads: int
    pending: dict[str, OrderedTrial]
    tally: Tally
    outcome: Outcome
    workers: list[_Worker] = field(default_factory=list)
    deaths: dict[str, int] = field(default_factory=dict)
    launched: int = 0


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def worker_count(design: Design, jobs: int | None, trials: int) -> int:
    """Return how many trials run at a time: bounded by ``jobs``, by CPUs a trial, and by the trials there are."""
    if design.resources.exclusive:
        return min(1, trials)
    fitting = max(1, available_cpus() // design.resources.cpus)
    return max(0, min(jobs or fitting, fitting, trials))


def run_sweep(
    design: Design,
    wanted: Sequence[TrialState],
    store: Store,
    code: str,
    *,
    executor: Executor = "local",
    jobs: int | None = None,
    predicted: float | None = None,
) -> Outcome:
    """Execute trials and return how it ended. Finished work stays finished, whatever happens.

    Raises:
        UserError: the store cannot be written.
    """
    store.require_writable()
    run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}"
    folder = store.runs_folder(design.name) / run
    folder.mkdir(parents=True)
    sweep = _Sweep(
        design,
        store,
        code,
        run,
        folder,
        min(design.resources.cpus, available_cpus()),
        {entry.trial.id: _ordered(entry) for entry in wanted},
        Tally(len(wanted), predicted=predicted),
        Outcome(run),
    )
    write_json(folder / "run.json", _description(sweep, executor))
    with Display(design.name, sweep.tally) as display:
        try:
            if executor == "inline":
                _inline(sweep, display)
            else:
                slots = worker_count(design, jobs, len(wanted))
                launcher = LocalLauncher(folder / "logs", design, sweep.threads)
                _follow(sweep, launcher, slots, display)
        except KeyboardInterrupt:
            sweep.outcome.interrupted = True
            _stop(sweep)
            _collect(sweep)
    return sweep.outcome


def _ordered(entry: TrialState) -> OrderedTrial:
    trial = entry.trial
    return OrderedTrial(
        trial.id, trial.arm, trial.blocked, trial.parameters, trial.replicate, trial.identity, entry.known
    )


def _description(sweep: _Sweep, executor: str) -> dict[str, object]:
    return {
        "experiment": sweep.design.name,
        "profile": sweep.design.profile_name,
        "executor": executor,
        "code": sweep.code,
        "command": sys.argv,
        "host": platform.node(),
        "started": time.time(),
        "trials": list(sweep.pending),
    }


def _order(sweep: _Sweep, trials: Sequence[OrderedTrial], driver: ProcessName | None) -> Order:
    return Order(
        sweep.run,
        sweep.design.name,
        str(sweep.store.root),
        sweep.design.function.name,
        tuple(str(folder) for folder in sweep.design.experiment.search),
        sweep.code,
        sweep.design.device,
        sweep.threads,
        sweep.design.resources.minutes * 60,
        driver,
        tuple(trials),
    )


def _inline(sweep: _Sweep, display: Display) -> None:
    """Run the trials in this process, for debugging: prints and breakpoints reach the terminal."""
    reader = EventReader(sweep.folder / "events-inline.jsonl")
    worker = _Worker("inline", _NoJob(), reader, list(sweep.pending))
    sweep.workers.append(worker)
    for trial in list(sweep.pending.values()):
        execute(_order(sweep, [trial], None), sweep.folder / "events-inline.jsonl", "inline")
        _collect(sweep)
        display.update()
        if sweep.outcome.code_moved:
            return


class _NoJob:
    """Stands for the driver's own process."""

    def running(self) -> bool:
        return True

    def stop(self) -> None:
        pass

    def output(self) -> str:
        return ""


def _follow(sweep: _Sweep, launcher: Launcher, slots: int, display: Display) -> None:
    """Keep up to ``slots`` workers busy until nothing is pending."""
    me = psutil.Process()
    driver = ProcessName(me.pid, me.create_time())
    pause = 0.02
    while True:
        changed = _collect(sweep)
        _bury(sweep)
        _end_overdue(sweep)
        if sweep.outcome.store_error or sweep.outcome.code_moved:
            _stop(sweep)
            return
        while len(sweep.workers) < slots and (trials := _next_chunk(sweep)):
            _launch(sweep, launcher, trials, driver)
        display.update()
        if not sweep.workers:
            return
        # Look often while trials are short, seldom while one is being timed.
        pause = 0.02 if changed else min(0.5, pause * 1.5)
        time.sleep(pause)


def _next_chunk(sweep: _Sweep) -> list[OrderedTrial]:
    """Return the trials for a new worker: all that are pending, shared by claims, or one for a fresh process."""
    if not sweep.design.resources.fresh_process:
        # Another worker that still runs may have them all in hand already.
        under_way = {worker.current for worker in sweep.workers}
        return [trial for name, trial in sweep.pending.items() if name not in under_way]
    in_hand = {name for worker in sweep.workers for name in worker.trials}
    return next(([trial] for name, trial in sweep.pending.items() if name not in in_hand), [])


def _launch(sweep: _Sweep, launcher: Launcher, trials: list[OrderedTrial], driver: ProcessName) -> None:
    sweep.launched += 1
    name = f"worker{sweep.launched}"
    order_path = sweep.folder / f"order-{name}.json"
    events_path = sweep.folder / f"events-{name}.jsonl"
    _order(sweep, trials, driver).write(order_path)
    job = launcher.launch(order_path, events_path, name)
    sweep.workers.append(_Worker(name, job, EventReader(events_path), [trial.id for trial in trials]))


def _collect(sweep: _Sweep) -> bool:
    """Read what the workers reported since the last look; say whether there was anything."""
    changed = False
    for worker in sweep.workers:
        for event in worker.events.read():
            changed = True
            _note(sweep, worker, event)
    return changed


def _note(sweep: _Sweep, worker: _Worker, event: dict[str, object]) -> None:
    kind, trial = event["event"], str(event.get("trial", ""))
    if kind == "started":
        worker.current, worker.since = trial, time.monotonic()
        sweep.tally.running.add(trial)
    elif kind == "progress":
        sweep.tally.within[trial] = (int(str(event["done"])), int(str(event["total"])))
    elif kind == "finished":
        worker.current = None
        _settle(sweep, trial, failed=event["failure"] is not None)
    elif kind == "code-moved":
        sweep.outcome.code_moved = True
    elif kind == "end":
        worker.ended = True


def _settle(sweep: _Sweep, trial: str, failed: bool) -> None:
    sweep.tally.running.discard(trial)
    sweep.tally.within.pop(trial, None)
    if sweep.pending.pop(trial, None) is None:
        return
    sweep.tally.finished += 1
    sweep.tally.failed += failed
    sweep.outcome.executed += 1
    sweep.outcome.failed += failed


def _bury(sweep: _Sweep) -> None:
    """Take leave of workers that ended, and find out what became of the trial a dead one was at."""
    for worker in [worker for worker in sweep.workers if not worker.job.running()]:
        for event in worker.events.read():
            _note(sweep, worker, event)
        sweep.workers.remove(worker)
        if worker.ended:
            _drop_answered(sweep, worker)
        elif not sweep.outcome.code_moved:
            _died(sweep, worker)


def _drop_answered(sweep: _Sweep, worker: _Worker) -> None:
    """Settle what a worker passed over because another driver finished it, or is at it."""
    for name in worker.trials:
        if name in sweep.pending and not any(other.current == name for other in sweep.workers):
            trial = sweep.pending[name]
            new = set(sweep.store.attempt_ids(sweep.design.name, name)) - set(trial.known_attempts)
            held = claims.read(sweep.store.claims_folder(sweep.design.name) / f"{name}.json")
            if new or (held is not None and held.held_by_live_process(time.time())):
                _settle(sweep, name, failed=False)


def _died(sweep: _Sweep, worker: _Worker) -> None:
    """A worker ended without saying so: a full disk, or it was killed."""
    try:
        sweep.store.require_writable()
    except UserError as error:
        sweep.outcome.store_error = str(error)
        return
    output = worker.job.output()
    if worker.current is None:
        sweep.deaths[""] = sweep.deaths.get("", 0) + 1
        if sweep.deaths[""] > DEATHS_PER_TRIAL:
            raise UserError(f"{sweep.design.name}: workers end before their first trial; the last one said:\n{output}")
        return
    _record_death(sweep, worker.current, "killed", "the worker's process ended in the middle of the trial", output)


def _record_death(sweep: _Sweep, name: str, kind: str, message: str, output: str) -> None:
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
        _settle(sweep, name, failed=False)
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
        _settle(sweep, name, failed=True)
    else:
        known = (*trial.known_attempts, attempt.id)
        sweep.pending[name] = OrderedTrial(**{**trial.__dict__, "known_attempts": known})


def _end_overdue(sweep: _Sweep) -> None:
    """End a worker whose trial takes longer than the spec allows."""
    limit = sweep.design.resources.minutes * 60
    for worker in list(sweep.workers):
        if worker.current is not None and time.monotonic() - worker.since > limit:
            name = worker.current
            worker.job.stop()
            _wait_for([worker])
            sweep.workers.remove(worker)
            message = f"took longer than the {sweep.design.resources.minutes:g} minutes that its resources allow"
            _record_death(sweep, name, "time limit", message, worker.job.output())


def _stop(sweep: _Sweep) -> None:
    for worker in sweep.workers:
        worker.job.stop()
    _wait_for(sweep.workers)


def _wait_for(workers: Sequence[_Worker], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while any(worker.job.running() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
