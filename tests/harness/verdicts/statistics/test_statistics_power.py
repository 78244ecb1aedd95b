"""Power of the paired t test, exact and with looks: statsmodels, simulation, and inverses that invert."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats
from statsmodels.stats.power import TTestPower

from harness.verdicts.statistics.power import (
    detectable_effect,
    detectable_effect_with_looks,
    noncentrality,
    power_of_t,
    power_with_looks,
    replicates_needed,
)
from harness.verdicts.statistics.sequential import nominal_levels

LOOKS = (4, 8, 16, 24)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30, 200])
@pytest.mark.parametrize("effect", [0.0, 0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("level", [0.001, 0.05, 0.2])
def test_power_is_that_of_statsmodels_on_the_side_of_the_effect(n: int, effect: float, level: float) -> None:
    expected = TTestPower().power(effect, n, level / 2.0, alternative="larger")
    assert power_of_t(3.0 * effect, 3.0, n, level) == pytest.approx(float(expected), abs=1e-8)
    assert power_of_t(-3.0 * effect, 3.0, n, level) == power_of_t(3.0 * effect, 3.0, n, level)


@pytest.mark.parametrize(("n", "critical_level", "shift"), [(2, 8.9e-5, 100.0), (2, 1e-12, 1e11), (3, 1e-9, 5e4)])
def test_power_at_tiny_levels_is_the_chi_square_integral(n: int, critical_level: float, shift: float) -> None:
    critical = stats.t.isf(critical_level / 2.0, n - 1)

    def given_numerator(normal: float) -> float:
        below = special.chdtr(n - 1, (n - 1) * (max(shift + normal, 0.0) / critical) ** 2)
        return float(stats.norm.pdf(normal) * below)

    expected = integrate.quad(given_numerator, -10.0, 10.0, epsrel=1e-11, limit=200)[0]
    assert power_of_t(shift / math.sqrt(n), 1.0, n, critical_level) == pytest.approx(expected, rel=1e-7)


def test_power_by_simulation() -> None:
    runs = 100_000
    data = numpy.random.default_rng(31).normal(0.8, 1.0, (runs, 6))
    statistic = data.mean(axis=1) / (data.std(axis=1, ddof=1) / math.sqrt(6))
    simulated = float(numpy.mean(statistic > stats.t.isf(0.025, 5)))
    assert power_of_t(0.8, 1.0, 6) == pytest.approx(simulated, abs=3.0 * 0.5 / math.sqrt(runs))


@given(sd=st.floats(1e-3, 1e3), n=st.integers(2, 400), level=st.floats(1e-6, 0.3), power=st.floats(0.2, 0.99))
@settings(max_examples=60, deadline=None)
def test_the_detectable_effect_has_the_power_asked_for(sd: float, n: int, level: float, power: float) -> None:
    effect = detectable_effect(sd, n, level, power)
    assert power_of_t(effect, sd, n, level) == pytest.approx(power, abs=1e-8)
    assert detectable_effect(2.0 * sd, n, level, power) == pytest.approx(2.0 * effect, rel=1e-9)


def test_the_detectable_effect_is_that_of_statsmodels() -> None:
    for n in (3, 5, 12, 50):
        # Its solver stops at about 1e-6, so its power function is asked at our effect.
        power = TTestPower().power(detectable_effect(2.0, n) / 2.0, n, 0.025, alternative="larger")
        assert float(power) == pytest.approx(0.8, abs=1e-9)


@given(effect=st.floats(0.1, 5.0), level=st.floats(1e-5, 0.3), power=st.floats(0.2, 0.99))
@settings(max_examples=60, deadline=None)
def test_replicates_needed_is_the_smallest_number_that_suffices(effect: float, level: float, power: float) -> None:
    needed = replicates_needed(effect, 1.0, level, power)
    assert needed is not None and power_of_t(effect, 1.0, needed, level) >= power
    assert needed == 2 or power_of_t(effect, 1.0, needed - 1, level) < power
    assert replicates_needed(-effect, 1.0, level, power, most=needed) == needed
    assert replicates_needed(effect, 1.0, level, power, most=needed - 1) is None


def test_replicates_needed_is_that_of_statsmodels() -> None:
    for effect in (0.02, 0.1, 0.5, 1.0):
        exact = TTestPower().solve_power(effect_size=effect, alpha=0.025, power=0.8, alternative="larger")
        assert replicates_needed(effect, 1.0) == math.ceil(float(exact))


def test_edges() -> None:
    assert detectable_effect(1.0, 1) == math.inf and detectable_effect(0.0, 5) == 0.0
    assert noncentrality(4, 0.5, 0.2) == 0.0
    assert power_of_t(1.0, 1.0, 1) == 0.0
    assert power_of_t(1.0, 0.0, 2) == 1.0 and power_of_t(0.0, 0.0, 2) == 0.0
    assert power_of_t(0.0, 1.0, 7, 0.05) == pytest.approx(0.025, abs=1e-12)
    assert power_of_t(1e6, 1.0, 50) == 1.0
    assert replicates_needed(0.0, 1.0) is None and replicates_needed(1e-4, 1.0) is None
    assert replicates_needed(1.0, 0.0) == 2


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (power_of_t, (math.nan, 1.0, 5)),
        (power_of_t, (1.0, -1.0, 5)),
        (power_of_t, (1.0, math.inf, 5)),
        (power_of_t, (1.0, 1.0, 5, 0.0)),
        (detectable_effect, (-1.0, 5)),
        (detectable_effect, (1.0, 5, 1.0)),
        (detectable_effect, (1.0, 5, 0.05, 1.0)),
        (replicates_needed, (1.0, math.nan)),
        (noncentrality, (0, 0.05, 0.8)),
        (power_with_looks, (1.0, 1.0, (), 0.05, numpy.random.default_rng(0))),
        (power_with_looks, (1.0, 1.0, (4, 4), 0.05, numpy.random.default_rng(0))),
        (power_with_looks, (1.0, 1.0, (0, 4), 0.05, numpy.random.default_rng(0))),
        (power_with_looks, (1.0, 1.0, (2, 4), 0.05, numpy.random.default_rng(0), 0)),
        (power_with_looks, (1.0, -1.0, (2, 4), 0.05, numpy.random.default_rng(0))),
        (detectable_effect_with_looks, (1.0, (2, 4), 0.05, numpy.random.default_rng(0), 1.0)),
    ],
)
def test_arguments_outside_their_range_are_refused(call, arguments) -> None:
    with pytest.raises(ValueError):
        call(*arguments)


def test_one_look_has_the_exact_power_of_the_t_test() -> None:
    found = power_with_looks(1.0, 1.5, (10,), 0.05, numpy.random.default_rng(32), draws=200_000)
    assert found.power == pytest.approx(power_of_t(1.0, 1.5, 10), abs=3.0 * 0.5 / math.sqrt(200_000))
    assert found.expected_n == 10.0


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("looks", [LOOKS, (2, 3, 4, 6)])
def test_power_with_looks_is_that_of_runs_simulated_difference_by_difference(looks, exact: bool) -> None:
    runs, effect, sd = 60_000, -1.4, 2.0
    levels = nominal_levels(0.05, tuple(look / looks[-1] for look in looks), looks if exact else None)
    data = numpy.random.default_rng(33).normal(effect, sd, (runs, looks[-1]))
    found, going, used = numpy.zeros(runs, bool), numpy.ones(runs, bool), numpy.zeros(runs)
    for look, level in zip(looks, levels, strict=True):
        test = stats.ttest_1samp(data[:, :look], 0.0, axis=1)
        used[going] = look
        stops = going & (test.pvalue <= level)
        found |= stops & (test.statistic < 0.0)
        going &= ~stops
    ours = power_with_looks(effect, sd, looks, 0.05, numpy.random.default_rng(34), draws=runs, exact=exact)
    assert ours.power == pytest.approx(found.mean(), abs=3.0 * found.std() * math.sqrt(2.0 / runs))
    assert ours.expected_n == pytest.approx(used.mean(), abs=3.0 * used.std() * math.sqrt(2.0 / runs))


def test_without_effect_a_side_is_rejected_half_as_often_as_alpha() -> None:
    draws = 400_000
    looks = (2, 4, 6, 8)
    null = power_with_looks(0.0, 1.0, looks, 0.05, numpy.random.default_rng(35), draws=draws, exact=True)
    assert null.power == pytest.approx(0.025, abs=3.0 * math.sqrt(0.025 * 0.975 / draws))
    assert null.expected_n < 8.0


def test_looks_cost_little_power_and_save_replicates() -> None:
    effect = detectable_effect(1.0, 24)
    found = power_with_looks(effect, 1.0, LOOKS, 0.05, numpy.random.default_rng(36))
    assert 0.76 < found.power < 0.8
    assert 20.0 < found.expected_n < 22.0


def test_power_with_looks_depends_on_the_generator_only() -> None:
    first, again = (power_with_looks(0.7, 1.0, LOOKS, 0.05, numpy.random.default_rng(37), 500) for _ in range(2))
    assert first == again


def test_the_detectable_effect_with_looks_has_the_power_asked_for() -> None:
    effect = detectable_effect_with_looks(2.0, LOOKS, 0.05, numpy.random.default_rng(38))
    found = power_with_looks(effect, 2.0, LOOKS, 0.05, numpy.random.default_rng(39), draws=100_000)
    error = 0.4 * math.sqrt(1.0 / 100_000 + 1.0 / 20_000)
    assert found.power == pytest.approx(0.8, abs=3.0 * error)
    assert effect > detectable_effect(2.0, 24)
    alone = detectable_effect_with_looks(1.0, (12,), 0.05, numpy.random.default_rng(40))
    assert alone == pytest.approx(detectable_effect(1.0, 12), rel=0.02)


def test_edges_with_looks() -> None:
    generator = numpy.random.default_rng(41)
    assert detectable_effect_with_looks(1.0, (1,), 0.05, generator) == math.inf
    assert detectable_effect_with_looks(0.0, (2, 4), 0.05, generator) == 0.0
    assert power_with_looks(0.0, 0.0, (2, 4), 0.05, generator).power == 0.0
    certain = power_with_looks(1.0, 0.0, (1, 3, 5), 0.05, generator, draws=100)
    assert certain.power == 1.0 and certain.expected_n == 3.0
    # A look whose level is below what a t test can resolve does not reject.
    assert power_with_looks(0.0, 1.0, (4, 400), 1e-6, generator, draws=100).expected_n == 400.0
