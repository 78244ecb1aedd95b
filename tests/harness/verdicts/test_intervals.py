"""Intervals against scipy, and the coverage of the nested one."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.verdicts.intervals import rounds_in_processes, t_estimate

reals = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30).filter(lambda v: numpy.std(v) > 1e-6)


@given(reals)
def test_t_interval_is_scipys(values: list[float]) -> None:
    found = t_estimate(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert math.isclose(found.low, expected.low, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(found.high, expected.high, rel_tol=1e-9, abs_tol=1e-9)
    assert found.n == len(values)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_too_little_or_not_finite_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two finite"):
        t_estimate(values)
    with pytest.raises(ValueError, match="at least two finite"):
        rounds_in_processes([values])


def test_one_process_is_a_sample_of_rounds() -> None:
    assert rounds_in_processes([[1.0, 2.0, 4.0], []]) == t_estimate([1.0, 2.0, 4.0])


def test_equal_processes_pool_and_different_ones_do_not() -> None:
    pooled = rounds_in_processes([[1.0, 3.0], [3.0, 1.0]])
    assert pooled == t_estimate([1.0, 3.0, 3.0, 1.0])
    apart = rounds_in_processes([[1.0, 1.1], [2.0, 2.1], [3.0, 3.1]])
    between = stats.ttest_1samp([1.05, 2.05, 3.05], 0).confidence_interval(0.95)
    assert math.isclose(apart.low, between.low) and math.isclose(apart.high, between.high)
    assert apart.degrees_of_freedom == 2


@pytest.mark.parametrize("between", [0.0, 0.5, 2.0])
def test_coverage_of_rounds_in_processes(between: float) -> None:
    """2,000 simulated sweeps of 3 processes x 6 rounds: the true mean lies in the interval about as often as promised.

    The choice between pooling and not costs a little where the processes differ slightly.
    """
    generator = numpy.random.default_rng(20210205)
    inside = 0
    for _ in range(2000):
        offsets = generator.normal(0, between, 3)
        groups = [list(offset + generator.normal(0, 1, 6)) for offset in offsets]
        found = rounds_in_processes(groups)
        inside += found.low <= 0 <= found.high
    assert inside / 2000 > (0.85 if between == 0.5 else 0.93)


def test_power_at_the_detectable_effect_is_80_percent() -> None:
    generator = numpy.random.default_rng(7)
    found = []
    for _ in range(4000):
        values = generator.normal(0, 1, 12)
        true_mde = (stats.t.ppf(0.975, 11) + stats.t.ppf(0.8, 11)) / math.sqrt(12)
        shifted = t_estimate(values + true_mde)
        found.append(shifted.low > 0)
    assert 0.77 < numpy.mean(found) < 0.83
