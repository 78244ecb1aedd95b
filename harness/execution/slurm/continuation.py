"""A detached sweep goes on by itself: whoever finds the last trial of a stage done begins the next one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from harness.execution.answers import any_open
from harness.execution.slurm.submission import Submission, submissions
from harness.store.store import Store

DEPTH = "HARNESS_CONTINUED"
"""Counts the stages that a detached sweep has begun by itself: a trial that never ends well must not go on for ever."""
MARKER = "continued"
SECONDS = 600.0


def go_on(submission: Submission) -> None:
    """Run the command that begins the next stage, if all of this run's trials are answered; one task does it.

    What it prints is in the task's log. Where nodes may not submit, or it fails, the next ``harness run`` goes on.
    """
    if not submission.then or submission.marked("followed") or submission.marked("cancelled"):
        return
    store = Store(submission.folder.parents[4])
    for other in submissions(store, submission.experiment):
        if other.run == submission.run and any_open(store, other.order):
            return
    try:
        os.close(os.open(submission.folder.parents[1] / MARKER, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    command = [sys.executable, "-m", "harness", *submission.then]
    print(f"harness: this stage is done; going on with: {' '.join(command[2:])}", file=sys.stderr, flush=True)
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            command,
            cwd=submission.directory,
            env={**os.environ, DEPTH: str(stages_begun() + 1)},
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )


def stages_begun() -> int:
    """Return how many stages this sweep has begun by itself; 0 where a person has called it."""
    return int(os.environ.get(DEPTH) or 0)
