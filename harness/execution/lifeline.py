"""A worker that outlives its driver would do work that nobody waits for: it ends when the driver does."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterable

from harness.execution.claims import process_lives
from harness.execution.orders import ProcessName

ORPHANED = 70
"""Exit status of a worker whose driver is gone."""


def end_with(processes: Iterable[ProcessName]) -> None:
    """Watch processes from a thread and end this one, at once, when any of them is gone.

    The thread blocks in the kernel where Linux offers a file descriptor for a process, so it takes no time from a
    measurement; elsewhere it looks twice a second.
    """
    watched = list(processes)
    thread = threading.Thread(target=_watch, args=(watched,), name="lifeline", daemon=True)
    thread.start()


def _watch(watched: list[ProcessName]) -> None:
    descriptors = []
    for process in watched:
        try:
            descriptors.append(os.pidfd_open(process.pid))
        except ProcessLookupError:
            os._exit(ORPHANED)
        except (AttributeError, OSError):
            _look_now_and_then(watched)
            return
    # Opened after the number was noted: make sure that it is still the same process.
    if not all(process_lives(process.pid, process.started) for process in watched):
        os._exit(ORPHANED)
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll()
    os._exit(ORPHANED)


def _look_now_and_then(watched: list[ProcessName]) -> None:
    while all(process_lives(process.pid, process.started) for process in watched):
        time.sleep(0.5)
    os._exit(ORPHANED)
