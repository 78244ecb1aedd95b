"""How the time of a trial changes with the number of trials: 1 is linear growth, and nothing should be worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.verdicts.statistics.estimates import Estimate, LogScale
from harness.verdicts.statistics.means import is_constant, welch_estimate
from reports.bench.judging import ratio_of
from reports.bench.measured import Measured

LINEAR = 1.25
"""How many times as long one trial may take at the larger size, and the growth still be called linear.

It is what sorting (n log n) grows by from 10,000 to 100,000 trials. Larger data leave the processor's caches, which
costs something too; what grows with the square would be at 10.
"""


@dataclass(frozen=True)
class Grown:
    """One thing done with so many trials.

    ``seconds`` is the geometric mean over rounds of all of it, ``ratio`` that of ours to the rival's; ``growth`` the
    time of a trial over that at the next smaller size, None at the smallest; ``apart`` says that the two sizes did not
    have their files in the same kind of place.
    """

    what: str
    trials: int
    rival: str
    seconds: float
    ratio: float
    ratio_interval: tuple[float, float]
    growth: Estimate | None
    apart: bool = False

    @property
    def sentence(self) -> str:
        """What the whole interval of the growth says."""
        if self.growth is None:
            return ""
        if self.apart:
            return "cannot be told: files in memory here, on the disk there"
        low, high = self.growth.interval()
        if high <= LINEAR:
            return "no worse than linearly"
        return "worse than linearly" if low > LINEAR else "undecided"


def grown(measured: Sequence[Measured]) -> list[Grown]:
    """Return what was done with numbers of trials, sizes in rising order under each thing."""
    found: dict[str, list[Measured]] = {}
    for one in measured:
        if one.scale is not None and one.check is None:
            found.setdefault(one.scale.what, []).append(one)
    rows = []
    for sizes in found.values():
        before: Measured | None = None
        for one in sorted(sizes, key=_trials):
            rows.append(_grown(one, before))
            before = one
    return rows


def _trials(measured: Measured) -> int:
    assert measured.scale is not None
    return measured.scale.trials


def _grown(one: Measured, before: Measured | None) -> Grown:
    scale, beside = one.scale, ratio_of(one)
    assert scale is not None
    growth = None
    if before is not None and _trials(before) < scale.trials:
        growth = growth_of(one, before)
    seconds = one.ours.seconds
    return Grown(
        what=scale.what,
        trials=scale.trials,
        rival=one.rival.name,
        seconds=math.exp(sum(map(math.log, seconds)) / len(seconds)),
        ratio=beside.effect,
        ratio_interval=beside.interval(),
        growth=growth,
        apart=before is not None and before.scale is not None and before.scale.files != scale.files,
    )


def growth_of(larger: Measured, smaller: Measured) -> Estimate | None:
    """Return the time of one trial at the larger size over that at the smaller (Welch's t on logarithms, unpaired).

    None where neither size has any spread, so that there is nothing to build an interval from.
    """
    sides = [[math.log(seconds / _trials(one)) for seconds in one.ours.seconds] for one in (larger, smaller)]
    if all(map(is_constant, sides)):
        return None
    return LogScale(welch_estimate(sides[0], sides[1]))
