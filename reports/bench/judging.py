"""Is a comparison slower than what was accepted? Decided by its whole interval, against a margin.

The effect is the ratio of ours to the rival: exp of the mean over rounds of ln(ours / rival), with a t interval over
rounds. A rival in the same run stands for the machine, so ratios may be compared between machines, if roughly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.verdicts.statistics.estimates import Estimate, Exact, LogScale
from harness.verdicts.statistics.means import is_constant, mean_estimate
from reports.bench.accepted import AcceptedRatio
from reports.bench.measured import Measured

MARGIN = 1.5
"""How far beyond the accepted interval the whole new one must lie, as a factor.

Code that takes twice as long must be caught, and code that did not change must never be flagged, whatever machine the
accepted ratio and the new one were measured on. The margin lies between: it leaves a factor of 1.33 below two for the
two intervals, and one of 1.5 for what differs with nothing but the machine (caches, vector units, disks).
"""

Outcome = Literal["slower than accepted", "faster than accepted", "as accepted", "new"]
SLOWER: Outcome = "slower than accepted"


@dataclass(frozen=True)
class Judged:
    """A comparison with its ratio, what was accepted for it, and what came out.

    ``low`` and ``high`` are the ends of the 95 % interval. ``finds_doubling`` says whether it would have been flagged
    had ours taken twice as long; None where nothing was accepted.
    """

    measured: Measured
    ratio: float
    low: float
    high: float
    accepted: AcceptedRatio | None
    outcome: Outcome
    finds_doubling: bool | None


def log_ratios(measured: Measured) -> list[float]:
    """Return ln(ours / rival) by round."""
    return [math.log(ours / rival) for ours, rival in zip(measured.ours.seconds, measured.rival.seconds, strict=True)]


def ratio_of(measured: Measured) -> Estimate:
    """Return the ratio of ours to the rival; times without any spread, as of a synthetic clock, are its point."""
    logs = log_ratios(measured)
    # Ratios of whole nanoseconds that are the same but for rounding: around 1 their logarithms are all rounding.
    if is_constant([math.exp(one) for one in logs]):
        return LogScale(Exact(sum(logs) / len(logs), len(logs)))
    return LogScale(mean_estimate(logs))


def judge(measured: Measured, accepted: AcceptedRatio | None) -> Judged:
    """Judge one comparison against what was accepted for it."""
    ratio = ratio_of(measured)
    low, high = ratio.interval()
    outcome: Outcome = "new"
    finds = None
    if accepted is not None:
        outcome = _outcome(low, high, accepted)
        finds = _outcome(2 * low, 2 * high, accepted) == SLOWER
    return Judged(measured, ratio.effect, low, high, accepted, outcome, finds)


def _outcome(low: float, high: float, accepted: AcceptedRatio) -> Outcome:
    if low > accepted.high * MARGIN:
        return SLOWER
    if high < accepted.low / MARGIN:
        return "faster than accepted"
    return "as accepted"


@dataclass(frozen=True)
class Verdicts:
    """A run judged: its comparisons, its checks of the judging itself, and what was accepted and not run."""

    comparisons: tuple[Judged, ...]
    checks: tuple[Judged, ...]
    missing: tuple[str, ...]

    @property
    def slower(self) -> tuple[Judged, ...]:
        return tuple(judged for judged in self.comparisons if judged.outcome == SLOWER)

    @property
    def known(self) -> tuple[Judged, ...]:
        """Those for which something was accepted."""
        return tuple(judged for judged in self.comparisons if judged.accepted is not None)

    @property
    def blind(self) -> tuple[Judged, ...]:
        """Those of them that would not have been flagged had ours taken twice as long: their intervals are too wide."""
        return tuple(judged for judged in self.known if not judged.finds_doubling)


def judge_all(measured: Sequence[Measured], accepted: Mapping[str, AcceptedRatio]) -> Verdicts:
    """Judge what a run measured. A check is judged as the comparison that it was made after.

    Where nothing was accepted for that, its ratio in the same run stands in.
    """
    comparisons = tuple(judge(one, accepted.get(one.key)) for one in measured if one.check is None)
    here = {judged.measured.key: judged for judged in comparisons}
    checks = []
    for one in measured:
        if one.check is not None:
            known = accepted.get(one.check.of)
            if known is None and one.check.of in here:
                known = AcceptedRatio.of(here[one.check.of])
            checks.append(judge(one, known))
    return Verdicts(comparisons, tuple(checks), tuple(key for key in accepted if key not in here))


def check_lines(checks: Sequence[Judged]) -> Iterator[str]:
    """Yield what checks of one kind came to, a sentence a kind."""
    kinds: dict[tuple[str, str], list[Judged]] = {}
    for judged in checks:
        assert judged.measured.check is not None
        kinds.setdefault((judged.measured.name, judged.measured.check.expected), []).append(judged)
    for (name, expected), found in kinds.items():
        flagged = sum(judged.outcome == SLOWER for judged in found)
        as_it_should = flagged == (len(found) if expected == SLOWER else 0)
        wanted = "all should be" if expected == SLOWER else "none should be"
        verdict = "as it should be" if as_it_should else "NOT as it should be"
        yield f"{name}: flagged as slower in {flagged} of {len(found)} ({wanted}): {verdict}"
