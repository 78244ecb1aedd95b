"""Does the judging work here and now? A loss that does its work twice must be flagged, an unchanged copy never."""

from __future__ import annotations

from beside import Beside
from lightly.loss import NTXentLoss
from losses import TEMPERATURE, same_step, step_of, two_views
from torch import Tensor

from experiments.simclr.loss import nt_xent
from reports.bench.measured import Check

BATCH = 64
OF = f"NT-Xent with gradients, batch {BATCH} beside lightly"
SIZES = {"number": range(20)}


def unchanged(first: Tensor, second: Tensor) -> Tensor:
    return nt_xent(first, second, TEMPERATURE)


def test_bench_an_unchanged_copy(beside: Beside, number: int) -> None:
    """Run by run what the comparison with lightly does, judged by what was accepted for that."""
    check = Check(of=OF, expected="as accepted")
    _compare(beside, f"{OF}: an unchanged copy", repeated=1, check=check)


def test_bench_a_copy_that_is_twice_as_slow(beside: Beside) -> None:
    check = Check(of=OF, expected="slower than accepted")
    _compare(beside, f"{OF}: a copy that does its work twice", repeated=2, check=check)


def _compare(beside: Beside, name: str, repeated: int, check: Check) -> None:
    views = two_views(BATCH)
    step = step_of(unchanged, *views)

    def ours() -> object:
        for _ in range(repeated - 1):
            step()
        return step()

    lightly = step_of(NTXentLoss(TEMPERATURE), *views)
    beside(name, ours, lightly, rival="lightly", group="Losses", agree=same_step, check=check)
