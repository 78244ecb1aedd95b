"""A detached sweep goes on by itself when a stage is done: one task begins the next, once."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import pytest
from slurm_fakes import EXPERIMENT, a_submission, keep_attempt

from harness.execution.slurm import continuation
from harness.execution.slurm.continuation import DEPTH, go_on, stages_begun
from harness.execution.slurm.submission import Submission
from harness.store.attempt import Failure
from harness.store.store import Store

THEN = ("run", "small.yaml", "--executor", "slurm", "--detach")


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, Any]]]:
    """What was called, in place of a harness that submits."""
    calls: list[tuple[list[str], dict[str, Any]]] = []
    monkeypatch.setattr(continuation.subprocess, "run", lambda command, **how: calls.append((command, how)))
    monkeypatch.delenv(DEPTH, raising=False)
    return calls


def submission(store: Store, **changes: Any) -> Submission:
    token = changes.pop("token", "a" * 12)
    return a_submission(store, trials=2, token=token, changes={"then": THEN, "directory": "/", **changes})


def done(store: Store, *trials: str) -> None:
    for trial in trials:
        keep_attempt(store, trial, "a1")


def test_the_next_stage_begins_once_every_trial_is_answered(store: Store, called: list[Any]) -> None:
    found = submission(store)
    done(store, "trial0")
    go_on(found)
    assert not called
    keep_attempt(store, "trial1", "a1", Failure("raised", "ValueError", "mine"))
    go_on(found)
    go_on(found)
    ((command, how),) = called
    assert command == [sys.executable, "-m", "harness", *THEN]
    assert (how["cwd"], how["env"][DEPTH]) == ("/", "1")
    assert how["timeout"] > 0


def test_all_arrays_of_the_run_must_be_done_and_no_other_runs(store: Store, called: list[Any]) -> None:
    first = submission(store)
    submission(store, token="b" * 12)
    done(store, "trial0", "trial1")
    go_on(first)
    assert len(called) == 1


def test_an_array_of_the_same_run_that_is_open_holds_it_back(store: Store, called: list[Any]) -> None:
    first = a_submission(store, trials=1, token="a" * 12, changes={"then": THEN})
    a_submission(store, trials=3, token="b" * 12, changes={"then": THEN})
    a_submission(store, trials=9, token="c" * 12, run="another run")
    done(store, "trial0")
    go_on(first)
    assert not called
    done(store, "trial1", "trial2")
    go_on(first)
    assert len(called) == 1


@pytest.mark.parametrize("why", ["nothing comes after", "a driver follows it"])
def test_nothing_is_begun_where_nothing_comes_after_or_a_driver_does_it(
    store: Store, called: list[Any], why: str
) -> None:
    found = submission(store, **({"then": ()} if why == "nothing comes after" else {}))
    if why == "a driver follows it":
        found.mark("followed")
    done(store, "trial0", "trial1")
    go_on(found)
    assert not called


def test_of_many_tasks_that_find_the_stage_done_one_begins_the_next(store: Store, called: list[Any]) -> None:
    found = submission(store)
    done(store, "trial0", "trial1")
    start = threading.Barrier(8)

    def task() -> None:
        start.wait(timeout=30)
        go_on(found)

    threads = [threading.Thread(target=task) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(called) == 1


def test_stages_that_were_begun_by_themselves_are_counted(
    store: Store, called: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stages_begun() == 0
    monkeypatch.setenv(DEPTH, "2")
    assert stages_begun() == 2
    found = submission(store)
    done(store, "trial0", "trial1")
    go_on(found)
    assert called[0][1]["env"][DEPTH] == "3"
    assert os.environ[DEPTH] == "2"


def test_a_command_that_cannot_be_called_breaks_no_task(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = submission(store, directory=str(store.root / "is gone"))
    done(store, "trial0", "trial1")
    go_on(found)
    assert store.trial_ids(EXPERIMENT) == {"trial0", "trial1"}
