from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from measure_fakes import MILLISECOND, FakeClock

from harness.measure.devices import HostDevice
from harness.measure.probes import WorkProbe, calibrated, copy_probe, machine_probes, matmul_probe, onednn_product
from harness.measure.settings import TimingSettings


def work_probe(clock: FakeClock, milliseconds: list[float]) -> WorkProbe:
    script = iter(milliseconds)

    def operation() -> None:
        clock.advance(next(script) * MILLISECOND)

    return WorkProbe("work", "GFLOP/s", "", 5e6, operation, HostDevice(), clock)


def test_the_rate_is_the_mean_over_all_repetitions_but_the_first() -> None:
    clock = FakeClock()
    probe = work_probe(clock, [999.0, 1.0, 1.0, 8.0])
    probe.repetitions = 3
    assert probe.measure() == pytest.approx(5e6 * 3 / 10e6)  # 5 MFLOP in 1 ms would be 5 GFLOP/s


def test_repetitions_fill_the_time_asked_for() -> None:
    assert calibrated(work_probe(FakeClock(), [9.0, 2.0, 1.0, 3.0]), 0.012).repetitions == 12
    assert calibrated(work_probe(FakeClock(), [500.0] * 4), 0.012).repetitions == 1
    assert calibrated(work_probe(FakeClock(), [0.0] * 4), 0.012).repetitions == 10_000


def test_a_product_has_a_size_that_no_timing_decides() -> None:
    assert matmul_probe("float32", HostDevice(), 0.001).size == "1024x1024x1024"
    assert matmul_probe("float32", HostDevice(), 0.001, size=48).size == "48x48x48"


def test_real_probes_give_rates_of_the_right_kind() -> None:
    settings = TimingSettings(
        probe_seconds=0.002,
        probe_matmul_size=64,
        probe_copy_bytes=2**20,
        probe_dtypes=("float32", "bfloat16"),
    )
    probes = machine_probes(settings, HostDevice())
    assert [probe.name for probe in probes] == ["copy", "matmul float32", "matmul bfloat16"]
    assert [probe.unit for probe in probes] == ["GB/s", "GFLOP/s", "GFLOP/s"]
    assert [probe.size for probe in probes] == ["1 MiB", "64x64x64", "64x64x64"]
    assert probes[1].work == 2 * 64**3
    assert all(probe.measure() > 0 for probe in probes)


def test_probes_work_inside_and_outside_of_inference_mode_and_draw_no_random_numbers() -> None:
    state = torch.random.get_rng_state()
    outside = matmul_probe("float32", HostDevice(), 0.001, size=32)
    with torch.inference_mode():
        inside = copy_probe(HostDevice(), 0.001, size=1024)
        assert outside.measure() > 0
    assert inside.measure() > 0
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
@given(rows=st.integers(1, 40), inside=st.integers(1, 40), columns=st.integers(1, 40), seed=st.integers(0, 2**31))
def test_a_convolution_of_one_pixel_is_the_product(rows: int, inside: int, columns: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    left, right = torch.rand(rows, inside, generator=generator), torch.rand(inside, columns, generator=generator)
    found = onednn_product(left, right)()
    assert found.shape == (1, columns, 1, rows)
    torch.testing.assert_close(found[0, :, 0].T, left @ right)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
@pytest.mark.parametrize("faster", ["BLAS", "oneDNN"])
def test_the_faster_library_is_the_ceiling(faster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {faster: 0.001}
    monkeypatch.setattr(WorkProbe, "fastest_seconds", lambda probe: seconds.get(probe.library, 0.002))
    probe = matmul_probe("float32", HostDevice(), 0.01, size=32)
    assert probe.library == faster and probe.repetitions == 10
    with torch.profiler.profile() as seen:
        probe.measure()
    names = {event.key for event in seen.key_averages()}
    assert ("aten::mm" in names, "aten::conv2d" in names) == (faster == "BLAS", faster == "oneDNN")


def test_other_numbers_leave_no_choice() -> None:
    assert matmul_probe("bfloat16", HostDevice(), 0.001, size=32).library == ""


@pytest.mark.parametrize("dtype", ["float31", "int32", "nn"])
def test_a_type_that_cannot_be_multiplied_is_refused(dtype: str) -> None:
    with pytest.raises(ValueError, match=f"probe dtype '{dtype}'"):
        matmul_probe(dtype, HostDevice(), 0.001)
