"""Clocks and devices: what has to be waited for before a host clock may be read.

A device without a stream of its own (the CPU) has nothing to wait for. On CUDA the host runs ahead of the
device, so the two quantities differ, and both are measured:

* *request latency*: host clock, device synchronised before and after, one request in flight (MLPerf
  SingleStream);
* *stream time*: device events recorded back to back without synchronisation.

Their gap is launch overhead. Everything else in this package speaks to :class:`Device`, so that a machine
without a GPU exercises all of it but the kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Clock = Callable[[], int]
"""Returns nanoseconds, monotonic: ``time.perf_counter_ns`` or a synthetic clock, never ``time.time``."""


class Event(Protocol):
    """A point in a device's stream of work."""

    def record(self) -> None:
        """Put this event behind all work queued so far on the current stream."""


class Device(Protocol):
    """Where arms run, seen from a clock."""

    @property
    def name(self) -> str:
        """Short name, e.g. ``cpu`` or ``cuda:0``."""

    @property
    def has_stream(self) -> bool:
        """Whether work is queued, so that stream time differs from request latency."""

    def synchronize(self) -> None:
        """Return when all work queued so far is done."""

    def events(self, count: int) -> list[Event]:
        """Return ``count`` events, allocated and ready, so that no allocation falls into a timed section."""

    def elapsed_nanoseconds(self, start: Event, end: Event) -> int:
        """Return the time between two recorded events whose work is done."""


class HostDevice:
    """The CPU: work is done when the call returns."""

    name = "cpu"
    has_stream = False

    def synchronize(self) -> None:
        """Nothing is ever queued."""

    def events(self, count: int) -> list[Event]:
        """Refuse: the CPU has no stream.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("the CPU has no stream and therefore no events; ask device.has_stream first")

    def elapsed_nanoseconds(self, start: Event, end: Event) -> int:
        """Refuse: the CPU has no stream.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("the CPU has no stream and therefore no events; ask device.has_stream first")


class CudaDevice:
    """One CUDA device through torch. Arms must queue their work on the current stream of this device.

    Raises:
        RuntimeError: if torch sees no such device.
    """

    has_stream = True

    def __init__(self, index: int = 0) -> None:
        import torch

        if not torch.cuda.is_available() or index >= torch.cuda.device_count():
            raise RuntimeError(f"torch sees no CUDA device {index} on this machine; use --device cpu")
        self._cuda: Any = torch.cuda
        self.index = index
        self.name = f"cuda:{index}"

    def synchronize(self) -> None:
        """Wait for all streams of the device."""
        self._cuda.synchronize(self.index)

    def events(self, count: int) -> list[Event]:
        """Return ``count`` timing events, each recorded once, since torch creates an event only then."""
        with self._cuda.device(self.index):
            made: list[Event] = [self._cuda.Event(enable_timing=True) for _ in range(count)]
            for event in made:
                event.record()
        self.synchronize()
        return made

    def elapsed_nanoseconds(self, start: Any, end: Any) -> int:
        """Return nanoseconds between two events; CUDA's own resolution is about 500 ns."""
        return round(start.elapsed_time(end) * 1e6)


def device_named(name: str) -> Device:
    """Return the device for ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ValueError: for any other name.
        RuntimeError: if torch sees no such CUDA device.
    """
    kind, _, index = name.partition(":")
    if name == "cpu":
        return HostDevice()
    if kind == "cuda" and (index.isdigit() or name == "cuda"):
        return CudaDevice(int(index or 0))
    raise ValueError(f"device '{name}' is unknown; use cpu, cuda or cuda:N")
