"""An array whose driver died before it wrote down the number is found by its name, or there is none."""

from __future__ import annotations

import dataclasses
import time
from types import SimpleNamespace

import pytest
from slurm_fakes import JOB, Clock, FakeController, a_submission, queued

from harness.execution.place import Place
from harness.execution.slurm import adoption
from harness.execution.slurm.adoption import adopt, find_job
from harness.execution.slurm.controller import NoAnswer
from harness.store.store import Store

HERE = Place.here()
DEAD = dataclasses.replace(HERE, process_started=1.0)
"""A driver of this machine whose process is gone: its number belongs to another one now."""
ELSEWHERE = dataclasses.replace(HERE, host="other", boot="another boot")


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock in place of the real one; who sleeps moves it."""
    clock = Clock()
    monkeypatch.setattr(
        adoption,
        "time",
        SimpleNamespace(monotonic=clock, sleep=clock.advance, strftime=time.strftime, localtime=time.localtime),
    )
    return clock


def test_a_number_that_is_written_down_is_not_asked_for(store: Store) -> None:
    controller = FakeController(NoAnswer("silent"), NoAnswer("silent"))
    assert find_job(a_submission(store), controller)  # type: ignore[arg-type]
    assert not controller.asked


def test_a_job_is_found_in_the_queue_by_its_name_and_written_down(store: Store) -> None:
    submission = a_submission(store, job=None)
    controller = FakeController([queued(submission, 0, "PENDING"), queued(submission, 1, "PENDING")])
    assert find_job(submission, controller)  # type: ignore[arg-type]
    assert submission.job == JOB


def test_a_job_that_the_queue_has_forgotten_is_found_in_the_accounting(store: Store) -> None:
    submission = a_submission(store, job=None)
    controller = FakeController([], [queued(submission, 0, "COMPLETED")])
    assert find_job(submission, controller)  # type: ignore[arg-type]
    assert submission.job == JOB
    assert [question for question, _ in controller.asked] == ["queue named", "history named"]


def test_a_job_of_another_name_is_not_taken(store: Store) -> None:
    submission = a_submission(store, job=None)
    other = dataclasses.replace(queued(submission, 0, "PENDING"), name="harness-small-other")
    assert not find_job(submission, FakeController([other], [other]))  # type: ignore[arg-type]
    assert submission.job is None


def test_accounting_that_is_silent_is_done_without(store: Store) -> None:
    submission = a_submission(store, job=None)
    assert not find_job(submission, FakeController([], NoAnswer("silent")))  # type: ignore[arg-type]


def test_a_silent_controller_is_told(store: Store) -> None:
    submission = a_submission(store, job=None)
    with pytest.raises(NoAnswer):
        find_job(submission, FakeController(NoAnswer("silent")))  # type: ignore[arg-type]


def test_an_array_that_slurm_has_is_adopted(store: Store, waiting: Clock) -> None:
    submission = a_submission(store, job=None, driver=DEAD)
    controller = FakeController([queued(submission, 0, "RUNNING")])
    assert adopt(submission, controller, HERE)  # type: ignore[arg-type]
    assert submission.closed is None and not submission.marked("revoked")


@pytest.mark.parametrize(
    ("driver", "patience"), [(DEAD, adoption.ON_ITS_WAY_SECONDS), (ELSEWHERE, adoption.OTHER_HOST_SECONDS)]
)
def test_an_array_that_slurm_never_had_is_revoked_after_a_while_and_closed(
    store: Store, waiting: Clock, driver: Place, patience: float
) -> None:
    submission = a_submission(store, tasks=3, job=None, driver=driver)
    began = waiting.now
    assert not adopt(submission, FakeController(), HERE)  # type: ignore[arg-type]
    assert waiting.now - began >= patience
    assert submission.marked("revoked")
    assert submission.closed == {
        "ends": dict.fromkeys("012", "never submitted"),
        "message": "its driver died before sbatch",
    }
    assert submission.job is None


def test_the_waiting_times_are_what_the_module_says(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "ON_ITS_WAY_SECONDS", 0.0)
    monkeypatch.setattr(adoption, "OTHER_HOST_SECONDS", 0.0)
    for token, driver in {"a" * 12: DEAD, "b" * 12: ELSEWHERE}.items():
        submission = a_submission(store, job=None, token=token, driver=driver)
        assert not adopt(submission, FakeController(), HERE)  # type: ignore[arg-type]
        assert submission.marked("revoked")


class _Later(FakeController):
    """A controller that has the job only after it was asked so many times."""

    def __init__(self, found: list[object], times: int) -> None:
        super().__init__()
        self.found, self.times = found, times

    def queue_named(self, name: str) -> list[object]:  # type: ignore[override]
        super().queue_named(name)
        return self.found if len([q for q, _ in self.asked if q == "queue named"]) > self.times else []


def test_a_job_that_arrives_while_we_wait_is_adopted(store: Store, waiting: Clock) -> None:
    submission = a_submission(store, job=None, driver=DEAD)
    assert adopt(submission, _Later([queued(submission, 0, "PENDING")], 5), HERE)  # type: ignore[arg-type]
    assert not submission.marked("revoked")


def test_a_driver_that_lives_is_waited_for_however_long_sbatch_takes(store: Store, waiting: Clock) -> None:
    submission = a_submission(store, job=None, driver=HERE)
    began = waiting.now
    # A thousand questions half a second apart are far longer than a dead driver is given.
    assert adopt(submission, _Later([queued(submission, 0, "PENDING")], 1000), HERE)  # type: ignore[arg-type]
    assert waiting.now - began > 10 * adoption.ON_ITS_WAY_SECONDS
    assert not submission.marked("revoked")


def test_a_driver_that_dies_while_we_wait_is_given_the_time_that_sbatch_may_be_on_its_way(
    store: Store, waiting: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = a_submission(store, job=None, driver=HERE)
    died = waiting.now + 100
    monkeypatch.setattr(adoption, "process_lives", lambda pid, started: waiting.now < died)
    assert not adopt(submission, FakeController(), HERE)  # type: ignore[arg-type]
    assert waiting.now - died >= adoption.ON_ITS_WAY_SECONDS - 0.5
    assert submission.marked("revoked")


def test_a_process_number_of_another_container_says_nothing_of_the_driver(store: Store, waiting: Clock) -> None:
    submission = a_submission(store, job=None, driver=dataclasses.replace(HERE, namespace="pid:[1]"))
    began = waiting.now
    assert not adopt(submission, FakeController(), HERE)  # type: ignore[arg-type]
    assert waiting.now - began >= adoption.OTHER_HOST_SECONDS


def test_nothing_is_revoked_while_slurm_is_silent(store: Store, waiting: Clock) -> None:
    submission = a_submission(store, job=None, driver=DEAD)
    with pytest.raises(NoAnswer):
        adopt(submission, FakeController(NoAnswer("silent")), HERE)  # type: ignore[arg-type]
    assert submission.closed is None and not submission.marked("revoked")
