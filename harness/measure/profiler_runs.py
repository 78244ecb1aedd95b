"""Requests under ``torch.profiler``: how many, in how much detail, and the trace that it writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.measure.devices import Clock, Device
from harness.measure.stage_ranges import StageRanges
from harness.measure.stages import Arm
from harness.measure.visits import collector_paused

PROFILED_SECONDS = 5.0
FEWEST_STEPS, MOST_STEPS = 3, 20
"""A median of three is the first that one odd step does not move; twenty show all that is to be seen."""
MOST_EVENTS = 350_000
"""Entries of a trace, each of which takes some 25 bytes compressed: about 9 MB, which a browser still opens. Python's
call stacks are left out where there were more; steps are not fewer than ``FEWEST_STEPS`` for it."""
MOST_SLOWED = 1.2
"""How many times longer a request may take while its call stacks are recorded. Where Python is a large part of it, it
takes several times as long, and then the trace shows another program than the one that is timed: without stacks."""
RECORDING_NANOSECONDS = 1000
"""What it takes to record one call of an operator with the shapes of its inputs and its memory; half of it without."""
MOST_RECORDED = 0.05
"""How much of a request that may be. Were all calls in one stage, its share would come out so much too large: the five
points within which a profile speaks of what is timed (``profile_summary.ACCEPTED_POINTS``)."""
LOOKS = 2


@dataclass(frozen=True)
class Look:
    """What one request with call stacks writes down: entries in all, those that are calls of Python, and its time."""

    entries: int
    calls: int
    nanoseconds: int


@dataclass(frozen=True)
class Plan:
    """How many requests are profiled, whether with shapes and memory, and whether with Python's call stacks too."""

    steps: int
    shapes: bool
    stacks: bool

    @property
    def left_out(self) -> str:
        """What is not recorded, in words; empty where everything is."""
        return "" if self.stacks else "call stacks" if self.shapes else "call stacks, shapes and memory"


def plan_for(look: Look, nanoseconds: float, steps: int | None = None, detailed: bool = False) -> Plan:
    """Return how to profile an arm whose fastest request takes ``nanoseconds`` when it is not profiled.

    Args:
        steps: so many, whatever they take.
        detailed: with shapes, memory and call stacks, whatever they take.
    """
    operators = look.entries - look.calls
    by_time = int(PROFILED_SECONDS * 1e9 / max(1.0, nanoseconds))

    def fitting(entries: int) -> int:
        return steps or max(FEWEST_STEPS, min(MOST_STEPS, by_time, MOST_EVENTS // max(1, entries)))

    shapes = operators * RECORDING_NANOSECONDS <= MOST_RECORDED * nanoseconds
    slowed = look.nanoseconds > MOST_SLOWED * nanoseconds
    if detailed or (shapes and not slowed and fitting(look.entries) * look.entries <= MOST_EVENTS):
        return Plan(fitting(look.entries), shapes=True, stacks=True)
    return Plan(fitting(operators), shapes, stacks=False)


def look_at(arm: Arm, device: Device, clock: Clock, scratch: Path) -> Look:
    """Profile a few requests with call stacks, to see how much one writes down and how long it takes then."""
    from torch.profiler import record_function

    ranges, durations = StageRanges(record_function), []
    with _profiler(device, scratch, Plan(LOOKS, shapes=True, stacks=True)):
        for _ in range(LOOKS):
            start = clock()
            ranges.run(arm, device)
            durations.append(clock() - start)
    data = scratch.read_bytes()
    scratch.unlink()
    entries = data.count(b'"ph": "X"') + data.count(b'"ph": "i"')
    return Look(entries // LOOKS, data.count(b'"cat": "python_function"') // LOOKS, min(durations))


def record_requests(arm: Arm, device: Device, plan: Plan, path: Path) -> dict[str, str]:
    """Profile requests, write the trace to ``path``, and return the names of its stages (``StageRanges.names``).

    One request goes ahead in which nothing is recorded, and one whose record is thrown away, as it is slower.
    """
    from torch.profiler import record_function, schedule

    ranges = StageRanges(record_function)
    wanted = schedule(wait=1, warmup=1, active=plan.steps, repeat=1)
    with _profiler(device, path, plan, wanted) as profiler:
        for _ in range(plan.steps + 2):
            ranges.run(arm, device)
            profiler.step()
    return ranges.names


@contextmanager
def _profiler(device: Device, path: Path, plan: Plan, schedule: Any = None) -> Iterator[Any]:
    """Profile within the block and write the trace to ``path``; garbage is not collected meanwhile."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.has_stream else [])]
    with (
        collector_paused(),
        profile(
            activities=activities,
            schedule=schedule,
            on_trace_ready=lambda profiler: profiler.export_chrome_trace(str(path)),
            record_shapes=plan.shapes,
            profile_memory=plan.shapes,
            with_stack=plan.stacks,
        ) as profiler,
    ):
        yield profiler
