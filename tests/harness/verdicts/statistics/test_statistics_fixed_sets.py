"""Rates, discordant pairs, sign flips and equivalence against statsmodels, scipy and full enumeration."""

from __future__ import annotations

import itertools
import math

import numpy
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_paired

from harness.verdicts.statistics.estimates import StudentT
from harness.verdicts.statistics.fixed_sets import Wilson, mcnemar_p, sign_flip_p, tost_p, wilson
from harness.verdicts.statistics.means import mean_estimate

counts = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.floats(0.01, 0.999))
def test_wilson_is_statsmodels(count: tuple[int, int], confidence: float) -> None:
    expected = proportion_confint(*count, alpha=1 - confidence, method="wilson")
    assert numpy.allclose(wilson(*count, confidence), expected, rtol=1e-10, atol=1e-10)
    found = Wilson(*count)
    assert found.interval(confidence) == wilson(*count, confidence)
    assert (found.effect, found.n) == (count[0] / count[1], count[1])


def test_full_confidence_is_every_rate() -> None:
    assert wilson(3, 10, 1.0) == (0.0, 1.0)


@pytest.mark.parametrize("count", [(1, 0), (-1, 5), (6, 5)])
def test_what_is_no_rate_is_refused(count: tuple[int, int]) -> None:
    for make in (wilson, Wilson):
        with pytest.raises(ValueError, match="is not a rate"):
            make(*count)


@given(counts, st.floats(-0.1, 1.1), st.floats(0.001, 0.9))
def test_wilson_interval_and_tail_decide_alike(count: tuple[int, int], threshold: float, level: float) -> None:
    found = Wilson(*count)
    low, high = found.interval(1 - level)
    for upwards, end in ((True, low), (False, high)):
        p = found.tail(threshold, upwards)
        if not (math.isclose(p, level / 2, rel_tol=1e-6) or math.isclose(end, threshold, abs_tol=1e-12)):
            assert (p < level / 2) == (end > threshold if upwards else end < threshold)


@given(counts, st.floats(0.01, 0.99))
def test_wilson_tail_is_the_score_test_and_its_mirror(count: tuple[int, int], threshold: float) -> None:
    successes, n = count
    score = (successes - n * threshold) / math.sqrt(n * threshold * (1 - threshold))
    assert math.isclose(Wilson(successes, n).tail(threshold, True), stats.norm.sf(score), rel_tol=1e-8, abs_tol=1e-300)
    mirrored = Wilson(n - successes, n).tail(1 - threshold, False)
    assert math.isclose(Wilson(successes, n).tail(threshold, True), mirrored, rel_tol=1e-6, abs_tol=1e-12)


def test_wilson_tails_at_the_ends_are_sure() -> None:
    some, none, every = Wilson(3, 9), Wilson(0, 9), Wilson(9, 9)
    assert [some.tail(0.0, True), none.tail(0.0, True), every.tail(1.0, True)] == [0.0, 1.0, 1.0]
    assert [some.tail(1.0, False), every.tail(1.0, False), none.tail(0.0, False)] == [0.0, 1.0, 1.0]
    assert [some.tail(-0.5, True), some.tail(1.5, False), some.tail(1.5, True)] == [0.0, 0.0, 1.0]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_statsmodels(pairs: list[tuple[bool, bool]]) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    table = [[sum(a == x and b == y for a, b in pairs) for y in (True, False)] for x in (True, False)]
    assume(table[0][1] + table[1][0])
    assert math.isclose(mcnemar_p(first, second), min(1.0, mcnemar(table, exact=True).pvalue), rel_tol=1e-10)


def test_mcnemar_without_discordant_pairs_says_nothing() -> None:
    assert mcnemar_p([True, False], [True, False]) == 1.0
    with pytest.raises(ValueError, match="as many"):
        mcnemar_p([True], [True, False])


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=9))
def test_sign_flips_are_all_tried(values: list[int]) -> None:
    """Integers, so that the sums of the enumeration tie exactly."""
    flipped = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    expected = sum(total >= abs(sum(values)) for total in flipped) / len(flipped)
    assert math.isclose(sign_flip_p(values), expected, rel_tol=1e-10)


@pytest.mark.parametrize("n", [3, 5, 6, 14])
def test_sign_flips_bottom_out(n: int) -> None:
    assert math.isclose(sign_flip_p(numpy.arange(1.0, n + 1)), 2 / 2**n, rel_tol=1e-12)


def test_random_flips_come_from_the_generator_and_agree_with_all_of_them() -> None:
    values = numpy.random.default_rng(4).normal(0.4, 1.0, 16)
    signs = numpy.array(list(itertools.product((1, -1), repeat=16)))
    expected = float((numpy.abs(signs @ values) >= abs(values.sum()) - 1e-12).mean())
    found = sign_flip_p(values, numpy.random.default_rng(1))
    # Twice a one-sided share of 5,000.
    assert abs(found - expected) < 3 * 2 * math.sqrt(expected / 2 / 5_000)
    assert found == sign_flip_p(values, numpy.random.default_rng(1)) != sign_flip_p(values, numpy.random.default_rng(2))
    with pytest.raises(ValueError, match="generator"):
        sign_flip_p(values)


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_sign_flips_need_finite_differences(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite differences"):
        sign_flip_p(values)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=20).filter(lambda v: numpy.std(v) > 1e-2), st.floats(0.1, 3))
def test_tost_is_statsmodels(values: list[float], half: float) -> None:
    expected = ttost_paired(numpy.array(values), numpy.zeros(len(values)), -half, 2 * half)[0]
    assert math.isclose(tost_p(mean_estimate(values), -half, 2 * half), expected, rel_tol=1e-8, abs_tol=1e-12)


@given(st.floats(-2, 2), st.floats(0.05, 2), st.floats(0.01, 0.4))
def test_tost_rejects_where_the_interval_lies_inside(effect: float, error: float, level: float) -> None:
    found = StudentT(effect, error, 8, 9)
    low, high = found.interval(1 - 2 * level)
    p = tost_p(found, -1.0, 1.0)
    assume(not math.isclose(p, level, rel_tol=1e-6))
    assert (p < level) == (low > -1.0 and high < 1.0)
    with pytest.raises(ValueError, match="band"):
        tost_p(found, 1.0, 1.0)
