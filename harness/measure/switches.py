"""Switches of torch that change how numbers are computed, set for a block of code and put back after it.

They are global to a process, so two arms that differ in one can only be interleaved if each sets its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def onednn(enabled: bool) -> Iterator[None]:
    """Compute on the CPU with or without oneDNN within the block."""
    import torch

    before = torch.backends.mkldnn.enabled
    if before == enabled:
        yield
        return
    torch.backends.mkldnn.enabled = enabled  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Compute float32 products and convolutions on a GPU with or without TF32 within the block.

    torch itself leaves TF32 on for convolutions and off for products; here both are as asked for.
    """
    import torch

    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    if before == (allowed, allowed):
        yield
        return
    products.allow_tf32 = convolutions.allow_tf32 = allowed
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
