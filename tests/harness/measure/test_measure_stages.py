from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measure_fakes import FakeClock, quiet_load

from harness.measure.rounds import time_arms
from harness.measure.settings import TimingSettings
from harness.measure.stages import (
    Mark,
    StageClock,
    StageSumError,
    assert_stages_sum,
    durations_by_stage,
    stage_gaps,
)


@given(
    parts=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 10**9)), min_size=1, max_size=30),
    tail=st.integers(0, 10**9),
)
def test_stages_add_up_to_the_whole_without_the_tail(parts: list[tuple[str, int]], tail: int) -> None:
    clock = FakeClock()
    stages = StageClock(clock)
    for _ in range(2):  # the second request must not see the first one's marks
        stages.reset()
        start = clock()
        for name, duration in parts:
            clock.advance(duration)
            stages.mark(name)
        clock.advance(tail)
        durations = stages.durations(start)
        assert sum(durations.values()) == clock() - start - tail
        assert list(durations) == list(dict.fromkeys(name for name, _ in parts))
        for name in durations:
            assert durations[name] == sum(duration for part, duration in parts if part == name)


def test_a_name_without_a_stamp_is_an_error() -> None:
    with pytest.raises(ValueError):
        durations_by_stage(["a"], [], 0, lambda early, late: late - early)


def staged_samples(last_mark: bool, tail: int) -> pd.DataFrame:
    clock = FakeClock()

    def arm(mark: Mark) -> None:
        clock.advance(4_000)
        mark("backbone")
        clock.advance(6_000)
        if last_mark:
            mark("head")
        clock.advance(tail)

    settings = TimingSettings(
        minimum_rounds=6, minimum_seconds=0.0, visit_seconds=0.0, minimum_iterations=3, warmup_window=3
    )
    generator = np.random.default_rng(0)
    return time_arms({"model": arm}, settings, generator, probes=(), load=quiet_load(), clock=clock).samples


def test_the_gap_is_the_tail_and_the_check_allows_a_small_one() -> None:
    samples = staged_samples(last_mark=True, tail=100)
    gap = stage_gaps(samples)["model"]
    assert gap.typical == pytest.approx(100 / 10_100)
    assert gap.requests == 6 * 3
    assert_stages_sum(samples, tolerance=0.01)
    with pytest.raises(StageSumError, match="'model' leave 1.0% of the request unexplained"):
        assert_stages_sum(samples, tolerance=0.005)


def test_a_forgotten_last_mark_is_found() -> None:
    with pytest.raises(StageSumError, match="60.0%"):
        assert_stages_sum(staged_samples(last_mark=False, tail=0))


def test_stages_longer_than_the_whole_are_found() -> None:
    samples = staged_samples(last_mark=True, tail=0)
    samples.loc[samples["stage"] == "head", "nanoseconds"] *= 2
    with pytest.raises(StageSumError):
        assert_stages_sum(samples)


def test_arms_without_stages_are_left_out() -> None:
    samples = staged_samples(last_mark=True, tail=0)
    assert stage_gaps(samples[samples["stage"] == ""]) == {}
