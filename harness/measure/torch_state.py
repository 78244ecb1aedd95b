"""What torch is set to: threads, libraries, precision, attention backends, GPUs. Read, never changed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.measure.machine import read_text


def _value(read: Callable[[], Any]) -> Any:
    """Return what ``read`` gives, None where this torch does not know it or refuses to tell."""
    try:
        value = read()
    except Exception:  # attributes come and go between versions; TF32 flags raise if two ways of setting were mixed
        return None
    return value if isinstance(value, (bool, int, float, str, type(None), list, dict)) else str(value)


def _gpu_driver(root: Path) -> str | None:
    text = read_text(root / "proc/driver/nvidia/version")
    found = re.search(r"Kernel Module(?: for \S+)?\s+(\d+(?:\.\d+)+)", text or "")
    return found.group(1) if found else None


def _gpus(torch: Any) -> list[dict[str, Any]]:
    gpus = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        gpus.append(
            {
                "name": properties.name,
                "capability": f"{properties.major}.{properties.minor}",
                "memory_bytes": properties.total_memory,
                "multiprocessors": properties.multi_processor_count,
                "uuid": _value(lambda one=properties: str(one.uuid)),  # type: ignore[misc]
                "sm_clock_mhz": _value(lambda number=index: torch.cuda.clock_rate(number)),  # type: ignore[misc]
            }
        )
    return gpus


def describe_torch(load: bool = False, root: Path = Path("/")) -> dict[str, Any] | None:
    """Return torch's settings as JSON-able values, None if torch is not loaded (with ``load``: installed).

    These are factors of a measurement: record them after the trial has set them, and never let them differ
    silently between two arms.

    Args:
        load: import torch where it is not loaded yet (about a second).
        root: root of the file system, for the NVIDIA driver's version.
    """
    if "torch" not in sys.modules and not load:
        return None
    try:
        import torch
    except ImportError:
        return None
    config = _value(torch.__config__.show) or ""
    blas = re.search(r"BLAS_INFO=(\w+)", config)
    cuda = bool(_value(torch.cuda.is_available))
    attention = ("flash", "mem_efficient", "math", "cudnn")
    return {
        "version": str(torch.__version__),
        "threads": _value(torch.get_num_threads),
        "interop_threads": _value(torch.get_num_interop_threads),
        "cpu_capability": _value(torch.backends.cpu.get_cpu_capability),
        "blas": blas.group(1).lower() if blas else None,
        "mkl": _value(torch.backends.mkl.is_available),
        "onednn": _value(torch.backends.mkldnn.is_available),
        "onednn_enabled": _value(lambda: torch.backends.mkldnn.enabled),
        "default_dtype": str(torch.get_default_dtype()),
        "float32_matmul_precision": _value(torch.get_float32_matmul_precision),
        "tf32_matmul": _value(lambda: torch.backends.cuda.matmul.allow_tf32),
        "tf32_convolution": _value(lambda: torch.backends.cudnn.allow_tf32),
        "cudnn_benchmark": _value(lambda: torch.backends.cudnn.benchmark),
        "deterministic": _value(torch.are_deterministic_algorithms_enabled),
        "attention_backends": {
            name: _value(lambda one=name: getattr(torch.backends.cuda, f"{one}_sdp_enabled")())  # type: ignore[misc]
            for name in attention
        },
        "encoder_fast_path": _value(lambda: torch.backends.mha.get_fastpath_enabled()),
        "cuda": _value(lambda: torch.version.cuda) if cuda else None,
        "cudnn": _value(torch.backends.cudnn.version) if cuda else None,
        "gpu_driver": _gpu_driver(root),
        "gpus": _value(lambda: _gpus(torch)) if cuda else [],
    }
