"""The driver of a sweep on Slurm: submits what nobody has submitted, and follows it until nothing is pending.

Tasks need no driver. It may be killed, detached from, or run twice: whoever comes next finds the arrays in the store.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.errors import UserError
from harness.execution.answers import answer, any_open
from harness.execution.display import Display
from harness.execution.orders import EventReader, Order, OrderedTrial
from harness.execution.slurm.adoption import adopt
from harness.execution.slurm.array import submit
from harness.execution.slurm.controller import Controller, Limits, NoAnswer
from harness.execution.slurm.fleet import Event, Fleet, Task, look_at, settle, waiting_reasons
from harness.execution.slurm.sizing import Size, size_of
from harness.execution.slurm.submission import FOLDER, Submission, new_token, open_submissions
from harness.execution.sweep import Sweep, SweepWorker, note, review
from harness.plan.design import Design
from harness.spec.models import Resources
from harness.spec.slurm import SlurmOptions

READ_SECONDS = 0.2
ELSEWHERE_SECONDS = 2.0
LEAVING_SECONDS = 10.0
"""How long the driver waits for tasks that have nothing left to do."""
FRUITLESS = 2
"""How many arrays may end one after the other without a single attempt."""


@dataclass(frozen=True)
class Cluster:
    """What a sweep on Slurm needs beside its plan.

    ``expected_seconds`` is what a trial should take, if that is known; ``detach`` returns after submission, and
    ``then`` is the command by which the sweep goes on by itself when that is done.
    """

    controller: Controller
    limits: Limits
    options: SlurmOptions
    longest_minutes: float | None
    jobs: int | None
    expected_seconds: float | None
    detach: bool
    then: tuple[str, ...] = ()


def size_on(cluster: Cluster, resources: Resources, trials: int) -> Size:
    """Return what ``trials`` of a sweep become on a cluster."""
    return size_of(
        trials,
        cluster.options,
        jobs=cluster.jobs,
        expected_seconds=cluster.expected_seconds,
        trial_minutes=resources.minutes,
        one_each=resources.fresh_process,
        longest_minutes=cluster.longest_minutes,
    )


def gpus_of(design: Design) -> int:
    """Return how many GPUs a trial takes: none on the CPU, whatever the spec's other profiles need."""
    return max(1, design.resources.gpus) if design.device == "cuda" else 0


class _Task:
    """Stands for a task among a sweep's workers: it has no process here that could be asked or stopped."""

    def running(self) -> bool:
        return False

    def stop(self) -> None:
        pass

    def output(self) -> str:
        return ""


class SlurmDriver:
    """Runs the pending trials of a sweep on a cluster."""

    def __init__(
        self, sweep: Sweep, cluster: Cluster, order_of: Callable[[Sequence[OrderedTrial]], Order], display: Display
    ) -> None:
        self._sweep = sweep
        self._cluster = cluster
        self._order_of = order_of
        self._display = display
        self._fleets: list[Fleet] = []
        self._workers: dict[tuple[str, int], SweepWorker] = {}
        self._adopted: set[str] = set()
        self._fruitless = 0
        self._silent = ""

    def run(self) -> None:
        """Submit, and follow until nothing is pending; only submit where the sweep is detached.

        Raises:
            UserError: sbatch refuses, or tasks end one after the other before their first trial.
            NoAnswer: Slurm does not answer, and nothing is submitted yet.
        """
        self._adopt()
        review(self._sweep, self._sweep.pending)
        self._submit(self._uncovered())
        if self._cluster.detach:
            self._sweep.outcome.detached = sum(len(fleet.live) for fleet in self._fleets)
            return
        self._follow()

    @property
    def jobs(self) -> list[int]:
        """The numbers of the arrays that are not known to have ended."""
        numbers = [fleet.submission.job for fleet in self._fleets if fleet.live]
        return [number for number in numbers if number is not None]

    def _adopt(self) -> None:
        for submission in open_submissions(self._sweep.store, self._sweep.design.name):
            if submission.cluster != self._cluster.limits.cluster or submission.code != self._sweep.code:
                continue
            if adopt(submission, self._cluster.controller, self._sweep.claims.place):
                self._add(submission)
        settle(self._fleets, self._cluster.controller)
        self._drop_ended_workers()
        # What ended before this run began, and how, is written down; the rest is followed.
        self._fleets = [fleet for fleet in self._fleets if fleet.live]
        self._adopted = {fleet.submission.token for fleet in self._fleets}
        if not self._cluster.detach:
            for fleet in self._fleets:
                fleet.submission.mark("followed")
        self._sweep.outcome.code_moved = False

    def _add(self, submission: Submission) -> None:
        def on_event(task: Task, event: Event) -> None:
            note(self._sweep, self._worker(submission, task.index), event)

        self._fleets.append(Fleet(submission, self._sweep.store, self._sweep.claims, on_event))

    def _worker(self, submission: Submission, index: int) -> SweepWorker:
        key = (submission.token, index)
        if key not in self._workers:
            reader = EventReader(submission.events_path(index))
            self._workers[key] = SweepWorker(f"{submission.token}-{index}", _Task(), reader, [])
            self._sweep.workers.append(self._workers[key])
        return self._workers[key]

    def _covered(self, fleet: Fleet) -> set[str]:
        """Return the trials that the live tasks of a submission will come to."""
        order = fleet.submission.order
        if order.one_each:
            mine = {trial.id for task in fleet.live for trial in fleet.submission.own_trials(task.index)}
        else:
            mine = set(fleet.submission.trials) if fleet.live else set()
        mine &= self._sweep.pending.keys()
        if fleet.submission.token not in self._adopted:
            return mine
        # An earlier run may have given up what this one wants to try again.
        known = fleet.submission.trials
        return {name for name in mine if answer(self._sweep.store, order.experiment, known[name], order.code) == "open"}

    def _uncovered(self) -> list[OrderedTrial]:
        covered: set[str] = set(self._sweep.elsewhere)
        for fleet in self._fleets:
            covered |= self._covered(fleet)
        return [trial for name, trial in self._sweep.pending.items() if name not in covered]

    def _submit(self, trials: Sequence[OrderedTrial]) -> None:
        """Submit trials, as several arrays where one would be larger than Slurm takes."""
        if not trials:
            return
        design, cluster = self._sweep.design, self._cluster
        size = size_on(cluster, design.resources, len(trials))
        arrays = -(-size.tasks // cluster.limits.largest_array)
        gpus = gpus_of(design)
        for number in range(arrays):
            part = trials[len(trials) * number // arrays : len(trials) * (number + 1) // arrays]
            tasks = min(len(part), -(-size.tasks // arrays), cluster.limits.largest_array)
            token = new_token()
            submission = Submission(
                token,
                f"harness-{design.name}-{token}",
                design.name,
                design.profile_name,
                design.device,
                self._sweep.run,
                self._sweep.code,
                cluster.limits.cluster,
                len(part) if design.resources.fresh_process else tasks,
                size.minutes,
                design.resources.minutes,
                cluster.options.signal_seconds,
                cluster.expected_seconds,
                time.time(),
                self._sweep.claims.place,
                cluster.then,
                os.getcwd(),
                self._sweep.folder / FOLDER / token,
            )
            submission.announce(self._order_of(part))
            try:
                job = submit(
                    submission,
                    design.resources,
                    cluster.options,
                    gpus=gpus,
                    threads=self._sweep.threads,
                    jobs=max(1, size.jobs // arrays),
                )
            except UserError as error:
                submission.close(dict.fromkeys(range(submission.tasks), "refused"), str(error))
                raise
            submission.set_job(job)
            self._add(submission)

    def _follow(self) -> None:
        sweep = self._sweep
        looked = reviewed = 0.0
        while sweep.pending:
            for fleet in self._fleets:
                fleet.read()
            now = time.monotonic()
            if now - looked > self._cluster.options.poll_seconds:
                self._look()
                looked = now
                if not sweep.outcome.code_moved:
                    self._go_on()
            if sweep.elsewhere and now - reviewed > ELSEWHERE_SECONDS:
                review(sweep, sweep.elsewhere)
                reviewed = now
            if sweep.outcome.code_moved:
                break
            sweep.tally.note = self._queue_note()
            self._display.update()
            time.sleep(READ_SECONDS)
        self._dismiss()

    def _look(self) -> None:
        self._silent = ""
        try:
            look_at(self._fleets, self._cluster.controller)
        except NoAnswer as error:
            # Nothing is concluded from silence; a controller that restarts is back in a while.
            self._silent = str(error)
        self._drop_ended_workers()

    def _drop_ended_workers(self) -> None:
        over = {f"{fleet.submission.token}-{index}" for fleet in self._fleets for index in fleet.ends()}
        self._sweep.workers[:] = [worker for worker in self._sweep.workers if worker.name not in over]

    def _go_on(self) -> None:
        """Submit again what ended tasks have left, unless somebody cancelled them."""
        sweep = self._sweep
        uncovered = self._uncovered()
        if not uncovered:
            return
        review(sweep, [trial.id for trial in uncovered])
        for fleet in [fleet for fleet in self._fleets if fleet.ends()]:
            self._leave_cancelled(fleet)
        left = [trial for trial in uncovered if trial.id in sweep.pending and trial.id not in sweep.elsewhere]
        if not left:
            return
        last = self._fleets[-1] if self._fleets else None
        if last is not None and not last.live:
            begun = any(task.attempt for task in last.tasks)
            self._fruitless = 0 if begun else self._fruitless + 1
            if self._fruitless >= FRUITLESS:
                ends = ", ".join(sorted(set(last.ends().values())))
                said = f"; the last one said: {last.message}" if last.message else ""
                raise UserError(f"{sweep.design.name}: Slurm tasks end before their first trial ({ends}){said}")
        self._submit(left)

    def _leave_cancelled(self, fleet: Fleet) -> None:
        """Leave the trials of tasks that somebody cancelled for the next run: that was meant."""
        sweep = self._sweep
        cancelled = [index for index, end in fleet.ends().items() if end == "cancelled"]
        if fleet.submission.order.one_each:
            left = [trial.id for index in cancelled for trial in fleet.submission.own_trials(index)]
        elif not fleet.live and (fleet.submission.marked("cancelled") or 2 * len(cancelled) > len(fleet.tasks)):
            left = list(fleet.submission.trials)
        else:
            return
        for name in left:
            if sweep.pending.pop(name, None) is not None:
                sweep.outcome.cancelled += 1

    def _dismiss(self) -> None:
        """See off tasks that have nothing left to do: those that wait are taken out of the queue."""
        idle = [fleet for fleet in self._fleets if fleet.live and self._is_idle(fleet)]
        for fleet in idle:
            fleet.submission.mark("dismissed")
        try:
            numbers = [str(fleet.submission.job) for fleet in idle]
            self._cluster.controller.cancel(numbers, "--state=PENDING", "--quiet")
            deadline = time.monotonic() + LEAVING_SECONDS
            while time.monotonic() < deadline:
                look_at(idle, self._cluster.controller)
                if not any(fleet.live for fleet in idle):
                    return
                time.sleep(READ_SECONDS)
        except NoAnswer:
            return

    def _is_idle(self, fleet: Fleet) -> bool:
        return self._sweep.outcome.code_moved or not any_open(self._sweep.store, fleet.submission.order)

    def _queue_note(self) -> str:
        if self._silent:
            return f"Slurm does not answer ({self._silent})"
        waiting = sum(task.phase == "waiting" for fleet in self._fleets for task in fleet.live)
        reasons = ", ".join(waiting_reasons(self._fleets))
        return f"{waiting} tasks waiting" + (f" ({reasons})" if reasons else "") if waiting else ""
