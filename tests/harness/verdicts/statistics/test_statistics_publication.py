"""Our result against the publication: closed forms, statsmodels, coverage, and Simonsohn's example."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from harness.verdicts.statistics.publication import prediction_interval, small_telescope


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("published_runs", "our_runs"), [(2, 2), (3, 10), (5, 5), (40, 3)])
def test_prediction_interval_is_its_formula(published_runs: int, our_runs: int, confidence: float) -> None:
    low, high = prediction_interval(71.3, 0.4, published_runs, our_runs, confidence)
    half = stats.t.ppf(0.5 + confidence / 2, published_runs - 1) * 0.4 * (1 / published_runs + 1 / our_runs) ** 0.5
    assert (low, high) == pytest.approx((71.3 - half, 71.3 + half), rel=1e-12)


@pytest.mark.parametrize(("published_runs", "our_runs"), [(3, 5), (5, 3), (10, 30)])
def test_prediction_interval_covers_a_replication_as_often_as_it_says(published_runs: int, our_runs: int) -> None:
    runs = 5_000
    generator = numpy.random.default_rng(51)
    original = generator.normal(10.0, 2.0, (runs, published_runs))
    ours = generator.normal(10.0, 2.0, (runs, our_runs)).mean(axis=1)
    covered = 0
    for mean, sd, value in zip(original.mean(axis=1), original.std(axis=1, ddof=1), ours, strict=True):
        low, high = prediction_interval(float(mean), float(sd), published_runs, our_runs)
        covered += low <= value <= high
    assert covered / runs == pytest.approx(0.95, abs=3.0 * math.sqrt(0.95 * 0.05 / runs))


@given(runs=st.integers(2, 100), ours=st.integers(2, 100), sd=st.floats(1e-3, 1e3))
def test_prediction_interval_is_symmetric_and_shrinks_with_more_runs(runs: int, ours: int, sd: float) -> None:
    low, high = prediction_interval(0.0, sd, runs, ours)
    assert low == -high and high > 0.0
    assert prediction_interval(0.0, sd, runs + 1, ours)[1] < high
    assert prediction_interval(0.0, sd, runs, ours + 1)[1] < high


@pytest.mark.parametrize(
    "arguments",
    [(1.0, 1.0, 1, 5), (1.0, 1.0, 5, 1), (1.0, 0.0, 5, 5), (1.0, -1.0, 5, 5), (1.0, math.nan, 5, 5)]
    + [(math.nan, 1.0, 5, 5), (1.0, 1.0, 5, 5, 1.0), (1.0, 1.0, 5, 5, 0.0)],
)
def test_prediction_interval_refuses(arguments: tuple) -> None:
    with pytest.raises(ValueError):
        prediction_interval(*arguments)


@pytest.mark.parametrize("runs", [2, 3, 5, 20, 100])
@pytest.mark.parametrize("paired", [False, True])
def test_small_telescope_is_that_of_statsmodels(runs: int, paired: bool) -> None:
    ours = small_telescope(runs, 2.5, paired) / 2.5

    def power(level: float, alternative: str) -> float:
        if paired:
            return float(TTestPower().power(ours, runs, level, alternative=alternative))
        return float(TTestIndPower().power(ours, runs, level, alternative=alternative))

    def solved() -> float:
        if paired:
            return float(TTestPower().solve_power(nobs=runs, alpha=0.05, power=1 / 3))
        return float(TTestIndPower().solve_power(nobs1=runs, alpha=0.05, power=1 / 3))

    assert power(0.025, "larger") == pytest.approx(1 / 3, abs=1e-8)
    # Counting rejections on the wrong side as well makes next to no difference at a power of a third.
    assert ours == pytest.approx(solved(), rel=1e-3)


def test_small_telescope_of_simonsohns_example() -> None:
    """Simonsohn (2015): with n = 20 per cell d33 is 0.5."""
    assert small_telescope(20, 1.0) == pytest.approx(0.5, abs=0.005)


def test_small_telescope_gives_a_third_of_power_by_simulation() -> None:
    runs, per_group = 60_000, 8
    effect = small_telescope(per_group, 3.0)
    generator = numpy.random.default_rng(52)
    treated = generator.normal(effect, 3.0, (runs, per_group))
    control = generator.normal(0.0, 3.0, (runs, per_group))
    test = stats.ttest_ind(treated, control, axis=1)
    power = numpy.mean((test.pvalue <= 0.05) & (test.statistic > 0.0))
    assert power == pytest.approx(1 / 3, abs=3.0 * math.sqrt(2 / 9 / runs))


@pytest.mark.parametrize("arguments", [(1, 1.0), (5, 0.0), (5, -1.0), (5, math.inf), (5, 1.0, False, 0.0)])
def test_small_telescope_refuses(arguments: tuple) -> None:
    with pytest.raises(ValueError):
        small_telescope(*arguments)
