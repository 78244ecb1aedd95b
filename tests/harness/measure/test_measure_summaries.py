from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from harness.measure.samples import SAMPLE_COLUMNS
from harness.measure.summaries import items_per_second, log_ratios_by_round, round_medians, summarize_arm


def table(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(SAMPLE_COLUMNS)).astype(SAMPLE_COLUMNS)


def rounds_of(arm: str, values: list[list[int]], dropped: tuple[int, ...] = ()) -> list[tuple[object, ...]]:
    return [
        (number, 0, arm, iteration, "request", "", value, number not in dropped)
        for number, samples in enumerate(values)
        for iteration, value in enumerate(samples)
    ]


def test_the_median_is_that_of_round_medians_of_kept_rounds() -> None:
    values = [[100, 100, 900], [102, 101, 103], [99, 99, 99], [98, 98, 98], [101, 101, 101], [97, 97, 97]]
    samples = table(rounds_of("a", [*values, [5000, 5000, 5000]], dropped=(6,)))
    summary = summarize_arm(samples, "a", batch_size=4, flops=1e3, ceiling_gflops=50.0)
    assert summary.median_nanoseconds == 99.5
    assert summary.median is not None
    assert (summary.median.low, summary.median.high) == (97, 102)
    assert summary.mad_nanoseconds == 1.5
    assert (summary.rounds_kept, summary.rounds_dropped, summary.iterations) == (6, 1, 18)
    assert summary.percentiles[0.5] is not None
    assert summary.percentiles[0.9] is None
    assert summary.items_per_second == pytest.approx(4e9 / 99.5)
    assert summary.flops_per_second == pytest.approx(1e3 / 99.5e-9)
    assert summary.ceiling_share == pytest.approx(1e3 / 99.5e-9 / 50e9)
    assert summary.stages == ()


def test_all_rounds_dropped_give_no_number() -> None:
    samples = table(rounds_of("a", [[100]] * 3, dropped=(0, 1, 2)))
    summary = summarize_arm(samples, "a", flops=1e9, ceiling_gflops=100.0)
    assert math.isnan(summary.median_nanoseconds)
    assert math.isnan(summary.items_per_second)
    assert summary.median is None
    assert summary.flops_per_second is None
    assert summary.ceiling_share is None
    assert (summary.rounds_kept, summary.rounds_dropped) == (0, 3)


def staged_rows(quantity: str) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for number in range(6):
        for stage, value in (("", 1000 + number), ("backbone", 700), ("head", 290 + number)):
            rows.append((number, 0, "a", 0, quantity, stage, value, True))
    return rows


def test_stages_keep_their_order_and_shares_add_up() -> None:
    summary = summarize_arm(table(staged_rows("request")), "a")
    assert [stage.name for stage in summary.stages] == ["backbone", "head"]
    assert summary.stages[0].median_nanoseconds == 700
    assert sum(stage.share for stage in summary.stages) == pytest.approx(0.99, abs=1e-3)


def test_on_a_stream_device_stages_come_from_their_own_passes() -> None:
    whole = [(number, 0, "a", 0, kind, "", 500, True) for number in range(6) for kind in ("request", "stream")]
    samples = table([*whole, *staged_rows("staged")])
    for quantity in ("request", "stream"):
        summary = summarize_arm(samples, "a", quantity=quantity)
        assert summary.median_nanoseconds == 500
        assert summary.stages[0].share == pytest.approx(0.7, abs=0.01)


def test_log_ratios_use_kept_rounds_and_medians() -> None:
    samples = table(
        [
            *rounds_of("a", [[200, 200, 900], [300], [800]], dropped=(2,)),
            *rounds_of("b", [[100], [100], [100]], dropped=(2,)),
        ]
    )
    ratios = log_ratios_by_round(samples, "a", "b")
    assert list(ratios.index) == [0, 1]
    np.testing.assert_allclose(ratios, np.log([2.0, 3.0]))
    np.testing.assert_allclose(log_ratios_by_round(samples, "b", "a"), -ratios)


def test_rounds_of_several_processes_stay_apart() -> None:
    first = table([*rounds_of("a", [[200]]), *rounds_of("b", [[100]])]).assign(process=0)
    second = table([*rounds_of("a", [[800]]), *rounds_of("b", [[100]])]).assign(process=1)
    both = pd.concat([first, second])
    ratios = log_ratios_by_round(both, "a", "b", by=("process", "round"))
    np.testing.assert_allclose(ratios, np.log([2.0, 8.0]))


def test_missing_arms_are_named() -> None:
    samples = table(rounds_of("a", [[100]]))
    with pytest.raises(KeyError, match="no 'request' samples of arm 'c'; arms: a"):
        log_ratios_by_round(samples, "a", "c")
    with pytest.raises(KeyError, match="no 'stream' samples of arm 'a'"):
        summarize_arm(samples, "a", quantity="stream")
    assert round_medians(samples, "c").empty


def test_throughput() -> None:
    assert items_per_second(8, 4_000_000) == 2000.0
    assert math.isnan(items_per_second(8, math.nan))
