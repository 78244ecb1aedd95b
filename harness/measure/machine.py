"""Facts about the machine from small files; one that is missing or unreadable is None, never an error.

All functions take the root of the file system, so that tests can show them other machines.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any


def read_text(path: Path) -> str | None:
    """Return a file's stripped text, None if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _first_match(pattern: str, text: str | None) -> str | None:
    found = re.search(pattern, text or "", flags=re.MULTILINE)
    return found.group(1).strip() if found else None


def cpu_facts(root: Path) -> dict[str, Any]:
    """Return model, logical CPUs, cores, sockets, affinity, frequency limits and governors."""
    text = read_text(root / "proc/cpuinfo") or ""
    blocks = [dict(re.findall(r"^([^:\n]+?)\s*:[ \t]*(.*)$", part, re.MULTILINE)) for part in text.split("\n\n")]
    blocks = [block for block in blocks if "processor" in block]
    sockets = {block["physical id"] for block in blocks if "physical id" in block}
    cores = {(block.get("physical id"), block["core id"]) for block in blocks if "core id" in block}
    try:
        affinity: list[int] | None = sorted(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        affinity = None
    folders = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq"))
    governors = {read_text(folder / "scaling_governor") for folder in folders} - {None}
    flags = set((blocks[0].get("flags") or blocks[0].get("Features") or "").split()) if blocks else set()
    simd = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "asimd") if flag in flags]
    return {
        "model": _first_match(r"^(?:model name|Hardware|cpu model)\s*:\s*(.+)$", text) or platform.processor() or None,
        "logical_cpus": len(blocks) or os.cpu_count(),
        "cores": len(cores) or None,
        "sockets": len(sockets) or None,
        "affinity": affinity,
        "simd": simd or None,
        "governors": sorted(str(one) for one in governors) or None,
        "maximum_khz": read_text(folders[0] / "cpuinfo_max_freq") if folders else None,
        "turbo_off": read_text(root / "sys/devices/system/cpu/intel_pstate/no_turbo"),
        "hypervisor": "hypervisor" in flags if blocks else None,
    }


def _cgroup_folders(root: Path, controller: str) -> list[Path]:
    """Return this process's folders of a controller, from its own up to the top, version 2 and version 1."""
    folders: list[Path] = []
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, inside = rest.partition(":")
        if number == "0" and not controllers:
            base = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            base = root / "sys/fs/cgroup" / controller
        else:
            continue
        place = base / inside.strip("/")
        # Inside a container the path may name a place that is not mounted; the base is then the process's
        # own.
        folders += [one for one in (place, *place.parents) if one == base or base in one.parents]
    return folders


def cgroup_cpu_quota(root: Path) -> float | None:
    """Return the tightest CPU quota in CPUs (1.5 for one and a half), None where there is none."""
    quotas: list[float] = []
    for folder in _cgroup_folders(root, "cpu"):
        version_two = (read_text(folder / "cpu.max") or "").split()
        version_one = [read_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
        for pair in (version_two, version_one):
            try:
                quota, period = (float(value or "nan") for value in pair)
            except ValueError:  # "max", or not two values
                continue
            if quota > 0 and period > 0:
                quotas.append(quota / period)
    return min(quotas, default=None)


def memory_bytes(root: Path) -> int | None:
    """Return installed memory in bytes."""
    kibibytes = _first_match(r"^MemTotal:\s*(\d+)", read_text(root / "proc/meminfo"))
    if kibibytes:
        return int(kibibytes) * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def cgroup_memory_limit(root: Path) -> int | None:
    """Return the tightest memory limit of the control groups in bytes, None where there is none."""
    limits = [
        int(text)
        for folder in _cgroup_folders(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (text := read_text(folder / name)) and text.isdigit()
    ]
    # Version 1 writes "no limit" as the largest number of whole pages.
    return min((limit for limit in limits if limit < 2**60), default=None)


def cpu_megahertz(root: Path) -> list[float] | None:
    """Return the current frequency of each CPU in MHz, as the kernel sees it."""
    found = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", read_text(root / "proc/cpuinfo") or "", re.MULTILINE)
    if found:
        return [float(value) for value in found]
    # Arm kernels have no such line, but the frequency governor's files.
    files = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    kilohertz = [text for file in files if (text := read_text(file)) and text.isdigit()]
    return [int(text) / 1000 for text in kilohertz] or None


def load_average(root: Path) -> list[float] | None:
    """Return the load average over 1, 5 and 15 minutes."""
    text = read_text(root / "proc/loadavg")
    try:
        return [float(value) for value in text.split()[:3]] if text else list(os.getloadavg())
    except (ValueError, OSError, AttributeError):
        return None
