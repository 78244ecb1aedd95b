"""Where and on what something was measured, as JSON-able dictionaries. What cannot be found out is None.

Nothing secret goes in: of the environment only the variables of a fixed list, no command line, no user name.
"""

from __future__ import annotations

import datetime
import os
import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.measure import machine
from harness.measure.load import machine_cpu_times
from harness.measure.torch_state import describe_torch

LIBRARIES = (
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "scikit-learn",
    "torch",
    "torchvision",
    "transformers",
    "open_clip_torch",
    "submitit",
    "pydantic",
)

VARIABLES = (
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OMP_PROC_BIND",
    "GOMP_CPU_AFFINITY",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_LAUNCH_BLOCKING",
    "NVIDIA_TF32_OVERRIDE",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ALLOC_CONF",
    "PYTHONHASHSEED",
    "SLURM_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_JOB_PARTITION",
    "SLURM_CPUS_PER_TASK",
    "SLURM_NODEID",
)


def library_versions(names: Iterable[str] = LIBRARIES) -> dict[str, str | None]:
    """Return versions by distribution name, importing none of them; None for what is not installed."""
    versions: dict[str, str | None] = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except (metadata.PackageNotFoundError, ValueError):
            versions[name] = None
    return versions


def describe_environment(
    libraries: Iterable[str] = LIBRARIES, *, load_torch: bool = False, root: Path = Path("/")
) -> dict[str, Any]:
    """Return what stays the same while a process runs; torch's settings only if torch is loaded.

    Call it after the trial has set threads and precision, since those are recorded as they are now.

    Args:
        libraries: distributions whose versions are recorded.
        load_torch: import torch to describe it.
        root: root of the file system that facts are read from.
    """
    return {
        "host": platform.node() or None,
        "boot_id": machine.read_text(root / "proc/sys/kernel/random/boot_id"),
        "platform": platform.platform(),
        "architecture": platform.machine() or None,
        "python": platform.python_version(),
        "python_implementation": platform.python_implementation(),
        "python_optimised": sys.flags.optimize > 0,
        "cpu": machine.cpu_facts(root),
        "cgroup_cpu_quota": machine.cgroup_cpu_quota(root),
        "memory_bytes": machine.memory_bytes(root),
        "cgroup_memory_bytes": machine.cgroup_memory_limit(root),
        "libraries": library_versions(libraries),
        "torch": describe_torch(load_torch, root),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def describe_moment(root: Path = Path("/")) -> dict[str, Any]:
    """Return what changes fast: take one before and one after a measurement.

    ``cpu_busy_seconds`` and ``cpu_steal_seconds`` are totals since boot over this process's CPUs; their
    difference between two moments is what was used and what the hypervisor took.
    """
    times = machine_cpu_times(root)
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        "load_average": machine.load_average(root),
        "cpu_busy_seconds": times.busy if times else None,
        "cpu_steal_seconds": times.steal if times else None,
        "cpu_megahertz": machine.cpu_megahertz(root),
    }
