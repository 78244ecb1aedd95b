"""Which rounds count: a rule stated beforehand, applied to all arms of a round alike, and counted.

A round is dropped where it was not finished, where the machine was visibly busy with something else, or where
the GPU throttled. The measured times themselves are never looked at: dropping slow samples would bias what is
measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.measure.gpu import GpuSample
from harness.measure.load import LoadReading
from harness.measure.settings import TimingSettings

REFERENCE_QUANTILE = 0.9


@dataclass(frozen=True)
class RoundRecord:
    """One round as it happened, apart from its samples.

    Attributes:
        number: 0, 1, 2, ...
        order: arms in the order of their visits.
        finished: False if the hard timeout cut it short.
        seconds: duration of the whole round, probes included.
        probes: readings by probe name, one before each visit and one after the last.
        load: what others took of the CPUs.
        gpu: samples before each visit and after the last; empty without a sampler.
        medians: median request nanoseconds by arm.
    """

    number: int
    order: tuple[str, ...]
    finished: bool
    seconds: float
    probes: Mapping[str, tuple[float, ...]]
    load: LoadReading
    gpu: tuple[GpuSample, ...] = ()
    medians: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RoundVerdict:
    """Whether a round counts: ``reason`` is '' if it does, ``lowest_probe`` the lowest share of a reference."""

    number: int
    kept: bool
    reason: str
    lowest_probe: float | None


@dataclass(frozen=True)
class BusyReport:
    """The rule, and what it did.

    Attributes:
        rule: the rule with its thresholds, as a sentence.
        reference: the machine's ceiling by probe name, in the probe's unit.
        verdicts: one a round, in order.
        enough: whether at least ``minimum_kept_rounds`` rounds count.
    """

    rule: str
    reference: Mapping[str, float]
    verdicts: tuple[RoundVerdict, ...]
    minimum_kept_rounds: int

    @property
    def kept(self) -> int:
        """Number of rounds that count."""
        return sum(verdict.kept for verdict in self.verdicts)

    @property
    def dropped(self) -> int:
        """Number of rounds that do not."""
        return len(self.verdicts) - self.kept

    @property
    def enough(self) -> bool:
        """Whether enough rounds count for a statement."""
        return self.kept >= self.minimum_kept_rounds


def rule_sentence(settings: TimingSettings) -> str:
    """Return the rule in words."""
    return (
        "a round is dropped in all arms alike if it was not finished, if the median of a probe's "
        f"readings in the round is under {settings.busy_fraction:.0%} of that probe's "
        f"{REFERENCE_QUANTILE:.0%} quantile over the run, if other processes and the hypervisor took more "
        f"than {settings.maximum_foreign_share:.0%} of the CPUs' capacity, or if the GPU reported throttling"
    )


def probe_reference(
    rounds: Sequence[RoundRecord], known_ceilings: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return the machine's ceiling by probe name: the 90th percentile of all readings of the run.

    A high percentile is reached by a machine that was quiet a tenth of the time, and unlike the maximum does
    not hang on one lucky reading. A machine that was busy throughout looks quiet to it; ``known_ceilings``
    (from an earlier quiet run on the same machine, same sizes) raise the reference then.
    """
    names = dict.fromkeys(name for record in rounds for name in record.probes)
    reference: dict[str, float] = {}
    for name in names:
        readings = [value for record in rounds for value in record.probes.get(name, ())]
        if readings:
            own = float(np.quantile(readings, REFERENCE_QUANTILE))
            reference[name] = max(own, (known_ceilings or {}).get(name, 0.0))
    return reference


def _judge(record: RoundRecord, reference: Mapping[str, float], settings: TimingSettings) -> RoundVerdict:
    reasons: list[str] = []
    if not record.finished:
        reasons.append("not finished before the timeout")
    lowest: float | None = None
    for name, readings in record.probes.items():
        if not readings or not reference.get(name):
            continue
        # A single reading of some milliseconds is noise itself; with many arms a round would fall for one of them.
        share = float(np.median(readings)) / reference[name]
        lowest = share if lowest is None else min(lowest, share)
        if share < settings.busy_fraction:
            reasons.append(f"probe '{name}' at {share:.0%} of its reference")
    foreign = record.load.foreign_share
    if foreign is not None and foreign > settings.maximum_foreign_share:
        reasons.append(f"others took {foreign:.0%} of the CPUs")
    throttled = dict.fromkeys(reason for sample in record.gpu for reason in sample.throttle_reasons)
    if throttled:
        reasons.append(f"GPU throttled ({', '.join(throttled)})")
    return RoundVerdict(record.number, not reasons, "; ".join(reasons), lowest)


def judge_rounds(
    rounds: Sequence[RoundRecord],
    settings: TimingSettings,
    known_ceilings: Mapping[str, float] | None = None,
) -> BusyReport:
    """Apply the rule to all rounds of a run and return the report; never raises for too few kept rounds."""
    reference = probe_reference(rounds, known_ceilings)
    return BusyReport(
        rule=rule_sentence(settings),
        reference=reference,
        verdicts=tuple(_judge(record, reference, settings) for record in rounds),
        minimum_kept_rounds=settings.minimum_kept_rounds,
    )
