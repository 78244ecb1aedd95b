"""The device that a plan is made for."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UserError


def resolve_device(wanted: str) -> str:
    """Return ``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``.

    torch is imported only where a driver's device file says that there might be a GPU.

    Raises:
        UserError: ``cuda`` is asked for and torch finds no GPU.
    """
    if wanted == "cpu":
        return "cpu"
    found = any(Path("/dev").glob("nvidia[0-9]*")) and _torch_sees_a_gpu()
    if wanted == "cuda" and not found:
        raise UserError("--device cuda: torch finds no CUDA GPU on this machine; use --device cpu, or auto")
    return "cuda" if found else "cpu"


def _torch_sees_a_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
