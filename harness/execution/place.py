"""Where a process runs: the machine, and the Slurm job if there is one."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True)
class Place:
    """A process on a machine.

    ``boot`` is new at each start of the machine and ``namespace`` in each container, so that both together say whether
    a process number means the same. ``job`` is the Slurm job, or array element ``array_index``, with ``restart``, how
    often it was requeued, and ``cluster``; all empty outside Slurm.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    process_started: float
    job: str = ""
    restart: int = 0
    cluster: str = ""

    @classmethod
    def here(cls) -> Place:
        """Return the place of this process."""
        pid = os.getpid()
        return cls(socket.gethostname(), boot_id(), namespace(), pid, start_of(pid), *slurm_job())

    def sees(self, other: Place) -> bool:
        """Say whether process numbers mean the same there as here, so that its process can be looked for."""
        return (self.boot, self.namespace) == (other.boot, other.namespace)

    def kept(self) -> dict[str, Any]:
        """Return what is kept with an attempt: the host, and the job where there is one."""
        job = {"job": self.job, "restart": self.restart, "cluster": self.cluster} if self.job else {}
        return {"host": self.host, **job}


def slurm_job(environment: Mapping[str, str] = os.environ) -> tuple[str, int, str]:
    """Return the Slurm job that this process belongs to, its restarts and its cluster; empty values outside Slurm."""
    job = environment.get("SLURM_JOB_ID", "")
    array, index = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    if array and index:
        job = f"{array}_{index}"
    if not job:
        return "", 0, ""
    return job, int(environment.get("SLURM_RESTART_COUNT") or 0), environment.get("SLURM_CLUSTER_NAME", "")


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Return what is new at each start of this machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(int(psutil.boot_time()))


@lru_cache(maxsize=1)
def namespace() -> str:
    """Return what tells containers of one machine apart, in which process numbers mean different things."""
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def start_of(pid: int) -> float:
    """Return when a process started, in a unit of the system's own that a set clock does not change.

    That are ticks since the start of the machine where Linux tells them, else seconds since the epoch.

    Raises:
        psutil.NoSuchProcess: there is no such process, or it is dead and only waits to be reaped.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            raise psutil.NoSuchProcess(pid) from None
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            raise psutil.NoSuchProcess(pid) from None
        return process.create_time()
    if fields[0] in "ZX":
        raise psutil.NoSuchProcess(pid)
    return float(fields[19])


def process_lives(pid: int, started: float) -> bool:
    """Say whether the process that had ``pid`` and started at ``started`` still runs (pids are used again)."""
    try:
        return start_of(pid) == started
    except psutil.Error:
        return False
