"""What a driver knows of a sweep while it runs: its workers, what is pending, what they reported."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.execution.display import Tally
from harness.execution.launchers import Job
from harness.execution.orders import EventReader, OrderedTrial
from harness.plan.design import Design
from harness.store.store import Store


@dataclass
class Outcome:
    """How a run of a sweep ended."""

    interrupted: bool = False
    code_moved: bool = False
    store_error: str = ""


@dataclass
class SweepWorker:
    """A launched worker: its job, what it reports, and the trial it is at."""

    name: str
    job: Job
    events: EventReader
    trials: list[str]
    current: str | None = None
    since: float = 0.0
    ended: bool = False


@dataclass
class Sweep:
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
    workers: list[SweepWorker] = field(default_factory=list)
    deaths: dict[str, int] = field(default_factory=dict)
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
    if kind == "started":
        worker.current, worker.since = trial, time.monotonic()
        sweep.tally.running.add(trial)
    elif kind == "progress":
        sweep.tally.within[trial] = (int(str(event["done"])), int(str(event["total"])))
    elif kind == "finished":
        worker.current = None
        settle(sweep, trial, failed=event["failure"] is not None)
    elif kind == "code-moved":
        sweep.outcome.code_moved = True
    elif kind == "end":
        worker.ended = True


def settle(sweep: Sweep, trial: str, failed: bool) -> None:
    sweep.tally.running.discard(trial)
    sweep.tally.within.pop(trial, None)
    if sweep.pending.pop(trial, None) is None:
        return
    sweep.tally.finished += 1
    sweep.tally.failed += failed


def stop(sweep: Sweep) -> None:
    for worker in sweep.workers:
        worker.job.stop()
    wait_for(sweep.workers)


def wait_for(workers: Sequence[SweepWorker], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while any(worker.job.running() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
