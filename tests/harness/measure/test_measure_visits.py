from __future__ import annotations

import gc
import weakref

import pytest
from measure_fakes import MILLISECOND, FakeClock, FakeStreamDevice, scripted_arm

from harness.measure.devices import HostDevice, device_named
from harness.measure.settings import TimingSettings
from harness.measure.stages import Mark, ignore_marks
from harness.measure.visits import (
    collector_paused,
    standing_objects_frozen,
    time_requests,
    time_staged,
    time_stream,
    visit,
)


def requests_of(duration: float, seconds: float, minimum: int = 1, maximum: int = 1000) -> int:
    clock = FakeClock()
    arm = scripted_arm(clock, [duration * MILLISECOND])
    return len(time_requests(arm, HostDevice(), clock, seconds, minimum, maximum))


@pytest.mark.parametrize(
    ("duration", "seconds", "minimum", "maximum", "expected"),
    [
        (10, 0.1, 1, 1000, 10),  # fills the visit
        (60, 0.1, 1, 1000, 2),  # 120 ms are nearer to 100 than 60 are
        (70, 0.1, 1, 1000, 1),  # 70 ms are nearer to 100 than 140 are
        (5000, 0.1, 1, 1000, 1),  # slower than the visit: one request
        (5000, 0.1, 3, 1000, 3),  # unless more are asked for
        (1, 0.1, 1, 7, 7),  # never more than the maximum
        (10, 0.0, 1, 1000, 1),
    ],
)
def test_a_visit_is_about_as_long_as_asked(
    duration: float, seconds: float, minimum: int, maximum: int, expected: int
) -> None:
    assert requests_of(duration, seconds, minimum, maximum) == expected


def test_the_deadline_ends_a_visit_but_not_its_first_request() -> None:
    clock = FakeClock()
    arm = scripted_arm(clock, [100 * MILLISECOND])
    deadline = clock.now + 150 * MILLISECOND
    assert len(time_requests(arm, HostDevice(), clock, 10.0, 1, 1000, deadline)) == 2
    assert len(time_requests(arm, HostDevice(), clock, 10.0, 5, 1000, deadline)) == 1


def test_the_collector_is_off_during_a_visit_and_back_afterwards() -> None:
    seen: list[bool] = []
    clock = FakeClock()

    def arm(mark: Mark) -> None:
        seen.append(gc.isenabled())
        clock.advance(MILLISECOND)

    assert gc.isenabled()
    visit(arm, HostDevice(), clock, TimingSettings(visit_seconds=0.003))
    assert seen == [False] * 3
    assert gc.isenabled()


def test_the_collector_comes_back_after_an_error_and_stays_off_if_it_was_off() -> None:
    with pytest.raises(ZeroDivisionError), collector_paused():
        raise ZeroDivisionError
    assert gc.isenabled()
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_standing_objects_are_thawed_again_and_foreign_frost_is_left_alone() -> None:
    assert gc.get_freeze_count() == 0
    with standing_objects_frozen():
        assert gc.get_freeze_count() > 0
        with standing_objects_frozen():
            pass
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_an_output_is_dropped_outside_the_timed_section() -> None:
    clock = FakeClock()

    class Output:
        pass

    def arm(mark: Mark) -> Output:
        output = Output()
        weakref.finalize(output, clock.advance, 1000 * MILLISECOND)
        clock.advance(MILLISECOND)
        return output

    passes = time_requests(arm, HostDevice(), clock, 0.0, 3, 3)
    assert [one.nanoseconds for one in passes] == [MILLISECOND] * 3


class Kernels:
    """An arm of two kernels: each launch costs the host, each kernel the device."""

    def __init__(self, device: FakeStreamDevice, host: int, first: int, second: int) -> None:
        self.device, self.host, self.first, self.second = device, host, first, second
        self.marks_that_did_something = 0

    def __call__(self, mark: Mark) -> None:
        self.marks_that_did_something += mark is not ignore_marks
        self.device.launch(self.host, self.first)
        mark("first")
        self.device.launch(self.host, self.second)
        mark("second")


def test_request_latency_holds_the_launch_and_stream_time_does_not() -> None:
    device = FakeStreamDevice(FakeClock())
    arm = Kernels(device, host=10, first=300, second=500)
    request = time_requests(arm, device, device.clock, 0.0, 4, 4)
    assert [one.nanoseconds for one in request] == [10 + 300 + 500] * 4
    assert all(not one.stages for one in request)
    assert arm.marks_that_did_something == 0
    stream = time_stream(arm, device, 4)
    assert [one.nanoseconds for one in stream] == [300 + 500] * 4


def test_a_launch_bound_arm_has_the_launches_in_its_stream_time() -> None:
    device = FakeStreamDevice(FakeClock())
    stream = time_stream(Kernels(device, host=1000, first=3, second=5), device, 5)
    assert [one.nanoseconds for one in stream] == [2000] * 5


def test_staged_passes_split_the_request_by_device_events() -> None:
    device = FakeStreamDevice(FakeClock())
    passes = time_staged(Kernels(device, host=10, first=300, second=500), device, 3)
    for one in passes:
        assert one.nanoseconds == 10 + 300 + 500
        assert one.stages == {"first": 310, "second": 500}


def test_events_are_allocated_before_the_stream_is_timed() -> None:
    device = FakeStreamDevice(FakeClock())
    allocated_during: list[int] = []

    def arm(mark: Mark) -> None:
        allocated_during.append(device.allocated)
        device.launch(1, 1)

    time_stream(arm, device, 6)
    assert allocated_during == [7] * 7


def test_a_visit_on_a_stream_device_measures_all_three_quantities() -> None:
    device = FakeStreamDevice(FakeClock())
    settings = TimingSettings(visit_seconds=0.0, minimum_iterations=8, maximum_staged_iterations=3)
    made = visit(Kernels(device, 10, 300, 500), device, device.clock, settings)
    assert {name: len(passes) for name, passes in made.by_quantity()} == {
        "request": 8,
        "stream": 8,
        "staged": 3,
    }
    unmarked = visit(lambda mark: device.launch(10, 20), device, device.clock, settings)
    assert {name: len(passes) for name, passes in unmarked.by_quantity()} == {
        "request": 8,
        "stream": 8,
        "staged": 0,
    }


def test_many_marks_grow_the_event_pool_without_losing_any() -> None:
    device = FakeStreamDevice(FakeClock())

    def arm(mark: Mark) -> None:
        for number in range(50):
            device.launch(0, 7)
            mark(f"stage {number}")

    one = time_staged(arm, device, 2)[1]
    assert one.stages == {f"stage {number}": 7 for number in range(50)}
    assert one.nanoseconds == 350


def test_devices_by_name() -> None:
    assert device_named("cpu").name == "cpu"
    with pytest.raises(RuntimeError, match="no stream"):
        HostDevice().events(1)
    with pytest.raises(ValueError, match="device 'tpu' is unknown"):
        device_named("tpu")
    with pytest.raises(ValueError, match="device 'cuda:x' is unknown"):
        device_named("cuda:x")
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="no CUDA device 0"):
            device_named("cuda")
