"""Signed ranks against scipy's exact test and against a written-out count."""

from __future__ import annotations

import itertools
import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.verdicts.statistics.ranks import LARGEST_EXACT, signed_rank

samples = st.lists(st.integers(-1000, 1000), min_size=2, max_size=12, unique_by=abs).filter(lambda v: 0 not in v)


@given(samples)
def test_tails_are_scipys_exact_ones(values: list[int]) -> None:
    found = signed_rank([float(value) for value in values])
    for upwards, alternative in ((True, "greater"), (False, "less")):
        expected = stats.wilcoxon(values, alternative=alternative, method="exact").pvalue
        assert math.isclose(found.tail(0.0, upwards), expected, rel_tol=1e-10)


def test_the_null_distribution_is_that_of_all_signs() -> None:
    """For three values, counted out by hand over all eight combinations of signs."""
    found = signed_rank([1.0, 2.5, 4.0])
    sums = [
        sum(r for r, sign in zip((1, 2, 3), signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=3)
    ]
    assert found.tail(0.0, True) == sums.count(6) / 8
    assert found.tail(0.0, False) == 1.0


@given(samples, st.floats(0.5, 0.999))
def test_interval_and_tail_agree(values: list[int], confidence: float) -> None:
    found = signed_rank([float(value) for value in values])
    low, high = found.interval(confidence)
    half = (1 - confidence) / 2
    for threshold in (low - 0.25, high + 0.25):
        if math.isfinite(threshold):
            assert found.tail(threshold, threshold < low) <= half + 1e-12
    if math.isfinite(low):
        assert found.tail(low + 0.25, True) > half - 1e-12 or low + 0.25 > found.effect


@pytest.mark.parametrize(("n", "exists"), [(5, False), (6, True)])
def test_a_95_percent_interval_exists_from_six_values_on(n: int, exists: bool) -> None:
    low, high = signed_rank([float(value) for value in range(1, n + 1)]).interval()
    assert (math.isfinite(low), math.isfinite(high)) == (exists, exists)
    if exists:
        assert (low, high) == (1.0, 6.0)


def test_the_pseudomedian_is_the_median_of_walsh_averages() -> None:
    assert signed_rank([1.0, 2.0, 10.0]).effect == numpy.median([1, 1.5, 5.5, 2, 6, 10])


def test_the_approximation_joins_the_exact_count() -> None:
    generator = numpy.random.default_rng(3)
    values = generator.normal(0.2, 1, LARGEST_EXACT + 1)
    exact = stats.wilcoxon(values, alternative="greater", method="exact").pvalue
    assert math.isclose(signed_rank(values.tolist()).tail(0.0, True), exact, rel_tol=0.02)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_what_is_not_finite_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite values"):
        signed_rank(values)
