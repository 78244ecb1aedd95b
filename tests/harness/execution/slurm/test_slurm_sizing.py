"""A sweep becomes tasks that are worth starting, no more than may run, and no longer than the cluster allows."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.execution.slurm.sizing import DEFAULT_JOBS, SHORTEST_SHARE, START_MINUTES, Size, size_of
from harness.spec.slurm import SlurmOptions

trials = st.integers(1, 20_000)
seconds = st.floats(0, 1e6)
jobs = st.none() | st.integers(1, 500)
minutes = st.floats(0.1, 10_000)
bounds = st.none() | st.floats(1, 10_000)
task_minutes = st.floats(0.1, 600)


def size(number: int, *, options: dict[str, Any] | None = None, **more: Any) -> Size:
    given_ = {"jobs": None, "expected_seconds": None, "trial_minutes": 60.0, **more}
    return size_of(number, SlurmOptions(**(options or {})), **given_)


def longest_share(number: int, tasks: int) -> int:
    """Return the trials of the task that has most: trials are shared out as evenly as they go."""
    return math.ceil(number / tasks)


@given(trials, jobs, st.none() | seconds, minutes, st.booleans(), task_minutes, jobs)
def test_there_is_at_least_one_task_and_at_most_one_for_each_trial(
    number: int, at_once: int | None, expected: float | None, trial: float, alone: bool, task: float, site: int | None
) -> None:
    found = size(
        number,
        jobs=at_once,
        expected_seconds=expected,
        trial_minutes=trial,
        one_each=alone,
        options={"task_minutes": task, "jobs": site},
    )
    assert 1 <= found.tasks <= number
    assert 1 <= found.jobs <= found.tasks
    assert found.jobs <= (at_once or site or DEFAULT_JOBS)
    assert found.minutes >= 1


@given(trials, jobs, st.none() | seconds)
def test_trials_that_need_a_process_of_their_own_get_a_task_each(
    number: int, at_once: int | None, expected: float | None
) -> None:
    assert size(number, jobs=at_once, expected_seconds=expected, one_each=True).tasks == number


@given(trials, jobs, st.none() | seconds, minutes, st.booleans(), bounds, bounds, st.integers(2, 3600))
def test_no_limit_is_above_what_the_partition_or_the_options_allow(
    number: int,
    at_once: int | None,
    expected: float | None,
    trial: float,
    alone: bool,
    partition: float | None,
    most: float | None,
    signal: int,
) -> None:
    found = size(
        number,
        jobs=at_once,
        expected_seconds=expected,
        trial_minutes=trial,
        one_each=alone,
        longest_minutes=partition,
        options={"max_minutes": most, "signal_seconds": signal},
    )
    assert found.minutes <= min(math.inf if bound is None else bound for bound in (partition, most))
    assert found.minutes == int(found.minutes), "Slurm's time limits are whole minutes"


@given(trials, jobs, st.none() | seconds, minutes, st.booleans(), st.integers(2, 3600))
def test_a_task_has_time_for_its_longest_trial_after_its_start_and_before_the_warning(
    number: int, at_once: int | None, expected: float | None, trial: float, alone: bool, signal: int
) -> None:
    found = size(
        number,
        jobs=at_once,
        expected_seconds=expected,
        trial_minutes=trial,
        one_each=alone,
        options={"signal_seconds": signal},
    )
    assert found.minutes >= trial + signal / 60 + START_MINUTES - 1e-6


@given(trials, jobs, st.floats(0.001, 1e5), task_minutes)
def test_a_task_is_predicted_to_run_about_as_long_as_asked_or_has_one_trial(
    number: int, at_once: int | None, expected: float, task: float
) -> None:
    found = size(number, jobs=at_once, expected_seconds=expected, options={"task_minutes": task})
    share = longest_share(number, found.tasks)
    # Trials do not divide, so the longest share may have one more than would fit.
    assert share == 1 or share * expected <= task * 60 + expected + 1e-6


def shortest_seconds(task: float) -> float:
    """Return what a task is not made shorter than for the sake of more at a time."""
    return SHORTEST_SHARE * task * 60


@given(trials, jobs, st.floats(0.001, 1e5), task_minutes)
def test_tasks_are_not_made_much_shorter_for_the_sake_of_more_at_a_time(
    number: int, at_once: int | None, expected: float, task: float
) -> None:
    found = size(number, jobs=at_once, expected_seconds=expected, options={"task_minutes": task})
    assume(found.tasks > 1)
    assert number * expected / found.tasks > shortest_seconds(task) / 2


def test_a_task_is_not_made_shorter_than_promised_unless_everything_is_shorter() -> None:
    found = size(61, jobs=8, expected_seconds=1.0, options={"task_minutes": 10})
    assert longest_share(61, found.tasks) * 1.0 >= shortest_seconds(10)


@given(trials, jobs, st.floats(0.001, 1e5), task_minutes)
def test_all_that_may_run_at_a_time_do_where_their_shares_stay_long_enough(
    number: int, at_once: int | None, expected: float, task: float
) -> None:
    found = size(number, jobs=at_once, expected_seconds=expected, options={"task_minutes": task})
    most = at_once or DEFAULT_JOBS
    assert found.tasks >= min(most, number, math.floor(number * expected / shortest_seconds(task) * (1 - 1e-9)))


@given(trials, jobs, minutes)
def test_nothing_known_of_the_duration_gives_as_many_tasks_as_may_run(
    number: int, at_once: int | None, trial: float
) -> None:
    assert size(number, jobs=at_once, trial_minutes=trial).tasks == min(number, at_once or DEFAULT_JOBS)


@pytest.mark.parametrize("expected", [None, 0.0, 1e-9, 0.001, 0.01, 0.09])
def test_thousands_of_trials_of_nothing_are_few_tasks(expected: float | None) -> None:
    found = size(5000, jobs=8, expected_seconds=expected)
    assert found.tasks <= 8
    assert found.jobs <= 8


def test_long_trials_are_a_task_each_and_as_many_at_a_time_as_asked() -> None:
    found = size(100, jobs=8, expected_seconds=3600.0, trial_minutes=90.0)
    assert (found.tasks, found.jobs) == (100, 8)


def test_the_command_lines_jobs_come_before_the_options() -> None:
    assert size(100, jobs=3, options={"jobs": 5}).jobs == 3
    assert size(100, options={"jobs": 5}).jobs == 5
    assert size(100).jobs == DEFAULT_JOBS


def test_a_partition_that_allows_less_than_a_minute_still_gives_a_limit_that_slurm_takes() -> None:
    # Slurm has no shorter limit than a minute; sbatch then says what is wrong.
    assert size(10, longest_minutes=0.5).minutes == 1
