"""Signals that reach a task: what becomes of the trial it is at, and whether another one starts.

Each case runs in a process of its own, since handlers and timers belong to a whole process, and this one's are pytest's.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from typing import Any

import psutil
import pytest

LIMIT_SECONDS = 60.0

PRELUDE = '''
import json, signal, sys, time
from dataclasses import asdict

from harness.execution.guard import Interrupted
from harness.execution.slurm import signals

signals.AGAIN_SECONDS = 0.1
seen = []


def task(*, why="requeued", **settings):
    given = dict(seconds=3600.0, signal_seconds=90.0, trial_seconds=3600.0, expected_seconds=None, timed=False)
    guard = signals.TaskGuard(**{**given, **settings}, why=lambda: why)
    guard.install()
    return guard


def run(guard, trial):
    """Run a trial as the worker does, and note how it ended."""
    found = {"kept": False, "failure": None}
    try:
        with guard.trial():
            trial()
        found["kept"] = True
    except Interrupted:
        failure = guard.failure()
        found["failure"] = failure and asdict(failure)
    seen.append({**found, "stopping": guard.stopping, "next": guard.may_start()})
    return seen[-1]


def warn():
    signal.raise_signal(signal.SIGUSR2)


def terminate():
    signal.raise_signal(signal.SIGTERM)


def nothing():
    pass


def for_ever():
    while True:
        time.sleep(0.005)


def note(word):
    seen.append(word)
'''


def outcome(script: str) -> list[Any]:
    """Run a script with the prelude in a process of its own, and return what it noted."""
    text = PRELUDE + textwrap.dedent(script) + "\nprint(json.dumps(seen))\n"
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert ended.returncode == 0, ended.stderr
    found: list[Any] = json.loads(ended.stdout)
    return found


def kind(found: dict[str, Any]) -> str | None:
    return found["failure"]["kind"] if found["failure"] else None


def test_a_trial_without_signals_is_kept_and_the_next_one_starts() -> None:
    assert outcome("run(task(), nothing)") == [{"kept": True, "failure": None, "stopping": "", "next": True}]


def test_a_trial_that_was_warned_is_abandoned_at_its_next_checkpoint() -> None:
    words = outcome(
        """
        guard = task()

        def trial():
            guard.checkpointed()
            warn()
            note("goes on")
            guard.checkpointed()
            note("too far")

        run(guard, trial)
        """
    )
    assert words[:-1] == ["goes on"]
    assert (words[-1]["kept"], words[-1]["stopping"], words[-1]["next"]) == (False, "warned", False)
    assert words[-1]["failure"] == {
        "kind": "requeued",
        "type": "requeued",
        "message": "the job's time limit came near; it goes on from its checkpoint",
        "traceback": "",
    }


def test_a_checkpoint_before_the_warning_abandons_nothing() -> None:
    (found,) = outcome("guard = task()\nrun(guard, guard.checkpointed)")
    assert (found["kept"], found["next"]) == (True, True)


def test_a_trial_that_was_warned_and_ends_in_time_is_kept_and_no_other_starts() -> None:
    (found,) = outcome("run(task(), warn)")
    assert (found["kept"], found["stopping"], found["next"]) == (True, "warned", False)


def test_a_first_trial_that_was_warned_and_saves_nothing_took_too_long() -> None:
    (found,) = outcome(
        """
        def trial():
            warn()
            for_ever()

        run(task(signal_seconds=0.2), trial)
        """
    )
    assert (found["kept"], kind(found), found["next"]) == (False, "time limit", False)
    assert "saved no checkpoint" in found["failure"]["message"]
    assert "run.checkpoint" in found["failure"]["message"]


def test_a_later_trial_that_was_warned_and_saves_nothing_is_tried_again() -> None:
    first, second = outcome(
        """
        guard = task(signal_seconds=0.2)

        def trial():
            warn()
            for_ever()

        run(guard, nothing)
        run(guard, trial)
        """
    )
    assert first["kept"]
    assert (second["kept"], kind(second)) == (False, "requeued")
    assert second["failure"]["message"].endswith("it starts again from the beginning")


def test_a_trial_that_saved_before_the_warning_goes_on_from_there() -> None:
    (found,) = outcome(
        """
        guard = task(signal_seconds=0.2)

        def trial():
            guard.checkpointed()
            warn()
            for_ever()

        run(guard, trial)
        """
    )
    assert (kind(found), found["next"]) == ("requeued", False)
    assert found["failure"]["message"].endswith("it goes on from its checkpoint")


def test_a_checkpoint_of_an_earlier_trial_does_not_count_for_this_one() -> None:
    _, found = outcome(
        """
        guard = task(signal_seconds=0.2)

        def trial():
            warn()
            for_ever()

        run(guard, guard.checkpointed)
        run(guard, trial)
        """
    )
    assert found["failure"]["message"].endswith("it starts again from the beginning")


@pytest.mark.parametrize("saves", [False, True])
def test_a_trial_whose_node_another_job_takes_was_preempted(saves: bool) -> None:
    (found,) = outcome(
        f"""
        guard = task(why="preempted", signal_seconds=0.2)

        def trial():
            warn()
            if {saves}:
                guard.checkpointed()
            for_ever()

        run(guard, trial)
        """
    )
    assert (found["kept"], kind(found), found["next"]) == (False, "preempted", False)
    assert ("from its checkpoint" in found["failure"]["message"]) == saves


@pytest.mark.parametrize("why", ["preempted", "requeued"])
def test_a_timed_trial_is_abandoned_at_once_and_discarded_whole(why: str) -> None:
    first, word, second = outcome(
        f"""
        guard = task(why="{why}", timed=True)

        def trial():
            note("timed")
            warn()
            note("too far")

        run(guard, nothing)
        run(guard, trial)
        """
    )
    assert first["kept"] and word == "timed"
    assert (second["kept"], kind(second), second["next"]) == (False, why, False)
    assert second["failure"]["message"].endswith("timed trials are discarded whole")


@pytest.mark.parametrize("timed", [False, True])
def test_a_trial_that_is_terminated_is_abandoned_at_once_and_only_the_driver_can_say_why(timed: bool) -> None:
    (found,) = outcome(
        f"""
        def trial():
            terminate()
            note("too far")

        run(task(timed={timed}), trial)
        """
    )
    assert found == {"kept": False, "failure": None, "stopping": "terminated", "next": False}


def test_a_trial_that_is_terminated_after_a_warning_ended_for_the_reason_of_the_warning() -> None:
    _, found = outcome(
        """
        def trial():
            warn()
            terminate()

        guard = task()
        run(guard, nothing)
        run(guard, trial)
        """
    )
    assert (kind(found), found["stopping"], found["next"]) == ("requeued", "warned", False)


@pytest.mark.parametrize(("ask", "stopping"), [("warn", "warned"), ("terminate", "terminated")])
def test_a_signal_between_two_trials_raises_nothing_and_lets_no_other_start(ask: str, stopping: str) -> None:
    words = outcome(
        f"""
        guard = task()
        run(guard, nothing)
        {ask}()
        note(guard.stopping)
        note(guard.may_start())
        """
    )
    assert words[1:] == [stopping, False]


def test_a_trial_that_takes_longer_than_allowed_is_ended_and_the_next_one_starts() -> None:
    first, second = outcome(
        """
        guard = task(trial_seconds=0.5)
        run(guard, for_ever)
        run(guard, nothing)
        """
    )
    assert (first["kept"], kind(first), first["stopping"], first["next"]) == (False, "time limit", "", True)
    assert first["failure"]["message"].endswith("minutes that its resources allow")
    assert (second["kept"], second["next"]) == (True, True)


def test_a_trial_that_has_ended_leaves_no_timer() -> None:
    found, during, after = outcome(
        """
        guard = task()
        during = []
        run(guard, lambda: during.append(signal.getitimer(signal.ITIMER_REAL)[0]))
        note(during[0] > 0)
        note(signal.getitimer(signal.ITIMER_REAL)[0])
        """
    )
    assert (found["kept"], during, after) == (True, True, 0)


def test_a_trial_that_is_overdue_after_a_warning_still_took_too_long() -> None:
    _, found = outcome(
        """
        def trial():
            warn()
            for_ever()

        guard = task(trial_seconds=0.2)
        run(guard, nothing)
        run(guard, trial)
        """
    )
    assert (kind(found), found["next"]) == ("time limit", False)


def test_a_second_warning_gives_no_more_time() -> None:
    _, found = outcome(
        """
        def trial():
            while True:
                warn()
                time.sleep(0.005)

        guard = task(signal_seconds=0.2)
        run(guard, nothing)
        run(guard, trial)
        """
    )
    assert kind(found) == "requeued"


SWALLOWS_ONCE = """
def swallowing(first):
    def trial():
        try:
            first()
            for_ever()
        except BaseException:
            note("swallowed")
        # A trial that is not interrupted again would go on for ever: this one gives up in the end.
        for _ in range(400):
            time.sleep(0.005)
        note("was not interrupted again")

    return trial
"""


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        pytest.param("trial_seconds=0.1", "nothing", id="overdue"),
        pytest.param("signal_seconds=0.2", "warn", id="warned"),
        pytest.param("timed=True", "warn", id="timed"),
        pytest.param("", "terminate", id="terminated"),
    ],
)
def test_a_trial_that_swallows_its_interruption_is_interrupted_again(settings: str, first: str) -> None:
    words = outcome(SWALLOWS_ONCE + f"run(task({settings}), swallowing({first}))")
    assert words[0] == "swallowed"
    assert words[1] != "was not interrupted again"
    assert not words[1]["kept"]


def test_a_timed_trial_that_swallows_its_interruption_and_ends_is_discarded() -> None:
    words = outcome(
        """
        def trial():
            try:
                warn()
            except BaseException:
                note("swallowed")

        run(task(timed=True), trial)
        """
    )
    assert words[0] == "swallowed"
    assert not words[1]["kept"]


def test_a_signal_in_the_moment_in_which_a_trial_ends_is_not_raised_later() -> None:
    words = outcome(
        """
        import inspect

        guard = task(trial_seconds=3600.0)
        lines, first = inspect.getsourcelines(signals.TaskGuard.trial.__wrapped__)
        leaving = first + max(n for n, line in enumerate(lines) if "self._inside = False" in line)

        def trace(frame, event, argument):
            # Raises the signal just before the line that says that the trial is over.
            if frame.f_code.co_name == "trial" and event == "line" and frame.f_lineno == leaving:
                sys.settrace(None)
                terminate()
            return trace

        sys.settrace(trace)
        run(guard, nothing)
        sys.settrace(None)
        try:
            terminate()
            note("nothing was raised")
        except Interrupted:
            note("raised outside of any trial")
        """
    )
    assert words[-1] == "nothing was raised"


@pytest.mark.parametrize("timed", [False, True])
def test_a_timed_trial_during_which_the_job_was_suspended_is_discarded_and_another_one_kept(timed: bool) -> None:
    text = PRELUDE + textwrap.dedent(
        f"""
        guard = task(timed={timed})
        run(guard, lambda: signal.raise_signal(signal.SIGSTOP))
        run(guard, nothing)
        print(json.dumps(seen))
        """
    )
    child = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    try:
        process = psutil.Process(child.pid)
        deadline = time.monotonic() + LIMIT_SECONDS
        while process.status() != psutil.STATUS_STOPPED and child.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child.send_signal(signal.SIGCONT)
        told, _ = child.communicate(timeout=LIMIT_SECONDS)
    finally:
        child.kill()
    first, second = json.loads(told)
    assert first["kept"] is not timed
    assert kind(first) == ("preempted" if timed else None)
    assert first["next"], "the job goes on, so the next trial may start"
    assert second["kept"]
    if timed:
        assert "suspended" in first["failure"]["message"]


def test_a_suspension_between_two_timed_trials_discards_neither() -> None:
    first, second = outcome(
        """
        guard = task(timed=True)
        run(guard, nothing)
        signal.raise_signal(signal.SIGCONT)
        run(guard, nothing)
        """
    )
    assert first["kept"] and second["kept"]


def test_a_cancellation_that_slurm_begins_with_a_continue_is_no_suspension() -> None:
    (found,) = outcome(
        """
        def trial():
            signal.raise_signal(signal.SIGCONT)
            terminate()

        run(task(timed=True), trial)
        """
    )
    assert (found["kept"], found["failure"], found["stopping"]) == (False, None, "terminated")


def test_an_exception_of_the_trial_itself_goes_through_and_leaves_no_timer() -> None:
    words = outcome(
        """
        def trial():
            raise ValueError("mine")

        try:
            run(task(), trial)
        except ValueError as error:
            note(str(error))
        note(signal.getitimer(signal.ITIMER_REAL)[0])
        """
    )
    assert words == ["mine", 0]


def test_a_trial_is_not_begun_where_it_would_hardly_be_done_before_the_warning() -> None:
    words = outcome(
        """
        guard = task(seconds=100.0, signal_seconds=90.0, expected_seconds=9.0)
        note(guard.may_start())
        run(guard, nothing)
        note(guard.may_start())
        note(guard.stopping)
        """
    )
    first, found, after, stopping = words
    assert first is True, "the first one may always start: a new job would have no more time"
    assert (found["kept"], found["next"], after, stopping) == (True, False, False, "time")


def test_a_trial_is_begun_where_there_is_time_enough_or_nothing_is_known_of_it() -> None:
    words = outcome(
        """
        for expected in (1.0, None):
            guard = task(seconds=100.0, signal_seconds=90.0, expected_seconds=expected)
            run(guard, nothing)
        """
    )
    assert [found["next"] for found in words] == [True, True]
