"""Signals that reach a task: time is nearly up, another job wants the node, somebody cancelled it."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Literal

from harness.execution.ends import overdue
from harness.execution.guard import Guard, Interrupted
from harness.store.attempt import Failure
from harness.store.endings import Kind

AGAIN_SECONDS = 2.0
"""A trial that swallowed the interruption is interrupted again after this."""
ANSWER_SECONDS = 6.0
"""How long the answer to why a task was warned is waited for, once its trial is abandoned."""
EXPECTED_SLACK = 1.5
"""A trial is not begun where less than this many times its predicted duration is left."""


class TaskGuard(Guard):
    """Guards the trials of one task.

    At the warning signal (USR2, ``signal_seconds`` before the end) a trial may go on to its next checkpoint, or to its
    own end, until shortly before the job is killed. A timed trial is abandoned at once. At TERM, which comes with a
    cancellation, every trial is abandoned at once: what follows is KILL.

    Args:
        seconds: the job's time limit.
        signal_seconds: how long before it the warning comes.
        trial_seconds: the longest that one trial may take.
        expected_seconds: what one should take, if that is known.
        timed: trials are timed, so an interrupted one is discarded.
        why: asks whether the warning means preemption or the time limit.
    """

    def __init__(
        self,
        *,
        seconds: float,
        signal_seconds: float,
        trial_seconds: float,
        expected_seconds: float | None,
        timed: bool,
        why: Callable[[], Kind],
    ) -> None:
        self.stopping: Literal["", "warned", "terminated", "time"] = ""
        self._end = time.monotonic() + seconds - signal_seconds
        self._grace = max(signal_seconds / 2, signal_seconds - 20.0)
        self._trial_seconds = trial_seconds
        self._expected = expected_seconds
        self._timed = timed
        # Asked at once, beside the trial: once the job is being ended, Slurm no longer says why.
        self._reason: Kind = "requeued"
        self._question = threading.Thread(target=self._ask, args=(why,), name="why", daemon=True)
        self._began = 0
        self._inside = False
        self._saved = False
        self._suspended = False
        self._overdue_at = math.inf
        self._abandon_at = math.inf
        self._cause: Literal["", "overdue", "stopped", "suspended"] = ""

    def install(self) -> None:
        """Take the signals; only the main thread can."""
        signal.signal(signal.SIGUSR2, self._warned)
        signal.signal(signal.SIGTERM, self._terminated)
        signal.signal(signal.SIGCONT, self._continued)
        signal.signal(signal.SIGALRM, self._alarm)

    @contextlib.contextmanager
    def trial(self) -> Iterator[None]:
        self._began += 1
        self._saved, self._suspended, self._cause = False, False, ""
        self._overdue_at = time.monotonic() + self._trial_seconds
        self._inside = True
        try:
            self._arm()
            yield
        finally:
            self._inside = False
            signal.setitimer(signal.ITIMER_REAL, 0)
        if self._timed and self._cause == "stopped":
            # It has swallowed the interruption and ended; what was timed is worth nothing all the same.
            raise Interrupted
        if self._timed and self._suspended:
            self._cause = "suspended"
            raise Interrupted

    def checkpointed(self) -> None:
        self._saved = True
        if self.stopping and self._inside:
            self._interrupt("stopped")

    def may_start(self) -> bool:
        if not self.stopping and self._began and self._expected is not None:
            left = self._end - time.monotonic()
            if left < EXPECTED_SLACK * self._expected:
                self.stopping = "time"
        return not self.stopping

    def failure(self) -> Failure | None:
        # An interruption on the very way out has left this standing.
        self._inside = False
        if self._cause == "overdue":
            return overdue(self._trial_seconds / 60)
        if self._cause == "suspended":
            return Failure("preempted", "preempted", "the job was suspended while the trial was timed; discarded whole")
        if self.stopping == "terminated":
            return None
        self._question.join(ANSWER_SECONDS)
        kind = self._reason
        where = "it goes on from its checkpoint" if self._saved else "it starts again from the beginning"
        if self._timed:
            where = "timed trials are discarded whole"
        if kind == "preempted":
            return Failure(kind, kind, f"another job takes the node; {where}")
        if not self._saved and self._began == 1:
            message = (
                "had the whole of its job's time limit and saved no checkpoint, so another job would end the same; "
                "raise 'minutes' or 'max_minutes', or let the trial use run.checkpoint"
            )
            return Failure("time limit", "time limit", message)
        return Failure(kind, kind, f"the job's time limit came near; {where}")

    def _ask(self, why: Callable[[], Kind]) -> None:
        self._reason = why()

    def _arm(self) -> None:
        wait = min(self._overdue_at, self._abandon_at) - time.monotonic()
        if math.isfinite(wait):
            signal.setitimer(signal.ITIMER_REAL, max(0.001, wait), AGAIN_SECONDS)

    def _interrupt(self, cause: Literal["overdue", "stopped"]) -> None:
        self._cause = cause
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS, AGAIN_SECONDS)
        raise Interrupted

    def _warned(self, number: int, frame: FrameType | None) -> None:
        if self.stopping:
            return
        self.stopping = "warned"
        self._question.start()
        self._abandon_at = time.monotonic() + self._grace
        if self._inside and self._timed:
            self._interrupt("stopped")
        if self._inside:
            self._arm()

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        # A warning that came before says why: the job is ended at its time limit, or preempted.
        self.stopping = self.stopping or "terminated"
        if self._inside:
            self._interrupt("stopped")

    def _continued(self, number: int, frame: FrameType | None) -> None:
        self._suspended = True

    def _alarm(self, number: int, frame: FrameType | None) -> None:
        if self._inside:
            now = time.monotonic()
            stopped = self._cause == "stopped" or (self.stopping and now >= self._abandon_at)
            self._interrupt("stopped" if stopped else "overdue")
