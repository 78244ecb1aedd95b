"""What one task of an array runs: ``python -m harness.execution.slurm.task FOLDER``, on a node, without a driver.

It takes trials from the submission's order, its own share first and then what others have left, and puts itself back
into the queue where its time is up before they are all done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Literal

from harness.execution.answers import any_open
from harness.execution.guard import Interrupted
from harness.execution.lifeline import end_with
from harness.execution.orders import EventWriter, Order, ProcessName
from harness.execution.place import Place, available_cpus
from harness.execution.slurm.continuation import go_on
from harness.execution.slurm.controller import Controller, NoAnswer
from harness.execution.slurm.signals import TaskGuard
from harness.execution.slurm.submission import Submission
from harness.execution.worker import execute
from harness.store.store import Store

QUESTION_SECONDS = 5.0
REQUEUE_SECONDS = 60.0
"""How long Slurm may take to end a task that has put itself back into the queue."""
TERMINATED = 143
NOT_REQUEUED = 75


def main(folder: str) -> int:
    """Run a task; return its exit status."""
    submission = Submission.read(Path(folder))
    index = int(os.environ["SLURM_ARRAY_TASK_ID"])
    place = Place.here()
    with contextlib.closing(EventWriter(submission.events_path(index))) as events:
        events.write("begin", **place.kept(), pid=place.pid)
        submission.set_job(int(os.environ["SLURM_ARRAY_JOB_ID"]))
        if any(submission.marked(mark) for mark in ("revoked", "dismissed", "cancelled")):
            events.write("end")
            return 0
        # A process that its slurmstepd has left behind would be seen by nobody, and Slurm thinks it gone.
        end_with([ProcessName.of(os.getppid())])
        guard = TaskGuard(
            seconds=submission.minutes * 60,
            signal_seconds=submission.signal_seconds,
            trial_seconds=submission.trial_minutes * 60,
            expected_seconds=submission.expected_seconds,
            timed=submission.order.exclusive,
            why=_why,
        )
        guard.install()
        order = own_share_first(submission.order, index, submission.tasks)
        with contextlib.suppress(Interrupted):
            execute(order, events, f"{submission.token}-{index}", guard=guard)
        status = _leave(order, place, events, guard)
    if not guard.stopping:
        go_on(submission)
    return status


def own_share_first(order: Order, index: int, tasks: int) -> Order:
    """Return the order as task ``index`` of ``tasks`` goes through it.

    Trials that need a fresh process are not shared: a task has one of them.
    """
    share = order.share(index, tasks)
    trials = order.trials[share]
    if not order.one_each:
        trials += order.trials[share.stop :] + order.trials[: share.start]
    return dataclasses.replace(order, trials=trials, threads=min(order.threads, available_cpus()))


def _leave(order: Order, place: Place, events: EventWriter, guard: TaskGuard) -> int:
    """End, or go back into the queue where there is more to do."""
    if not guard.stopping:
        return 0
    if guard.stopping == "terminated":
        return TERMINATED
    if not any_open(Store(Path(order.store)), order):
        events.write("end")
        return 0
    events.write("requeue", why=guard.stopping)
    try:
        Controller(QUESTION_SECONDS).requeue(place.job)
    except NoAnswer as error:
        print(f"harness: {place.job} could not be put back into the queue: {error}", file=sys.stderr)
        return NOT_REQUEUED
    time.sleep(REQUEUE_SECONDS)
    return 0


def _why() -> Literal["preempted", "requeued"]:
    """Ask Slurm whether the warning came because another job takes the node."""
    with contextlib.suppress(NoAnswer):
        facts = Controller(QUESTION_SECONDS).facts_of(os.environ["SLURM_JOB_ID"])
        if facts.get("PreemptTime", "None") != "None":
            return "preempted"
    return "requeued"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
