"""Clock, power, temperature and throttle reasons of an NVIDIA GPU, through nvidia-ml-py if installed.

Clocks are read, never set: locking them needs rights that a user of a shared machine does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Bits of NVML's clock event reasons that mean "slower than the work asked for". Idle, application clocks,
# sync boost and display clocks are settings or lack of work, not throttling.
THROTTLE_BITS = {
    0x04: "software power cap",
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}


@dataclass(frozen=True)
class GpuSample:
    """One look at a GPU; None for what the driver did not tell."""

    sm_clock_mhz: float | None
    power_watts: float | None
    temperature_celsius: float | None
    throttle_reasons: tuple[str, ...] = ()

    @property
    def throttled(self) -> bool:
        """Whether the GPU ran slower than asked for reasons of power or heat."""
        return bool(self.throttle_reasons)


def throttle_reasons(bits: int) -> tuple[str, ...]:
    """Return the names of the throttling reasons set in NVML's bit mask."""
    return tuple(name for bit, name in THROTTLE_BITS.items() if bits & bit)


class GpuSampler:
    """Reads one GPU; every single reading may be missing without harm.

    Args:
        library: the ``pynvml`` module, initialised (or a stand-in).
        handle: NVML's handle of the device.
    """

    def __init__(self, library: Any, handle: Any) -> None:
        self._library = library
        self._handle = handle

    def _read(self, function: str, *arguments: Any) -> Any:
        try:
            return getattr(self._library, function)(self._handle, *arguments)
        except Exception:  # NVMLError subclasses, or an NVML too old to have the function
            return None

    def sample(self) -> GpuSample:
        """Return what the driver tells now; about a millisecond."""
        library = self._library
        clock = self._read("nvmlDeviceGetClockInfo", getattr(library, "NVML_CLOCK_SM", 1))
        power = self._read("nvmlDeviceGetPowerUsage")
        heat = self._read("nvmlDeviceGetTemperature", getattr(library, "NVML_TEMPERATURE_GPU", 0))
        bits = self._read("nvmlDeviceGetCurrentClocksEventReasons")
        if bits is None:  # the name before driver 535
            bits = self._read("nvmlDeviceGetCurrentClocksThrottleReasons")
        return GpuSample(
            sm_clock_mhz=None if clock is None else float(clock),
            power_watts=None if power is None else float(power) / 1000.0,
            temperature_celsius=None if heat is None else float(heat),
            throttle_reasons=throttle_reasons(int(bits or 0)),
        )


def open_gpu_sampler(index: int = 0, uuid: str | None = None) -> GpuSampler | None:
    """Return a sampler, or None without nvidia-ml-py, driver or device.

    Args:
        index: NVML's device number, which ignores CUDA_VISIBLE_DEVICES.
        uuid: the device's UUID as torch gives it, with or without ``GPU-``; it wins over ``index``.
    """
    try:
        import pynvml  # type: ignore[import-not-found, import-untyped, unused-ignore]

        pynvml.nvmlInit()
        if uuid is not None:
            handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}")
        else:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    except Exception:  # not installed, no driver, no such device: the sampler is optional
        return None
    return GpuSampler(pynvml, handle)


def gpu_sampler_for(device_name: str) -> GpuSampler | None:
    """Return a sampler for a torch device name (``cuda:N``), None for the CPU or without a sampler."""
    kind, _, number = device_name.partition(":")
    if kind != "cuda":
        return None
    index = int(number or 0)
    try:
        import torch

        uuid = str(torch.cuda.get_device_properties(index).uuid)
    except Exception:  # without a UUID the number is the best guess
        uuid = None
    return open_gpu_sampler(index, uuid) or open_gpu_sampler(index)
