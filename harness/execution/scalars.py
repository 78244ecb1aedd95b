"""Scalars of a training: at which of its steps they are kept, and how long its gradient is there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

POINTS = 50
"""Steps of a training whose scalars are kept, at equal distances: at most twice as many, and the last one."""


def are_kept(step: int, steps: int) -> bool:
    """Say whether a step's scalars are kept; only there may a training wait for its device to read them."""
    return step % max(1, steps // POINTS) == 0 or step == steps - 1


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Return the L2 norm over all gradients of one model, a scalar on its device; 0 where there are none.

    To be called between the way back and the optimiser, which may change gradients in place.
    """
    from torch.nn.utils import get_total_norm

    return get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])


def gradient_norms(stacked: Iterable[Tensor]) -> Tensor:
    """Return the L2 norm over all gradients of each of S models, [S], out of parameters that are stacked [S, ...]."""
    import torch

    gradients = [one.grad for one in stacked if one.grad is not None]
    lengths = [torch.linalg.vector_norm(own.reshape(len(own), -1), dim=1) for own in gradients]
    return torch.linalg.vector_norm(torch.stack(lengths), dim=0)
