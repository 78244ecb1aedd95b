"""A synthetic clock and what moves it: tests of the measuring loop never read the real time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

from harness.measure.load import CpuTimes, LoadMeter
from harness.measure.stages import Mark

MILLISECOND = 1_000_000


class FakeClock:
    """Nanoseconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        return self.now

    def advance(self, nanoseconds: float) -> None:
        self.now += round(nanoseconds)


def scripted_arm(
    clock: FakeClock, durations: Iterable[float], stages: Sequence[tuple[str, float]] = ()
) -> Callable[[Mark], Any]:
    """An arm that takes the given nanoseconds, the last one for ever; stages as shares of each pass."""
    values = list(durations)
    script: Iterator[float] = chain(values, repeat(values[-1]))

    def arm(mark: Mark) -> None:
        duration = next(script)
        for name, share in stages:
            clock.advance(duration * share)
            mark(name)
        clock.advance(duration * (1 - sum(share for _, share in stages)))

    return arm


def quiet_load() -> LoadMeter:
    """A meter on a machine that tells nothing."""
    return LoadMeter(machine=lambda: None, own=lambda: 0.0)


def load_with_foreign(shares: Iterable[float]) -> LoadMeter:
    """A meter that reports the given foreign share for each window of one second on one CPU, then 0."""
    script = chain(list(shares), repeat(0.0))
    state = {"busy": 0.0, "total": 0.0, "stopping": False}

    def machine() -> CpuTimes:
        if state["stopping"]:
            state["busy"] += next(script)
            state["total"] += 1.0
        state["stopping"] = not state["stopping"]
        return CpuTimes(busy=state["busy"], steal=0.0, total=state["total"], cpus=1)

    return LoadMeter(machine=machine, own=lambda: 0.0)


@dataclass
class FakeProbe:
    """A probe whose rates are scripted; 100 once the script is over."""

    clock: FakeClock
    rates: Iterator[float]
    name: str = "matmul float32"
    unit: str = "GFLOP/s"
    size: str = "fake"

    def measure(self) -> float:
        self.clock.advance(MILLISECOND)
        return next(self.rates, 100.0)


class FakeEvent:
    def __init__(self, device: FakeStreamDevice) -> None:
        self._device = device
        self.stamp = -1

    def record(self) -> None:
        self.stamp = max(self._device.clock.now, self._device.free_at)


class FakeStreamDevice:
    """A device that works through a queue while the host runs ahead, as CUDA does."""

    name = "cuda:0"
    has_stream = True

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.free_at = 0
        self.allocated = 0

    def launch(self, host_nanoseconds: int, device_nanoseconds: int) -> None:
        """Queue one kernel: costs the host a launch, then the device its work."""
        self.clock.advance(host_nanoseconds)
        self.free_at = max(self.free_at, self.clock.now) + device_nanoseconds

    def synchronize(self) -> None:
        self.clock.now = max(self.clock.now, self.free_at)

    def events(self, count: int) -> list[Any]:
        self.allocated += count
        return [FakeEvent(self) for _ in range(count)]

    def elapsed_nanoseconds(self, start: Any, end: Any) -> int:
        assert start.stamp >= 0 and end.stamp >= 0, "an event was read that nobody recorded"
        return int(end.stamp - start.stamp)
