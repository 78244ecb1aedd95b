"""A machine in one line, from the environment that was stored with the trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def machine_text(environment: Mapping[str, Any]) -> str:
    """Return what a machine is: processor, GPU, threads, versions, and the commit that ran."""
    cpu, torch = environment.get("cpu") or {}, environment.get("torch") or {}
    source = environment.get("source") or {}
    gpus = ", ".join(str(gpu.get("name")) for gpu in torch.get("gpus") or [])
    parts = {
        "": cpu.get("model"),
        "CPUs ": len(cpu.get("affinity") or []) or None,
        "GPU ": gpus or None,
        "threads ": torch.get("threads"),
        "Python ": environment.get("python"),
        "torch ": torch.get("version"),
        "commit ": (source.get("commit") or "")[:10] or None,
    }
    text = ", ".join(f"{label}{value}" for label, value in parts.items() if value is not None)
    return text + (" with uncommitted changes" if source.get("dirty") else "")
