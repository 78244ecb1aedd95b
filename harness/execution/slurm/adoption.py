"""Arrays whose driver died between submitting them and writing down their number."""

from __future__ import annotations

import contextlib
import time

from harness.execution.place import Place, process_lives
from harness.execution.slurm.controller import Controller, NoAnswer
from harness.execution.slurm.submission import Submission

ON_ITS_WAY_SECONDS = 10.0
"""How long sbatch may be on its way to the controller after its driver has died."""
OTHER_HOST_SECONDS = 60.0
"""The same where the driver ran on another machine, and may still live."""


def find_job(submission: Submission, controller: Controller) -> bool:
    """Say whether the number of a submission's job is known; ask Slurm by its name where it was not written down.

    Raises:
        NoAnswer: Slurm does not answer.
    """
    if submission.job is not None:
        return True
    found = controller.queue_named(submission.name)
    if not found:
        # sacct reads local time; a day before covers any zone and clock.
        since = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(submission.created - 86400))
        with contextlib.suppress(NoAnswer):
            found = controller.history_named(submission.name, since)
    if found:
        submission.set_job(found[0].job)
    return bool(found)


def adopt(submission: Submission, controller: Controller, here: Place) -> bool:
    """Find the job of a submission, or make sure that there is none, and then say so in the store.

    A submission without a job is revoked: should Slurm have it all the same, its tasks end without work.

    Raises:
        NoAnswer: Slurm does not answer.
    """
    driver = submission.driver
    same = here.sees(driver)
    deadline = time.monotonic() + (ON_ITS_WAY_SECONDS if same else OTHER_HOST_SECONDS)
    while not find_job(submission, controller):
        alive = same and process_lives(driver.pid, driver.process_started)
        if alive:
            deadline = time.monotonic() + ON_ITS_WAY_SECONDS
        elif time.monotonic() > deadline:
            submission.mark("revoked")
            submission.close(dict.fromkeys(range(submission.tasks), "never submitted"), "its driver died before sbatch")
            return False
        time.sleep(0.5)
    return True
