"""Peak memory of one request.

On CUDA torch's allocator keeps the exact peak of allocated tensors (not of the CUDA context or of libraries'
private workspaces). On the CPU only the whole process can be watched: its resident set at the peak, against
that before. Memory that the process already held and reuses does not show, and neither does what the kernel
has yet to take back, so the growth is a lower bound, best taken in a fresh process. Measure it in a pass of
its own, never while timing.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.measure.devices import Device, HostDevice

MemoryMethod = Literal["cuda allocator", "resident peak", "resident peak of the whole process life"]


@dataclass(frozen=True)
class PeakMemory:
    """Peak memory of one call in bytes.

    Attributes:
        peak: highest level during the call.
        before: level at its start (parameters and inputs included).
        method: how it was found. With ``resident peak of the whole process life`` the level could not be
            reset: an earlier, higher peak hides this call's, and ``growth`` may be 0 although memory was
            used.
    """

    peak: int
    before: int
    method: MemoryMethod

    @property
    def growth(self) -> int:
        """What the call needed on top of what was there."""
        return max(0, self.peak - self.before)


def _status_bytes(field: str, process: Path) -> int | None:
    try:
        found = re.search(rf"^{field}:\s*(\d+) kB", (process / "status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found.group(1)) * 1024 if found else None


def _reset_high_water(process: Path) -> bool:
    """Ask Linux to start the resident high-water mark anew ('5' in clear_refs); False if it cannot."""
    try:
        (process / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _lifetime_peak() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024  # bytes on macOS, KiB on Linux


def _host_peak(call: Callable[[], Any], process: Path) -> PeakMemory:
    resident = _status_bytes("VmRSS", process)
    if resident is not None and _reset_high_water(process):
        call()
        peak = _status_bytes("VmHWM", process)
        if peak is not None:
            return PeakMemory(max(peak, resident), resident, "resident peak")
        return PeakMemory(_lifetime_peak(), resident, "resident peak of the whole process life")
    before = _lifetime_peak()
    call()
    return PeakMemory(_lifetime_peak(), before, "resident peak of the whole process life")


def peak_memory(
    call: Callable[[], Any], device: Device | None = None, process: Path = Path("/proc/self")
) -> PeakMemory:
    """Run ``call`` once and return its peak memory, on the CPU or on a CUDA device.

    Args:
        device: where the call's tensors live; the CPU by default.
        process: folder of this process under ``/proc``.

    Raises:
        Exception: whatever ``call`` raises, unchanged.
    """
    device = HostDevice() if device is None else device
    gc.collect()
    if not device.has_stream:
        return _host_peak(call, process)
    import torch

    device.synchronize()
    torch.cuda.reset_peak_memory_stats(device.name)
    before = torch.cuda.memory_allocated(device.name)
    call()
    device.synchronize()
    return PeakMemory(torch.cuda.max_memory_allocated(device.name), before, "cuda allocator")
