"""Small CLIP trainings that take a moment, called as the engine calls a trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.execution.run import Run
from harness.spec.signature import resolve

DIGITS: dict[str, Any] = {"source": "coloured-digits", "train": 64, "validation": 40, "test": 60}
SCENES: dict[str, Any] = {
    "source": "scenes",
    "size": 16,
    "shapes": 4,
    "colours": 2,
    "textures": 1,
    "backgrounds": 2,
    "count_maximum": 4,
    "train": 64,
    "validation": 40,
    "test": 60,
}
SMALL: dict[str, Any] = {
    "kind": "small",
    "image": {"kind": "convolutional", "widths": [4, 8], "strides": [2, 2], "grid": 2},
    "text": {"width": 8, "layers": 1, "heads": 2},
    "dimension": 8,
}
PATCHES: dict[str, Any] = {
    **SMALL,
    "image": {"kind": "vision-transformer", "patch": 4, "width": 8, "layers": 1, "heads": 2},
}
TRAINING: dict[str, Any] = {"model": SMALL, "steps": 4, "batch_size": 16}


def fresh(replicate: int = 0) -> Run:
    return Run("small", replicate, threads=1)


def checked(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a trial function out of plain data, checked as the engine checks a spec's."""
    known = resolve(name).parameters
    return {key: known[key].check(value) for key, value in given.items()}


def called(name: str, run: Run, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = resolve(name).call(run=run, **checked(name, given))
    return found
