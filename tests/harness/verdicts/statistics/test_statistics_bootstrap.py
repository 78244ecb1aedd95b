"""Bootstraps against slow loops over the same random numbers, against Student's t, and by their coverage."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS

from harness.verdicts.statistics import bootstrap
from harness.verdicts.statistics.bootstrap import (
    clustered_draws,
    generator_for,
    interquartile_mean,
    iqm_draws,
    mean_curve_draws,
)
from harness.verdicts.statistics.means import mean_estimate

CLASSES = numpy.array(["cat", "ant", "cat", "bee", "ant", "cat", "dog", "bee"])


def test_a_path_gives_the_same_bytes_every_time() -> None:
    key = numpy.frombuffer(hashlib.sha256(b"claim\0draws").digest()[:16], dtype="<u8")
    expected = numpy.random.Generator(numpy.random.Philox(key=key)).bytes(64)
    assert generator_for("claim", "draws").bytes(64) == expected
    assert generator_for("claim").bytes(8).hex() == "c773b9763e6fab8a"


def test_other_paths_give_other_bytes() -> None:
    paths = [("a", "b"), ("ab",), ("b", "a"), ("a",), ()]
    assert len({generator_for(*path).bytes(16) for path in paths}) == len(paths)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40))
def test_interquartile_mean_drops_a_quarter_on_either_side(values: list[float]) -> None:
    cut = len(values) // 4
    kept = sorted(values)[cut : len(values) - cut]
    assert math.isclose(interquartile_mean(values), sum(kept) / len(kept), rel_tol=1e-10, abs_tol=1e-10)


def test_interquartile_mean_is_over_all_cells() -> None:
    table = numpy.array([[0.0, 100.0], [1.0, 2.0], [3.0, -50.0], [4.0, 5.0]])
    assert interquartile_mean(table) == 2.5 == interquartile_mean(table.ravel())
    with pytest.raises(ValueError, match="finite"):
        interquartile_mean([])


def test_iqm_draws_are_those_of_a_slow_loop() -> None:
    values = numpy.random.default_rng(1).normal(size=(4, 3))
    found = iqm_draws(values, generator_for("x"), 200)
    generator = generator_for("x")
    chosen = generator.integers(4, size=(200, 4, 3))
    factors = math.sqrt(4 / 3) * numpy.sqrt(9 / generator.chisquare(9, 200))
    effect = interquartile_mean(values)
    slow = []
    for rows, factor in zip(chosen, factors, strict=True):
        resampled = sorted(values[rows[r, task], task] for r in range(4) for task in range(3))
        slow.append(effect + factor * (sum(resampled[3:9]) / 6 - effect))
    assert numpy.allclose(found.draws, sorted(slow), rtol=1e-10, atol=1e-10)
    assert (found.effect, found.n) == (effect, 4)


@pytest.mark.parametrize("replicates", [1, 3])
def test_clustered_draws_are_those_of_a_slow_loop(replicates: int) -> None:
    values = numpy.random.default_rng(2).normal(size=(replicates, 8))
    found = clustered_draws(values, CLASSES, generator_for("x"), 200)
    generator = generator_for("x")
    rows = generator.multinomial(replicates, [1 / replicates] * replicates, 200)
    times = generator.multinomial(4, [1 / 4] * 4, 200)
    by_class = math.sqrt(4 / 3) * numpy.sqrt(3 / generator.chisquare(3, 200))
    effect = float(values.mean())
    slow = []
    for draw in range(200):
        items = [
            i
            for name, k in zip(["ant", "bee", "cat", "dog"], times[draw], strict=True)
            for i in numpy.flatnonzero(name == CLASSES).tolist() * k
        ]
        both = [r for r in range(replicates) for _ in range(rows[draw, r])]
        classes_alone = values[:, items].mean() - effect
        replicates_alone = values[both].mean() - effect
        rest = values[numpy.ix_(both, items)].mean() - effect - classes_alone - replicates_alone
        slow.append((classes_alone, replicates_alone, rest))
    parts = numpy.array(slow)
    deviations = by_class * parts[:, 0]
    if replicates > 1:
        by_replicate = math.sqrt(3 / 2) * numpy.sqrt(2 / generator.chisquare(2, 200))
        deviations += by_replicate * parts[:, 1] + parts[:, 2]
    assert numpy.allclose(found.draws, numpy.sort(effect + deviations), rtol=1e-10, atol=1e-10)
    assert (found.effect, found.n) == (effect, 8)


@pytest.mark.parametrize(
    "make",
    [
        lambda g: iqm_draws(numpy.arange(12.0).reshape(4, 3) ** 2, g, 300).draws,
        lambda g: clustered_draws(numpy.arange(16.0).reshape(2, 8) ** 2, CLASSES, g, 300).draws,
    ],
)
def test_little_memory_changes_nothing(
    make: Callable[[numpy.random.Generator], numpy.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(generator_for("x"))
    monkeypatch.setattr(bootstrap, "CELLS", 100)
    assert len(whole) == 300 and numpy.allclose(make(generator_for("x")), whole, rtol=1e-12)
    assert not numpy.allclose(make(generator_for("y")), whole, rtol=1e-3)


@pytest.mark.parametrize("factor", [-3.0, 0.5])
def test_bootstraps_move_and_scale_with_the_values(factor: float) -> None:
    values = numpy.random.default_rng(3).normal(size=(3, 8))
    for make in (
        lambda v: iqm_draws(v, generator_for("x"), 100).draws,
        lambda v: clustered_draws(v, CLASSES, generator_for("x"), 100).draws,
        lambda v: numpy.sort(mean_curve_draws(v, generator_for("x"), 100), axis=None),
    ):
        assert numpy.allclose(make(7.0 + factor * values), numpy.sort(7.0 + factor * make(values)), rtol=1e-9)


def test_names_of_classes_and_order_of_items_do_not_matter() -> None:
    values = numpy.random.default_rng(4).normal(size=(2, 8))
    order = numpy.random.default_rng(5).permutation(8)
    numbers = numpy.array([{"ant": 0, "bee": 1, "cat": 2, "dog": 9}[name] for name in CLASSES])
    found = clustered_draws(values, CLASSES, generator_for("x"), 100).draws
    again = clustered_draws(values[:, order], numbers[order], generator_for("x"), 100).draws
    assert numpy.allclose(found, again, rtol=1e-10)


TABLE = numpy.ones((2, 3))
HOLE = numpy.array([[1.0, math.nan, 2.0], [1.0, 2.0, 3.0]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: iqm_draws(TABLE[:1], g), "at least two"),
        (lambda g: iqm_draws(HOLE, g), "finite"),
        (lambda g: iqm_draws(TABLE[0], g), "a table"),
        (lambda g: mean_curve_draws(TABLE[:1], g), "at least two"),
        (lambda g: mean_curve_draws(HOLE, g), "finite"),
        (lambda g: clustered_draws(TABLE, numpy.zeros(3), g), "at least two"),
        (lambda g: clustered_draws(HOLE, numpy.arange(3), g), "finite"),
        (lambda g: clustered_draws(TABLE, numpy.arange(2), g), "class of each item"),
        (lambda g: clustered_draws(TABLE[:0], numpy.arange(3), g), "a table"),
    ],
)
def test_what_carries_no_bootstrap_is_refused(make: Callable[[numpy.random.Generator], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(generator_for("x"))


def covered(rate: float, confidence: float, sims: int) -> bool:
    return abs(rate - confidence) < 3 * math.sqrt(confidence * (1 - confidence) / sims)


@pytest.mark.parametrize(("clusters", "confidence", "draws"), [(10, 0.95, 999), (30, 0.95, 999), (5, 0.995, 1999)])
def test_clustered_draws_cover_as_promised(clusters: int, confidence: float, draws: int) -> None:
    """Classes differ as much as their items. Percentiles as they are cover 91 % with 10 classes; a fixed widening by
    t / z at 97.5 % errs five times as often as it may with 5 classes at 99.5 %."""
    generator = numpy.random.default_rng(20070801)
    sims, each = 700, 4
    classes = numpy.repeat(numpy.arange(clusters), each)
    inside = 0
    for _ in range(sims):
        items = generator.normal(0, 1, clusters)[classes] + generator.normal(0, 1, classes.size)
        low, high = clustered_draws(items[None, :], classes, generator, draws).interval(confidence)
        inside += low <= 0 <= high
    assert covered(inside / sims, confidence, sims)


def test_crossed_draws_cover_at_least_as_promised() -> None:
    """Three replicates that vary as much as 20 classes: without the replicates' own factor 82 % are covered."""
    generator = numpy.random.default_rng(20070802)
    sims, classes = 700, numpy.repeat(numpy.arange(20), 3)
    inside = 0
    for _ in range(sims):
        values = generator.normal(0, 1, 20)[classes] + generator.normal(0, 1, (3, 1)) + generator.normal(0, 1, (3, 60))
        low, high = clustered_draws(values, classes, generator, 999).interval()
        inside += low <= 0 <= high
    assert 0.95 - 3 * math.sqrt(0.95 * 0.05 / sims) < inside / sims < 0.99


def test_iqm_draws_cover_as_promised_with_three_replicates() -> None:
    """Percentiles as they are cover 88 % with 3 replicates of 5 tasks. The tasks' means lie symmetric around zero."""
    generator = numpy.random.default_rng(21081326)
    sims, inside = 700, 0
    for _ in range(sims):
        low, high = iqm_draws(generator.normal(numpy.linspace(-1, 1, 5), 1, (3, 5)), generator, 999).interval()
        inside += low <= 0 <= high
    assert covered(inside / sims, 0.95, sims)


@pytest.mark.parametrize("n", [3, 8])
def test_contrasts_of_mean_curve_draws_have_students_law(n: int) -> None:
    values = numpy.random.default_rng(n).normal([0.0, 1.0, 3.0], [1.0, 2.0, 0.5], (n, 3))
    draws = mean_curve_draws(values, generator_for("curve"), 20_000)
    assert draws.shape == (20_000, 3)
    for contrast in ([1.0, -1.0, 0.0], [-0.5, -0.5, 1.0], [0.0, 0.0, 1.0]):
        expected = mean_estimate(values @ contrast)
        ratio = (draws @ contrast - expected.effect) / expected.standard_error
        assert stats.kstest(ratio, stats.t(n - 1).cdf).pvalue > 0.001
        for level in (0.025, 0.2, 0.975):
            # As a share of the draws: the binomial error of a quantile.
            share = float(
                (draws @ contrast <= stats.t.ppf(level, n - 1) * expected.standard_error + expected.effect).mean()
            )
            assert abs(share - level) < 3.5 * math.sqrt(level * (1 - level) / 20_000)


@pytest.mark.parametrize("sizes", [(30,) * 15, (10, 20, 30, 40, 50, 60, 15, 25, 35, 45, 55, 12)])
def test_clustered_intervals_are_those_of_statsmodels_cluster_robust_errors(sizes: tuple[int, ...]) -> None:
    draws = numpy.random.default_rng(len(sizes))
    classes = numpy.repeat(numpy.arange(len(sizes)), sizes)
    outcomes = draws.normal(0.1, 0.3, len(sizes))[classes] + draws.normal(size=len(classes))
    fitted = OLS(outcomes, numpy.ones((len(classes), 1))).fit(
        cov_type="cluster", cov_kwds={"groups": classes}, use_t=True
    )
    found = clustered_draws(outcomes[None], classes, generator_for("against statsmodels"), 200_000)
    (low, high) = fitted.conf_int()[0]
    assert found.effect == pytest.approx(fitted.params[0], abs=1e-12)
    # A ratio's draws are not quite symmetric, where clusters differ in size.
    near = 0.02 if len(set(sizes)) == 1 else 0.08
    assert numpy.array(found.interval()) == pytest.approx([low, high], abs=near * (high - low))
