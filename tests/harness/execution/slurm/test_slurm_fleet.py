"""What became of every task, from its own reports and Slurm's word: no end is missed, none is made up, none told twice."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from slurm_fakes import EXPERIMENT, JOB, Clock, FakeController, Reports, a_fleet, a_submission, attempts, kinds, queued

from harness.execution import ends as ends_module
from harness.execution.claims import Claims
from harness.execution.heartbeat import FOLDER as HEARTBEATS
from harness.execution.heartbeat import LEASE_SECONDS, Watch
from harness.execution.place import Place
from harness.execution.slurm import fleet as fleet_module
from harness.execution.slurm.controller import NoAnswer
from harness.execution.slurm.fleet import (
    GONE_SECONDS,
    MISSING_SECONDS,
    SETTLING_SECONDS,
    UNCLAIMED_SECONDS,
    Fleet,
    look_at,
    settle,
    unbegun_id,
    waiting_reasons,
)
from harness.execution.slurm.states import STATES, UNKNOWN_SECONDS
from harness.execution.slurm.submission import Submission
from harness.store.attempt import Failure
from harness.store.endings import ENDINGS
from harness.store.store import Store

ENOUGH = max(SETTLING_SECONDS, MISSING_SECONDS)
A_LITTLE = 0.1
ENDED = {name: state for name, state in STATES.items() if state.phase == "ended"}
OF_THE_TRIAL_ITSELF = {"raised", "wrong records"}
"""Kinds that a worker writes down itself, since its process lives on."""


@dataclasses.dataclass
class World:
    """A fleet with all that it looks at, in the test's hands."""

    store: Store
    submission: Submission
    clock: Clock
    controller: FakeController
    fleet: Fleet

    def task(self, index: int) -> Reports:
        return Reports(self.store, self.submission, index)

    def slurm(self, *states: str | None, reason: str = "None", past: bool = False) -> None:
        """Let the queue, or the accounting, say the tasks' states; None for one that it does not know."""
        found = [queued(self.submission, index, state, reason) for index, state in enumerate(states) if state]
        if past:
            self.controller.past = found
        else:
            self.controller.tasks = found

    def look(self) -> None:
        look_at([self.fleet], self.controller)  # type: ignore[arg-type, list-item]

    def settled(self) -> dict[int, str]:
        """Look twice, long enough apart for an end to be believed, and return the ends."""
        self.look()
        self.clock.advance(ENOUGH + A_LITTLE)
        self.look()
        return self.fleet.ends()

    def again(self) -> World:
        """Return the same as another process sees it."""
        return dataclasses.replace(self, fleet=a_fleet(self.store, self.submission, self.clock))


MakeWorld = Callable[..., World]


@pytest.fixture
def world(store: Store, clock: Clock) -> MakeWorld:
    def make(**settings: Any) -> World:
        submission = a_submission(store, **settings)
        return World(store, submission, clock, FakeController(), a_fleet(store, submission, clock))

    return make


def at_a_trial(world: World, index: int = 0, restart: int = 0, attempt: str = "a1") -> Reports:
    """Let a task begin a trial that it does not finish."""
    reports = world.task(index)
    reports.begin(restart)
    reports.start(f"trial{index}", attempt)
    return reports


def test_a_task_waits_then_runs(world: MakeWorld) -> None:
    here = world(tasks=3)
    here.slurm("PENDING", "RUNNING", None)
    here.look()
    assert [task.phase for task in here.fleet.tasks] == ["waiting", "running", "waiting"]
    assert here.fleet.ends() == {}


def test_what_tasks_report_is_handed_on_once(store: Store, clock: Clock) -> None:
    seen: list[tuple[int, str]] = []
    submission = a_submission(store)
    fleet = a_fleet(store, submission, clock, on_event=lambda task, event: seen.append((task.index, event["event"])))
    reports = Reports(store, submission, 1)
    reports.begin()
    reports.start("trial1", "a1")
    assert fleet.read()
    assert not fleet.read()
    reports.finish("trial1", "a1")
    assert fleet.read()
    assert seen == [(1, "begin"), (1, "started"), (1, "finished")]
    assert (fleet.tasks[1].restart, fleet.tasks[1].place["job"]) == (0, f"{JOB}_1")


@pytest.mark.parametrize("state", sorted(ENDED))
def test_a_task_that_slurm_ended_at_a_trial_leaves_an_attempt_that_says_how(world: MakeWorld, state: str) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    here.slurm(state)
    found = here.settled()
    kind = ENDED[state].kind
    assert found == {0: kind}
    assert attempts(here.store) == {"trial0": [kind]}
    (stored,) = here.store.attempts(EXPERIMENT, "trial0")[0]
    attempt = stored.attempt
    assert (attempt.id, attempt.code, attempt.run) == ("a1", here.submission.code, here.submission.run)
    assert attempt.failure is not None and f"(Slurm calls its job {state})" in attempt.failure.message
    assert attempt.place == {"host": "node1", "job": f"{JOB}_0", "restart": 0, "cluster": "toy"}
    assert attempt.worker == f"{here.submission.token}-0@node1"


def test_every_kind_of_end_that_comes_from_outside_is_among_those_tested_here() -> None:
    from_states = {state.kind for state in ENDED.values()}
    # 'requeued' and 'vanished' are told from what Slurm does not say, below.
    assert from_states | {"requeued", "vanished"} == set(ENDINGS) - OF_THE_TRIAL_ITSELF


@pytest.mark.parametrize("kind", sorted(OF_THE_TRIAL_ITSELF))
def test_a_failure_that_the_worker_has_written_is_left_alone(world: MakeWorld, kind: str) -> None:
    here = world(tasks=1)
    reports = at_a_trial(here)
    reports.finish("trial0", "a1", Failure(kind, kind, "mine"))
    reports.say("end")
    here.slurm("COMPLETED")
    assert here.settled() == {0: "finished"}
    assert attempts(here.store) == {"trial0": [kind]}


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "TIMEOUT", "COMPLETED"])
def test_a_task_that_reported_its_end_has_finished_whatever_slurm_says(world: MakeWorld, state: str) -> None:
    here = world(tasks=1)
    reports = at_a_trial(here)
    reports.finish("trial0", "a1")
    reports.say("end")
    here.slurm(state)
    assert here.settled() == {0: "finished"}
    assert attempts(here.store) == {"trial0": ["done"]}


def test_an_unfinished_trial_in_a_completed_job_was_killed(world: MakeWorld) -> None:
    here = world(tasks=1)
    reports = at_a_trial(here)
    reports.finish("trial0", "a1")
    reports.start("trial1", "a2")
    here.slurm("COMPLETED")
    assert here.settled() == {0: "killed"}
    assert attempts(here.store) == {"trial0": ["done"], "trial1": ["killed"]}


def test_a_task_that_ends_between_two_trials_leaves_no_attempt(world: MakeWorld) -> None:
    here = world(tasks=1)
    reports = at_a_trial(here)
    reports.finish("trial0", "a1")
    here.slurm("NODE_FAIL")
    assert here.settled() == {0: "node failed"}
    assert attempts(here.store) == {"trial0": ["done"]}


def test_an_attempt_that_was_written_but_not_told_any_more_stays_as_it_is(world: MakeWorld) -> None:
    here = world(tasks=1)
    reports = at_a_trial(here)
    reports.finish("trial0", "a1", told=False)
    here.slurm("OUT_OF_MEMORY")
    assert here.settled() == {0: "out of memory"}
    assert attempts(here.store) == {"trial0": ["done"]}


@pytest.mark.parametrize("word", ["interrupted", "progress"])
def test_a_trial_whose_worker_was_terminated_ended_as_slurm_says(world: MakeWorld, word: str) -> None:
    here = world(tasks=1)
    at_a_trial(here).say(word, trial="trial0", done=1, total=2)
    here.slurm("CANCELLED by 1000")
    assert here.settled() == {0: "cancelled"}
    assert attempts(here.store) == {"trial0": ["cancelled"]}


def test_a_trial_that_somebody_else_took_over_is_no_longer_the_tasks(world: MakeWorld) -> None:
    here = world(tasks=1)
    at_a_trial(here).say("lost", trial="trial0")
    here.slurm("NODE_FAIL")
    assert here.settled() == {0: "node failed"}
    assert attempts(here.store) == {}


def test_an_end_is_believed_only_once_it_has_been_seen_for_a_while(world: MakeWorld) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    here.slurm("FAILED")
    here.look()
    assert here.fleet.tasks[0].in_doubt
    here.clock.advance(SETTLING_SECONDS - A_LITTLE)
    here.look()
    assert here.fleet.ends() == {} and attempts(here.store) == {}
    here.clock.advance(2 * A_LITTLE)
    here.look()
    assert here.fleet.ends() == {0: "killed"}
    assert not here.fleet.tasks[0].in_doubt


def test_an_end_that_the_task_told_itself_needs_no_time_to_be_believed(world: MakeWorld) -> None:
    here = world(tasks=1)
    reports = at_a_trial(here)
    reports.finish("trial0", "a1")
    reports.say("end")
    here.slurm("COMPLETED")
    here.look()
    assert here.fleet.ends() == {0: "finished"}


def test_what_a_task_told_while_its_end_settled_counts(world: MakeWorld) -> None:
    here = world(tasks=1)
    reports = at_a_trial(here)
    here.slurm("COMPLETED")
    here.look()
    # The file server was late: Slurm's word came before the task's own.
    reports.finish("trial0", "a1")
    reports.say("end")
    here.clock.advance(SETTLING_SECONDS)
    here.look()
    assert here.fleet.ends() == {0: "finished"}
    assert attempts(here.store) == {"trial0": ["done"]}


def test_an_end_that_slurm_takes_back_is_forgotten(world: MakeWorld) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    for state in ("NODE_FAIL", "RUNNING", "NODE_FAIL"):
        here.slurm(state)
        here.look()
        here.clock.advance(SETTLING_SECONDS - A_LITTLE)
    here.look()
    assert here.fleet.ends() == {}


def test_nothing_is_concluded_from_a_silent_controller(world: MakeWorld) -> None:
    here = world()
    at_a_trial(here)
    here.slurm("RUNNING", "PENDING")
    here.look()
    here.controller.tasks = NoAnswer("silent")
    for _ in range(5):
        here.clock.advance(3600)
        with pytest.raises(NoAnswer):
            here.look()
    assert here.fleet.ends() == {} and attempts(here.store) == {}
    assert [task.phase for task in here.fleet.tasks] == ["running", "waiting"]
    assert here.submission.closed is None


def test_a_silence_is_no_time_in_which_an_end_was_seen(world: MakeWorld) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    here.controller.tasks = NoAnswer("silent")
    with pytest.raises(NoAnswer):
        here.look()
    here.clock.advance(3600)
    here.slurm("FAILED")
    here.look()
    assert here.fleet.ends() == {}, "it is the first time that this end is seen"


def test_what_tasks_report_is_taken_in_while_the_controller_is_silent(world: MakeWorld) -> None:
    here = world(tasks=1)
    here.controller.tasks = NoAnswer("silent")
    at_a_trial(here)
    with pytest.raises(NoAnswer):
        here.look()
    assert here.fleet.tasks[0].trial == "trial0"


def test_nothing_is_concluded_of_a_missing_task_while_the_accounting_is_silent_up_to_a_deadline(
    world: MakeWorld,
) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    here.controller.past = NoAnswer("silent")
    here.look()
    here.clock.advance(UNKNOWN_SECONDS - A_LITTLE)
    here.look()
    assert here.fleet.ends() == {} and attempts(here.store) == {}
    here.clock.advance(2 * A_LITTLE)
    here.look()
    assert here.fleet.ends() == {0: "vanished"} and attempts(here.store) == {"trial0": ["vanished"]}


def test_an_end_in_the_queue_is_believed_although_the_accounting_is_silent_on_another_task(world: MakeWorld) -> None:
    here = world(tasks=2)
    at_a_trial(here, 0)
    at_a_trial(here, 1)
    here.controller.past = NoAnswer("silent")
    here.slurm("FAILED", None)
    for _ in range(3):
        here.look()
        here.clock.advance(ENOUGH + A_LITTLE)
    assert here.fleet.ends() == {0: "killed"}


def test_a_task_that_told_its_end_needs_no_accounting(world: MakeWorld) -> None:
    here = world(tasks=1)
    reports = at_a_trial(here)
    reports.finish("trial0", "a1")
    reports.say("end")
    here.controller.past = NoAnswer("silent")
    assert here.settled() == {0: "finished"}


def test_a_task_missing_while_its_array_is_known_was_cancelled_before_it_began(world: MakeWorld) -> None:
    here = world(tasks=2)
    here.slurm("RUNNING", None)
    here.look()
    here.clock.advance(MISSING_SECONDS - A_LITTLE)
    here.look()
    assert here.fleet.ends() == {}
    here.clock.advance(2 * A_LITTLE)
    here.look()
    assert here.fleet.ends() == {1: "cancelled"}
    assert attempts(here.store) == {}


def test_an_array_that_was_known_and_is_forgotten_whole_was_cancelled_before_it_began(world: MakeWorld) -> None:
    here = world(tasks=2)
    here.slurm("PENDING", "PENDING")
    here.look()
    here.slurm()
    assert here.settled() == {0: "cancelled", 1: "cancelled"}


def test_an_array_that_is_not_known_at_all_has_vanished(world: MakeWorld) -> None:
    here = world(tasks=2)
    assert here.settled() == {0: "vanished", 1: "vanished"}
    assert attempts(here.store) == {}


def test_a_task_that_comes_back_into_the_queue_was_not_missing(world: MakeWorld) -> None:
    here = world(tasks=1)
    here.look()
    here.clock.advance(MISSING_SECONDS - A_LITTLE)
    here.slurm("PENDING")
    here.look()
    here.slurm()
    here.look()
    here.clock.advance(MISSING_SECONDS - A_LITTLE)
    here.look()
    assert here.fleet.ends() == {}


@pytest.mark.parametrize(
    ("state", "end"), [("CANCELLED by 0", "cancelled"), ("NODE_FAIL", "node failed"), ("TIMEOUT", "time limit")]
)
def test_what_the_queue_has_forgotten_the_accounting_still_tells(world: MakeWorld, state: str, end: str) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    here.slurm(state, past=True)
    assert here.settled() == {0: end}
    assert attempts(here.store) == {"trial0": [end]}


def test_of_several_runs_in_the_accounting_the_last_one_counts(world: MakeWorld) -> None:
    here = world(tasks=1)
    at_a_trial(here, restart=1, attempt="a2")
    here.controller.past = [queued(here.submission, 0, state) for state in ("PREEMPTED", "OUT_OF_MEMORY")]
    assert here.settled() == {0: "out of memory"}


def test_the_accounting_is_not_asked_while_the_queue_knows_every_task(world: MakeWorld) -> None:
    here = world(tasks=2)
    here.slurm("RUNNING", "FAILED")
    here.settled()
    assert {question for question, _ in here.controller.asked} == {"queue"}


def test_a_running_task_that_nobody_knows_any_more_has_vanished(world: MakeWorld) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    assert here.settled() == {0: "vanished"}
    assert attempts(here.store) == {"trial0": ["vanished"]}


def test_a_missing_task_whose_process_still_holds_its_trial_lives(world: MakeWorld) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    worker = Claims(here.store.claims_folder(EXPERIMENT), Place.here(), worker="w")
    held = worker.acquire("trial0")
    assert held is not None
    assert here.settled() == {}
    worker.release(held)
    here.look()
    assert here.fleet.ends() == {0: "vanished"}


def with_a_holder(store: Store, clock: Clock, **place: Any) -> tuple[World, Claims]:
    """Return a task at a trial that a process of its job holds, as ``place`` differs from this process's place."""
    submission = a_submission(store, tasks=1)
    there = dataclasses.replace(Place.here(), job=f"{JOB}_0", cluster="toy", restart=0, **place)
    folder = store.claims_folder(EXPERIMENT)
    assert Claims(folder, there, worker="w", heart="h").acquire("trial0") is not None
    mine = Claims(folder, Place.here())
    # Whether a heart beats is measured by the test's clock too.
    mine.watch = Watch(folder, clock=clock)
    here = World(store, submission, clock, FakeController(), Fleet(submission, store, mine, clock=clock))
    at_a_trial(here)
    return here, mine


ELSEWHERE = {"host": "node1", "boot": "another boot"}
DEAD_HERE = {"process_started": 1.0}


def watched(here: World, state: str, seconds: float) -> dict[int, str]:
    """Look now and then for some seconds while Slurm says the same."""
    here.slurm(state)
    until = here.clock.now + seconds
    while here.clock.now <= until:
        here.look()
        here.clock.advance(5)
    return here.fleet.ends()


def test_what_a_job_that_ended_held_is_free(store: Store, clock: Clock) -> None:
    here, mine = with_a_holder(store, clock, **ELSEWHERE)
    here.slurm("RUNNING")
    here.look()
    assert mine.is_held("trial0")
    here.slurm("NODE_FAIL")
    here.settled()
    assert not mine.is_held("trial0")


def test_a_task_whose_process_is_gone_was_killed_although_slurm_calls_it_running(store: Store, clock: Clock) -> None:
    here, _ = with_a_holder(store, clock, **DEAD_HERE)
    assert watched(here, "RUNNING", GONE_SECONDS - 6) == {}
    assert watched(here, "RUNNING", 12) == {0: "killed"}
    assert attempts(store) == {"trial0": ["killed"]}
    # What Slurm still holds for it is given back.
    assert ("cancel", ["7_0"]) in here.controller.asked


def test_a_task_on_another_machine_is_gone_only_after_its_heart_was_silent_for_a_lease(
    store: Store, clock: Clock
) -> None:
    here, _ = with_a_holder(store, clock, **ELSEWHERE)
    assert watched(here, "RUNNING", LEASE_SECONDS) == {}
    assert watched(here, "RUNNING", GONE_SECONDS + 10) == {0: "killed"}


def test_a_heart_that_beats_again_begins_the_wait_anew(store: Store, clock: Clock) -> None:
    here, mine = with_a_holder(store, clock, **ELSEWHERE)
    heart = mine.folder / HEARTBEATS / "h"
    heart.parent.mkdir()
    for beat in range(5):
        heart.write_text(str(beat))
        # Long enough to be taken for gone, and not for so long that this counts.
        assert watched(here, "RUNNING", LEASE_SECONDS + GONE_SECONDS - 5) == {}


def test_a_task_whose_process_lives_runs_for_as_long_as_slurm_says(store: Store, clock: Clock) -> None:
    here, _ = with_a_holder(store, clock)
    assert watched(here, "RUNNING", 10 * (LEASE_SECONDS + GONE_SECONDS)) == {}


def test_a_process_of_an_earlier_run_that_is_gone_says_nothing_of_this_one(store: Store, clock: Clock) -> None:
    here, _ = with_a_holder(store, clock, **DEAD_HERE)
    here.task(0).begin(restart=1)
    here.task(0).start("trial0", "a2")
    # Nobody has told its claim yet: a network file system may take a while.
    assert watched(here, "RUNNING", UNCLAIMED_SECONDS - 5) == {}


def test_a_task_whose_claim_somebody_has_cleared_away_is_gone_too(store: Store, clock: Clock) -> None:
    here, mine = with_a_holder(store, clock, **DEAD_HERE)
    mine.clear_dead()
    assert mine.holder("trial0") is None
    assert watched(here, "RUNNING", UNCLAIMED_SECONDS - 5) == {}
    assert watched(here, "RUNNING", 10) == {0: "killed"}


@pytest.mark.parametrize("state", ["SUSPENDED", "STOPPED"])
def test_a_task_that_is_suspended_is_not_gone(store: Store, clock: Clock, state: str) -> None:
    here, _ = with_a_holder(store, clock, **ELSEWHERE)
    assert watched(here, state, 10 * (LEASE_SECONDS + GONE_SECONDS)) == {}
    assert attempts(store) == {}


def test_a_job_number_that_came_again_is_somebody_elses(world: MakeWorld) -> None:
    here = world(tasks=1)
    other = dataclasses.replace(queued(here.submission, 0, "COMPLETED"), name="harness-other-ffff")
    here.controller.tasks = here.controller.past = [other]
    assert here.settled() == {0: "vanished"}
    assert here.fleet.tasks[0].queued is None


@pytest.mark.parametrize("mark", [None, "dismissed"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_task_that_was_taken_out_of_the_queue_since_nothing_was_left_was_not_needed(
    world: MakeWorld, mark: Any, gone: bool
) -> None:
    here = world(tasks=2)
    if mark:
        here.submission.mark(mark)
    here.slurm("RUNNING", None if gone else "CANCELLED")
    assert here.settled() == {1: "not needed" if mark else "cancelled"}


def test_a_task_that_ran_when_the_rest_was_dismissed_is_named_by_its_own_end(world: MakeWorld) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    here.submission.mark("dismissed")
    here.slurm("TIMEOUT")
    assert here.settled() == {0: "time limit"}
    assert attempts(here.store) == {"trial0": ["time limit"]}


@pytest.mark.parametrize("state", ["FAILED", "COMPLETED"])
def test_a_task_that_ends_before_its_first_word_has_failed(world: MakeWorld, state: str) -> None:
    here = world(tasks=1)
    here.slurm(state)
    assert here.settled() == {0: "failed"}
    assert attempts(here.store) == {}


def test_what_a_task_printed_last_says_why_it_failed_before_it_began(world: MakeWorld) -> None:
    here = world(tasks=1)
    here.submission.logs.mkdir()
    (here.submission.logs / f"{JOB}_0_0_log.err").write_text("Traceback\nModuleNotFoundError: No module named 'x'\n\n")
    here.slurm("FAILED")
    assert here.settled() == {0: "failed"}
    assert here.fleet.message == "ModuleNotFoundError: No module named 'x'"
    assert (here.submission.closed or {})["message"] == here.fleet.message


def test_what_a_task_printed_is_kept_with_the_attempt_that_it_lost(world: MakeWorld) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    here.submission.logs.mkdir()
    (here.submission.logs / f"{JOB}_0_0_log.err").write_text("Segmentation fault\n")
    here.slurm("FAILED")
    here.settled()
    (stored,) = here.store.attempts(EXPERIMENT, "trial0")[0]
    assert stored.attempt.failure is not None and stored.attempt.failure.traceback == "Segmentation fault\n"


def test_a_task_that_is_requeued_while_at_a_trial_leaves_one_attempt_that_says_so(world: MakeWorld) -> None:
    here = world(tasks=1)
    reports = at_a_trial(here)
    here.slurm("RUNNING")
    here.look()
    here.slurm("PENDING", reason="BeginTime")
    for _ in range(3):
        here.look()
        here.clock.advance(60)
    assert attempts(here.store) == {"trial0": ["requeued"]}
    reports.begin(restart=1)
    reports.start("trial0", "a2")
    here.slurm("RUNNING")
    here.look()
    assert attempts(here.store) == {"trial0": ["requeued"]}
    reports.finish("trial0", "a2")
    reports.say("end")
    here.slurm("COMPLETED")
    assert here.settled() == {0: "finished"}
    assert attempts(here.store) == {"trial0": ["requeued", "done"]}


@pytest.mark.parametrize("state", sorted(name for name, state in STATES.items() if state.phase == "waiting"))
def test_every_state_in_which_a_job_waits_means_that_its_run_is_over(world: MakeWorld, state: str) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    here.slurm(state)
    here.look()
    assert attempts(here.store) == {"trial0": ["requeued"]}
    assert here.fleet.ends() == {}


def test_a_task_that_another_job_drove_out_was_preempted(world: MakeWorld) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    here.slurm("PENDING", reason="Preempted")
    here.look()
    assert attempts(here.store) == {"trial0": ["preempted"]}


def test_a_requeue_that_nobody_saw_is_told_by_the_tasks_next_run(world: MakeWorld) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    reports = here.task(0)
    reports.begin(restart=1)
    reports.start("trial0", "a2")
    here.slurm("RUNNING")
    here.look()
    assert attempts(here.store) == {"trial0": ["requeued"]}
    assert (here.fleet.tasks[0].restart, here.fleet.tasks[0].attempt) == (1, "a2")


def test_a_trial_begun_after_the_queue_was_asked_is_not_taken_for_requeued(store: Store, clock: Clock) -> None:
    submission = a_submission(store, tasks=1)
    here = World(store, submission, clock, FakeController(), a_fleet(store, submission, clock))
    here.slurm("PENDING")

    class BeginsMeanwhile(FakeController):
        def queue(self, jobs: Any) -> Any:
            answer = super().queue(jobs)
            at_a_trial(here)
            return answer

    look_at([here.fleet], BeginsMeanwhile(here.controller.tasks))  # type: ignore[arg-type, list-item]
    assert here.fleet.tasks[0].trial == "trial0"
    assert attempts(store) == {}


def test_an_attempt_that_the_worker_itself_wrote_as_requeued_is_not_written_again(world: MakeWorld) -> None:
    here = world(tasks=1)
    reports = at_a_trial(here)
    reports.finish("trial0", "a1", Failure("requeued", "requeued", "at its checkpoint"), told=False)
    here.slurm("PENDING")
    here.look()
    (stored,) = here.store.attempts(EXPERIMENT, "trial0")[0]
    assert stored.attempt.failure is not None and stored.attempt.failure.message == "at its checkpoint"


def test_two_that_look_one_after_the_other_record_a_requeue_once(world: MakeWorld) -> None:
    here = world(tasks=1)
    other = here.again()
    at_a_trial(here)
    here.slurm("PENDING")
    here.look()
    other.look()
    assert attempts(here.store) == {"trial0": ["requeued"]}


def test_two_that_look_at_the_same_time_record_a_requeue_once(
    world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    here.slurm("PENDING")
    both, problems = threading.Barrier(2), []
    write = ends_module.write_attempt

    def write_together(*arguments: Any) -> Any:
        # Both have seen that nobody has written it yet.
        both.wait(timeout=60)
        return write(*arguments)

    monkeypatch.setattr(ends_module, "write_attempt", write_together)

    def look(view: World) -> None:
        try:
            view.look()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=look, args=(view,)) for view in (here, here.again())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert attempts(here.store) == {"trial0": ["requeued"]}
    assert not list(here.store.root.rglob(".tmp-*"))


def test_who_comes_later_reads_the_same_story_and_adds_nothing(world: MakeWorld) -> None:
    here = world(tasks=2)
    reports = at_a_trial(here)
    reports.begin(restart=1)
    reports.start("trial0", "a2")
    reports.finish("trial0", "a2")
    reports.start("trial2", "a3")
    here.slurm("OUT_OF_MEMORY", "CANCELLED")
    expected = {0: "out of memory", 1: "cancelled"}
    assert here.settled() == expected
    before = attempts(here.store)
    assert before == {"trial0": ["requeued", "done"], "trial2": ["out of memory"]}
    assert here.again().settled() == expected
    assert attempts(here.store) == before


def test_a_task_that_asked_to_be_requeued_and_was_not_came_to_the_end_of_its_time(world: MakeWorld) -> None:
    here = world(tasks=1)
    reports = at_a_trial(here)
    reports.finish("trial0", "a1")
    reports.say("requeue", why="warned")
    here.slurm("FAILED")
    assert here.settled() == {0: "time limit"}


def test_a_task_that_asked_to_be_requeued_and_was_goes_on(world: MakeWorld) -> None:
    here = world(tasks=1)
    reports = here.task(0)
    reports.begin()
    reports.say("requeue", why="warned")
    here.slurm("PENDING")
    assert here.settled() == {}
    assert here.fleet.tasks[0].phase == "waiting"
    reports.begin(restart=1)
    here.slurm("FAILED")
    assert here.settled() == {0: "killed"}, "this run asked for nothing"
    assert attempts(here.store) == {}


def test_a_task_that_found_other_code_says_so(world: MakeWorld) -> None:
    here = world(tasks=1)
    reports = here.task(0)
    reports.begin()
    reports.say("code-moved")
    here.slurm("COMPLETED")
    assert here.settled() == {0: "code moved"}
    assert attempts(here.store) == {}


def test_a_task_that_found_other_code_after_its_trial_leaves_no_attempt(world: MakeWorld) -> None:
    # The worker looks at the code once more when a trial has ended, and then writes no attempt.
    here = world(tasks=1)
    at_a_trial(here).say("code-moved")
    here.slurm("COMPLETED")
    assert here.settled() == {0: "code moved"}
    assert attempts(here.store) == {}


def test_a_state_that_is_not_known_gets_its_time_and_is_then_reported(world: MakeWorld) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    here.slurm("BRAND_NEW")
    here.look()
    here.clock.advance(UNKNOWN_SECONDS - A_LITTLE)
    here.look()
    assert here.fleet.ends() == {} and here.fleet.message == ""
    here.clock.advance(2 * A_LITTLE)
    here.look()
    assert here.fleet.ends() == {0: "vanished"}
    assert attempts(here.store) == {"trial0": ["vanished"]}
    assert here.fleet.message == "Slurm calls a task BRAND_NEW, a state that is not known here"
    assert (here.submission.closed or {})["message"] == here.fleet.message


def test_a_state_that_is_known_again_ends_the_wait(world: MakeWorld) -> None:
    here = world(tasks=1)
    for state in ("BRAND_NEW", "RUNNING", "BRAND_NEW"):
        here.slurm(state)
        here.look()
        here.clock.advance(UNKNOWN_SECONDS - A_LITTLE)
    here.look()
    assert here.fleet.ends() == {}


def test_how_all_tasks_ended_is_written_down_once_the_last_one_has(world: MakeWorld) -> None:
    here = world(tasks=2)
    here.slurm("RUNNING", "CANCELLED")
    here.settled()
    assert here.submission.closed is None
    at_a_trial(here)
    here.slurm("TIMEOUT", "CANCELLED")
    here.settled()
    assert here.submission.closed == {"ends": {"0": "time limit", "1": "cancelled"}, "message": ""}
    path = here.submission.folder / "closed.json"
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
    here.slurm("FAILED", "FAILED")
    assert here.again().settled() == {0: "killed", 1: "failed"}
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_a_fleet_that_has_ended_is_asked_about_no_more(world: MakeWorld) -> None:
    here = world(tasks=1)
    here.slurm("FAILED")
    here.settled()
    here.controller.asked.clear()
    here.look()
    assert here.controller.asked == [("queue", [])]


def test_one_question_is_asked_for_all_submissions_and_each_takes_its_part(store: Store, clock: Clock) -> None:
    first, second, third = (
        a_submission(store, token=letter * 12, job=job, tasks=1) for letter, job in (("a", 7), ("b", 8), ("c", None))
    )
    fleets = [a_fleet(store, submission, clock) for submission in (first, second, third)]
    controller = FakeController([queued(first, 0, "RUNNING", job=7), queued(second, 0, "PENDING", job=8)])
    look_at(fleets, controller)  # type: ignore[arg-type]
    assert controller.asked == [("queue", [7, 8])]
    assert [fleet.tasks[0].phase for fleet in fleets] == ["running", "waiting", "waiting"]


def test_a_submission_without_a_number_is_left_alone(world: MakeWorld) -> None:
    here = world(tasks=1, job=None)
    for _ in range(3):
        here.clock.advance(3600)
        here.look()
    assert here.fleet.ends() == {}


@pytest.mark.parametrize(
    ("state", "kind"),
    [("CANCELLED", "cancelled"), ("NODE_FAIL", "node failed"), ("FAILED", "killed"), (None, "cancelled")],
)
def test_a_trial_that_is_one_tasks_alone_has_an_attempt_though_the_task_never_began(
    world: MakeWorld, state: str | None, kind: str
) -> None:
    here = world(tasks=4, one_each=True)
    other = here.again()
    here.slurm("RUNNING", "RUNNING", state, "PENDING")
    here.settled()
    other.settled()
    assert attempts(here.store) == {"trial2": [kind]}
    assert here.store.attempt_ids(EXPERIMENT, "trial2") == [unbegun_id(here.submission, 2)]


def test_a_trial_of_a_task_that_never_began_is_left_alone_where_it_is_answered_or_was_not_needed(
    world: MakeWorld,
) -> None:
    here = world(tasks=4, one_each=True)
    here.task(0).finish("trial2", "by another run")
    here.submission.mark("dismissed")
    here.slurm("RUNNING", "RUNNING", "FAILED", "CANCELLED")
    assert here.settled() == {2: "not needed", 3: "not needed"}
    assert attempts(here.store) == {"trial2": ["done"]}


def test_a_trial_of_a_task_that_never_began_is_left_alone_where_it_is_answered(world: MakeWorld) -> None:
    here = world(tasks=4, one_each=True)
    here.task(0).finish("trial2", "by another run")
    here.slurm("RUNNING", "RUNNING", "FAILED", "PENDING")
    assert here.settled() == {2: "failed"}
    assert attempts(here.store) == {"trial2": ["done"]}


def test_trials_that_tasks_share_have_no_attempt_for_a_task_that_never_began(world: MakeWorld) -> None:
    here = world(tasks=2, trials=4)
    here.slurm("NODE_FAIL", "CANCELLED")
    assert here.settled() == {0: "node failed", 1: "cancelled"}
    assert attempts(here.store) == {}


def test_ids_of_attempts_that_never_began_are_the_same_for_all_and_sort_by_time(store: Store) -> None:
    first = a_submission(store, token="a" * 12, created=1_700_000_000.25)
    later = a_submission(store, token="b" * 12, created=1_700_000_001.5)
    ids = [unbegun_id(first, 0), unbegun_id(first, 1), unbegun_id(later, 0)]
    assert len(set(ids)) == 3
    assert ids == [unbegun_id(first, 0), unbegun_id(first, 1), unbegun_id(later, 0)]
    assert max(ids[:2]) < ids[2]
    assert ids[0].startswith("20231114T221320.250000-")


def test_reasons_for_waiting_are_told_once_each_and_only_of_tasks_that_wait(world: MakeWorld) -> None:
    here = world(tasks=5)
    states = [
        ("PENDING", "Resources"),
        ("PENDING", "Priority"),
        ("PENDING", "Resources"),
        ("PENDING", "None"),
        ("RUNNING", "x"),
    ]
    here.controller.tasks = [queued(here.submission, n, state, reason) for n, (state, reason) in enumerate(states)]
    here.look()
    assert list(waiting_reasons([here.fleet])) == ["Resources", "Priority"]


@pytest.fixture
def sleeping(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that ``settle`` sleeps by."""
    monkeypatch.setattr(fleet_module, "time", SimpleNamespace(monotonic=clock, sleep=clock.advance))
    return clock


def test_settling_returns_at_once_where_nothing_is_in_doubt(world: MakeWorld, sleeping: Clock) -> None:
    here = world(tasks=2)
    here.slurm("RUNNING", "PENDING")
    before = sleeping.now
    settle([here.fleet], here.controller)  # type: ignore[arg-type]
    assert sleeping.now == before
    assert len(here.controller.asked) == 1


def test_settling_waits_until_an_end_is_believed(world: MakeWorld, sleeping: Clock) -> None:
    here = world(tasks=3)
    at_a_trial(here)
    here.slurm("FAILED", None, "RUNNING")
    settle([here.fleet], here.controller)  # type: ignore[arg-type]
    assert here.fleet.ends() == {0: "killed", 1: "cancelled"}


def test_settling_gives_up_after_a_while(world: MakeWorld, sleeping: Clock) -> None:
    here = world(tasks=1)
    at_a_trial(here)
    assert Claims(here.store.claims_folder(EXPERIMENT), Place.here()).acquire("trial0") is not None
    settle([here.fleet], here.controller, seconds=20.0)  # type: ignore[arg-type]
    assert here.fleet.ends() == {}


def test_lines_that_are_no_events_are_passed_over(world: MakeWorld) -> None:
    here = world(tasks=1)
    here.submission.events_path(0).write_text('{"event": "beg\nnot json\n')
    at_a_trial(here)
    here.fleet.read()
    assert here.fleet.tasks[0].trial == "trial0"


def test_a_line_that_is_still_being_written_waits(world: MakeWorld) -> None:
    here = world(tasks=1)
    line = json.dumps({"event": "begin", "restart": 0, "job": "7_0"}) + "\n"
    path = here.submission.events_path(0)
    path.write_text(line[:20])
    here.fleet.read()
    assert here.fleet.tasks[0].restart == -1
    path.write_text(line)
    here.fleet.read()
    assert here.fleet.tasks[0].restart == 0


def test_a_line_that_a_killed_run_left_half_written_hides_nothing_of_the_next_run(world: MakeWorld) -> None:
    here = world(tasks=1)
    at_a_trial(here).close()
    with here.submission.events_path(0).open("a") as file:
        file.write('{"event": "progr')
    reports = here.task(0)
    reports.begin(restart=1)
    reports.start("trial1", "a2")
    here.slurm("RUNNING")
    here.look()
    assert here.fleet.tasks[0].restart == 1
    assert kinds(here.store, "trial0") == ["requeued"]
