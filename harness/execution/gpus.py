"""Which GPUs of this machine a worker gets: one process a GPU, unless several are asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence

from harness.plan.design import Design
from harness.plan.device import might_have_gpu

VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> tuple[str, ...]:
    """Return the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them: by number or by UUID."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        # CUDA reads names up to the first that is none.
        names = [name.strip() for name in given.split(",")]
        return tuple(names[: names.index("-1")] if "-1" in names else filter(None, names))
    if not might_have_gpu():
        return ()
    import torch

    return tuple(str(number) for number in range(torch.cuda.device_count()))


def gpus_of_trial(design: Design) -> int:
    """Return how many GPUs a trial has to itself, or shares; none on the CPU."""
    return max(1, design.resources.gpus) if design.device == "cuda" else 0


def gpu_slots(design: Design) -> int:
    """Return how many trials run at a time on this machine's GPUs unless another number is asked for."""
    groups = max(1, len(visible_gpus()) // gpus_of_trial(design))
    return groups * design.resources.trials_per_gpu


def gpus_of_slot(slot: int, visible: Sequence[str], each: int) -> tuple[str, ...]:
    """Return the GPUs of a slot: slots go round the groups of ``each`` GPUs, so that all are used before any is shared.

    Of fewer than ``each`` all are returned: the trial will say what it lacks.
    """
    groups = [tuple(visible[start : start + each]) for start in range(0, len(visible) - each + 1, each)] if each else []
    return groups[slot % len(groups)] if groups else tuple(visible)
