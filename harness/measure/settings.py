"""How long and how carefully arms are timed: one frozen model, validated before anything runs."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator


def _positive(value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"must be a finite number above 0, not {value}")
    return value


def _not_negative(value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"must be a finite number, 0 or more, not {value}")
    return value


def _fraction(value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError(f"must be a fraction above 0 and at most 1, not {value}")
    return value


def _at_least_one(value: int) -> int:
    if value < 1:
        raise ValueError(f"must be 1 or more, not {value}")
    return value


Positive = Annotated[float, AfterValidator(_positive)]
NotNegative = Annotated[float, AfterValidator(_not_negative)]
Fraction = Annotated[float, AfterValidator(_fraction)]
Count = Annotated[int, AfterValidator(_at_least_one)]


class TimingSettings(BaseModel):
    """Settings of one interleaved timing run. All are rules stated beforehand: none is looked up in the data.

    Stopping (the rule of NVIDIA nvbench: go on until *all* hold, and let a hard timeout say which did not):

    * ``minimum_rounds``: kept rounds wanted. A round visits every arm once; it is the unit of analysis.
    * ``slow_round_seconds``, ``minimum_rounds_slow``: where the median round takes longer than the former,
      the latter replaces ``minimum_rounds``. None (default) switches this off. Set it only for ratios far
      from their margin: six rounds are the fewest with a 95 % order-statistic interval of a median.
    * ``maximum_rounds``: rounds run at most, kept or not.
    * ``minimum_seconds``: least duration of the rounds together, warm-up not counted.
    * ``target_half_width``: relative half-width of the 95 % interval of each arm's median of round medians,
      0.02 for 2 %; None asks for no width.
    * ``timeout_seconds``: hard limit of the whole run, warm-up included.

    Visits (one arm's turn in a round): about ``visit_seconds`` long, with ``minimum_iterations`` to
    ``maximum_iterations`` requests. On CUDA at most ``maximum_staged_iterations`` further passes with stage
    marks.

    Warm-up by evidence (pyperf's test; Barrett et al., arXiv 1602.00602, on why a fixed count is not enough):
    two consecutive windows of ``warmup_window`` passes agree within ``warmup_quartile_tolerance`` and
    ``warmup_mad_tolerance``; at most ``warmup_maximum_passes`` passes and ``warmup_maximum_seconds`` an arm.
    The first pass always runs to its end, so an arm slower than the cap gets one pass.

    Probes of the machine's own ceilings: ``probe_seconds`` each, matrix products in ``probe_dtypes`` (torch
    names); ``probe_matmul_size`` and ``probe_copy_bytes`` fix their sizes, None lets the probe choose.

    Busy rule: a round is dropped, in all arms alike, where the median of a probe's readings falls under
    ``busy_fraction`` of the reference (90th percentile of the run's probes), or where other processes and the
    hypervisor took more than ``maximum_foreign_share`` of the CPUs' capacity. A quiet virtual machine shows
    probes at 0.7 to 0.95 of the reference, one whose cores another program uses at 0.1 to 0.5. Fewer than
    ``minimum_kept_rounds`` kept rounds are reported as not enough.

    Raises:
        pydantic.ValidationError: for an unknown name or a value that makes no sense, one sentence each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum_rounds: Count = 20
    minimum_rounds_slow: Count = 6
    slow_round_seconds: Positive | None = None
    maximum_rounds: Count = 200
    minimum_seconds: NotNegative = 1.0
    target_half_width: Positive | None = 0.02
    timeout_seconds: Positive = 600.0

    visit_seconds: NotNegative = 0.2
    minimum_iterations: Count = 1
    maximum_iterations: Count = 1000
    maximum_staged_iterations: Count = 5

    warmup_window: Count = 10
    warmup_maximum_passes: Count = 200
    warmup_maximum_seconds: Positive = 5.0
    warmup_quartile_tolerance: Positive = 0.05
    warmup_mad_tolerance: Positive = 0.10

    probe_seconds: Positive = 0.012
    probe_dtypes: tuple[str, ...] = ("float32",)
    probe_matmul_size: Count | None = None
    probe_copy_bytes: Count | None = None

    busy_fraction: Fraction = 0.6
    maximum_foreign_share: Fraction = 0.25
    minimum_kept_rounds: Count = 6

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.maximum_rounds < self.minimum_rounds:
            raise ValueError(
                f"maximum_rounds ({self.maximum_rounds}) is below minimum_rounds ({self.minimum_rounds}); "
                "raise the former or lower the latter"
            )
        if self.slow_round_seconds is not None and self.minimum_rounds_slow > self.minimum_rounds:
            raise ValueError(
                f"minimum_rounds_slow ({self.minimum_rounds_slow}) is above minimum_rounds "
                f"({self.minimum_rounds}); slow rounds may ask for fewer rounds, not for more"
            )
        if self.minimum_kept_rounds > self.fewest_rounds:
            raise ValueError(
                f"minimum_kept_rounds ({self.minimum_kept_rounds}) is above the rounds that may be run "
                f"({self.fewest_rounds}); lower it or run more rounds"
            )
        if self.minimum_seconds >= self.timeout_seconds:
            raise ValueError(
                f"timeout_seconds ({self.timeout_seconds}) must be longer than minimum_seconds ({self.minimum_seconds})"
            )
        if self.maximum_iterations < self.minimum_iterations:
            raise ValueError(
                f"maximum_iterations ({self.maximum_iterations}) is below minimum_iterations "
                f"({self.minimum_iterations})"
            )
        if self.warmup_window < 3:
            raise ValueError(f"warmup_window is {self.warmup_window}, but a window needs 3 or more to have quartiles")
        return self

    @property
    def fewest_rounds(self) -> int:
        """The smallest number of kept rounds with which the stop rule can be satisfied."""
        return self.minimum_rounds if self.slow_round_seconds is None else self.minimum_rounds_slow

    def rounds_wanted(self, median_round_seconds: float) -> int:
        """Return how many kept rounds are wanted where a round takes ``median_round_seconds``."""
        slow = self.slow_round_seconds is not None and median_round_seconds > self.slow_round_seconds
        return self.minimum_rounds_slow if slow else self.minimum_rounds
