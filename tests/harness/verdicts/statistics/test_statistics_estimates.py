"""Every estimate: the interval against scipy or its definition, and the p-value against the interval."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from harness.verdicts.statistics.estimates import (
    Draws,
    Estimate,
    Exact,
    LogScale,
    Mirrored,
    StudentT,
    Weakest,
)

effects = st.floats(-50, 50)
students = st.builds(StudentT, effects, st.floats(0.01, 20), st.floats(1, 60), st.integers(2, 60))
levels = st.floats(0.001, 0.9)
nested = st.recursive(
    students,
    lambda inner: st.one_of(
        inner.map(Mirrored),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: Weakest(tuple(parts))),
    ),
    max_leaves=5,
)


def agrees(estimate: Estimate, threshold: float, level: float) -> None:
    """The p-value and the interval decide alike, away from ties."""
    low, high = estimate.interval(1 - level)
    assert low <= high
    for upwards, end in ((True, low), (False, high)):
        p = estimate.tail(threshold, upwards)
        assert 0 <= p <= 1
        if not math.isclose(p, level / 2, rel_tol=1e-6):
            assert (p < level / 2) == (end > threshold if upwards else end < threshold)


@given(nested, effects, levels)
def test_interval_and_tail_decide_alike(estimate: Estimate, threshold: float, level: float) -> None:
    agrees(estimate, threshold, level)


@given(nested, st.floats(-3, 3), levels)
def test_interval_and_tail_decide_alike_on_the_log_scale(inner: Estimate, threshold: float, level: float) -> None:
    agrees(LogScale(inner), math.exp(threshold), level)


@given(nested, st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_more_confidence_is_a_wider_interval_around_the_effect(estimate: Estimate, one: float, two: float) -> None:
    less, more = sorted((one, two))
    assume(more - less > 1e-6)
    narrow, wide = estimate.interval(less), estimate.interval(more)
    assert wide[0] < narrow[0] <= narrow[1] < wide[1]
    assert wide[0] < estimate.effect


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20).filter(lambda v: numpy.std(v) > 1e-3), effects)
def test_student_t_is_scipys(values: list[float], threshold: float) -> None:
    error = float(stats.sem(values))
    found = StudentT(float(numpy.mean(values)), error, len(values) - 1, len(values))
    test = stats.ttest_1samp(values, threshold, alternative="greater")
    assert math.isclose(found.tail(threshold, True), test.pvalue, rel_tol=1e-9, abs_tol=1e-12)
    assert math.isclose(found.tail(threshold, False), 1 - test.pvalue, rel_tol=1e-9, abs_tol=1e-12)
    both = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert numpy.allclose(found.interval(0.9), (both.low, both.high), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "arguments",
    [(0, 0, 3), (0, -1, 3), (0, math.nan, 3), (math.nan, 1, 3), (0, math.inf, 3), (0, 1, 0), (0, 1, math.nan)],
)
def test_what_is_no_t_estimate_is_refused(arguments: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="a t estimate needs"):
        StudentT(*arguments, n=4)


def test_a_count_reaches_its_threshold_or_not() -> None:
    count = Exact(12.0, 3)
    assert count.interval(0.5) == (12.0, 12.0) and count.n == 3
    assert [count.tail(t, True) for t in (11, 12, 13)] == [0.0, 0.0, 1.0]
    assert [count.tail(t, False) for t in (11, 12, 13)] == [1.0, 0.0, 0.0]


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=200), st.floats(-11, 11), st.floats(0.02, 0.98))
def test_draws_are_counted(values: list[float], threshold: float, confidence: float) -> None:
    found = Draws(0.0, numpy.array(values), 7)
    assert found.tail(threshold, True) == (1 + sum(v <= threshold for v in values)) / (len(values) + 1)
    assert found.tail(threshold, False) == (1 + sum(v >= threshold for v in values)) / (len(values) + 1)
    ends = numpy.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    assert numpy.allclose(found.interval(confidence), ends, atol=1e-12)
    # One draw beside the quantile is all that the two may disagree on.
    level, (low, high) = 1 - confidence, found.interval(confidence)
    slack = 2.0 / (len(values) + 1)
    for upwards, passed in ((True, low > threshold), (False, high < threshold)):
        p = found.tail(threshold, upwards)
        assert p <= level / 2 + slack if passed else p >= level / 2 - slack


def test_draws_are_sorted_and_kept_from_changes() -> None:
    mine = numpy.array([3.0, 1.0, 2.0])
    found = Draws(2.0, mine, 3)
    assert found.draws.tolist() == [1.0, 2.0, 3.0] and mine.tolist() == [3.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        found.draws[0] = 5.0
    for bad in ([], [1.0, math.nan]):
        with pytest.raises(ValueError, match="finite draws"):
            Draws(0.0, numpy.array(bad), 3)


@given(students)
def test_the_log_scale_is_the_exponential(inner: StudentT) -> None:
    found = LogScale(inner)
    low, high = inner.interval(0.5)
    assume(high < 700)
    assert found.effect == math.exp(inner.effect) and found.n == inner.n
    assert found.interval(0.5) == (math.exp(low), math.exp(high))
    assert [found.tail(0.0, True), found.tail(-1.0, True)] == [0.0, 0.0]
    assert [found.tail(0.0, False), found.tail(-1.0, False)] == [1.0, 1.0]
    assert found.tail(2.0, True) == inner.tail(math.log(2.0), True)


def test_the_log_scale_overflows_to_infinity() -> None:
    assert LogScale(StudentT(0.0, 1e6, 1, 2)).interval() == (0.0, math.inf)


@given(nested, effects)
def test_mirrored_twice_is_the_same(inner: Estimate, threshold: float) -> None:
    twice = Mirrored(Mirrored(inner))
    assert (twice.effect, twice.n, twice.interval()) == (inner.effect, inner.n, inner.interval())
    assert twice.tail(threshold, True) == inner.tail(threshold, True)
    assert Mirrored(inner).effect == -inner.effect


def test_the_weakest_takes_the_worst_upwards_and_bonferroni_downwards() -> None:
    parts = (StudentT(2.0, 0.5, 4, 5), StudentT(1.0, 0.5, 9, 10), StudentT(3.0, 2.0, 4, 6))
    found = Weakest(parts)
    assert (found.effect, found.n) == (1.0, 5)
    assert found.tail(0.5, True) == max(part.tail(0.5, True) for part in parts)
    assert math.isclose(found.tail(1.9, False), 3 * parts[1].tail(1.9, False), rel_tol=1e-12)
    assert found.tail(-5.0, False) == 1.0
    low, high = found.interval(0.94)
    assert low == parts[2].interval(0.94)[0] and high == pytest.approx(parts[1].interval(0.98)[1], rel=1e-10)
    with pytest.raises(ValueError, match="weakest of no"):
        Weakest(())


def test_the_weakest_holds_its_error_on_either_side() -> None:
    """Three parameters, one at the threshold: upwards errs at most as often as promised, downwards too."""
    generator = numpy.random.default_rng(2)
    sims, level, n = 1000, 0.1, 6
    data = generator.normal([0.0, 0.0, 5.0], 1.0, (sims, n, 3))
    up = down = 0
    for table in data:
        parts = [StudentT(float(m), float(s), n - 1, n) for m, s in zip(table.mean(0), stats.sem(table), strict=True)]
        up += Weakest(tuple(parts)).tail(0.0, True) < level
        down += Weakest(tuple(parts)).tail(0.0, False) < level
    slack = 3 * math.sqrt(level * (1 - level) / sims)
    # Both of two independent tests reject: the square of the level. Either at a third of it: about two thirds.
    assert abs(up / sims - level**2) < 3 * math.sqrt(level**2 / sims)
    assert abs(down / sims - (1 - (1 - level / 3) ** 2)) < slack
