from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measure_fakes import MILLISECOND, FakeClock, scripted_arm

from harness.measure.devices import HostDevice
from harness.measure.settings import TimingSettings
from harness.measure.warmup import WarmUp, warm_up, windows_agree

STEADY = [100.0, 101.0, 99.0, 100.5, 99.5]


def warmed(durations: list[float], deadline: int | None = None, **values: float) -> WarmUp:
    clock = FakeClock()
    settings = TimingSettings(warmup_window=4, **values)  # type: ignore[arg-type]
    arm = scripted_arm(clock, [duration * MILLISECOND for duration in durations])
    return warm_up("arm", arm, HostDevice(), clock, settings, deadline)


def test_equal_windows_agree_and_shifted_ones_do_not() -> None:
    assert windows_agree(STEADY, STEADY)
    assert not windows_agree(STEADY, [value * 1.06 for value in STEADY])
    assert windows_agree([value * 1.04 for value in STEADY], STEADY)


def test_differences_are_relative_to_the_second_window() -> None:
    assert not windows_agree([105.2] * 4, [100.0] * 4)
    assert windows_agree([100.0] * 4, [105.2] * 4)


def test_a_first_value_above_the_fence_disagrees_and_one_below_does_not() -> None:
    late = [99.0, 99.0, 100.0, 101.0, 101.0]  # the fence is 101 + 1.5 * 2
    assert not windows_agree([104.1, 99.0, 99.0, 101.0, 101.0], late, mad_tolerance=10.0)
    assert windows_agree([103.9, 99.0, 99.0, 101.0, 101.0], late, mad_tolerance=10.0)
    # Only slow first values betray a cold start; the other tests look at the rest.
    low_first = [10.0, 99.0, 99.0, 101.0, 101.0]
    assert windows_agree(low_first, late, mad_tolerance=10.0)


def test_a_different_spread_disagrees() -> None:
    wide = [100.0, 103.0, 97.0, 101.5, 98.5]
    assert not windows_agree(STEADY, wide)
    assert windows_agree(STEADY, wide, mad_tolerance=3.0)


def test_a_clock_without_noise_agrees_with_itself() -> None:
    assert windows_agree([5.0] * 4, [5.0] * 4)
    assert not windows_agree([5.0] * 4, [5.0, 5.0, 5.2, 5.2])


def test_windows_that_are_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="3 values or more"):
        windows_agree([1.0, 2.0], [1.0, 2.0, 3.0])


@given(scale=st.floats(1e-3, 1e6), values=st.lists(st.floats(1.0, 2.0), min_size=8, max_size=8))
def test_agreement_does_not_depend_on_the_unit(scale: float, values: list[float]) -> None:
    # Powers of two scale exactly, so rounding cannot tip a comparison.
    exact = 2.0 ** round(scale % 20)
    first, second = values[:4], values[4:]
    scaled = windows_agree([value * exact for value in first], [value * exact for value in second])
    assert scaled == windows_agree(first, second)


def test_an_arm_that_is_steady_at_once_takes_one_pass_and_two_windows() -> None:
    result = warmed([500.0, 10.0])
    assert result.steady
    assert result.passes == 1 + 2 * 4
    assert result.nanoseconds[0] == 500 * MILLISECOND
    assert result.capped_by == ""
    assert warmed([10.0]).passes == 1 + 2 * 4  # the first pass is in no window, however fast it was


def test_a_late_change_of_level_is_waited_for() -> None:
    result = warmed([50.0] * 3 + [20.0] * 4 + [10.0])
    assert result.steady
    assert result.passes == 7 + 2 * 4
    assert set(result.nanoseconds[-8:]) == {10 * MILLISECOND}


def test_an_arm_that_never_gets_steady_is_reported_not_raised() -> None:
    slower_and_slower = [10.0 * 1.1**step for step in range(40)]
    result = warmed(slower_and_slower, warmup_maximum_passes=30, warmup_maximum_seconds=1e6)
    assert result.verdict == "never steady"
    assert not result.steady
    assert result.passes == 30
    assert result.capped_by == "warmup_maximum_passes"


def test_a_very_slow_arm_gets_one_pass_or_two() -> None:
    one = warmed([11_000.0], warmup_maximum_seconds=5.0)
    assert (one.passes, one.verdict, one.capped_by) == (
        1,
        "too few passes to judge",
        "warmup_maximum_seconds",
    )
    assert one.seconds == pytest.approx(11.0)
    assert warmed([3_000.0], warmup_maximum_seconds=5.0).passes == 2


def test_the_hard_timeout_ends_warm_up_after_the_pass_under_way() -> None:
    result = warmed([100.0], deadline=250 * MILLISECOND)
    assert result.passes == 3
    assert result.capped_by == "timeout_seconds"


@pytest.mark.parametrize(("passed", "passes"), [(0.5, 0), (0.05, 2)])
def test_a_slow_pass_made_before_stands_for_the_warm_up(passed: float, passes: int) -> None:
    clock = FakeClock()
    made = []
    arm = scripted_arm(clock, [60 * MILLISECOND])
    settings = TimingSettings(warmup_maximum_seconds=0.1)
    found = warm_up("slow", lambda mark: made.append(arm(mark)), HostDevice(), clock, settings, passed=passed)
    assert len(made) == passes
    assert found.verdict == "too few passes to judge" and found.capped_by == "warmup_maximum_seconds"
