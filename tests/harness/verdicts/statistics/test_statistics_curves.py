"""Trends, optima and crossings against least squares, Student's t, dense grids and simulated curves."""

from __future__ import annotations

import itertools
import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from harness.verdicts.statistics.bootstrap import generator_for
from harness.verdicts.statistics.curves import Crossing, Optimum, crossing, optimum, trend_contrast
from harness.verdicts.statistics.estimates import StudentT
from harness.verdicts.statistics.means import mean_estimate

places = st.lists(st.integers(-30, 30), min_size=2, max_size=8, unique=True).map(lambda v: [x / 4 for x in v])
curves = st.tuples(st.integers(2, 6), st.integers(2, 5)).flatmap(
    lambda shape: arrays(float, shape, elements=st.integers(-400, 400).map(lambda v: v / 100))
)


@given(places, st.data())
def test_trend_is_the_least_squares_slope_times_the_range(positions: list[float], data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(-9, 9), min_size=len(positions), max_size=len(positions)))
    contrast = trend_contrast(positions)
    expected = stats.linregress(positions, values).slope * (positions[-1] - positions[0])
    assert math.isclose(contrast @ values, expected, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(contrast.sum(), 0, abs_tol=1e-10)
    line = 5.0 - 2.0 * numpy.array(positions)
    assert math.isclose(contrast @ line, line[-1] - line[0], rel_tol=1e-10, abs_tol=1e-9)


@pytest.mark.parametrize("positions", [[], [1.0], [1.0, 1.0], [1.0, 2.0, 1.0], [1.0, math.inf]])
def test_what_has_no_ends_has_no_trend(positions: list[float]) -> None:
    with pytest.raises(ValueError, match="a trend needs"):
        trend_contrast(positions)


def optimum_of(shares: list[float], claimed: set[str] = frozenset()) -> Optimum:  # type: ignore[assignment]
    names = tuple("abcdefgh"[: len(shares)])
    return Optimum(names, numpy.array(shares), names[0], StudentT(1, 1, 2, 3), frozenset(claimed))


@given(st.lists(st.integers(0, 20), min_size=2, max_size=6).filter(any), st.floats(0.05, 0.99))
def test_likely_is_the_smallest_set_that_holds_enough(counts: list[int], confidence: float) -> None:
    shares = [count / sum(counts) for count in counts]
    found = optimum_of(shares)
    held = dict(zip(found.levels, shares, strict=True))
    likely = found.likely(confidence)
    assert list(likely) == sorted(likely)
    assert math.fsum(held[level] for level in likely) >= confidence - 1e-9
    fewer = itertools.combinations(found.levels, len(likely) - 1)
    assert all(math.fsum(held[level] for level in some) < confidence for some in fewer)


def test_shares_in_the_claim_add_up() -> None:
    assert math.isclose(optimum_of([0.5, 0.2, 0.3], {"a", "c"}).share_in_claim(), 0.8)
    assert optimum_of([0.1] * 3 + [0.7], set("abcd")).share_in_claim() == 1.0
    assert optimum_of([0.5, 0.5]).share_in_claim() == 0.0


def test_shares_of_two_levels_are_the_tail_of_their_difference() -> None:
    values = numpy.random.default_rng(8).normal([0.0, 0.3], 1.0, (6, 2)) - [[0.0, 0.6]]
    found = optimum(values, ["low", "high"], frozenset({"high"}), "low", True, generator_for("x"), 40_000)
    expected = 1 - mean_estimate(values[:, 1] - values[:, 0]).tail(0.0, True)
    assert 0.05 < expected < 0.95
    assert abs(found.share_in_claim() - expected) < 3 * math.sqrt(expected * (1 - expected) / 40_000)
    assert math.isclose(found.shares.sum(), 1.0)


def test_the_contrast_is_the_claimed_levels_mean_minus_the_null_or_all_others() -> None:
    values = numpy.random.default_rng(9).normal([0.0, 2.0, 3.0, 0.5], 0.5, (5, 4))
    names = ["0", "1", "2", "3"]
    claimed = frozenset({"1", "2"})
    inside = (values[:, 1] + values[:, 2]) / 2
    against_null = optimum(values, names, claimed, "0", True, generator_for("x"))
    assert against_null.contrast.interval() == pytest.approx(mean_estimate(inside - values[:, 0]).interval(), rel=1e-10)
    against_all = optimum(values, names, claimed, None, True, generator_for("x"))
    rest = (values[:, 0] + values[:, 3]) / 2
    assert against_all.interval() == pytest.approx(mean_estimate(inside - rest).interval(), rel=1e-10)
    assert against_all.tail(1.0, True) == against_all.contrast.tail(1.0, True)
    assert (against_all.effect, against_all.n) == (against_all.contrast.effect, 5)
    assert against_all.best == names[int(values.mean(axis=0).argmax())]
    assert against_all.shares[2] > 0.9 and against_all.likely(0.5) == ("2",)


def test_the_smallest_of_a_curve_is_the_greatest_of_its_negative() -> None:
    values = numpy.random.default_rng(10).normal([1.0, 0.8, 0.9], 0.3, (4, 3))
    arguments = (["a", "b", "c"], frozenset({"b"}), None)
    least = optimum(values, *arguments, False, generator_for("x"))
    most = optimum(-values, *arguments, True, generator_for("x"))
    assert least.shares.tolist() == most.shares.tolist() and least.contrast == most.contrast
    assert least.best == most.best == "abc"[int(values.mean(axis=0).argmin())]


def test_levels_that_are_equally_best_share_it() -> None:
    values = numpy.array([[1.0, 5.0, 5.0], [2.0, 5.0, 5.0], [1.5, 5.0, 5.0]])
    found = optimum(values, ["a", "b", "c"], frozenset({"b"}), "a", True, generator_for("x"), 500)
    assert found.shares[1] == found.shares[2] and math.isclose(found.shares.sum(), 1.0)
    assert found.best == "b"


@pytest.mark.parametrize(
    ("levels", "claimed", "null"),
    [
        (["a", "b"], {"a"}, None),
        (["a", "b", "b"], {"a"}, None),
        (["a", "b", "c"], set(), None),
        (["a", "b", "c"], {"d"}, "a"),
        (["a", "b", "c"], {"a"}, "d"),
        (["a", "b", "c"], {"a"}, "a"),
        (["a", "b", "c"], {"a", "b", "c"}, None),
    ],
)
def test_levels_that_do_not_fit_are_refused(levels: list[str], claimed: set[str], null: str | None) -> None:
    values = numpy.random.default_rng(11).normal(size=(3, 3))
    with pytest.raises(ValueError, match="an optimum needs"):
        optimum(values, levels, frozenset(claimed), null, True, generator_for("x"))


def test_a_contrast_without_variation_is_refused() -> None:
    with pytest.raises(ValueError, match="every value is the same"):
        optimum(numpy.ones((3, 2)), ["a", "b"], frozenset({"a"}), "b", True, generator_for("x"))


def ratios(positions: numpy.ndarray, differences: numpy.ndarray, where: numpy.ndarray) -> numpy.ndarray:
    """t ratios of the interpolated differences, by scipy, on a grid."""
    values = numpy.array([numpy.interp(where, positions, row) for row in differences])
    with numpy.errstate(all="ignore"):
        return numpy.asarray(stats.ttest_1samp(values, 0.0, axis=0).statistic)


def noisy(seed: int, means: list[float], n: int = 5, sd: float = 1.0) -> numpy.ndarray:
    return numpy.random.default_rng(seed).normal(means, sd, (n, len(means)))


def test_the_crossing_is_where_the_mean_curve_first_falls_through_zero() -> None:
    spread = numpy.array([[-1.0], [1.0]])
    assert crossing([0, 1, 3], numpy.array([3.0, 2.0, -2.0]) + spread).effect == 2.0
    assert crossing([0, 1, 3, 4, 5], numpy.array([1.0, -1.0, 2.0, 2.0, -1.0]) + spread).effect == 0.5
    assert crossing([0, 1, 3], numpy.array([3.0, 0.0, -2.0]) + spread).effect == 1.0
    assert crossing([0, 1], numpy.array([3.0, 2.0]) + spread).effect == math.inf
    assert crossing([0, 1], numpy.array([-3.0, 2.0]) + spread).effect == -math.inf
    assert crossing([0, 1], numpy.array([3.0, 2.0]) + spread).n == 2


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_the_interval_is_where_a_dense_grid_of_t_tests_holds_zero(seed: int, confidence: float) -> None:
    positions = numpy.array([0.0, 1.0, 2.0, 4.0, 5.0])
    data = noisy(seed, [4.0, 2.5, 0.8, -1.0, -4.0])
    where = numpy.linspace(0, 5, 50_001)
    grid = ratios(positions, data, where)
    limit = stats.t.isf((1 - confidence) / 2, 4)
    open_below, open_above = grid <= limit, grid >= -limit
    expected = (
        -math.inf if open_below[0] else where[open_below.argmax()] if open_below.any() else math.inf,
        math.inf if open_above[-1] else where[::-1][open_above[::-1].argmax()] if open_above.any() else -math.inf,
    )
    assert crossing(positions, data).interval(confidence) == pytest.approx(expected, abs=1.01e-4)


@pytest.mark.parametrize("seed", range(8))
def test_tails_are_the_largest_p_values_of_a_dense_grid(seed: int) -> None:
    positions = numpy.array([0.0, 1.0, 2.0, 4.0, 5.0])
    data = noisy(seed, [2.0, 0.9, 0.8, 0.2, -1.0], n=3)
    where = numpy.linspace(0, 5, 20_001)
    grid = ratios(positions, data, where)
    found = crossing(positions, data)
    for threshold in (-1.0, 0.0, 0.7, 1.0, 3.3, 5.0, 9.0):
        at = min(max(threshold, 0.0), 5.0)
        after, before = grid[where <= at + 1e-12].min(), (-grid[where >= at - 1e-12]).min()
        assert found.tail(threshold, True) == pytest.approx(stats.t.sf(after, 2), rel=1e-4)
        assert found.tail(threshold, False) == pytest.approx(stats.t.sf(before, 2), rel=1e-4)


@given(curves, st.floats(-1, 6), st.floats(0.002, 0.9))
def test_crossing_interval_and_tail_decide_alike(data: numpy.ndarray, threshold: float, level: float) -> None:
    found = crossing(range(data.shape[1]), data)
    low, high = found.interval(1 - level)
    assert low <= found.effect <= high
    for upwards, end in ((True, low), (False, high)):
        p = found.tail(threshold, upwards)
        assert 0 <= p <= 1
        if not (math.isclose(p, level / 2, rel_tol=1e-5) or math.isclose(end, threshold, abs_tol=1e-7)):
            assert (p < level / 2) == (end > threshold if upwards else end < threshold)


@given(curves, st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_more_confidence_never_narrows_a_crossing(data: numpy.ndarray, one: float, two: float) -> None:
    less, more = sorted((one, two))
    found = crossing(range(data.shape[1]), data)
    narrow, wide = found.interval(less), found.interval(more)
    assert wide[0] <= narrow[0] + 1e-9 and wide[1] >= narrow[1] - 1e-9


@given(curves, st.sampled_from([0.5, 2.0, 8.0]), st.integers(-8, 8))
def test_a_crossing_moves_with_its_positions_and_not_with_the_unit(
    data: numpy.ndarray, factor: float, shift: int
) -> None:
    count = data.shape[1]
    data = data / 16 + numpy.linspace(4, -4, count)  # Mostly, but not always, with finite ends.
    plain = crossing(range(count), data)
    moved = crossing([shift + factor * k for k in range(count)], 4.0 * data)
    assert moved.interval() == pytest.approx([shift + factor * end for end in plain.interval()], abs=1e-6)
    assert moved.effect == pytest.approx(shift + factor * plain.effect, abs=1e-9)
    assert moved.tail(shift + factor * 0.7, True) == pytest.approx(plain.tail(0.7, True), abs=1e-6)


def test_what_never_or_always_crosses_has_infinite_ends() -> None:
    spread = 0.01 * noisy(1, [0.0, 0.0, 0.0])
    above, below = crossing([0, 1, 2], 1.0 + spread), crossing([0, 1, 2], -1.0 + spread)
    assert above.interval() == (math.inf, math.inf) and above.tail(2.0, True) < 1e-6
    assert below.interval() == (-math.inf, -math.inf) and below.tail(0.0, False) < 1e-6
    unsure = crossing([0, 1, 2], noisy(1, [0.1, 0.0, -0.1]))
    assert unsure.interval() == (-math.inf, math.inf)
    rising = crossing([0, 1, 2], numpy.array([-1.0, 0.0, 1.0]) + spread)
    assert rising.interval() == (-math.inf, math.inf)


def test_differences_without_variation_decide_by_their_sign() -> None:
    found = crossing([0.0, 1.0, 3.0], numpy.array([[2.0, 1.0, -1.0]] * 3))
    assert found.interval() == pytest.approx((2.0, 2.0), abs=1e-6)
    assert [found.tail(t, True) for t in (0.5, 1.9, 2.1)] == [0.0, 0.0, 1.0]
    assert [found.tail(t, False) for t in (0.5, 1.9, 2.1)] == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("positions", "differences"),
    [
        ([0.0, 1.0], numpy.ones((1, 2))),
        ([0.0], numpy.ones((2, 1))),
        ([0.0, 1.0, 2.0], numpy.ones((2, 2))),
        ([0.0, 0.0], numpy.ones((2, 2))),
        ([1.0, 0.0], numpy.ones((2, 2))),
        ([0.0, math.inf], numpy.ones((2, 2))),
        ([0.0, 1.0], numpy.full((2, 2), math.nan)),
    ],
)
def test_what_is_no_curve_of_differences_is_refused(positions: list[float], differences: numpy.ndarray) -> None:
    with pytest.raises(ValueError, match="a crossing needs"):
        Crossing(numpy.array(positions), differences)


def test_crossings_cover_and_err_as_promised() -> None:
    """A straight fall through zero at 1.5, in a segment's middle, 6 replicates with a random level each."""
    generator = numpy.random.default_rng(1954)
    sims, truth = 1200, 1.5
    line = 2.0 * (truth - numpy.arange(4.0))
    inside = after = before = 0
    for _ in range(sims):
        found = crossing(range(4), line + generator.normal(0, 0.5, (6, 1)) + generator.normal(0, 0.5, (6, 4)))
        low, high = found.interval()
        inside += low <= truth <= high
        after += found.tail(truth, True) < 0.05
        before += found.tail(truth, False) < 0.05
    assert abs(inside / sims - 0.95) < 3 * math.sqrt(0.95 * 0.05 / sims)
    assert max(abs(after / sims - 0.05), abs(before / sims - 0.05)) < 3 * math.sqrt(0.95 * 0.05 / sims)
