from __future__ import annotations

from pathlib import Path

import pytest

from harness.measure.load import (
    CpuTimes,
    LoadMeter,
    machine_cpu_times,
    own_cpu_seconds,
    parse_proc_stat,
)

STAT = """cpu  300 20 40 1000 10 5 5 20 90 0
cpu0 200 10 20 500 5 3 2 10 90 0
cpu1 100 10 20 500 5 2 3 10 0 0
intr 12345
ctxt 99
"""


def test_proc_stat_is_summed_over_the_allowed_cpus() -> None:
    both = parse_proc_stat(STAT, None, 100.0)
    assert both is not None
    assert both.cpus == 2
    assert both.busy == pytest.approx((300 + 20 + 40 + 5 + 5) / 100)
    assert both.steal == pytest.approx(0.20)
    assert both.total == pytest.approx((300 + 20 + 40 + 1000 + 10 + 5 + 5 + 20) / 100)  # guest time is in user
    one = parse_proc_stat(STAT, frozenset({1, 7}), 100.0)
    assert one is not None
    assert (one.cpus, one.busy) == (1, pytest.approx(1.35))


def test_old_and_strange_files_do_not_fail() -> None:
    old = parse_proc_stat("cpu0 1 2 3 4\n", None, 1.0)
    assert old == CpuTimes(busy=6.0, steal=0.0, total=10.0, cpus=1)
    assert parse_proc_stat("", None, 100.0) is None
    assert parse_proc_stat("cpufreq 1 2\n", None, 100.0) is None


def meter(begin: CpuTimes | None, end: CpuTimes | None, own: float) -> LoadMeter:
    times = iter([begin, end])
    seconds = iter([1.0, 1.0 + own])
    made = LoadMeter(machine=lambda: next(times), own=lambda: next(seconds))
    made.start()
    return made


def test_foreign_is_what_was_used_or_stolen_and_not_ours() -> None:
    reading = meter(CpuTimes(10, 1, 100, 2), CpuTimes(12.0, 1.4, 104, 2), own=1.5).stop()
    assert reading.foreign_share == pytest.approx((2.0 - 1.5 + 0.4) / 4)
    assert reading.steal_share == pytest.approx(0.1)


def test_rounding_never_gives_a_negative_share() -> None:
    reading = meter(CpuTimes(10, 1, 100, 2), CpuTimes(12.0, 1.0, 104, 2), own=2.05).stop()
    assert reading.foreign_share == 0.0


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (CpuTimes(10, 1, 100, 2), CpuTimes(10.1, 1, 100.15, 2)),  # 75 ms on two CPUs: a few ticks
        (CpuTimes(10, 1, 100, 2), CpuTimes(12, 1, 104, 3)),  # a CPU was plugged in
        (None, CpuTimes(12, 1, 104, 2)),
        (CpuTimes(10, 1, 100, 2), None),
    ],
)
def test_what_cannot_be_known_is_none(begin: CpuTimes | None, end: CpuTimes | None) -> None:
    reading = meter(begin, end, own=0.0).stop()
    assert reading.foreign_share is None
    assert reading.steal_share is None


def test_without_proc_psutil_answers(tmp_path: Path) -> None:
    direct, fallback = machine_cpu_times(), machine_cpu_times(tmp_path)
    assert direct is not None and fallback is not None
    assert fallback.cpus == direct.cpus
    assert fallback.total == pytest.approx(direct.total, rel=0.02, abs=1.0)
    assert fallback.busy == pytest.approx(direct.busy, rel=0.05, abs=1.0)


def test_own_seconds_grow_with_work() -> None:
    before = own_cpu_seconds()
    sum(range(3_000_000))
    assert own_cpu_seconds() > before
