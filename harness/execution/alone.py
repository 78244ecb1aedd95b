"""Timed trials of one machine run one at a time, whoever drives them: two that overlap would time each other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


def _path() -> Path:
    """Return this user's lock on this machine: the folder for temporary files is not shared with other machines."""
    return Path(tempfile.gettempdir()) / f"harness-timing-{os.getuid()}.lock"


@contextlib.contextmanager
def alone(timed: bool, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold this machine's lock for timed trials within the block; the kernel frees it when a process dies.

    ``waiting`` is called where another process holds it, before it is waited for.
    """
    if not timed:
        yield
        return
    with _path().open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
