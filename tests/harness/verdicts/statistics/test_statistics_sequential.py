"""Looks: boundaries against published tables and independent integrals, and overall error rates by simulation."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from harness.verdicts.statistics.sequential import level_at_look, nominal_levels, sequential_p, spent

OURS = (4, 8, 16, 24)
SMALL = (2, 4, 6, 8)
ALPHAS = (1e-12, 1e-9, 1e-6, 1e-4, 0.001, 0.01, 0.05, 0.2, 0.5)


def equal(looks: int) -> tuple[float, ...]:
    return tuple((look + 1) / looks for look in range(looks))


def fractions_of(sizes: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(size / sizes[-1] for size in sizes)


DESIGNS = [(equal(2), None), (equal(5), None), ((0.1, 0.3, 0.5), None), ((0.95, 1.0), None)]
DESIGNS += [(fractions_of(OURS), None), (fractions_of(OURS), OURS), (fractions_of(SMALL), SMALL)]


def bounds(alpha: float, fractions: tuple[float, ...], sizes: tuple[int, ...] | None = None) -> numpy.ndarray:
    return stats.norm.isf(numpy.array(nominal_levels(alpha, fractions, sizes)) / 2.0)


@pytest.mark.parametrize(
    ("looks", "published"),
    [
        (1, [1.9600]),
        (2, [2.9626, 1.9686]),
        (3, [3.7103, 2.5114, 1.9930]),
        (5, [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
    ],
)
def test_boundaries_are_those_of_the_published_tables(looks: int, published: list[float]) -> None:
    assert bounds(0.05, equal(looks)).tolist() == pytest.approx(published, abs=2e-4)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("fractions", [equal(2), equal(5), fractions_of(OURS), (0.1, 0.3, 0.5), (0.95, 1.0)])
def test_crossing_probabilities_are_the_error_spent_by_a_multivariate_normal(alpha: float, fractions) -> None:
    limits = bounds(alpha, fractions)
    for looks in range(2, len(fractions) + 1):
        times = numpy.array(fractions[:looks])
        correlation = numpy.sqrt(numpy.minimum.outer(times, times) / numpy.maximum.outer(times, times))
        law = stats.multivariate_normal(cov=correlation, maxpts=200_000, abseps=1e-6, releps=1e-6, seed=5)
        stayed = law.cdf(limits[:looks], lower_limit=-limits[:looks], rng=numpy.random.default_rng(5))
        assert 1.0 - stayed == pytest.approx(spent(alpha, fractions[looks - 1]), abs=2e-5)


@pytest.mark.parametrize("alpha", [1e-10, 1e-4, 0.05, 0.5])
def test_second_boundary_solves_its_defining_integral(alpha: float) -> None:
    first, second = bounds(alpha, (0.3, 1.0)) * numpy.sqrt([0.3, 1.0])
    width = math.sqrt(0.7)

    def beyond(score: float) -> float:
        tails = stats.norm.sf((second - score) / width) + stats.norm.sf((second + score) / width)
        return float(stats.norm.pdf(score / math.sqrt(0.3)) / math.sqrt(0.3) * tails)

    crossing = integrate.quad(beyond, -first, first, epsabs=0.0, epsrel=1e-11, limit=400)[0]
    assert crossing == pytest.approx(alpha - spent(alpha, 0.3), rel=1e-9)
    assert 2.0 * stats.norm.sf(first / math.sqrt(0.3)) == pytest.approx(spent(alpha, 0.3), rel=1e-10)


def test_spending_function() -> None:
    assert spent(0.05, 1.0) == 0.05
    assert spent(0.05, 0.0) == 0.0
    assert spent(0.05, 0.25) == pytest.approx(4.0 * stats.norm.sf(stats.norm.isf(0.0125) * 2.0), rel=1e-12)
    values = [spent(0.05, fraction) for fraction in numpy.linspace(0.05, 1.0, 20)]
    assert values == sorted(values)


@pytest.mark.parametrize("sizes", [None, (40, 80, 160, 240)])
def test_a_design_cut_short_keeps_the_levels_of_its_first_looks(sizes) -> None:
    whole = (1 / 6, 1 / 3, 2 / 3, 1.0)
    part = None if sizes is None else sizes[:2]
    assert nominal_levels(0.05, whole[:2], part) == pytest.approx(nominal_levels(0.05, whole, sizes)[:2], rel=1e-12)


def test_levels_for_t_tests_tend_to_the_normal_ones_and_lie_below_them_at_few_replicates() -> None:
    fractions = fractions_of(OURS)
    many = nominal_levels(0.05, fractions, tuple(200 * size for size in OURS))
    assert many == pytest.approx(nominal_levels(0.05, fractions), rel=5e-4)
    assert nominal_levels(0.05, fractions, OURS)[-1] < nominal_levels(0.05, fractions)[-1]


@pytest.mark.parametrize("earlier", [2, 3, 6])
def test_second_boundary_for_t_tests_solves_its_defining_integral(earlier: int) -> None:
    """One new difference: both t statistics are functions of the earlier one, its scale and the new value."""
    alpha, later = 0.05, earlier + 1
    fractions, sizes = (earlier / later, 1.0), (earlier, later)
    first, second = stats.t.isf(numpy.array(nominal_levels(alpha, fractions, sizes)) / 2.0, [earlier - 1, later - 1])

    # Independent of the module: forward in time, with q the squared norm of the earlier differences (chi square, n'
    # degrees, independent of their t by Basu's theorem) and x the new difference.
    def beyond_given(statistic: float) -> float:
        cosine = statistic / math.sqrt(statistic**2 + earlier - 1)
        limit = second / math.sqrt(second**2 + later - 1)

        def over(angle: float) -> float:
            # (norm of the earlier ones, new one) = radius * (cos, sin): the share is Beta((n') / 2, 1 / 2) in cos**2.
            total = cosine * math.sqrt(earlier) * math.cos(angle) + math.sin(angle)
            density = math.cos(angle) ** (earlier - 1)
            return density * (abs(total) / math.sqrt(later) >= limit)

        grid = numpy.linspace(-math.pi / 2, math.pi / 2, 4001)
        middles = (grid[1:] + grid[:-1]) / 2.0
        norm = sum(math.cos(angle) ** (earlier - 1) for angle in middles)
        return sum(over(angle) for angle in middles) / norm

    # Even in the statistic; mid-points of equal probability between 0 and the first boundary.
    stays = 1.0 - 2.0 * stats.t.sf(first, earlier - 1)
    quantiles = 0.5 + (numpy.arange(100) + 0.5) / 100.0 * stays / 2.0
    crossing = stays * numpy.mean([beyond_given(value) for value in stats.t.ppf(quantiles, earlier - 1)])
    assert crossing == pytest.approx(alpha - spent(alpha, fractions[0]), rel=0.01)


@pytest.mark.parametrize(("fractions", "sizes"), DESIGNS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_sequential_p_inverts_the_levels(alpha: float, fractions, sizes) -> None:
    for look, level in enumerate(nominal_levels(alpha, fractions, sizes)):
        if level > 1e-300:
            assert sequential_p([1.0] * look + [level], fractions, sizes) == pytest.approx(alpha, rel=1e-3)
            assert level_at_look(alpha, fractions, look, sizes) == pytest.approx(level, rel=1e-3)


@pytest.mark.parametrize(("fractions", "sizes"), DESIGNS)
def test_levels_rise_with_alpha(fractions, sizes) -> None:
    levels = numpy.array([nominal_levels(float(alpha), fractions, sizes) for alpha in numpy.geomspace(1e-12, 0.9, 60)])
    assert (numpy.diff(levels, axis=0) > 0.0).all()


def test_sequential_p_is_the_smallest_alpha_that_rejects() -> None:
    fractions, p_values = fractions_of(OURS), [0.2, 0.004, 0.02]

    def margin(alpha: float) -> float:
        return max(level - p for level, p in zip(nominal_levels(alpha, fractions), p_values, strict=False))

    root = optimize.brentq(margin, 1e-4, 0.9, xtol=1e-12)
    assert sequential_p(p_values, fractions) == pytest.approx(root, rel=1e-4)


@given(
    p_values=st.lists(st.one_of(st.floats(0.0, 1.0), st.floats(-60.0, 0.0).map(math.exp)), min_size=1, max_size=4),
    alpha=st.floats(1e-6, 0.9),
    student=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_sequential_p_never_rises_and_agrees_with_the_level_at_each_look(p_values, alpha, student) -> None:
    fractions, sizes = fractions_of(SMALL), SMALL if student else None
    so_far = [sequential_p(p_values[: look + 1], fractions, sizes) for look in range(len(p_values))]
    assert so_far == sorted(so_far, reverse=True)
    assert all(0.0 <= value <= 1.0 for value in so_far)
    gaps = [p / level_at_look(alpha, fractions, look, sizes) for look, p in enumerate(p_values)]
    if all(abs(gap - 1.0) > 1e-9 for gap in gaps):
        assert (so_far[-1] <= alpha) == (min(gaps) <= 1.0)


def test_one_look_is_an_ordinary_test() -> None:
    for p in (0.0, 1e-300, 1e-13, 0.0123, 0.7, 1.0):
        assert sequential_p([p], (1.0,)) == p
        assert sequential_p([p], (1.0,), (5,)) == p
    assert nominal_levels(0.0123, (1.0,)) == (0.0123,)
    assert level_at_look(0.0123, (1.0,), 0) == 0.0123


def test_extreme_p_values_and_missing_ones() -> None:
    fractions = fractions_of(OURS)
    for sizes in (None, OURS):
        assert sequential_p([0.0], fractions, sizes) == 0.0
        assert sequential_p([1.0, 1.0, 1.0, 1.0], fractions, sizes) == 1.0
        assert sequential_p([math.nan, 0.001], fractions, sizes) == sequential_p([1.0, 0.001], fractions, sizes)
        tiny = [sequential_p([1.0, 1.0, 1.0, p], fractions, sizes) for p in (1e-60, 1e-30, 1e-21, 1e-19, 1e-15)]
        assert tiny == sorted(tiny)
        assert tiny == pytest.approx([1e-60, 1e-30, 1e-21, 1e-19, 1e-15], rel=0.01)
        # Nobody can reject at a tenth of the information at this alpha; the levels stay finite numbers.
        assert nominal_levels(1e-12, (0.01, 0.5, 1.0))[0] == 0.0


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (spent, (0.0, 0.5)),
        (spent, (0.05, 1.5)),
        (nominal_levels, (0.05, ())),
        (nominal_levels, (0.05, (0.5, 0.5))),
        (nominal_levels, (0.05, (0.5, 1.5))),
        (nominal_levels, (0.05, (math.nan, 1.0))),
        (nominal_levels, (1.0, (0.5, 1.0))),
        (nominal_levels, (0.05, (0.5, 1.0), (1, 2))),
        (nominal_levels, (0.05, (0.5, 1.0), (4,))),
        (nominal_levels, (0.05, (0.5, 1.0), (4, 4))),
        (sequential_p, ([], (0.5, 1.0))),
        (sequential_p, ([0.1, 0.1, 0.1], (0.5, 1.0))),
        (sequential_p, ([1.5], (0.5, 1.0))),
        (level_at_look, (0.05, (0.5, 1.0), 2)),
        (level_at_look, (0.05, (0.5, 1.0), -1)),
    ],
)
def test_arguments_outside_their_range_are_refused(call, arguments) -> None:
    with pytest.raises(ValueError):
        call(*arguments)


def overall_error(sizes: tuple[int, ...], levels: tuple[float, ...], runs: int, seed: int) -> float:
    """Share of runs without any effect in which a t test at some look rejects at its level."""
    data = numpy.random.default_rng(seed).standard_normal((runs, sizes[-1]))
    rejected = numpy.zeros(runs, dtype=bool)
    for size, level in zip(sizes, levels, strict=True):
        seen = data[:, :size]
        statistic = numpy.abs(seen.mean(axis=1)) / (seen.std(axis=1, ddof=1) / math.sqrt(size))
        rejected |= statistic >= stats.t.isf(level / 2.0, size - 1)
    return float(rejected.mean())


@pytest.mark.parametrize("sizes", [OURS, SMALL, (3, 4, 5)])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_overall_error_of_t_tests_with_looks_is_alpha(sizes: tuple[int, ...], alpha: float) -> None:
    runs = 400_000
    levels = nominal_levels(alpha, fractions_of(sizes), sizes)
    error = overall_error(sizes, levels, runs, seed=21)
    assert error == pytest.approx(alpha, abs=3.0 * math.sqrt(alpha * (1.0 - alpha) / runs))


def test_overall_error_of_t_tests_at_the_normal_levels() -> None:
    """The significance-level approach holds where the first look is not tiny, and is known to fail where it is."""
    runs = 40_000
    margin = 3.0 * math.sqrt(0.05 * 0.95 / runs)
    assert overall_error(OURS, nominal_levels(0.05, fractions_of(OURS)), runs, seed=22) <= 0.05 + margin
    assert overall_error(SMALL, nominal_levels(0.05, fractions_of(SMALL)), runs, seed=22) == pytest.approx(
        0.0543, abs=margin
    )


def test_the_sequential_p_value_is_valid_as_a_p_value() -> None:
    generator = numpy.random.default_rng(23)
    runs = 20_000
    data = generator.standard_normal((runs, SMALL[-1]))
    p = numpy.stack([stats.ttest_1samp(data[:, :size], 0.0, axis=1).pvalue for size in SMALL], axis=1)
    final = numpy.array([sequential_p(row, fractions_of(SMALL), SMALL) for row in p.tolist()])
    for alpha in (0.01, 0.05, 0.2, 0.5):
        error = math.sqrt(alpha * (1.0 - alpha) / runs)
        assert numpy.mean(final <= alpha) == pytest.approx(alpha, abs=3.0 * error)


def test_the_price_of_an_anytime_valid_interval_that_the_module_states() -> None:
    def radius(prior: float) -> float:
        return math.sqrt((1.0 + prior) * (math.log((1.0 + prior) / prior) + 2.0 * math.log(1.0 / 0.05)))

    best = optimize.minimize_scalar(radius, bounds=(0.01, 3.0), method="bounded").fun
    assert best == pytest.approx(3.035, abs=5e-4)
    assert 2.0 * stats.norm.sf(best) == pytest.approx(0.0024, abs=5e-5)
    ours = nominal_levels(0.05, fractions_of(OURS))[-1]
    assert ours == pytest.approx(0.0463, abs=5e-5)
    assert nominal_levels(0.05, fractions_of(OURS), OURS)[-1] == pytest.approx(0.0451, abs=5e-5)
    wanted = stats.norm.isf(0.2)
    assert ((best + wanted) / (stats.norm.isf(ours / 2.0) + wanted)) ** 2 == pytest.approx(1.9, abs=0.05)
