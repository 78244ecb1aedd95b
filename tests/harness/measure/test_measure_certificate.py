"""The A/A certificate: what counts as a false positive, what does not count, and that identical arms keep 5 %."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any

import numpy as np
import pytest
import torch
from measure_fakes import FakeClock, FakeProbe, load_with_foreign, quiet_load, scripted_arm
from scipy import stats

from harness.measure.certificate import (
    CertificateRun,
    PairOutcome,
    certificate_settings,
    certify,
    judge_pair,
    rate_interval,
    smallest_ratio,
)
from harness.measure.identical_arms import DTYPES, workload
from harness.measure.stages import ignore_marks

MILLISECOND = 1_000_000


def certify_fake(
    clock: FakeClock, build: Callable[[], Mapping[str, Any]], pairs: int, rounds: int = 6, **changes: Any
) -> CertificateRun:
    settings = certificate_settings(rounds=rounds).model_copy(
        update={"visit_seconds": 0.0, "warmup_maximum_passes": 1, "warmup_window": 3}
    )
    arguments: dict[str, Any] = {"probes": (), "load": quiet_load(), "generator": np.random.default_rng(7)}
    return certify(pairs=pairs, threads=1, settings=settings, build=build, clock=clock, **{**arguments, **changes})


def test_a_pair_is_judged_by_the_t_test_on_its_log_ratios() -> None:
    values = np.random.default_rng(3).normal(0.01, 0.02, 20)
    found = judge_pair(values.tolist())
    expected = stats.ttest_1samp(values, 0.0)
    interval = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx(
        (interval.low, interval.high)
    )
    assert found.false_positive == (not interval.low <= 0.0 <= interval.high)


@pytest.mark.parametrize(("value", "different"), [(0.0, False), (0.25, True)])
def test_a_pair_without_any_spread(value: float, different: bool) -> None:
    assert judge_pair([value] * 8).false_positive is different


def test_too_few_rounds_decide_nothing_however_different() -> None:
    found = judge_pair([0.5, 0.5, 0.5, 0.5, 0.51])
    assert found.rounds_kept == 5
    assert not found.decided and not found.false_positive
    assert judge_pair([0.5, 0.5, 0.5, 0.5, 0.5, 0.51]).false_positive


def test_the_smallest_ratio_is_the_95th_percentile_of_distances_in_either_direction() -> None:
    outcomes = [PairOutcome(20, sign * step / 100, 0.1, 0.5) for step in range(21) for sign in (-1, 1)]
    outcomes += [PairOutcome(3)] * 50
    expected = np.quantile(np.repeat(np.arange(21) / 100, 2), 0.95)
    assert smallest_ratio(outcomes) == pytest.approx(math.exp(expected))
    assert math.isnan(smallest_ratio([PairOutcome(3)]))


def test_the_interval_of_a_rate_is_exact() -> None:
    assert rate_interval(0, 60) == pytest.approx((0.0, 1 - 0.025 ** (1 / 60)))
    assert rate_interval(3, 60) == pytest.approx((stats.beta.ppf(0.025, 3, 58), stats.beta.ppf(0.975, 4, 57)))
    assert rate_interval(0, 0) == (0.0, 1.0)


def test_known_differences_are_counted() -> None:
    clock = FakeClock()
    slowdowns = iter([1.0, 1.0, 1.25, 1.0])

    def build() -> Mapping[str, Any]:
        return {"a": scripted_arm(clock, [10e6 * next(slowdowns)]), "b": scripted_arm(clock, [10e6])}

    shown: list[tuple[int, int]] = []
    run = certify_fake(clock, build, pairs=4, progress=lambda done, total: shown.append((done, total)))
    assert (run.pairs, run.decided, run.false_positives, run.rate) == (4, 4, 1, 0.25)
    assert (run.rate_low, run.rate_high) == rate_interval(1, 4)
    assert [one.false_positive for one in run.outcomes] == [False, False, True, False]
    assert run.outcomes[2].mean == pytest.approx(math.log(1.25))
    assert run.smallest_ratio == pytest.approx(math.exp(np.quantile([0, 0, 0, math.log(1.25)], 0.95)))
    assert shown == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert run.seconds > 0 and run.foreign_share is None or 0 <= run.foreign_share <= 1


def test_every_raw_sample_is_kept_with_its_pair() -> None:
    clock = FakeClock()
    run = certify_fake(clock, lambda: {name: scripted_arm(clock, [5e6]) for name in "ab"}, pairs=3, rounds=7)
    assert run.samples.groupby("pair").size().to_dict() == {0: 14, 1: 14, 2: 14}
    assert set(run.samples["arm"]) == {"a", "b"}
    assert run.samples["nanoseconds"].eq(5_000_000).all()
    assert (run.rounds, run.dropped_rounds, run.threads) == (7, 0, 1)


def test_pairs_of_a_busy_machine_are_undecided_and_no_negatives() -> None:
    clock = FakeClock()
    busy_first_pair = load_with_foreign([0.9] * 6)
    run = certify_fake(
        clock, lambda: {name: scripted_arm(clock, [5e6]) for name in "ab"}, pairs=3, load=busy_first_pair
    )
    assert [one.decided for one in run.outcomes] == [False, True, True]
    assert (run.pairs, run.decided, run.false_positives, run.dropped_rounds) == (3, 2, 0, 6)
    assert run.rate_high == rate_interval(0, 2)[1]


def test_nothing_decided_gives_no_figures() -> None:
    clock = FakeClock()
    slow = FakeProbe(clock, chain([100.0] * 6, repeat(1.0)))
    run = certify_fake(
        clock,
        lambda: {name: scripted_arm(clock, [5e6]) for name in "ab"},
        pairs=1,
        probes=[slow],
        load=load_with_foreign([1.0] * 6),
    )
    assert (run.decided, run.false_positives) == (0, 0)
    assert all(math.isnan(value) for value in (run.rate, run.smallest_ratio, run.half_width_ratio))
    assert (run.rate_low, run.rate_high) == (0.0, 1.0)


def test_identical_arms_on_a_drifting_machine_keep_the_nominal_level(monkeypatch: pytest.MonkeyPatch) -> None:
    # No real time is read, and 8000 real collections would take most of this test's.
    monkeypatch.setattr("gc.collect", lambda: 0)
    clock, generator, pairs = FakeClock(), np.random.default_rng(20240611), 200
    wander = {"now": 0.0}

    def arm(mark: Any) -> None:
        wander["now"] += generator.normal(0, 0.02)
        clock.advance(10e6 * math.exp(wander["now"] + generator.normal(0, 0.03)))

    def build() -> Mapping[str, Any]:
        wander["now"] = 0.0
        return {"a": arm, "b": arm}

    run = certify_fake(clock, build, pairs=pairs, rounds=20)
    assert run.decided == pairs
    assert abs(run.rate - 0.05) < 3 * math.sqrt(0.05 * 0.95 / pairs)
    assert 1.0 < run.smallest_ratio < 1.1


def test_threads_are_set_for_the_run_and_restored() -> None:
    before, seen, clock = torch.get_num_threads(), set(), FakeClock()
    wanted = before + 1

    def arm(mark: Any) -> None:
        seen.add(torch.get_num_threads())
        clock.advance(MILLISECOND)

    settings = certificate_settings(rounds=6)
    run = certify(
        threads=wanted, pairs=1, settings=settings, build=lambda: {"a": arm, "b": arm}, probes=(), clock=clock
    )
    assert (seen, run.threads, torch.get_num_threads()) == ({wanted}, wanted, before)

    def broken(mark: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        certify(threads=wanted, pairs=1, settings=settings, build=lambda: {"a": broken, "b": broken}, probes=())
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_two_arms_are_separate_and_equal(dtype: str) -> None:
    state = torch.get_rng_state()
    arms = workload("cpu", dtype, batch=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(arms) == ["a", "b"] and arms["a"] is not arms["b"]
    first, second = (arm(ignore_marks) for arm in arms.values())
    assert first.shape == (2, 196, 256) and first.dtype == getattr(torch, dtype)
    torch.testing.assert_close(first, second)


def test_what_cannot_be_certified() -> None:
    with pytest.raises(ValueError, match="dtype 'int8' is unknown; use float32"):
        workload("cpu", "int8")
    with pytest.raises(ValueError, match="1 or more, not 0"):
        workload("cpu", "float32", 0)
    with pytest.raises(ValueError, match="1 pair or more"):
        certify(pairs=0)
    with pytest.raises(ValueError, match="minimum_kept_rounds"):
        certificate_settings(rounds=5)


@contextmanager
def background_load() -> Iterator[None]:
    """Keep one core busy with another process."""
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        spinning.kill()
        spinning.wait()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_real_identical_arms_beside_a_busy_process(capsys: pytest.CaptureFixture[str]) -> None:
    """60 real pairs on this machine, all of them decided: the busy rule is off, so interleaving alone holds the level.

    One thread beside one busy process: with as many threads as cores a request waits for the scheduler at every step.
    """
    settings = certificate_settings().model_copy(update={"maximum_foreign_share": 1.0, "busy_fraction": 1e-6})
    with background_load():
        run = certify(pairs=60, threads=1, settings=settings)
    with capsys.disabled():
        print(
            f"\n{run.false_positives} of {run.decided} decided pairs called different ({run.rate:.1%}, 95 % interval "
            f"{run.rate_low:.1%} to {run.rate_high:.1%}), smallest ratio {run.smallest_ratio:.3f}"
        )
    assert run.decided == 60
    assert run.false_positives <= stats.binom.ppf(0.995, 60, 0.05)
