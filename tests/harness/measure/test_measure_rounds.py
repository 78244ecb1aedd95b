from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measure_fakes import (
    MILLISECOND,
    FakeClock,
    FakeProbe,
    FakeStreamDevice,
    load_with_foreign,
    quiet_load,
    scripted_arm,
)

from harness.measure.gpu import GpuSample
from harness.measure.rounds import TimingResult, round_order, time_arms
from harness.measure.samples import SAMPLE_COLUMNS
from harness.measure.settings import TimingSettings
from harness.measure.stages import Mark


@pytest.fixture(scope="module", autouse=True)
def no_collections() -> Iterator[None]:
    """Real collections would take most of these tests' time; test_measure_visits covers them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.measure.visits.gc.collect", lambda: 0)
        yield


def timed(
    durations: Mapping[str, list[float]] | None = None,
    *,
    seed: int = 0,
    rates: list[float] | None = None,
    clock: FakeClock | None = None,
    options: Mapping[str, Any] | None = None,
    **values: Any,
) -> TimingResult:
    """Time scripted arms (milliseconds) with settings that stop after six rounds of one request each."""
    clock = clock or FakeClock()
    chosen: dict[str, Any] = {
        "minimum_rounds": 6,
        "minimum_seconds": 0.0,
        "visit_seconds": 0.0,
        "warmup_window": 3,
        "warmup_maximum_passes": 1,
    } | values
    arms = {
        name: scripted_arm(clock, [value * MILLISECOND for value in script])
        for name, script in (durations or {"a": [10.0], "b": [20.0]}).items()
    }
    probes = () if rates is None else (FakeProbe(clock, iter(rates)),)
    keywords: dict[str, Any] = {"probes": probes, "load": quiet_load(), "clock": clock} | dict(options or {})
    return time_arms(arms, TimingSettings(**chosen), np.random.default_rng(seed), **keywords)


def orders(result: TimingResult) -> list[tuple[str, ...]]:
    visits = result.samples.drop_duplicates(["round", "position"]).sort_values(["round", "position"])
    return [tuple(group["arm"]) for _, group in visits.groupby("round")]


@given(arms=st.integers(1, 6), seed=st.integers(0, 2**32 - 1), count=st.integers(6, 12))
@settings(max_examples=20, deadline=None)
def test_each_round_visits_every_arm_once_and_a_seed_fixes_the_orders(arms: int, seed: int, count: int) -> None:
    durations = {f"arm {number}": [5.0 + number] for number in range(arms)}
    result = timed(durations, seed=seed, minimum_rounds=count)
    assert len(orders(result)) == count
    for order in orders(result):
        assert sorted(order) == sorted(durations)
    again = timed(durations, seed=seed, minimum_rounds=count)
    pd.testing.assert_frame_equal(result.samples, again.samples)


def test_orders_vary_and_are_balanced() -> None:
    generator = np.random.default_rng(1)
    drawn = [round_order(["a", "b", "c"], generator) for _ in range(600)]
    counts = pd.Series(drawn).value_counts()
    assert len(counts) == 6
    assert counts.min() > 60  # 100 expected, standard deviation 9
    assert orders(timed(seed=1)) != orders(timed(seed=2))


def test_samples_have_fixed_columns_and_survive_parquet(tmp_path: Path) -> None:
    result = timed(minimum_iterations=2)
    assert list(result.samples.columns) == list(SAMPLE_COLUMNS)
    assert {str(kind) for kind in result.samples.dtypes[["round", "nanoseconds", "kept"]]} == {
        "int32",
        "int64",
        "bool",
    }
    assert len(result.samples) == 6 * 2 * 2
    assert result.samples.groupby("arm")["nanoseconds"].unique().str[0].to_dict() == {
        "a": 10 * MILLISECOND,
        "b": 20 * MILLISECOND,
    }
    result.samples.to_parquet(tmp_path / "samples.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "samples.parquet"), result.samples)


def test_stops_when_all_conditions_hold() -> None:
    result = timed()
    assert result.stop.reason == "all conditions met"
    assert result.stop.unmet == ()
    assert (result.stop.rounds_run, result.stop.rounds_kept, result.stop.rounds_wanted) == (6, 6, 6)
    assert result.stop.half_widths == {"a": 0.0, "b": 0.0}
    assert result.enough


def test_goes_on_until_the_minimum_duration() -> None:
    result = timed(minimum_seconds=0.3)
    assert result.stop.rounds_run == 10  # 30 ms a round
    assert result.stop.reason == "all conditions met"


def test_goes_on_until_the_median_is_known_well_enough() -> None:
    unsteady = [10.0, 10.0, 13.0, 7.0, 12.0, 8.0, 11.0, *[10.0] * 100]
    assert timed({"a": unsteady, "b": [20.0]}, target_half_width=0.01).stop.rounds_run > 6
    assert timed({"a": unsteady, "b": [20.0]}, target_half_width=None).stop.rounds_run == 6


def test_maximum_rounds_say_what_was_unmet() -> None:
    swinging = [10.0, 20.0] * 100
    result = timed({"a": swinging}, maximum_rounds=15, target_half_width=0.05)
    assert result.stop.reason == "maximum rounds"
    assert len(result.stop.unmet) == 1
    assert "the median of 1 arms is known no better than 5.0% (worst 'a'" in result.stop.unmet[0]
    assert "15 of 15 rounds kept" in result.stop.sentence


def test_the_timeout_says_what_was_unmet_and_starts_no_round_that_cannot_end() -> None:
    # 30 ms of warm-up, 30 ms a round: the fourth round would end at 150 ms.
    result = timed(timeout_seconds=0.140)
    assert result.stop.reason == "timeout"
    assert result.stop.unmet == ("3 rounds kept of 6 wanted",)
    assert result.stop.rounds_run == 3
    assert result.rounds["finished"].all()
    assert result.stop.total_seconds <= 0.140
    assert not result.enough
    assert "timeout" in result.stop.sentence


def test_a_round_cut_by_the_timeout_is_kept_as_data_but_does_not_count() -> None:
    # Warm-up takes 20 ms, two rounds 40 ms; then a visit takes 1 s, and the round ends after one arm.
    slow = {"a": [10.0, 10.0, 10.0, 1000.0], "b": [10.0, 10.0, 10.0, 1000.0]}
    result = timed(slow, timeout_seconds=0.5, rates=[100.0] * 99)
    assert result.stop.reason == "timeout"
    assert list(result.rounds["finished"]) == [True, True, False]
    assert result.rounds["reason"].iloc[2] == "not finished before the timeout"
    last = result.samples[result.samples["round"] == 2]
    assert len(last) == 1
    assert not last["kept"].any()
    assert len(result.probes[result.probes["round"] == 2]) == 1


def test_warm_up_can_use_up_the_timeout() -> None:
    result = timed({"a": [1000.0]}, timeout_seconds=0.5)
    assert result.stop.rounds_run == 0
    assert result.stop.reason == "timeout"
    assert not result.enough
    assert list(result.samples.columns) == list(SAMPLE_COLUMNS)
    assert result.samples.empty
    assert list(result.warmup_samples["nanoseconds"]) == [1000 * MILLISECOND]
    json.dumps(result.record(), allow_nan=False)


def test_slow_rounds_need_fewer() -> None:
    slow = {"a": [4000.0], "b": [2000.0]}
    values: dict[str, Any] = {"minimum_rounds": 20, "slow_round_seconds": 5.0}
    assert timed(slow, **values).stop.rounds_run == 6
    assert timed({"a": [2000.0], "b": [2000.0]}, **values).stop.rounds_run == 20
    assert timed(slow, minimum_rounds=20).stop.rounds_run == 20


def test_progress_counts_up_to_what_is_expected() -> None:
    calls: list[tuple[int, int]] = []
    timed(options={"progress": lambda done, total: calls.append((done, total))})
    assert calls == [(done, 6) for done in range(7)]


def test_a_probe_that_dips_drops_the_round_in_all_arms_and_says_so() -> None:
    # Three readings a round; in round 2 the machine is at 40 % around its last visit.
    rates = [100.0] * 6 + [100.0, 40.0, 40.0] + [100.0] * 30
    result = timed(rates=rates, busy_fraction=0.75)
    assert list(result.rounds["kept"]) == [True, True, False, True, True, True, True]
    assert result.rounds["reason"].iloc[2] == "probe 'matmul float32' at 40% of its reference"
    assert result.rounds["lowest_probe"].iloc[2] == pytest.approx(0.4)
    assert not result.samples.loc[result.samples["round"] == 2, "kept"].any()
    assert set(result.samples.loc[result.samples["round"] == 2, "arm"]) == {"a", "b"}
    assert result.stop.rounds_kept == 6  # the dropped round was replaced
    assert (result.busy.kept, result.busy.dropped) == (6, 1)
    assert "under 75% of that probe's" in result.busy.rule
    assert result.ceilings == {"matmul float32": 100.0}


def test_the_busy_rule_looks_at_the_probes_and_never_at_the_times() -> None:
    outlier = {"a": [10.0] * 4 + [500.0] + [10.0] * 50, "b": [20.0]}
    assert timed(outlier, rates=[100.0] * 99).rounds["kept"].all()


def test_a_reference_from_a_quiet_day_unmasks_a_machine_that_is_busy_throughout() -> None:
    known = {"known_ceilings": {"matmul float32": 200.0}}
    blind = timed(rates=[100.0] * 99, maximum_rounds=8)
    assert blind.enough
    seeing = timed(rates=[100.0] * 99, maximum_rounds=8, options=known)
    assert not seeing.enough
    assert seeing.stop.reason == "maximum rounds"
    assert seeing.busy.dropped == 8


def test_foreign_cpu_use_drops_a_round() -> None:
    options = {"load": load_with_foreign([0.0, 0.9, 0.1])}
    result = timed(options=options, maximum_foreign_share=0.25)
    assert list(result.rounds["kept"])[:3] == [True, False, True]
    assert result.rounds["reason"].iloc[1] == "others took 90% of the CPUs"
    assert result.rounds["foreign_share"].iloc[2] == pytest.approx(0.1)


def test_a_throttled_gpu_drops_a_round() -> None:
    class Sampler:
        looks = 0

        def sample(self) -> GpuSample:
            self.looks += 1
            reasons = ("software thermal slowdown",) if self.looks == 5 else ()
            return GpuSample(1980.0, 400.0, 60.0, reasons)

    result = timed(options={"gpu": Sampler()})
    assert list(result.rounds["kept"])[:3] == [True, False, True]
    assert "GPU throttled (software thermal slowdown)" in result.rounds["reason"].iloc[1]
    assert len(result.gpu) == 3 * result.stop.rounds_run
    assert result.gpu["throttle_reasons"].iloc[4] == "software thermal slowdown"


def test_too_few_kept_rounds_are_reported_not_raised() -> None:
    options = {"load": load_with_foreign([1.0] * 99)}
    result = timed(options=options, maximum_rounds=9)
    assert not result.enough
    assert result.busy.kept == 0
    assert "0 rounds kept of 6 wanted" in result.stop.unmet
    assert result.stop.half_widths == {"a": np.inf, "b": np.inf}
    assert json.loads(json.dumps(result.record(), allow_nan=False))["stop"]["half_widths"]["a"] is None


def test_probes_stand_on_both_sides_of_every_visit() -> None:
    result = timed(rates=[100.0] * 99)
    assert result.probes.groupby("round")["position"].apply(list).tolist() == [[0, 1, 2]] * 6
    assert result.probe_units == {"matmul float32": "GFLOP/s"}


def test_a_stream_device_gives_all_quantities_with_stages() -> None:
    device = FakeStreamDevice(FakeClock())

    def arm(mark: Mark) -> None:
        device.launch(10, 300)
        mark("first")
        device.launch(10, 500)
        mark("second")

    settings_ = TimingSettings(minimum_rounds=6, minimum_seconds=0.0, visit_seconds=0.0, minimum_iterations=3)
    result = time_arms(
        {"model": arm},
        settings_,
        np.random.default_rng(0),
        device=device,
        probes=(),
        load=quiet_load(),
        clock=device.clock,
    )
    medians = result.samples.groupby(["quantity", "stage"])["nanoseconds"].median().to_dict()
    assert medians == {
        ("request", ""): 810,
        ("stream", ""): 800,
        ("staged", ""): 810,
        ("staged", "first"): 310,
        ("staged", "second"): 500,
    }
    assert result.device == "cuda:0"


def test_the_record_is_json_and_names_the_rules() -> None:
    record = json.loads(json.dumps(timed(rates=[100.0] * 99).record(), allow_nan=False))
    assert record["settings"]["minimum_rounds"] == 6
    assert record["stop"]["reason"] == "all conditions met"
    assert record["busy"]["verdicts"][0]["kept"] is True
    assert record["warmups"][0]["arm"] == "a"
    assert record["probe_sizes"] == {"matmul float32": "fake"}


def test_an_arm_that_fails_fails_the_run_and_leaves_the_collector_on() -> None:
    import gc

    def broken(mark: Mark) -> None:
        raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"):
        time_arms({"broken": broken}, TimingSettings(), np.random.default_rng(0), probes=(), load=quiet_load())
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_no_arms_or_nameless_arms_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no arm"):
        time_arms({}, TimingSettings(), np.random.default_rng(0))
    with pytest.raises(ValueError, match="empty name"):
        time_arms({"": ignore}, TimingSettings(), np.random.default_rng(0))


def ignore(mark: Mark) -> None:
    """An arm that does nothing."""


def test_a_single_low_reading_among_the_probes_of_a_round_is_noise() -> None:
    rates = [100.0] * 6 + [100.0, 40.0, 100.0] + [100.0] * 30
    assert timed(rates=rates, busy_fraction=0.75).rounds["kept"].all()
