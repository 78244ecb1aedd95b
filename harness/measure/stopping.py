"""When a run is over: all conditions hold, or a limit was reached, and then which condition was unmet.

The rule is that of NVIDIA nvbench, which stops when minimum duration, minimum samples and maximum noise are
all met, and otherwise prints which one a timeout left open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from harness.measure.busy import BusyReport, RoundRecord
from harness.measure.order_statistics import median_half_width
from harness.measure.settings import TimingSettings

StopReason = Literal["all conditions met", "maximum rounds", "timeout"]


@dataclass(frozen=True)
class StopReport:
    """Why the run ended.

    Attributes:
        reason: which end it was.
        unmet: one sentence for each condition that did not hold.
        rounds_run, rounds_kept, rounds_wanted: counts of rounds.
        seconds: duration of the rounds together; total_seconds: warm-up included.
        half_widths: relative half-width of the 95 % interval of each arm's median over kept rounds.
    """

    reason: StopReason
    unmet: tuple[str, ...]
    rounds_run: int
    rounds_kept: int
    rounds_wanted: int
    seconds: float
    total_seconds: float
    half_widths: Mapping[str, float]

    @property
    def sentence(self) -> str:
        """The whole report in one line."""
        counts = f"{self.rounds_kept} of {self.rounds_run} rounds kept in {self.seconds:.1f} s"
        if not self.unmet:
            return f"stopped: {self.reason}; {counts}"
        return f"stopped: {self.reason}; {counts}; unmet: {'; '.join(self.unmet)}"


def half_widths(rounds: Sequence[RoundRecord], report: BusyReport) -> dict[str, float]:
    """Return by arm the relative half-width of its median request latency, over kept rounds' medians."""
    kept = [record for record, verdict in zip(rounds, report.verdicts, strict=True) if verdict.kept and record.medians]
    arms = dict.fromkeys(arm for record in rounds for arm in record.medians)
    return {arm: median_half_width([record.medians[arm] for record in kept if arm in record.medians]) for arm in arms}


def stop_report(
    rounds: Sequence[RoundRecord],
    report: BusyReport,
    settings: TimingSettings,
    seconds: float,
    total_seconds: float,
) -> StopReport | None:
    """Return why to stop after the rounds so far, None to go on.

    The timeout also counts as reached where the next round, taking as long as the median one, would pass it:
    a round cut short cannot be used.

    Args:
        rounds: all rounds so far, the unfinished last one included.
        report: the busy rule's verdicts on them.
        seconds: time since the first round began.
        total_seconds: time since the run began.
    """
    finished = [record.seconds for record in rounds if record.finished]
    typical = median(finished) if finished else 0.0
    wanted = settings.rounds_wanted(typical)
    widths = half_widths(rounds, report)
    unmet: list[str] = []
    if report.kept < wanted:
        unmet.append(f"{report.kept} rounds kept of {wanted} wanted")
    if seconds < settings.minimum_seconds:
        unmet.append(f"{seconds:.1f} s measured of {settings.minimum_seconds:g} s wanted")
    if settings.target_half_width is not None:
        wide = {arm: width for arm, width in widths.items() if width > settings.target_half_width}
        if wide or not widths:
            worst = max(wide, key=lambda arm: wide[arm], default="")
            unmet.append(
                f"the median of {len(wide)} arms is known no better than {settings.target_half_width:.1%} "
                f"(worst '{worst}': {wide.get(worst, float('inf')):.1%})"
            )
    reason: StopReason
    if not unmet:
        reason = "all conditions met"
    elif len(rounds) >= settings.maximum_rounds:
        reason = "maximum rounds"
    elif total_seconds + typical >= settings.timeout_seconds:
        reason = "timeout"
    else:
        return None
    return StopReport(reason, tuple(unmet), len(rounds), report.kept, wanted, seconds, total_seconds, widths)
