"""What can stop a worker in the middle of a trial, from inside its own process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness.store.attempt import Failure


class Interrupted(BaseException):
    """The trial is abandoned: no exception that a trial function would catch."""


class Guard:
    """Lets every trial run to its end: the driver of a worker on the same machine ends what takes too long."""

    @contextlib.contextmanager
    def trial(self) -> Iterator[None]:
        """Guard one trial; raises ``Interrupted`` inside where it is to be abandoned."""
        yield

    def checkpointed(self) -> None:
        """Take note that the trial has just saved its state: the best moment to abandon it."""

    def may_start(self) -> bool:
        """Say whether another trial may start."""
        return True

    def failure(self) -> Failure | None:
        """Return how the trial that was abandoned ended; None where only the driver can say."""
        return None
