"""What others took of the CPUs meanwhile: other processes, and the hypervisor (steal).

Counted over the CPUs that this process may run on, from ``/proc/stat`` or, where there is none, from psutil.
On a large shared node the rest of the machine is therefore not counted; a cgroup quota without an affinity
mask is not seen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SHORTEST_SECONDS = 0.1
"""CPU time is counted in ticks of 10 ms; over less than this a share would be mostly rounding."""


@dataclass(frozen=True)
class CpuTimes:
    """CPU seconds since boot, summed over ``cpus`` CPUs: at work, taken by the hypervisor, in all."""

    busy: float
    steal: float
    total: float
    cpus: int


@dataclass(frozen=True)
class LoadReading:
    """Shares of the CPUs' capacity during a window; None if it was too short or nothing could be read.

    ``foreign_share`` is work of other processes plus ``steal_share``, which is the hypervisor's part alone.
    """

    foreign_share: float | None
    steal_share: float | None


def allowed_cpus() -> frozenset[int] | None:
    """Return the CPUs that this process may run on; None where the system cannot say."""
    try:
        return frozenset(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return None


def parse_proc_stat(text: str, allowed: frozenset[int] | None, ticks_per_second: float) -> CpuTimes | None:
    """Return the times of the ``allowed`` CPUs (None: all) from ``/proc/stat``'s text; None if it has none.

    Guest time is part of user time in that file and not added again.
    """
    busy = steal = total = 0.0
    cpus = 0
    for line in text.splitlines():
        name, *fields = line.split()
        number = name.removeprefix("cpu")
        if not name.startswith("cpu") or not number.isdigit():
            continue
        if allowed is not None and int(number) not in allowed:
            continue
        ticks = [float(field) for field in fields[:8]]
        ticks += [0.0] * (8 - len(ticks))
        user, nice, system, idle, waiting, interrupts, soft_interrupts, stolen = ticks
        busy += user + nice + system + interrupts + soft_interrupts
        steal += stolen
        total += sum((user, nice, system, idle, waiting, interrupts, soft_interrupts, stolen))
        cpus += 1
    if not cpus:
        return None
    return CpuTimes(busy / ticks_per_second, steal / ticks_per_second, total / ticks_per_second, cpus)


def _psutil_times(allowed: frozenset[int] | None) -> CpuTimes | None:
    try:
        import psutil

        every = psutil.cpu_times(percpu=True)
    except Exception:  # psutil raises many kinds on exotic systems; no reading is the answer then
        return None
    chosen = [one for number, one in enumerate(every) if allowed is None or number in allowed]
    steal = sum(getattr(one, "steal", 0.0) for one in chosen)
    idle = sum(one.idle + getattr(one, "iowait", 0.0) for one in chosen)
    guests = sum(getattr(one, "guest", 0.0) + getattr(one, "guest_nice", 0.0) for one in chosen)
    total = sum(sum(one) for one in chosen) - guests
    return CpuTimes(total - idle - steal, steal, total, len(chosen)) if chosen else None


def machine_cpu_times(root: Path = Path("/")) -> CpuTimes | None:
    """Return the times of this process's CPUs now, None if neither ``/proc/stat`` nor psutil can tell."""
    allowed = allowed_cpus()
    try:
        text = (root / "proc/stat").read_text()
        times = parse_proc_stat(text, allowed, float(os.sysconf("SC_CLK_TCK")))
    except (OSError, ValueError):
        times = None
    return times if times is not None else _psutil_times(allowed)


def own_cpu_seconds() -> float:
    """Return CPU seconds of this process, its reaped children and (given psutil) its living descendants."""
    reaped = os.times()
    seconds = time.process_time() + reaped.children_user + reaped.children_system
    try:
        import psutil

        descendants = psutil.Process().children(recursive=True)
    except Exception:  # without psutil a living child counts as foreign
        return seconds
    for child in descendants:
        try:
            times = child.cpu_times()
        except psutil.Error:
            continue
        seconds += times.user + times.system
        seconds += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return seconds


class LoadMeter:
    """Measures a window from :meth:`start` to :meth:`stop`, each about a millisecond: not inside a visit.

    Args:
        machine: reads the CPUs' times; injected in tests.
        own: reads this process's CPU seconds; injected in tests.
    """

    def __init__(
        self,
        machine: Callable[[], CpuTimes | None] = machine_cpu_times,
        own: Callable[[], float] = own_cpu_seconds,
    ) -> None:
        self._machine = machine
        self._own = own
        self._begin: CpuTimes | None = None
        self._own_begin = 0.0

    def start(self) -> None:
        """Begin a window."""
        self._begin, self._own_begin = self._machine(), self._own()

    def stop(self) -> LoadReading:
        """End the window and return what others took."""
        end, own = self._machine(), self._own() - self._own_begin
        if self._begin is None or end is None or end.cpus != self._begin.cpus:
            return LoadReading(None, None)
        capacity = end.total - self._begin.total
        if capacity < SHORTEST_SECONDS * end.cpus:
            return LoadReading(None, None)
        steal = max(0.0, end.steal - self._begin.steal)
        others = max(0.0, end.busy - self._begin.busy - own)
        return LoadReading(min(1.0, (others + steal) / capacity), min(1.0, steal / capacity))
