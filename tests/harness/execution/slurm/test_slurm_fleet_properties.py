"""Whatever tasks report and Slurm says, in whatever order: no attempt is recorded twice, and none is lost."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from slurm_fakes import EXPERIMENT, Clock, FakeController, Reports, a_fleet, a_submission, keep_attempt, queued

from harness.execution import ends as ends_module
from harness.execution.slurm.controller import NoAnswer
from harness.execution.slurm.fleet import MISSING_SECONDS, SETTLING_SECONDS, Fleet, look_at, unbegun_id
from harness.execution.slurm.states import STATES
from harness.execution.slurm.submission import Submission
from harness.store.attempt import ATTEMPT_FILE, Failure
from harness.store.endings import ENDINGS
from harness.store.store import Store

NAMES_OF_ENDS = {*ENDINGS, "finished", "failed", "not needed", "code moved"}
ENOUGH = max(SETTLING_SECONDS, MISSING_SECONDS) + 0.5


@dataclass
class Story:
    """A submission and all who write about it, with what must stay true."""

    store: Store
    submission: Submission
    clock: Clock = field(default_factory=Clock)
    controller: FakeController = field(default_factory=FakeController)
    fleets: list[Fleet] = field(default_factory=list)
    started: set[str] = field(default_factory=set)
    by_workers: dict[str, str] = field(default_factory=dict)
    written: Counter[str] = field(default_factory=Counter)
    kept: dict[str, bytes] = field(default_factory=dict)
    ends: dict[tuple[int, int], str] = field(default_factory=dict)
    closed: bytes | None = None

    def __post_init__(self) -> None:
        self.reports = [Reports(self.store, self.submission, index) for index in range(self.submission.tasks)]
        self.at: list[tuple[str, str] | None] = [None] * self.submission.tasks
        self.restarts = [-1] * self.submission.tasks
        self.fleets.append(self.fleet())

    def fleet(self) -> Fleet:
        return a_fleet(self.store, self.submission, self.clock)

    def files(self) -> dict[str, bytes]:
        """Return every attempt in the store by its path, as it stands there."""
        root = self.store.root / EXPERIMENT / "attempts"
        return {str(path.parent.relative_to(root)): path.read_bytes() for path in root.glob(f"*/[!.]*/{ATTEMPT_FILE}")}

    def check(self) -> None:
        now = self.files()
        assert {path: now.get(path) for path in self.kept} == self.kept, "an attempt was changed or removed"
        ids = Counter(path.split("/")[1] for path in now)
        assert all(count == 1 for count in ids.values()), "an attempt stands under two trials"
        assert all(count == 1 for count in self.written.values()), "an attempt was written twice"
        unbegun = {unbegun_id(self.submission, index) for index in range(self.submission.tasks)}
        assert set(ids) <= self.started | unbegun, "an attempt was made up"
        for name, kind in self.by_workers.items():
            text = next(data for path, data in now.items() if path.endswith("/" + name))
            assert (b'"failure": null' in text) == (kind == "done"), "what a worker wrote was replaced"
        self.kept = now
        for number, fleet in enumerate(self.fleets):
            for index, end in fleet.ends().items():
                assert end in NAMES_OF_ENDS
                assert self.ends.setdefault((number, index), end) == end, "an end was changed"
        path = self.submission.folder / "closed.json"
        if path.exists():
            data = path.read_bytes()
            assert self.closed in (None, data), "the ends were written down twice"
            assert set((self.submission.closed or {})["ends"]) == {str(n) for n in range(self.submission.tasks)}
            self.closed = data


@contextlib.contextmanager
def a_story(**settings_: Any) -> Iterator[Story]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        story = Story(store, a_submission(store, **settings_))
        write = ends_module.write_attempt

        def counted(into: Path, attempt: Any, *rest: Any) -> Any:
            found = write(into, attempt, *rest)
            story.written[attempt.id] += 1
            return found

        try:
            with mock.patch.object(ends_module, "write_attempt", counted):
                yield story
        finally:
            for reports in story.reports:
                reports.close()


TASKS = 3
task = st.integers(0, TASKS - 1)
state = st.none() | st.sampled_from([*STATES, "BRAND_NEW", "CANCELLED by 1000"])
queue = st.none() | st.lists(st.tuples(state, st.sampled_from(["None", "Preempted"])), min_size=TASKS, max_size=TASKS)
step = st.one_of(
    st.tuples(st.just("begin"), task),
    st.tuples(st.just("start"), task, st.integers(0, 3)),
    st.tuples(st.just("finish"), task, st.sampled_from(["done", "raised", "requeued"]), st.booleans()),
    st.tuples(
        st.just("say"), task, st.sampled_from(["interrupted", "lost", "requeue", "end", "code-moved", "progress"])
    ),
    st.tuples(st.just("queue"), queue),
    st.tuples(st.just("history"), queue),
    st.tuples(st.just("advance"), st.sampled_from([0.5, 2.0, 4.0, 700.0])),
    st.tuples(st.just("look")),
    st.tuples(st.just("look later")),
    st.tuples(st.just("join")),
    st.tuples(st.just("dismiss")),
)


def take(story: Story, action: str, *details: Any) -> None:
    """Let one thing happen."""
    if action == "begin":
        (index,) = details
        story.restarts[index] += 1
        story.at[index] = None
        story.reports[index].begin(story.restarts[index])
    elif action == "start":
        index, number = details
        if story.restarts[index] >= 0 and story.at[index] is None:
            attempt = f"attempt{len(story.started)}"
            story.started.add(attempt)
            story.at[index] = (f"trial{number}", attempt)
            story.reports[index].start(f"trial{number}", attempt)
    elif action == "finish":
        index, kind, told = details
        if story.at[index] is not None:
            trial, attempt = story.at[index]
            story.at[index] = None
            failure = None if kind == "done" else Failure(kind, kind, "by the worker")
            try:
                keep_attempt(story.store, trial, attempt, failure)
            except FileExistsError:
                # Slurm had called this job ended while its process lived; what stands there stays.
                return
            story.written[attempt] += 1
            story.by_workers[attempt] = kind
            if told:
                story.reports[index].say("finished", trial=trial, attempt=attempt, seconds=1.0, failure=None)
    elif action == "say":
        index, word = details
        if story.restarts[index] >= 0:
            story.reports[index].say(word, trial=(story.at[index] or ("", ""))[0])
    elif action in ("queue", "history"):
        (told,) = details
        answer: Any = NoAnswer("silent")
        if told is not None:
            answer = [queued(story.submission, n, name, why) for n, (name, why) in enumerate(told) if name is not None]
        if action == "queue":
            story.controller.tasks = answer
        else:
            story.controller.past = answer
    elif action == "advance":
        story.clock.advance(details[0])
    elif action == "join":
        story.fleets.append(story.fleet())
    elif action == "dismiss":
        story.submission.mark("dismissed")
    elif action.startswith("look"):
        if action == "look later":
            story.clock.advance(ENOUGH)
        for fleet in story.fleets:
            before = fleet.ends()
            try:
                look_at([fleet], story.controller)  # type: ignore[arg-type]
            except NoAnswer:
                assert fleet.ends() == before, "something was concluded from silence"


@settings(max_examples=60)
@given(st.lists(step, max_size=40), st.booleans())
def test_no_attempt_is_recorded_twice_and_what_a_worker_wrote_stays(steps: list[tuple[Any, ...]], alone: bool) -> None:
    with a_story(tasks=TASKS, trials=TASKS + 1 - alone, one_each=alone) as story:
        for action, *details in steps:
            take(story, action, *details)
            story.check()


@dataclass(frozen=True)
class RunOfATask:
    """A run: trials that it finishes, whether it is at another one when it ends, and what Slurm then calls its job."""

    finished: int
    unfinished: bool
    after: str
    reason: str = "None"


waiting_states = st.sampled_from(sorted(name for name, found in STATES.items() if found.phase == "waiting"))
ended_states = st.sampled_from(sorted(name for name, found in STATES.items() if found.phase == "ended"))
requeued_run = st.builds(
    RunOfATask, st.integers(0, 2), st.booleans(), waiting_states, st.sampled_from(["None", "BeginTime", "Preempted"])
)
last_run = st.builds(RunOfATask, st.integers(0, 2), st.booleans(), ended_states)
history_of_a_task: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.lists(requeued_run, max_size=3), last_run),
    st.tuples(st.just([]), ended_states),
)


def happenings(story: Story, index: int, history: Any, expected: dict[str, set[str]]) -> Iterator[str]:
    """Let one task live as it truly would, a step at a time; yield what Slurm calls it, with the reason, after each."""
    runs, last = history
    yield "PENDING|Resources"
    for run in [*runs, last] if isinstance(last, RunOfATask) else []:
        take(story, "begin", index)
        yield "RUNNING|None"
        for _ in range(run.finished):
            take(story, "start", index, len(story.started))
            yield "RUNNING|None"
            attempt = story.at[index][1]  # type: ignore[index]
            expected[attempt] = {"done"}
            take(story, "finish", index, "done", True)
            yield "RUNNING|None"
        final = STATES[run.after].phase == "ended"
        if run.unfinished:
            take(story, "start", index, len(story.started))
            attempt = story.at[index][1]  # type: ignore[index]
            # Nobody may have looked while the job waited again; then the reason is not known any more.
            again = {"requeued", "preempted"} if run.reason == "Preempted" else {"requeued"}
            expected[attempt] = {STATES[run.after].kind} if final else again
            yield "RUNNING|None"
        elif final:
            story.reports[index].say("end")
            yield "COMPLETING|None"
        yield f"{run.after}|{run.reason}"
    if not isinstance(last, RunOfATask):
        yield f"{last}|None"


def expected_end(history: Any) -> str:
    last = history[1]
    if isinstance(last, RunOfATask):
        return STATES[last.after].kind if last.unfinished else "finished"
    return "failed" if STATES[last].kind == "killed" else STATES[last].kind


@settings(max_examples=60)
@given(st.lists(history_of_a_task, min_size=1, max_size=3), st.data())
def test_every_attempt_of_any_history_is_recorded_once_as_it_ended(histories: list[Any], data: st.DataObject) -> None:
    with a_story(tasks=len(histories), trials=60) as story:
        expected: dict[str, set[str]] = {}
        lives = {n: happenings(story, n, history, expected) for n, history in enumerate(histories)}
        told = {n: next(life) for n, life in lives.items()}
        running = set(lives)
        while running:
            index = data.draw(st.sampled_from(sorted(running)))
            try:
                told[index] = next(lives[index])
            except StopIteration:
                running.discard(index)
            if data.draw(st.integers(0, 2)) == 0:
                look(story, told)
            story.clock.advance(data.draw(st.sampled_from([0.1, 1.0, 5.0])))
        for _ in range(2):
            look(story, told)
            story.clock.advance(ENOUGH)
        # Who comes only now reads the same story.
        story.fleets.append(story.fleet())
        for _ in range(2):
            look(story, told)
            story.clock.advance(ENOUGH)
        for fleet in story.fleets:
            assert fleet.ends() == {n: expected_end(history) for n, history in enumerate(histories)}
        found = {}
        for trial in story.store.trial_ids(EXPERIMENT):
            for stored in story.store.attempts(EXPERIMENT, trial)[0]:
                failure = stored.attempt.failure
                found[stored.attempt.id] = failure.kind if failure else "done"
        assert found.keys() == expected.keys()
        assert all(kind in expected[name] for name, kind in found.items())


def look(story: Story, told: dict[int, str]) -> None:
    said = {n: words.split("|") for n, words in told.items()}
    story.controller.tasks = [queued(story.submission, n, state, reason) for n, (state, reason) in said.items()]
    take(story, "look")
    story.check()
