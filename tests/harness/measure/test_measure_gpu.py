from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from harness.measure.gpu import GpuSampler, gpu_sampler_for, open_gpu_sampler, throttle_reasons


def fake_library(**functions: Any) -> types.ModuleType:
    module = types.ModuleType("pynvml")
    for name, function in functions.items():
        setattr(module, name, function)
    return module


def test_settings_and_idleness_are_not_throttling() -> None:
    assert throttle_reasons(0x1 | 0x2 | 0x10 | 0x100) == ()
    assert throttle_reasons(0x1 | 0x20 | 0x4) == ("software power cap", "software thermal slowdown")


def test_a_sample_is_in_plain_units() -> None:
    library = fake_library(
        NVML_CLOCK_SM=1,
        NVML_TEMPERATURE_GPU=0,
        nvmlDeviceGetClockInfo=lambda handle, kind: 1980,
        nvmlDeviceGetPowerUsage=lambda handle: 412_500,
        nvmlDeviceGetTemperature=lambda handle, kind: 61,
        nvmlDeviceGetCurrentClocksEventReasons=lambda handle: 0x40,
    )
    sample = GpuSampler(library, "handle").sample()
    assert (sample.sm_clock_mhz, sample.power_watts, sample.temperature_celsius) == (1980.0, 412.5, 61.0)
    assert sample.throttle_reasons == ("hardware thermal slowdown",)
    assert sample.throttled


def test_an_old_library_and_refused_readings_do_not_fail() -> None:
    def refuse(*arguments: Any) -> None:
        raise RuntimeError("not supported")

    library = fake_library(nvmlDeviceGetPowerUsage=refuse, nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: 0x8)
    sample = GpuSampler(library, None).sample()
    assert sample.sm_clock_mhz is None and sample.power_watts is None
    assert sample.throttle_reasons == ("hardware slowdown",)


def test_no_library_or_no_driver_means_no_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert open_gpu_sampler() is None

    def no_driver() -> None:
        raise OSError("libnvidia-ml.so.1 not found")

    monkeypatch.setitem(sys.modules, "pynvml", fake_library(nvmlInit=no_driver))
    assert open_gpu_sampler() is None
    assert gpu_sampler_for("cpu") is None


def test_a_device_is_found_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    library = fake_library(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: ("uuid", uuid),
        nvmlDeviceGetHandleByIndex=lambda index: ("index", index),
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    by_uuid, by_index = open_gpu_sampler(0, "1234"), open_gpu_sampler(3)
    assert by_uuid is not None and by_index is not None
    assert by_uuid._handle == ("uuid", "GPU-1234")
    assert by_index._handle == ("index", 3)
