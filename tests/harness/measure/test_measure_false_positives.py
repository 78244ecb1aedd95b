"""Two identical arms on a machine that drifts: which analysis keeps its 5 %?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.measure.rounds import round_order
from harness.measure.samples import SAMPLE_COLUMNS
from harness.measure.summaries import log_ratios_by_round

EXPERIMENTS, ROUNDS, ITERATIONS = 400, 20, 8


def drifting_noise(generator: np.random.Generator, visits: int) -> np.ndarray:
    """Log slowdown, (visits, iterations): the machine wanders, each visit has a shock, iterations noise."""
    wander = np.cumsum(generator.normal(0, 0.02, visits))
    shock = generator.normal(0, 0.02, visits)
    return (wander + shock)[:, None] + generator.normal(0, 0.02, (visits, ITERATIONS))


def samples_of(arms: list[str], times: np.ndarray) -> pd.DataFrame:
    visits = len(arms)
    return pd.DataFrame(
        {
            "round": np.repeat(np.arange(visits) // 2, ITERATIONS),
            "position": np.repeat(np.arange(visits) % 2, ITERATIONS),
            "arm": np.repeat(arms, ITERATIONS),
            "iteration": np.tile(np.arange(ITERATIONS), visits),
            "quantity": "request",
            "stage": "",
            "nanoseconds": np.round(times.ravel()),
            "kept": True,
        }
    ).astype(SAMPLE_COLUMNS)


@pytest.fixture(scope="module")
def rates() -> dict[str, float]:
    """False-positive rates at 0.05 of three analyses of the same kind of noise."""
    generator = np.random.default_rng(20240611)
    hits = dict.fromkeys(("rounds", "interleaved raw", "sequential raw"), 0)
    for _ in range(EXPERIMENTS):
        times = 1e7 * np.exp(drifting_noise(generator, 2 * ROUNDS))
        arms = [arm for _ in range(ROUNDS) for arm in round_order(["a", "b"], generator)]
        ratios = log_ratios_by_round(samples_of(arms, times), "a", "b")
        hits["rounds"] += stats.ttest_1samp(ratios, 0.0).pvalue < 0.05
        is_a = np.array(arms) == "a"
        hits["interleaved raw"] += stats.mannwhitneyu(times[is_a].ravel(), times[~is_a].ravel()).pvalue < 0.05
        first, second = times[:ROUNDS].ravel(), times[ROUNDS:].ravel()
        hits["sequential raw"] += stats.mannwhitneyu(first, second).pvalue < 0.05
    return {name: count / EXPERIMENTS for name, count in hits.items()}


def test_rounds_keep_the_nominal_level(rates: dict[str, float]) -> None:
    three_deviations = 3 * np.sqrt(0.05 * 0.95 / EXPERIMENTS)
    assert abs(rates["rounds"] - 0.05) < three_deviations


def test_raw_samples_do_not_and_sequential_blocks_least_of_all(rates: dict[str, float]) -> None:
    assert rates["interleaved raw"] > 0.09
    assert rates["sequential raw"] > 0.5
