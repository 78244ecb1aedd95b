"""CUDA graphs without CUDA: work that is done again writes into the same tensors, as a replay does."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree as pytree

from baselines.graphs import Replay, Work


class HostCapture:
    """A ``Capture`` for the CPU; ``captured`` counts what was recorded, ``replayed`` what was done again."""

    def __init__(self) -> None:
        self.captured = 0
        self.replayed = 0

    def __call__(self, work: Work) -> tuple[Any, Replay]:
        self.captured += 1
        outputs = work()
        kept = [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, torch.Tensor)]
        # What was recorded has yet to run: a graph's outputs hold nothing before the first replay.
        for tensor in kept:
            tensor.fill_(float("nan") if tensor.is_floating_point() else -1)

        def replay() -> None:
            self.replayed += 1
            fresh = [leaf for leaf in pytree.tree_leaves(work()) if isinstance(leaf, torch.Tensor)]
            for target, source in zip(kept, fresh, strict=True):
                target.copy_(source)

        return outputs, replay
