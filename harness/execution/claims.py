"""Who is at a trial now. A claim is advice that saves work; the attempts alone say what is done."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Claim:
    """A process that holds a trial: where it runs, and until when it may be believed from another host."""

    host: str
    boot: str
    pid: int
    process_started: float
    worker: str
    lease_until: float

    def held_by_live_process(self, now: float) -> bool:
        """Say whether the holder lives: known on this host, believed until the lease ends on another."""
        if self.host != socket.gethostname():
            return now < self.lease_until
        if self.boot != boot_id():
            return False
        return process_lives(self.pid, self.process_started)


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Return what is new at each start of this machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(int(psutil.boot_time()))


def process_lives(pid: int, started: float) -> bool:
    """Say whether the process that had ``pid`` and started at ``started`` still runs (pids are used again)."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def acquire(path: Path, worker: str, lease_seconds: float) -> bool:
    """Try to claim; False where a live process holds the trial. A dead holder's claim is taken over.

    Raises:
        OSError: the folder cannot be written.
    """
    me = psutil.Process()
    claim = Claim(socket.gethostname(), boot_id(), me.pid, me.create_time(), worker, time.time() + lease_seconds)
    data = json.dumps(asdict(claim)).encode()
    for _ in range(3):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            if not _remove_if_dead(path):
                return False
            continue
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            continue
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
        return True
    return False


def release(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def clear_dead(folder: Path) -> None:
    """Remove the claims of processes that died after their trial was finished; nobody else would come by."""
    for path in folder.glob("*.json"):
        _remove_if_dead(path)


def read(path: Path) -> Claim | None:
    """Return the claim in a file; None where there is none or it is still being written."""
    try:
        return Claim(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _remove_if_dead(path: Path) -> bool:
    """Remove the claim of a dead process; False where its holder lives.

    It is moved aside first and looked at again, so that a claim which somebody else made meanwhile is put back.
    """
    if not _dead(path):
        return not path.exists()
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        os.rename(path, aside)
    except OSError:
        return True
    try:
        if not _dead(aside):
            with contextlib.suppress(OSError):
                os.link(aside, path)
            return False
        return True
    finally:
        release(aside)


def _dead(path: Path) -> bool:
    claim = read(path)
    if claim is not None:
        return not claim.held_by_live_process(time.time())
    # Half-written: its writer was killed between creating and writing, or is at it this moment.
    try:
        return time.time() - path.stat().st_mtime > 10
    except OSError:
        return False
