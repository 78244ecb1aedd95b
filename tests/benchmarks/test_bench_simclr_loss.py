"""NT-Xent forward and backward beside lightly's, pytorch-metric-learning's and a plain concatenated one."""

from __future__ import annotations

import pytest
from beside import Beside
from lightly.loss import NTXentLoss
from losses import TEMPERATURE, Loss, concatenated, metric_learning, same_step, step_of, two_views
from torch import Tensor

from experiments.simclr.loss import nt_xent

RIVALS: dict[str, Loss] = {
    "lightly": NTXentLoss(TEMPERATURE),
    "concatenated": concatenated,
    "pytorch-metric-learning": metric_learning,
}
SIZES = {"batch": (64, 512, 2048)}


def ours(first: Tensor, second: Tensor) -> Tensor:
    return nt_xent(first, second, TEMPERATURE)


@pytest.mark.parametrize("rival", RIVALS)
def test_bench_nt_xent(beside: Beside, rival: str, batch: int) -> None:
    if rival == "pytorch-metric-learning" and batch > 64:
        pytest.skip("holds every pair with all its negatives: 2N x (2N)^2 numbers, 15 GB at a batch of 512")
    views = two_views(batch)
    beside(
        f"NT-Xent with gradients, batch {batch:,}",
        step_of(ours, *views),
        step_of(RIVALS[rival], *views),
        rival=rival,
        group="Losses",
        agree=same_step,
    )
