"""What the tests of Slurm's side share: fake commands, a fake controller, a clock, and submissions in a small store."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.execution.claims import Claims
from harness.execution.orders import EventWriter, Order, OrderedTrial
from harness.execution.place import Place
from harness.execution.slurm.controller import NoAnswer, QueuedTask
from harness.execution.slurm.fleet import Fleet
from harness.execution.slurm.submission import FOLDER, Submission
from harness.store.attempt import Attempt, Failure, write_attempt
from harness.store.store import Store

EXPERIMENT = "small"
CODE = "c0de"
JOB = 7


@dataclass(frozen=True)
class Commands:
    """A folder of fake commands that stands alone in PATH, so scripts name other programs by their whole paths."""

    folder: Path

    def add(self, name: str, script: str) -> None:
        """Add a command; it notes how it is called before it runs ``script``."""
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "$@" >> "{self.folder}/{name}.calls"\n{script}\n')
        path.chmod(0o755)

    def says(self, name: str, text: str) -> None:
        self.add(name, f"/bin/cat <<'END_OF_TEXT'\n{text}\nEND_OF_TEXT")

    def refuses(self, name: str, text: str, status: int = 1) -> None:
        self.add(name, f"/bin/cat >&2 <<'END_OF_TEXT'\n{text}\nEND_OF_TEXT\nexit {status}")

    def hangs(self, name: str) -> None:
        self.add(name, "exec /bin/sleep 30")

    def controller_says(
        self, ping: str = "Slurmctld(primary) at head is UP", config: str = "", partition: str = ""
    ) -> None:
        """Add an ``scontrol`` that answers what is asked when a sweep begins."""
        answers = {"ping": ping, "show config": config, "show partition": partition}
        cases = "\n".join(
            f"'{question}'*) /bin/cat <<'END_OF_TEXT'\n{text}\nEND_OF_TEXT\n;;" for question, text in answers.items()
        )
        self.add("scontrol", f'case "$*" in\n{cases}\nesac')

    def calls(self, name: str) -> list[str]:
        path = self.folder / f"{name}.calls"
        return path.read_text().splitlines() if path.exists() else []


def configuration(accounting: str = "accounting_storage/none", **more: str) -> str:
    """Return a few lines as ``scontrol show config`` prints them."""
    values = {"AccountingStorageType": accounting, "ClusterName": "toy", "MaxArraySize": "1001", **more}
    return "Configuration data as of 2024-01-01T00:00:00\n" + "\n".join(f"{k:<23} = {v}" for k, v in values.items())


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class FakeController:
    """Answers what the test has put here; an exception stands for silence. ``asked`` notes the questions."""

    tasks: Sequence[QueuedTask] | NoAnswer = ()
    past: Sequence[QueuedTask] | NoAnswer = ()
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def queue(self, jobs: Sequence[int]) -> list[QueuedTask]:
        self.asked.append(("queue", list(jobs)))
        return [task for task in _answer(self.tasks) if task.job in jobs]

    def queue_named(self, name: str) -> list[QueuedTask]:
        self.asked.append(("queue named", name))
        return [task for task in _answer(self.tasks) if task.name == name]

    def history(self, jobs: Sequence[int]) -> list[QueuedTask]:
        self.asked.append(("history", list(jobs)))
        return [task for task in _answer(self.past) if task.job in jobs]

    def cancel(self, tasks: Sequence[str], *options: str) -> None:
        self.asked.append(("cancel", list(tasks)))

    def history_named(self, name: str, since: str) -> list[QueuedTask]:
        self.asked.append(("history named", name))
        return [task for task in _answer(self.past) if task.name == name]


def _answer(found: Sequence[QueuedTask] | NoAnswer) -> Sequence[QueuedTask]:
    if isinstance(found, NoAnswer):
        raise found
    return found


def an_order(store: Store, trials: int = 4, **changes: Any) -> Order:
    ordered = tuple(
        OrderedTrial(f"trial{number}", {"n": number}, {}, {"index": number}, number, {"n": number}, ())
        for number in range(trials)
    )
    order = Order(
        "run1", EXPERIMENT, str(store.root), "small_trials:draw", (), CODE, "cpu", 1, False, False, None, ordered
    )
    return dataclasses.replace(order, **changes)


def a_submission(
    store: Store,
    *,
    tasks: int = 2,
    trials: int = 4,
    job: int | None = JOB,
    token: str = "0123456789ab",
    run: str = "run1",
    driver: Place | None = None,
    created: float = 1_700_000_000.25,
    changes: dict[str, Any] | None = None,
    **order: Any,
) -> Submission:
    """Return a submission that stands in the store; ``changes`` are other values of its own, ``order`` of its order."""
    submission = Submission(
        token=token,
        name=f"harness-{EXPERIMENT}-{token}",
        experiment=EXPERIMENT,
        profile="laptop",
        device="cpu",
        run=run,
        code=CODE,
        cluster="toy",
        tasks=tasks,
        minutes=30.0,
        trial_minutes=10.0,
        signal_seconds=90.0,
        expected_seconds=None,
        created=created,
        driver=driver or Place.here(),
        then=(),
        directory="/",
        folder=store.runs_folder(EXPERIMENT) / run / FOLDER / token,
    )
    submission = dataclasses.replace(submission, **(changes or {}))
    submission.announce(an_order(store, trials, **order))
    if job is not None:
        submission.set_job(job)
    return submission


def queued(submission: Submission, index: int, state: str, reason: str = "None", job: int = JOB) -> QueuedTask:
    return QueuedTask(job, index, state, reason, "node1", submission.name)


def place_of(index: int, restart: int = 0) -> dict[str, Any]:
    return {"host": "node1", "job": f"{JOB}_{index}", "restart": restart, "cluster": "toy"}


class Reports:
    """What a task reports, written by the test."""

    def __init__(self, store: Store, submission: Submission, index: int) -> None:
        self._store = store
        self._submission = submission
        self._index = index
        self._events = EventWriter(submission.events_path(index))

    def begin(self, restart: int = 0) -> None:
        self._events.write("begin", **place_of(self._index, restart), pid=1)

    def start(self, trial: str, attempt: str) -> None:
        self._events.write("started", trial=trial, attempt=attempt, began=1_700_000_100.0)

    def finish(self, trial: str, attempt: str, failure: Failure | None = None, told: bool = True) -> None:
        """Write the attempt, as the worker does, and then tell."""
        keep_attempt(self._store, trial, attempt, failure)
        if told:
            self.say("finished", trial=trial, attempt=attempt, seconds=1.0, failure=failure and failure.kind)

    def say(self, event: str, **details: Any) -> None:
        self._events.write(event, **details)

    def close(self) -> None:
        self._events.close()


def keep_attempt(store: Store, trial: str, attempt: str, failure: Failure | None = None) -> None:
    folder = store.attempts_folder(EXPERIMENT, trial)
    folder.mkdir(parents=True, exist_ok=True)
    records = () if failure else ({"value": 1.0},)
    made = Attempt(attempt, trial, EXPERIMENT, {}, {}, 0, records, failure, 1_700_000_100.0, 1.0, CODE, "")
    write_attempt(folder, made, {}, None)


def kinds(store: Store, trial: str) -> list[str]:
    """Return how each attempt of a trial ended; ``done`` for one that has its records."""
    found, damaged = store.attempts(EXPERIMENT, trial)
    assert not damaged
    return [stored.attempt.failure.kind if stored.attempt.failure else "done" for stored in found]


def attempts(store: Store) -> dict[str, list[str]]:
    """Return the kinds of all attempts in the store, by trial; trials without any are left out."""
    found = {trial: kinds(store, trial) for trial in sorted(store.trial_ids(EXPERIMENT))}
    return {trial: ends for trial, ends in found.items() if ends}


def a_fleet(store: Store, submission: Submission, clock: Clock, **more: Any) -> Fleet:
    claims = Claims(store.claims_folder(EXPERIMENT), Place.here())
    return Fleet(submission, store, claims, clock=clock, **more)
