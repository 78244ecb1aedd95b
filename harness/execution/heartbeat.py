"""Signs of life across machines, without comparing clocks.

A worker changes a small file of its own now and then. Whoever wants to know whether it lives looks at that file twice:
what has not changed for a whole lease, by the observer's own monotonic clock, comes from a dead process. So a clock
that is an hour off changes nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from harness.store.atomic import TEMPORARY

BEAT_SECONDS = 10.0
LEASE_SECONDS = 60.0
"""How long a worker on another machine is believed without a sign of life: several beats, for slow file systems."""
FOLDER = "heartbeats"


class Heart:
    """Beats from a thread of its own while a worker runs; the file is gone when it ends in order."""

    def __init__(self, claims_folder: Path, seconds: float = BEAT_SECONDS) -> None:
        self.name = uuid.uuid4().hex
        self._path = claims_folder / FOLDER / self.name
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heart:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text("0")
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._ended.set()
        self._thread.join(timeout=1)
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _beat(self) -> None:
        count = 0
        while not self._ended.wait(self._seconds):
            count += 1
            # A full or absent disk silences a worker that could write no result either.
            with contextlib.suppress(OSError):
                self._path.write_text(str(count))


class Watch:
    """What an observer has seen of heartbeats so far."""

    def __init__(
        self, claims_folder: Path, lease: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = claims_folder / FOLDER
        self._lease = lease
        self._clock = clock
        self._seen: dict[str, tuple[str | None, float]] = {}

    def silent(self, name: str) -> bool:
        """Say whether a worker's file has not changed for a whole lease since this observer first looked."""
        # The clock is read before the file to judge and after it to remember: this process may be stopped in between.
        now = self._clock()
        try:
            beat: str | None = (self._folder / name).read_text()
        except OSError:
            beat = None
        before = self._seen.get(name)
        if before is None or before[0] != beat:
            self._seen[name] = (beat, self._clock())
            return False
        return now - before[1] > self._lease


def remove_silent(claims_folder: Path, used: set[str]) -> None:
    """Remove files of workers that hold nothing, and what was left half-written, untouched for ten leases.

    Both times come from the file server, so clocks of machines do not matter.
    """
    folder = claims_folder / FOLDER
    probe = claims_folder / f"{TEMPORARY}{uuid.uuid4().hex}"
    with contextlib.suppress(OSError):
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        for path in [*folder.glob("*"), *claims_folder.glob(f"{TEMPORARY}*")]:
            with contextlib.suppress(OSError):
                if path.name not in used and now - path.stat().st_mtime > 10 * LEASE_SECONDS:
                    path.unlink()
