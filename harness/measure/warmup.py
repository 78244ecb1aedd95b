"""Warm-up by evidence: until two consecutive windows of passes look alike, or a cap says that they never did.

A fixed number of warm-up passes is a guess: Barrett et al. (arXiv 1602.00602) found fewer than half of their
benchmark and machine pairs to reach a steady peak. The test is pyperf's: the first value is no outlier, the
quartiles agree within 5 %, the median absolute deviations within 10 %. Never steady is a finding, recorded
and shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.measure.devices import Clock, Device
from harness.measure.settings import TimingSettings
from harness.measure.stages import Arm, ignore_marks

WarmUpVerdict = Literal["steady", "never steady", "too few passes to judge"]


@dataclass(frozen=True)
class WarmUp:
    """How one arm warmed up.

    ``nanoseconds`` holds every pass in order, the first one (which pays for allocation, lazy initialisation
    and compilation) included; ``seconds`` is the whole duration; ``capped_by`` says which cap ended it, '' if
    none.
    """

    arm: str
    verdict: WarmUpVerdict
    nanoseconds: tuple[int, ...]
    seconds: float
    capped_by: str

    @property
    def steady(self) -> bool:
        """Whether two consecutive windows agreed."""
        return self.verdict == "steady"

    @property
    def passes(self) -> int:
        """Number of warm-up passes."""
        return len(self.nanoseconds)


def _median_absolute_deviation(values: np.ndarray) -> float:
    return float(np.median(np.abs(values - np.median(values))))


def _agree(first: float, second: float, tolerance: float) -> bool:
    # Written without a division: two equal zeros agree, a zero beside anything else does not.
    return abs(first - second) <= tolerance * abs(second)


def windows_agree(
    first: Sequence[float],
    second: Sequence[float],
    quartile_tolerance: float = 0.05,
    mad_tolerance: float = 0.10,
) -> bool:
    """Return whether two consecutive windows of durations look like one steady state (pyperf's test).

    The first value of ``first`` is not above the upper Tukey fence (third quartile plus 1.5 interquartile
    ranges) of all other values; both quartiles agree within ``quartile_tolerance``, the median absolute
    deviations within ``mad_tolerance``, each relative to the second window.

    Raises:
        ValueError: if a window has fewer than three values.
    """
    if min(len(first), len(second)) < 3:
        raise ValueError("a window needs 3 values or more to have quartiles")
    early, late = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    low, high = np.quantile(np.concatenate([early[1:], late]), [0.25, 0.75])
    if early[0] > high + 1.5 * (high - low):
        return False
    quartiles = zip(np.quantile(early, [0.25, 0.75]), np.quantile(late, [0.25, 0.75]), strict=True)
    return all(_agree(one, other, quartile_tolerance) for one, other in quartiles) and _agree(
        _median_absolute_deviation(early), _median_absolute_deviation(late), mad_tolerance
    )


def warm_up(
    name: str,
    arm: Arm,
    device: Device,
    clock: Clock,
    settings: TimingSettings,
    deadline: int | None = None,
    passed: float | None = None,
) -> WarmUp:
    """Run ``arm`` until it is steady or a cap is reached; never raises for an arm that stays unsteady.

    The first pass is not part of any window. Windows slide by one pass, so every pass is a chance to be done.

    Args:
        deadline: host nanoseconds after which no further pass starts (the run's hard timeout).
        passed: seconds of a full pass that the arm has just made. Longer than the cap, it stands for the
            warm-up; otherwise it only means that there is nothing left to load.
    """
    window = settings.warmup_window
    if passed is not None and passed >= settings.warmup_maximum_seconds:
        return WarmUp(name, "too few passes to judge", (round(passed * 1e9),), passed, "warmup_maximum_seconds")
    durations: list[int] = []
    begin = clock()

    def finished(verdict: WarmUpVerdict, capped_by: str) -> WarmUp:
        return WarmUp(name, verdict, tuple(durations), (clock() - begin) / 1e9, capped_by)

    while True:
        device.synchronize()
        start = clock()
        output = arm(ignore_marks)
        device.synchronize()
        end = clock()
        del output
        durations.append(end - start)
        judged = len(durations) > 2 * window
        if judged and windows_agree(
            durations[-2 * window : -window],
            durations[-window:],
            settings.warmup_quartile_tolerance,
            settings.warmup_mad_tolerance,
        ):
            return finished("steady", "")
        unsteady: WarmUpVerdict = "never steady" if judged else "too few passes to judge"
        if deadline is not None and end >= deadline:
            return finished(unsteady, "timeout_seconds")
        if len(durations) >= settings.warmup_maximum_passes:
            return finished(unsteady, "warmup_maximum_passes")
        if end - begin >= settings.warmup_maximum_seconds * 1e9:
            return finished(unsteady, "warmup_maximum_seconds")
