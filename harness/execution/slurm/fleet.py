"""What became of the tasks of a submission: their own reports and Slurm's word, put together.

Neither alone says it. A task that was killed reports nothing; Slurm calls a job completed whose process still runs, and
forgets what was cancelled before it began. Nothing is concluded from silence: where the controller does not answer,
everything stays as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.execution.answers import answer
from harness.execution.claims import Claims
from harness.execution.ends import Unfinished, record_end
from harness.execution.orders import EventReader
from harness.execution.slurm.array import log_tail
from harness.execution.slurm.controller import Controller, NoAnswer, QueuedTask
from harness.execution.slurm.states import UNKNOWN_SECONDS, State, state_called
from harness.execution.slurm.submission import Submission
from harness.store.attempt import Failure
from harness.store.endings import ENDINGS, Kind
from harness.store.store import Store, attempt_id

SETTLING_SECONDS = 3.0
"""How long an end must have been seen before it is believed: events may reach this machine later than Slurm's word."""
GONE_SECONDS = 20.0
"""How long a process must be gone before that counts although Slurm calls its job running."""
UNCLAIMED_SECONDS = 90.0
"""The same where its claim is gone too: a network file system may show a new claim only after a minute."""
MISSING_SECONDS = 3.0
"""How long a task must be unknown to the queue before that means anything."""
Event = dict[str, Any]


@dataclass
class Task:
    """A task as it is known now.

    ``restart`` is the number of its present run, -1 before the first; ``trial`` with ``attempt`` and ``began`` what it
    is at; ``leaving`` that it asked to be requeued, ``over`` that it reported its end; ``end`` names how it ended, once
    that is certain.
    """

    index: int
    events: EventReader
    restart: int = -1
    place: Mapping[str, Any] = field(default_factory=dict)
    trial: str = ""
    attempt: str = ""
    began: float = 0.0
    leaving: bool = False
    over: bool = False
    code_moved: bool = False
    end: str = ""
    queued: QueuedTask | None = None
    ending_since: float | None = None
    missing_since: float | None = None
    unknown_since: float | None = None
    gone_since: float | None = None

    @property
    def phase(self) -> str:
        """``waiting``, ``running`` or ``ended``."""
        if self.end:
            return "ended"
        state = state_called(self.queued.state) if self.queued else None
        if state is not None and state.phase in ("waiting", "running"):
            return state.phase
        return "running" if self.restart >= 0 else "waiting"

    @property
    def told(self) -> bool:
        """Whether it said itself that it ended, with no trial in hand."""
        return self.over and not self.trial

    @property
    def in_doubt(self) -> bool:
        """Whether it has ended, as it seems, and that has not been seen for long enough to be believed."""
        return not self.end and (self.ending_since is not None or self.missing_since is not None)


class Fleet:
    """The tasks of one submission. Ends of trials that nobody else can tell are written into the store."""

    def __init__(
        self,
        submission: Submission,
        store: Store,
        claims: Claims,
        on_event: Callable[[Task, Event], None] = lambda task, event: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.submission = submission
        self.tasks = [Task(index, EventReader(submission.events_path(index))) for index in range(submission.tasks)]
        self.message = ""
        self._store = store
        self._claims = claims
        self._on_event = on_event
        self._clock = clock
        self._array_known = False

    @property
    def live(self) -> list[Task]:
        """The tasks of which it is not known that they ended."""
        return [task for task in self.tasks if not task.end]

    def ends(self) -> dict[int, str]:
        """Return how each task ended that has."""
        return {task.index: task.end for task in self.tasks if task.end}

    def read(self) -> bool:
        """Read what tasks reported since the last look; say whether there was anything."""
        changed = False
        present = {path.name for path in self.submission.folder.glob("events-*.jsonl")}
        for task in self.live:
            if f"events-{task.index}.jsonl" in present:
                for event in task.events.read():
                    changed = True
                    self._note(task, event)
        return changed

    def _note(self, task: Task, event: Event) -> None:
        kind = event["event"]
        if kind == "begin":
            if task.trial:
                self._record(task, "requeued", "its job was put back into the queue")
            task.restart, task.over, task.leaving = int(event.get("restart", 0)), False, False
            task.place = {name: event[name] for name in ("host", "job", "restart", "cluster") if name in event}
        elif kind == "started":
            task.trial, task.attempt, task.began = event["trial"], event["attempt"], event["began"]
        elif kind in ("finished", "lost"):
            task.trial = ""
        elif kind == "code-moved":
            # What it was at is not written, and open.
            task.trial, task.code_moved, task.over = "", True, True
        elif kind == "requeue":
            task.leaving = True
        elif kind == "end":
            task.over = True
        self._on_event(task, event)

    def look(self, controller: Controller, queue: Iterable[QueuedTask]) -> None:
        """Take in what Slurm said just now, and name the ends that have become certain.

        ``queue`` is the controller's answer for this submission's job, asked after the last ``read``.

        Raises:
            OSError: the store cannot be written.
        """
        found = {queued.index: queued for queued in queue if queued.name == self.submission.name}
        self._array_known = self._array_known or bool(found)
        before = {task.index: task.attempt if task.trial else "" for task in self.tasks}
        self.read()
        missing = [task for task in self.live if task.index not in found]
        past = self._past(controller, missing)
        for task in self.live:
            queued = found.get(task.index)
            if queued is None:
                self._missing(task, past, bool(found))
            else:
                self._seen(task, queued, before[task.index], controller)

    def _past(self, controller: Controller, missing: list[Task]) -> dict[int, QueuedTask] | None:
        """Return what the accounting says of tasks that the queue has forgotten; the last of several runs.

        None while it is silent: then nothing is concluded of them, up to a deadline.
        """
        job = self.submission.job
        # A task that told its own end needs no witness.
        asked = [task for task in missing if self._waited(task) and not task.told]
        if job is None or not asked:
            return {}
        try:
            past = controller.history([job])
        except NoAnswer:
            longest = max(self._clock() - (task.missing_since or 0.0) for task in asked)
            return None if longest < UNKNOWN_SECONDS else {}
        return {entry.index: entry for entry in past if entry.name == self.submission.name}

    def _waited(self, task: Task) -> bool:
        if task.missing_since is None:
            task.missing_since = self._clock()
        return self._clock() - task.missing_since >= MISSING_SECONDS

    def _seen(self, task: Task, queued: QueuedTask, before: str, controller: Controller) -> None:
        state, now = state_called(queued.state), self._clock()
        task.queued, task.missing_since = queued, None
        if state.phase != "unknown":
            task.unknown_since = None
        if state.phase == "ended":
            task.ending_since = task.ending_since or now
            if task.told or now - task.ending_since >= SETTLING_SECONDS:
                self._end(task, state, queued)
            return
        task.ending_since = None
        if state.phase == "running" and not state.paused:
            self._running(task, queued, controller)
        else:
            task.gone_since = None
        if state.phase == "waiting" and before and task.trial and task.attempt == before:
            # It was at this trial before the queue said that it waits: that run is over.
            preempted = "preempt" in queued.reason.lower()
            self._record(task, "preempted" if preempted else "requeued", "its job was put back into the queue")
        elif state.phase == "unknown":
            task.unknown_since = task.unknown_since or now
            if now - task.unknown_since > UNKNOWN_SECONDS:
                self.message = f"Slurm calls a task {queued.state}, a state that is not known here"
                self._finish(task, "vanished", self.message)

    def _running(self, task: Task, queued: QueuedTask, controller: Controller) -> None:
        """A job may run on for Slurm when its process and its slurmstepd have been killed: end it here and there.

        A process that is at a trial holds it; what holds it no more is gone, whoever has removed its claim.
        """
        holder = self._claims.holder(task.trial) if task.trial else None
        mine = holder is not None and (holder.place.job, holder.place.restart) == (
            task.place.get("job"),
            task.place.get("restart"),
        )
        if not task.trial or (holder is not None and mine and not self._claims.is_dead(holder)):
            task.gone_since = None
            return
        task.gone_since = task.gone_since or self._clock()
        if self._clock() - task.gone_since >= (GONE_SECONDS if mine else UNCLAIMED_SECONDS):
            with contextlib.suppress(NoAnswer):
                controller.cancel([f"{queued.job}_{queued.index}"])
            self._finish(task, "killed", f"its process is gone, although Slurm calls its job {queued.state}")

    def _missing(self, task: Task, past: Mapping[int, QueuedTask] | None, others_known: bool) -> None:
        """A task that the queue does not know: ended a while ago, or cancelled before it began."""
        if task.told:
            self._finish(task, None, "")
        if task.end or not self._waited(task) or past is None:
            return
        entry = past.get(task.index)
        state = state_called(entry.state) if entry is not None else None
        if entry is not None and state is not None and state.phase == "ended":
            self._end(task, state, entry)
        elif task.restart < 0:
            known = others_known or self._array_known
            self._finish(task, "cancelled" if known else "vanished", "Slurm knows its array, but not the task")
        elif not (task.trial and self._claims.is_held(task.trial)):
            self._finish(task, "vanished", "Slurm knows nothing of its job any more")

    def _end(self, task: Task, state: State, queued: QueuedTask) -> None:
        kind: Kind | None = state.kind
        if task.told:
            kind = None
        elif task.restart < 0 and state.name == "failed":
            self.message = (log_tail(self.submission, task.index).strip().splitlines() or [""])[-1]
        meaning = ENDINGS[state.kind].meaning
        self._finish(task, kind, f"{meaning} (Slurm calls its job {queued.state})", state)

    def _finish(self, task: Task, kind: Kind | None, message: str, state: State | None = None) -> None:
        """Name the end of a task; ``kind`` is None where it ended in order."""
        job, cluster = str(task.place.get("job", "")), str(task.place.get("cluster", ""))
        if job:
            self._claims.bury(job, cluster)
        if task.trial and kind is not None:
            self._record(task, kind, message)
        elif task.restart < 0 and kind is not None and not self.submission.marked("dismissed"):
            self._record_unbegun(task, kind, message)
        if task.code_moved:
            task.end = "code moved"
        elif kind is None:
            task.end = "finished"
        elif task.restart < 0 and self.submission.marked("dismissed"):
            task.end = "not needed"
        elif task.restart < 0 and state is not None and kind == "killed":
            task.end = "failed"
        else:
            # A task that asked to be requeued, and was not, had come to the end of its time.
            task.end = "time limit" if kind == "killed" and task.leaving else kind
        if not self.live:
            self.submission.close(self.ends(), self.message)

    def _record_unbegun(self, task: Task, kind: Kind, message: str) -> None:
        """Write down how the trial of a task ended that never began; only where the trial is that task's alone."""
        order = self.submission.order
        if order.one_each:
            (trial,) = self.submission.own_trials(task.index)
            if answer(self._store, order.experiment, trial, order.code) == "open":
                task.trial, task.began = trial.id, self.submission.created
                task.attempt = unbegun_id(self.submission, task.index)
                self._record(task, kind, f"its task ended before it began: {message}")

    def _record(self, task: Task, kind: Kind, message: str) -> None:
        """Write down how the trial ended that a task was at and cannot tell itself."""
        trial = self.submission.trials.get(task.trial)
        if trial is not None:
            unfinished = Unfinished(
                trial,
                task.attempt,
                task.began,
                f"{self.submission.token}-{task.index}@{task.place.get('host', '')}",
                task.place,
            )
            failure = Failure(kind, kind, message, log_tail(self.submission, task.index))
            record_end(
                self._store, self.submission.experiment, self.submission.run, self.submission.code, unfinished, failure
            )
        name, task.trial = task.trial, ""
        self._on_event(task, {"event": "lost", "trial": name})


def unbegun_id(submission: Submission, index: int) -> str:
    """Return the id of the attempt that stands for a task that never began: the same for all who write it down."""
    digest = hashlib.sha256(f"{submission.token} {index}".encode()).hexdigest()[:8]
    return attempt_id(submission.created, digest)


def look_at(fleets: list[Fleet], controller: Controller) -> None:
    """Ask the controller once for all submissions, and let each take in its part.

    Raises:
        NoAnswer: Slurm does not answer; everything stays as it was.
    """
    for fleet in fleets:
        fleet.read()
    jobs = {fleet.submission.job for fleet in fleets if fleet.live} - {None}
    answers = controller.queue(sorted(job for job in jobs if job is not None))
    for fleet in fleets:
        if fleet.live and (job := fleet.submission.job) is not None:
            fleet.look(controller, [queued for queued in answers if queued.job == job])


def settle(fleets: list[Fleet], controller: Controller, seconds: float = 3 * SETTLING_SECONDS) -> None:
    """Look until no end is in doubt any more, for ``seconds`` at most; at once where nothing has ended lately.

    Raises:
        NoAnswer: Slurm does not answer.
    """
    deadline = time.monotonic() + seconds
    while True:
        look_at(fleets, controller)
        if not any(task.in_doubt for fleet in fleets for task in fleet.live) or time.monotonic() > deadline:
            return
        time.sleep(0.5)


def waiting_reasons(fleets: Iterable[Fleet]) -> Iterator[str]:
    """Yield why tasks wait, as Slurm says, each reason once."""
    seen = set()
    for fleet in fleets:
        for task in fleet.live:
            reason = task.queued.reason if task.phase == "waiting" and task.queued else ""
            if reason and reason != "None" and reason not in seen:
                seen.add(reason)
                yield reason
