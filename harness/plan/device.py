"""The device that a plan is made for."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UserError


def resolve_device(wanted: str) -> str:
    """Return ``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``: what a plan is made for, here or elsewhere."""
    if wanted != "auto":
        return wanted
    return "cuda" if _has_gpu() else "cpu"


def require_device(device: str) -> None:
    """Make sure that this machine has the device of a plan.

    Raises:
        UserError: the plan is for ``cuda`` and torch finds no GPU.
    """
    if device == "cuda" and not _has_gpu():
        raise UserError("--device cuda: torch finds no CUDA GPU on this machine; use --device cpu, or auto")


def might_have_gpu() -> bool:
    """Say whether a driver's device file says that there might be a GPU; nothing is loaded to find out."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _has_gpu() -> bool:
    """Say whether torch sees a GPU; it is imported only where there might be one."""
    return might_have_gpu() and _torch_sees_a_gpu()


def _torch_sees_a_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
