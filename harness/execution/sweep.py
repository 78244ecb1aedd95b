"""What a driver knows of a sweep while it runs: its workers, what is pending, what they reported."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.execution.account import Span
from harness.execution.answers import answer
from harness.execution.claims import Claims
from harness.execution.display import Tally
from harness.execution.launchers import Job
from harness.execution.orders import EventReader, OrderedTrial
from harness.plan.design import Design
from harness.store.store import Store


@dataclass
class Outcome:
    """How a run of a sweep ended.

    On Slurm, ``detached`` counts the tasks that were left to themselves, ``cancelled`` the trials that wait for the
    next run since somebody cancelled their tasks, and ``jobs`` are arrays that go on.
    """

    interrupted: bool = False
    detached: int = 0
    cancelled: int = 0
    jobs: tuple[int, ...] = ()
    code_moved: bool = False
    store_error: str = ""


@dataclass
class SweepWorker:
    """A launched worker: its job, what it reports, and the trial it is at with the attempt it has begun.

    ``since`` is by this process's monotonic clock, ``began`` in seconds since the epoch by the worker's. No two workers
    that run at a time on this machine have the same ``slot``.
    """

    name: str
    job: Job
    events: EventReader
    trials: list[str]
    slot: int = 0
    current: str | None = None
    attempt: str = ""
    began: float = 0.0
    since: float = 0.0
    ended: bool = False


@dataclass
class Sweep:
    """The state of one run of the driver.

    ``elsewhere`` are pending trials that somebody else is at; ``ran`` says when trials were running.
    """

    design: Design
    store: Store
    code: str
    run: str
    folder: Path
    threads: int
    pending: dict[str, OrderedTrial]
    tally: Tally
    outcome: Outcome
    claims: Claims
    workers: list[SweepWorker] = field(default_factory=list)
    elsewhere: set[str] = field(default_factory=set)
    ran: list[Span] = field(default_factory=list)
    died_early: int = 0
    launched: int = 0


def collect(sweep: Sweep) -> bool:
    """Read what the workers reported since the last look; say whether there was anything."""
    changed = False
    for worker in sweep.workers:
        for event in worker.events.read():
            changed = True
            note(sweep, worker, event)
    return changed


def note(sweep: Sweep, worker: SweepWorker, event: dict[str, object]) -> None:
    kind, trial = event["event"], str(event.get("trial", ""))
    if kind == "begin" and worker.current is not None:
        # A requeued task: what its earlier run was at, it is at no more.
        sweep.tally.running.discard(worker.current)
        worker.current = None
    elif kind == "started":
        worker.current, worker.since = trial, time.monotonic()
        worker.attempt, worker.began = str(event["attempt"]), float(str(event["began"]))
        sweep.tally.running.add(trial)
    elif kind == "progress":
        sweep.tally.within[trial] = (int(str(event["done"])), int(str(event["total"])))
    elif kind in ("finished", "lost", "interrupted"):
        worker.current = None
        took = event.get("seconds")
        sweep.ran.append((worker.began, time.time() if took is None else worker.began + float(str(took))))
        sweep.tally.running.discard(trial)
        sweep.tally.within.pop(trial, None)
        if kind == "finished" and event["failure"] is None:
            settle(sweep, trial, failed=False)
        else:
            review(sweep, [trial])
    elif kind == "code-moved":
        worker.current = None
        sweep.outcome.code_moved = True
    elif kind == "end":
        worker.ended = True


def settle(sweep: Sweep, trial: str, failed: bool) -> None:
    """Take a trial off the list: it is done, or left as failed."""
    sweep.elsewhere.discard(trial)
    sweep.tally.running.discard(trial)
    sweep.tally.within.pop(trial, None)
    if sweep.pending.pop(trial, None) is None:
        return
    sweep.tally.finished += 1
    sweep.tally.failed += failed


def review(sweep: Sweep, trials: Iterable[str]) -> None:
    """Look up in the store what came of trials, whoever ran them, and who is at those that are open."""
    for name in list(trials):
        trial = sweep.pending.get(name)
        if trial is None:
            continue
        came = answer(sweep.store, sweep.design.name, trial, sweep.code)
        if came != "open":
            settle(sweep, name, failed=came == "failed")
        elif any(worker.current == name for worker in sweep.workers) or not sweep.claims.is_held(name):
            sweep.elsewhere.discard(name)
        else:
            sweep.elsewhere.add(name)
    sweep.tally.elsewhere = len(sweep.elsewhere)


def stop(sweep: Sweep) -> None:
    """Stop the workers on this machine; tasks of a cluster go on."""
    for worker in sweep.workers:
        worker.job.stop()
    wait_for(sweep.workers)


def wait_for(workers: Sequence[SweepWorker], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while any(worker.job.running() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
