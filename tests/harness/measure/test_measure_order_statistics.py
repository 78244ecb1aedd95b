from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.measure.order_statistics import (
    interval_ranks,
    median_half_width,
    percentile_floor,
    percentile_with_floor,
)


@pytest.mark.parametrize(("quantile", "floor"), [(0.5, 6), (0.9, 29), (0.95, 59), (0.99, 299), (0.1, 29)])
def test_floors_follow_from_the_binomial_law(quantile: float, floor: int) -> None:
    assert percentile_floor(quantile) == floor
    samples = np.arange(1.0, floor + 1)
    assert percentile_with_floor(samples[:-1], quantile) is None
    estimate = percentile_with_floor(samples, quantile)
    assert estimate is not None
    # At the floor the interval needs the outermost sample on the side where samples are scarce.
    assert estimate.high == samples[-1] if quantile >= 0.5 else estimate.low == samples[0]


def test_median_of_twenty_has_the_textbook_ranks() -> None:
    ranks = interval_ranks(20, 0.5)
    assert ranks is not None
    assert ranks[:2] == (6, 15)
    assert ranks[2] == pytest.approx(0.9586, abs=1e-4)


@given(n=st.integers(1, 400), quantile=st.floats(0.02, 0.98), confidence=st.floats(0.5, 0.995))
@settings(max_examples=150, deadline=None)
def test_ranks_cover_as_scipy_says_and_exist_from_the_floor_on(n: int, quantile: float, confidence: float) -> None:
    ranks = interval_ranks(n, quantile, confidence)
    if n < percentile_floor(quantile, confidence):
        assert ranks is None
        return
    assert ranks is not None
    low, high, coverage = ranks
    assert 1 <= low < high <= n
    law = stats.binom(n, quantile)
    assert coverage == pytest.approx(law.cdf(high - 1) - law.cdf(low - 1), abs=1e-9)
    assert coverage >= confidence - 1e-9


@pytest.mark.parametrize(("n", "quantile"), [(29, 0.9), (33, 0.9), (35, 0.9), (31, 0.1), (60, 0.95)])
def test_where_equal_tails_do_not_fit_no_narrower_interval_covers(n: int, quantile: float) -> None:
    ranks = interval_ranks(n, quantile)
    assert ranks is not None
    cumulative = stats.binom(n, quantile).cdf(np.arange(n))  # P(B <= k)
    covering = [
        high - low
        for low in range(1, n)
        for high in range(low + 1, n + 1)
        if cumulative[high - 1] - cumulative[low - 1] >= 0.95
    ]
    assert ranks[1] - ranks[0] == min(covering)


@pytest.mark.parametrize(("n", "quantile"), [(6, 0.5), (20, 0.5), (51, 0.5), (60, 0.9), (100, 0.25), (400, 0.99)])
def test_intervals_agree_with_scipys_quantile_test(n: int, quantile: float) -> None:
    samples = np.random.default_rng(3).lognormal(size=n)
    estimate = percentile_with_floor(samples, quantile)
    interval = stats.quantile_test(samples, p=quantile).confidence_interval(0.95)
    assert estimate is not None
    assert (estimate.low, estimate.high) == (interval.low, interval.high)


@pytest.mark.parametrize(("quantile", "n"), [(0.5, 20), (0.9, 40)])
def test_intervals_cover_the_true_quantile_often_enough(quantile: float, n: int) -> None:
    generator = np.random.default_rng(11)
    truth = stats.lognorm.ppf(quantile, 1.0)
    hits = 0
    for _ in range(2000):
        estimate = percentile_with_floor(generator.lognormal(size=n), quantile)
        assert estimate is not None
        hits += estimate.low <= truth <= estimate.high
    assert hits / 2000 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 2000)


@given(
    values=st.lists(st.floats(0.1, 1e6), min_size=6, max_size=120),
    quantile=st.sampled_from([0.25, 0.5, 0.75]),
    scale=st.sampled_from([0.5, 2.0, 1024.0]),
)
@settings(max_examples=80, deadline=None)
def test_percentiles_lie_in_their_interval_and_follow_the_unit(
    values: list[float], quantile: float, scale: float
) -> None:
    estimate = percentile_with_floor(values, quantile)
    if estimate is None:
        assert len(values) < percentile_floor(quantile)
        return
    assert min(values) <= estimate.low <= estimate.high <= max(values)
    tolerance = 1e-9 * max(values)
    assert estimate.low - tolerance <= estimate.value <= estimate.high + tolerance
    assert percentile_with_floor(values[::-1], quantile) == estimate
    scaled = percentile_with_floor([value * scale for value in values], quantile)
    assert scaled is not None
    assert scaled.high == pytest.approx(estimate.high * scale)


def test_what_is_not_finite_has_no_percentile() -> None:
    assert percentile_with_floor([1.0] * 20 + [math.nan], 0.5) is None
    assert percentile_with_floor([1.0] * 20 + [math.inf], 0.5) is None
    assert percentile_with_floor([], 0.5) is None


@pytest.mark.parametrize("quantile", [0.0, 1.0, 90.0, -0.5])
def test_a_quantile_outside_its_range_is_refused(quantile: float) -> None:
    with pytest.raises(ValueError, match="a quantile lies between 0 and 1"):
        percentile_with_floor([1.0] * 50, quantile)


def test_median_half_width_falls_back_on_t_and_says_when_it_knows_nothing() -> None:
    assert median_half_width([5.0]) == math.inf
    assert median_half_width([]) == math.inf
    five = [100.0, 101.0, 99.0, 100.5, 99.5]
    half = stats.t.ppf(0.975, 4) * np.std(np.log(five), ddof=1) / math.sqrt(5)
    assert median_half_width(five) == pytest.approx(math.expm1(half))
    assert median_half_width([98.0, 99.0, 100.0, 100.0, 101.0, 102.0]) == pytest.approx(0.02)
    assert median_half_width([1e-300, 1e300]) > 1e6
