"""How many tasks a sweep becomes, and how long each may run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.spec.slurm import SlurmOptions

SHORTEST_SHARE = 0.1
"""A task is not made shorter than this share of ``task_minutes`` for the sake of more tasks at a time: starting one
takes seconds of its own."""
SLACK = 2.0
"""A task may take this many times as long as predicted: machines differ, and a requeue costs a place in the queue."""
START_MINUTES = 2.0
"""For starting Python and loading libraries from a shared disk."""
UNKNOWN_TRIALS = 4
"""How many of a task's trials may take their longest, where nothing says how long one takes."""
DEFAULT_JOBS = 64


@dataclass(frozen=True)
class Size:
    """A number of tasks, the time limit of each in minutes, and how many run at a time."""

    tasks: int
    minutes: int
    jobs: int


def size_of(
    trials: int,
    options: SlurmOptions,
    *,
    jobs: int | None,
    expected_seconds: float | None,
    trial_minutes: float,
    one_each: bool = False,
    longest_minutes: float | None = None,
) -> Size:
    """Return the size of an array for ``trials``.

    A task should run ``task_minutes``; where that gives fewer tasks than may run at a time, they are made shorter, but
    not below a tenth of that. Where nothing is known of the duration there are as many tasks as may run at a time, and
    each takes trials until none is left.

    Args:
        trials: how many trials there are to run.
        options: what the spec and the site ask for.
        jobs: tasks at a time, in place of the options'.
        expected_seconds: predicted seconds of one trial.
        trial_minutes: the longest that one trial may take.
        one_each: every trial needs a process of its own.
        longest_minutes: what the partition allows.
    """
    at_once = jobs or options.jobs or DEFAULT_JOBS
    if one_each:
        tasks = trials
    elif expected_seconds is None:
        tasks = min(trials, at_once)
    else:
        total = trials * expected_seconds
        tasks = math.ceil(total / (options.task_minutes * 60))
        if tasks < at_once:
            tasks = max(tasks, min(at_once, math.floor(total / (SHORTEST_SHARE * options.task_minutes * 60))))
        tasks = max(1, min(trials, tasks))
    each = math.ceil(trials / tasks)
    if expected_seconds is None:
        minutes = min(each, UNKNOWN_TRIALS) * trial_minutes
    else:
        minutes = max(trial_minutes, SLACK * each * expected_seconds / 60)
    minutes += options.signal_seconds / 60 + START_MINUTES
    bounds = [bound for bound in (options.max_minutes, longest_minutes) if bound is not None]
    return Size(tasks, max(1, math.floor(min([math.ceil(minutes), *bounds]))), min(at_once, tasks))
