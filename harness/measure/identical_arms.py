"""Two arms that are built separately and do the same: what the A/A certificate times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.measure.stages import Arm, Mark, ignore_marks

DTYPES = ("float32", "float64", "bfloat16", "float16")
ARMS = ("a", "b")
_TOKENS, _WIDTH, _HEADS = 196, 256, 4

Workload = Callable[[], Mapping[str, Arm]]
"""Builds the two identical arms ``a`` and ``b`` anew."""


def workload(device_name: str, dtype: str = "float32", batch: int = 1) -> Mapping[str, Arm]:
    """Return two arms, built separately from the same seed: one layer of a small vision transformer.

    A request takes about 5 ms on one CPU core in float32 with a batch of one.

    Raises:
        ValueError: for a dtype that is not in ``DTYPES`` or a batch below one.
        OutputsDiffer: if the arms do not compute the same.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype '{dtype}' is unknown; use {', '.join(DTYPES)}")
    if batch < 1:
        raise ValueError(f"the batch must be 1 or more, not {batch}")
    import torch

    from harness.measure.equality import assert_outputs_agree

    arms = {name: _built_arm(device_name, getattr(torch, dtype), batch) for name in ARMS}
    first, second = (arm(ignore_marks) for arm in arms.values())
    assert_outputs_agree(first, second, getattr(torch, dtype), what="two arms built from one seed")
    return arms


def _built_arm(device_name: str, dtype: Any, batch: int) -> Arm:
    import torch

    # Weights and input are drawn on the CPU in float32, so that they are the same on every device.
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
        torch.manual_seed(0)
        layer = torch.nn.TransformerEncoderLayer(_WIDTH, _HEADS, 4 * _WIDTH, dropout=0.0, batch_first=True)
        images = torch.randn(batch, _TOKENS, _WIDTH)
        layer, images = layer.eval().to(device_name, dtype), images.to(device_name, dtype)

    def arm(mark: Mark) -> Any:
        with torch.inference_mode():
            return layer(images)

    return arm
