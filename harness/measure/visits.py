"""One arm's visit in a round: requests, and on CUDA stream time and staged passes."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from harness.measure.devices import Clock, Device
from harness.measure.settings import TimingSettings
from harness.measure.stages import Arm, EventStages, StageClock, ignore_marks

Quantity = Literal["request", "stream", "staged"]


@dataclass(frozen=True)
class Pass:
    """One timed pass: whole nanoseconds, and nanoseconds by stage where this pass had marks."""

    nanoseconds: int
    stages: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Visit:
    """All passes of one visit by quantity.

    ``request`` always; ``stream`` and ``staged`` only on a device with a stream. On the CPU the stages are
    inside ``request``.
    """

    request: tuple[Pass, ...]
    stream: tuple[Pass, ...] = ()
    staged: tuple[Pass, ...] = ()

    def by_quantity(self) -> Iterator[tuple[Quantity, tuple[Pass, ...]]]:
        """Yield (quantity, passes), empty ones too."""
        yield "request", self.request
        yield "stream", self.stream
        yield "staged", self.staged


@contextmanager
def collector_paused() -> Iterator[None]:
    """Collect garbage, then keep Python's collector out of the timed section (as timeit and pyperf do)."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def standing_objects_frozen() -> Iterator[None]:
    """Set everything that lives now aside, so that the collections between visits stay short.

    With torch and a model loaded a full collection visits some 10^5 objects that cannot be garbage. Nothing
    is done where somebody else froze objects already, since thawing is all or nothing.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def time_requests(
    arm: Arm,
    device: Device,
    clock: Clock,
    seconds: float,
    minimum: int,
    maximum: int,
    deadline: int | None = None,
) -> tuple[Pass, ...]:
    """Time requests one at a time, the device synchronised before and after each (MLPerf SingleStream).

    Goes on until about ``seconds`` are filled: a further request starts only if it would bring the total
    nearer to ``seconds``, judged by the last one. The output is dropped after the clock was read.

    Args:
        deadline: host nanoseconds after which no further request starts; the first one always runs.
    """
    stages = StageClock(clock)
    mark = ignore_marks if device.has_stream else stages.mark
    passes: list[Pass] = []
    begin = clock()
    while True:
        stages.reset()
        device.synchronize()
        start = clock()
        output = arm(mark)
        device.synchronize()
        end = clock()
        del output
        passes.append(Pass(end - start, stages.durations(start)))
        filled = (end - begin) + (end - start) / 2 >= seconds * 1e9
        if len(passes) >= maximum or (len(passes) >= minimum and filled):
            return tuple(passes)
        if deadline is not None and end >= deadline:
            return tuple(passes)


def time_stream(arm: Arm, device: Device, iterations: int) -> tuple[Pass, ...]:
    """Time passes back to back on the device's stream, event to event, without synchronisation in between.

    One pass is queued ahead of the first event: otherwise the first interval would hold the launch of a cold
    queue.
    """
    events = device.events(iterations + 1)
    device.synchronize()
    arm(ignore_marks)
    events[0].record()
    for event in events[1:]:
        arm(ignore_marks)
        event.record()
    device.synchronize()
    return tuple(Pass(device.elapsed_nanoseconds(start, end)) for start, end in zip(events, events[1:], strict=False))


def time_staged(arm: Arm, device: Device, iterations: int) -> tuple[Pass, ...]:
    """Time passes with an event at every mark, one request in flight, by the device's clock."""
    stages = EventStages(device)
    start, end = device.events(2)
    passes: list[Pass] = []
    for _ in range(iterations):
        stages.reset()
        device.synchronize()
        start.record()
        output = arm(stages.mark)
        end.record()
        device.synchronize()
        del output
        passes.append(Pass(device.elapsed_nanoseconds(start, end), stages.durations(start)))
    return tuple(passes)


def visit(arm: Arm, device: Device, clock: Clock, settings: TimingSettings, deadline: int | None = None) -> Visit:
    """Run one arm's visit with the collector paused; on CUDA as many stream passes as there were requests.

    Args:
        deadline: host nanoseconds after which nothing further starts; at least one request always runs.
    """
    with collector_paused():
        request = time_requests(
            arm,
            device,
            clock,
            settings.visit_seconds,
            settings.minimum_iterations,
            settings.maximum_iterations,
            deadline,
        )
        if not device.has_stream or (deadline is not None and clock() >= deadline):
            return Visit(request)
        stream = time_stream(arm, device, len(request))
        staged = time_staged(arm, device, min(len(request), settings.maximum_staged_iterations))
        # An arm that never marks has no stages; its staged passes would only repeat the request.
        return Visit(request, stream, staged if any(one.stages for one in staged) else ())
