"""The machine's own ceilings, measured again and again: matrix product and memory copy.

A probe is a fixed piece of work of some ten milliseconds. Its rate during a run says two things: what the
machine can reach (times become shares of a ceiling, which travel better than times), and when the machine was
busy with something else. It runs before every visit and after the last one of a round, so that each visit
stands between two readings.

Probes use the thread count in force when they are called, and TF32 only in the product that is named after it. The
copy runs first, the product last, so that an arm finds the small product's operands in the cache rather than a copy's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from harness.measure.devices import Clock, Device
from harness.measure.settings import TimingSettings
from harness.measure.switches import tf32

if TYPE_CHECKING:
    import torch

TF32 = "tf32"
"""The name, among dtypes, of float32 products that a GPU may round to TF32."""
_HOST_MATRIX = 1024
_DEVICE_MATRIX = 8192
_COPY_BYTES_HOST = 64 * 2**20
_COPY_BYTES_DEVICE = 256 * 2**20


class Probe(Protocol):
    """A piece of work with a rate."""

    @property
    def name(self) -> str:
        """What is probed, e.g. ``matmul float32``."""

    @property
    def unit(self) -> str:
        """Unit of the rate: ``GFLOP/s`` or ``GB/s``."""

    def measure(self) -> float:
        """Do the work once and return its rate."""


@dataclass
class WorkProbe:
    """Repeats one torch operation and returns its mean rate over the whole repetition.

    The mean, not the best: an interruption during the probe has to show.

    Attributes:
        name, unit: see :class:`Probe`.
        size: what one repetition works on, for the record (``512x512x512``, ``64 MiB``).
        work: units of work a repetition (FLOP or bytes), so that work over nanoseconds is giga-units a
            second.
        operation: does one repetition.
        library: what multiplies, where there was a choice.
        repetitions: how often; chosen once by :func:`calibrated`, fixed from then on.
    """

    name: str
    unit: str
    size: str
    work: float
    operation: Any
    device: Device
    clock: Clock
    library: str = ""
    repetitions: int = 1

    def measure(self) -> float:
        """Return the rate of ``repetitions`` repetitions, in giga-units a second."""
        self.operation()  # wakes threads and fetches operands: not what is probed
        self.device.synchronize()
        start = self.clock()
        for _ in range(self.repetitions):
            self.operation()
        self.device.synchronize()
        return self.work * self.repetitions / max(1, self.clock() - start)

    def fastest_seconds(self, attempts: int = 3) -> float:
        """Return the shortest duration of one repetition, in seconds."""
        self.operation()
        self.device.synchronize()
        shortest = None
        for _ in range(attempts):
            start = self.clock()
            self.operation()
            self.device.synchronize()
            elapsed = self.clock() - start
            shortest = elapsed if shortest is None else min(shortest, elapsed)
        return max(1, shortest or 1) / 1e9


def calibrated(probe: WorkProbe, seconds: float) -> WorkProbe:
    """Set the repetitions of ``probe`` so that it lasts about ``seconds`` on a quiet machine; return it."""
    probe.repetitions = max(1, min(10_000, round(seconds / probe.fastest_seconds())))
    return probe


def matmul_probe(
    dtype: str, device: Device, seconds: float, size: int | None = None, clock: Clock = time.perf_counter_ns
) -> WorkProbe:
    """Return a calibrated probe of square matrix products.

    torch hands float32 products on a CPU to its BLAS, on x86 commonly MKL, whose kernels for some makers' processors
    reach less than half of what the same processor does in oneDNN's, which torch uses for convolutions. A ceiling that
    convolutions exceed is none, so of the two the faster is the probe.

    Args:
        dtype: torch's name, e.g. ``float32`` or ``bfloat16``, or ``tf32``.
        size: rows of the matrices; None takes 1024 on a CPU and 8192 elsewhere: fixed, because a size found by
            timing would differ from run to run on a busy machine, and ceilings with it.

    Raises:
        ValueError: if torch has no floating-point type of that name.
    """
    import torch

    kind = getattr(torch, "float32" if dtype == TF32 else dtype, None)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise ValueError(f"probe dtype '{dtype}' is no floating-point type of torch, e.g. float32 or bfloat16")
    rows = size or (_DEVICE_MATRIX if device.has_stream else _HOST_MATRIX)
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode(False):  # ordinary tensors can be written to in either mode
        left, right = (torch.rand(rows, rows, generator=generator).to(device.name, kind) for _ in range(2))
        out = torch.empty_like(left)

    def multiply() -> torch.Tensor:
        with tf32(dtype == TF32) if device.has_stream else nullcontext():
            return torch.mm(left, right, out=out)

    operations: dict[str, Callable[[], torch.Tensor]] = {"": multiply}
    if device.name == "cpu" and dtype == "float32" and torch.backends.mkldnn.is_available():
        operations = {"BLAS": multiply, "oneDNN": onednn_product(left, right)}
    probes = [
        WorkProbe(
            name=f"matmul {dtype}",
            unit="GFLOP/s",
            size=f"{rows}x{rows}x{rows}",
            work=2.0 * rows**3,
            operation=operation,
            device=device,
            clock=clock,
            library=library,
        )
        for library, operation in operations.items()
    ]
    fastest = probes[0] if len(probes) == 1 else min(probes, key=WorkProbe.fastest_seconds)
    return calibrated(fastest, seconds)


def onednn_product(left: torch.Tensor, right: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Return what computes ``left`` [N, K] times ``right`` [K, M] as [1, M, 1, N]: a convolution of one pixel.

    torch has no public call that hands a float32 product to oneDNN, but hands it every convolution.
    """
    import torch

    # K channels of N pixels in a row, channels last as they lie in memory already.
    pixels = left[None, None].permute(0, 3, 1, 2)
    kernel = right.T[..., None, None].contiguous(memory_format=torch.channels_last)
    return lambda: torch.conv2d(pixels, kernel)


def copy_probe(
    device: Device, seconds: float, size: int | None = None, clock: Clock = time.perf_counter_ns
) -> WorkProbe:
    """Return a calibrated probe of memory copies; its rate counts bytes read plus bytes written.

    Args:
        size: bytes copied; None takes 64 MiB on the CPU and 256 MiB on a GPU. On a machine whose last-level
            cache is larger than twice that, the rate is the cache's: give a size there.
    """
    import torch

    count = size or (_COPY_BYTES_DEVICE if device.has_stream else _COPY_BYTES_HOST)
    with torch.inference_mode(False):  # ordinary tensors can be written to in either mode
        source = torch.zeros(count, dtype=torch.uint8, device=device.name)
        target = torch.ones_like(source)
    probe = WorkProbe(
        name="copy",
        unit="GB/s",
        size=f"{count / 2**20:g} MiB",
        work=2.0 * count,
        operation=lambda: target.copy_(source),
        device=device,
        clock=clock,
    )
    return calibrated(probe, seconds)


def machine_probes(
    settings: TimingSettings, device: Device, clock: Clock = time.perf_counter_ns
) -> Sequence[WorkProbe]:
    """Return a run's probes: a copy, then a matrix product for each of ``settings.probe_dtypes``."""
    products = [
        matmul_probe(dtype, device, settings.probe_seconds, settings.probe_matmul_size, clock)
        for dtype in settings.probe_dtypes
    ]
    return [copy_probe(device, settings.probe_seconds, settings.probe_copy_bytes, clock), *products]
