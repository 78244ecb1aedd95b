"""Named stages inside one request, and the check that they add up to the whole.

An arm is a callable ``arm(mark)`` that does one request and calls ``mark(name)`` right after each named stage
ends; the first stage begins with the request. A name that comes again (a loop over chunks) adds to its stage.

How marks are timed depends on the device, so that marks never change the request latency silently:

* on the CPU a mark reads the host clock (some 0.1 microseconds) during the request itself;
* on CUDA a request is timed with marks that do nothing, and separate *staged passes*, one request in flight
  each, record a device event at every mark. Events leave the queue filled, so a staged pass keeps the overlap
  of host and device that a synchronisation at each mark would destroy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd

from harness.measure.devices import Clock, Device, Event

Mark = Callable[[str], None]
Arm = Callable[[Mark], Any]
Stamp = TypeVar("Stamp")

WHOLE = ""
"""The stage name of rows that hold a whole request."""


class StageSumError(Exception):
    """Stages leave more of the whole unexplained than allowed; the message names arm, share and limit."""


def ignore_marks(name: str) -> None:
    """A mark that does nothing."""


def durations_by_stage(
    names: Sequence[str], stamps: Sequence[Stamp], start: Stamp, elapsed: Callable[[Stamp, Stamp], int]
) -> dict[str, int]:
    """Return nanoseconds by stage name, in order of first appearance, from the stamps taken at the marks.

    Args:
        names: stage names in the order of their marks.
        stamps: one stamp a mark (host nanoseconds or device events).
        start: the stamp at which the request began.
        elapsed: nanoseconds between two stamps.
    """
    durations: dict[str, int] = {}
    previous = start
    for name, stamp in zip(names, stamps, strict=True):
        durations[name] = durations.get(name, 0) + elapsed(previous, stamp)
        previous = stamp
    return durations


class StageClock:
    """Host timestamps at marks; reused from request to request."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._names: list[str] = []
        self._stamps: list[int] = []

    def mark(self, name: str) -> None:
        """Note that stage ``name`` ends now. The clock is read before anything else is done."""
        self._stamps.append(self._clock())
        self._names.append(name)

    def reset(self) -> None:
        """Forget all marks, before the next request."""
        self._names.clear()
        self._stamps.clear()

    def durations(self, start: int) -> dict[str, int]:
        """Return nanoseconds by stage of the request that began at ``start``."""
        return durations_by_stage(self._names, self._stamps, start, lambda earlier, later: later - earlier)


class EventStages:
    """Device events at marks; events come from a pool that grows only the first time it is too small."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._pool: list[Event] = device.events(16)
        self._names: list[str] = []

    def mark(self, name: str) -> None:
        """Record the next event of the pool as the end of stage ``name``."""
        if len(self._names) == len(self._pool):
            self._pool.extend(self._device.events(len(self._pool)))
        self._pool[len(self._names)].record()
        self._names.append(name)

    def reset(self) -> None:
        """Forget all marks, before the next request."""
        self._names.clear()

    def durations(self, start: Event) -> dict[str, int]:
        """Return nanoseconds by stage after ``start``; the device must have been synchronised."""
        stamps = self._pool[: len(self._names)]
        return durations_by_stage(self._names, stamps, start, self._device.elapsed_nanoseconds)


@dataclass(frozen=True)
class StageGap:
    """What the stages of one arm leave unexplained.

    ``typical`` and ``worst`` are shares of the whole (median and largest over requests), the *tail* between
    the last mark and the end of the request; ``requests`` is how many requests had stages. Negative means
    that stages add up to more than the whole, which a correct arm cannot do.
    """

    arm: str
    typical: float
    worst: float
    requests: int


def stage_gaps(samples: pd.DataFrame) -> Mapping[str, StageGap]:
    """Return by arm the share of whole requests that no stage explains; arms without stages are left out.

    Args:
        samples: rows as ``rounds.time_arms`` returns them; all rounds count, kept or not.
    """
    keys = ["arm", "quantity", "round", "iteration"]
    staged = samples[samples["stage"] != WHOLE]
    sums = staged.groupby(keys)["nanoseconds"].sum()
    wholes = samples[samples["stage"] == WHOLE].set_index(keys)["nanoseconds"]
    shares = 1.0 - sums / wholes.reindex(sums.index)
    return {
        str(arm): StageGap(str(arm), float(values.median()), float(values.loc[values.abs().idxmax()]), len(values))
        for arm, values in shares.groupby(level="arm")
    }


def assert_stages_sum(samples: pd.DataFrame, tolerance: float = 0.02) -> None:
    """Check that stages explain the whole request up to a tail of ``tolerance`` (each arm's typical one).

    Raises:
        StageSumError: if the typical tail of an arm is larger, or its stages exceed the whole.
    """
    for gap in stage_gaps(samples).values():
        if not -1e-3 <= gap.typical <= tolerance:
            raise StageSumError(
                f"the stages of arm '{gap.arm}' leave {gap.typical:.1%} of the request unexplained (allowed "
                f"{tolerance:.1%}, {gap.requests} requests); a mark is missing at the end or called twice"
            )
