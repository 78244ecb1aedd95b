"""How the time of a trial changes with the number of trials: 1 is linear growth, and nothing should be worse.

Larger data leave the processor's caches, and two sizes are measured minutes apart. So the floor, whose work is linear,
is looked at too: what grows no worse than its floor did in the same rounds is linear work, whatever the machine did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.verdicts.statistics.estimates import Estimate, Exact, LogScale
from harness.verdicts.statistics.means import is_constant, welch_estimate
from reports.bench.judging import log_ratios, ratio_of
from reports.bench.measured import Measured

LINEAR = 1.25
"""How many times as long one trial may take at the larger size, and the growth still be called linear.

It is what sorting (n log n) grows by from 10,000 to 100,000 trials; what grows with the square would be at 10.
"""


@dataclass(frozen=True)
class Grown:
    """One thing done with so many trials.

    ``seconds`` is the geometric mean over rounds of all of it, ``ratio`` that of ours to the rival's; ``growth`` the
    time of a trial over that at the next smaller size, and ``beside`` that growth over the rival's, both None at the
    smallest; ``apart`` says that the two sizes did not have their files in the same kind of place.
    """

    what: str
    trials: int
    rival: str
    seconds: float
    ratio: float
    ratio_interval: tuple[float, float]
    growth: Estimate | None
    beside: Estimate | None
    apart: bool = False

    @property
    def sentence(self) -> str:
        """What the whole intervals say."""
        if self.growth is None or self.beside is None:
            return ""
        if self.apart:
            return "cannot be told: files in memory here, on the disk there"
        (low, high), (_, above) = self.growth.interval(), self.beside.interval()
        if high <= LINEAR:
            return "no worse than linearly"
        if above <= LINEAR:
            return "no worse than its floor"
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
    smaller = before if before is not None and _trials(before) < scale.trials else None
    seconds = one.ours.seconds
    return Grown(
        what=scale.what,
        trials=scale.trials,
        rival=one.rival.name,
        seconds=math.exp(sum(map(math.log, seconds)) / len(seconds)),
        ratio=beside.effect,
        ratio_interval=beside.interval(),
        growth=over(_of_a_trial(one), _of_a_trial(smaller)) if smaller else None,
        beside=over(log_ratios(one), log_ratios(smaller)) if smaller else None,
        apart=smaller is not None and smaller.scale is not None and smaller.scale.files != scale.files,
    )


def _of_a_trial(one: Measured) -> list[float]:
    """Return the logarithm of the seconds that a trial took, by round."""
    return [math.log(seconds / _trials(one)) for seconds in one.ours.seconds]


def over(larger: Sequence[float], smaller: Sequence[float]) -> Estimate:
    """Return the ratio of two groups of values that are given as logarithms (Welch's t, unpaired)."""
    if is_constant([math.exp(one) for one in larger]) and is_constant([math.exp(one) for one in smaller]):
        return LogScale(Exact(sum(larger) / len(larger) - sum(smaller) / len(smaller), len(larger) + len(smaller)))
    return LogScale(welch_estimate(larger, smaller))
