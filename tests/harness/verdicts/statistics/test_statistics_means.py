"""Means against scipy and statsmodels; the coverage of rounds nested in processes."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from harness.verdicts.statistics.means import mean_estimate, pairing_correlation, rounds_in_processes, welch_estimate

samples = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30).filter(lambda v: numpy.std(v) > 1e-3)


def close(found: tuple[float, float], low: float, high: float) -> bool:
    return numpy.allclose(found, (low, high), rtol=1e-10, atol=1e-10)


@given(samples, st.floats(0.5, 0.999))
def test_mean_is_scipys(values: list[float], confidence: float) -> None:
    found = mean_estimate(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert close(found.interval(confidence), expected.low, expected.high)
    assert (found.n, found.degrees_of_freedom) == (len(values), len(values) - 1)


@given(samples, st.floats(-100, 100), st.floats(0.1, 10))
def test_mean_moves_and_scales_with_the_values(values: list[float], shift: float, factor: float) -> None:
    found = mean_estimate([shift + factor * value for value in values]).interval()
    low, high = mean_estimate(values).interval()
    assert numpy.allclose(found, (shift + factor * low, shift + factor * high), rtol=1e-8, atol=1e-6)


@given(samples, samples)
def test_welch_is_scipys_and_statsmodels(first: list[float], second: list[float]) -> None:
    found = welch_estimate(first, second)
    test = stats.ttest_ind(first, second, equal_var=False)
    expected = test.confidence_interval(0.9)
    assert close(found.interval(0.9), expected.low, expected.high)
    assert math.isclose(found.degrees_of_freedom, test.df, rel_tol=1e-9)
    assert math.isclose(2 * min(found.tail(0, True), found.tail(0, False)), test.pvalue, rel_tol=1e-7, abs_tol=1e-12)
    models = CompareMeans(DescrStatsW(first), DescrStatsW(second)).tconfint_diff(alpha=0.1, usevar="unequal")
    assert numpy.allclose(found.interval(0.9), models, rtol=1e-8, atol=1e-8)
    assert found.n == len(first) + len(second)


def test_welch_needs_variation_in_one_group_only() -> None:
    found = welch_estimate([1.0, 1.0, 1.0], [2.0, 4.0])
    assert (found.effect, found.degrees_of_freedom) == (-2.0, 1.0)
    assert math.isclose(found.standard_error, 1.0)
    with pytest.raises(ValueError, match="every value is the same"):
        welch_estimate([1.0, 1.0], [2.0, 2.0])


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, -math.inf]])
def test_too_little_or_not_finite_is_refused(values: list[float]) -> None:
    for make in (mean_estimate, lambda v: rounds_in_processes([v]), lambda v: welch_estimate(v, [1.0, 2.0])):
        with pytest.raises(ValueError, match="at least two finite values"):
            make(values)


@pytest.mark.parametrize("values", [[5.0, 5.0, 5.0], [0.0, 0.0], [0.1 + 0.2, 0.3, 0.3], [-1e9, -1e9 - 1e-4]])
def test_rounding_is_no_variation(values: list[float]) -> None:
    for make in (mean_estimate, lambda v: rounds_in_processes([v]), lambda v: rounds_in_processes([[x] for x in v])):
        with pytest.raises(ValueError, match="every value is the same, so there is no variation to build an interval"):
            make(values)


def test_variation_above_rounding_is_kept() -> None:
    assert mean_estimate([1.0, 1.0 + 1e-11]).standard_error > 0


def test_one_process_is_a_sample_of_rounds() -> None:
    assert rounds_in_processes([[1.0, 2.0, 4.0], []]) == mean_estimate([1.0, 2.0, 4.0])


@given(st.lists(st.lists(st.floats(-50, 50), min_size=1, max_size=6), min_size=2, max_size=6))
def test_from_two_processes_on_the_process_is_the_unit(groups: list[list[float]]) -> None:
    means = [float(numpy.mean(group)) for group in groups]
    assume(numpy.std(means) > 1e-3)
    found = rounds_in_processes([[], *groups])
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert close(found.interval(), expected.low, expected.high)
    assert (found.n, found.degrees_of_freedom) == (sum(map(len, groups)), len(groups) - 1)


def test_two_rounds_in_two_processes_are_two_values() -> None:
    assert rounds_in_processes([[1.0], [3.0]]) == mean_estimate([1.0, 3.0])


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("between", [0.0, 0.5, 2.0])
def test_processes_cover_as_promised(between: float, processes: int) -> None:
    """Three binomial standard deviations: "sometimes pooling" falls through at 0.5, always pooling too."""
    generator = numpy.random.default_rng(20210205)
    sims = 3000
    data = generator.normal(0, between, (sims, processes, 1)) + generator.normal(0, 1, (sims, processes, 20))
    inside = 0
    for groups in data:
        low, high = rounds_in_processes(list(groups)).interval()
        inside += low <= 0 <= high
    assert abs(inside / sims - 0.95) < 3 * math.sqrt(0.95 * 0.05 / sims)


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=3, max_size=20))
def test_correlation_is_numpys(pairs: list[tuple[float, float]]) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    assume(numpy.std(first) > 1e-3 and numpy.std(second) > 1e-3)
    found = pairing_correlation(first, second)
    assert found is not None and math.isclose(found, numpy.corrcoef(first, second)[0, 1], rel_tol=1e-9, abs_tol=1e-9)


def test_correlation_needs_three_pairs_and_two_sides_that_vary() -> None:
    assert pairing_correlation([1.0, 2.0], [1.0, 2.0]) is None
    assert pairing_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    assert pairing_correlation([1.0, 2.0, 3.0], [7.0, 7.0, 7.0]) is None
    assert pairing_correlation([], []) is None
    with pytest.raises(ValueError, match="as many"):
        pairing_correlation([1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="finite"):
        pairing_correlation([1.0, 2.0, math.nan], [1.0, 2.0, 3.0])
