"""How an effect grows along a factor: a trend with ``minus``, equal to a difference of differences."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from scipy import stats
from synthetic import FAILED, claim_yaml, judged, trials_folder

from harness.errors import UserError
from harness.spec.load import load_experiment


def spec(levels: list[float], **keys: Any) -> dict[str, Any]:
    claim = {"form": "trend", "along": "level", "arm": {"arm": "a"}, "minus": {"arm": "b"}, **keys}
    return {
        "factors": {"arm": ["a", "b"], "level": levels},
        "replicates": 6,
        "claims": [claim_yaml(**claim)],
    }


def values(seed: int) -> dict[tuple[str, float, int], float]:
    drawn = numpy.random.default_rng(seed).normal(size=(2, 3, 6))
    return {
        (arm, float(level), replicate): float(drawn[a, level, replicate]) + (2.0 * level if arm == "a" else 0.0)
        for a, arm in enumerate("ab")
        for level in range(3)
        for replicate in range(6)
    }


def made(table: dict[tuple[str, float, int], float]) -> Any:
    return lambda trial: {"value": table[str(trial.arm["arm"]), float(trial.arm["level"]), trial.replicate]}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_two_levels_it_is_the_paired_interaction(seed: int) -> None:
    table = values(seed)
    found = judged(spec([0.0, 1.0]), made(table))["c"]
    each = [table["a", 1.0, r] - table["b", 1.0, r] - table["a", 0.0, r] + table["b", 0.0, r] for r in range(6)]
    assert found.effect == pytest.approx(numpy.mean(each), abs=1e-10)
    low, high = stats.ttest_1samp(each, 0).confidence_interval(0.95)
    assert found.interval == pytest.approx((low, high), abs=1e-8)


def test_it_is_the_first_arms_trend_less_the_seconds() -> None:
    table = values(3)
    both = judged(spec([0.0, 1.0, 2.0]), made(table))["c"]
    alone = [judged(spec([0.0, 1.0, 2.0], arm={"arm": arm}, minus={}), made(table))["c"] for arm in "ab"]
    assert both.effect == pytest.approx(alone[0].effect - alone[1].effect, abs=1e-10)


def test_a_trial_lost_in_the_second_arm_is_lost() -> None:
    table = values(4)

    def one_fails(trial: Any) -> Any:
        lost = (trial.arm["arm"], trial.arm["level"], trial.replicate) == ("b", 1.0, 2)
        return FAILED if lost else made(table)(trial)

    found = judged(spec([0.0, 1.0], possible=[-4, 6]), one_fails)["c"]
    assert found.n == 5 and sum(arm.lost for arm in found.arms) >= 1


@pytest.mark.parametrize(
    ("minus", "message"),
    [
        ({"arm": "b", "level": 0.0}, "fixes .level., along which the claim looks"),
        ({"other": 1}, "must name the factors"),
    ],
)
def test_the_second_arm_names_the_same_factors(minus: dict[str, Any], message: str) -> None:
    import yaml

    path = trials_folder() / "wrong_minus.yaml"
    whole = {
        "experiment": "x", "title": "T", "trial": "small_trials:arms", "profiles": {"laptop": {"fidelity": "paper"}},
        **spec([0.0, 1.0], minus=minus),
    }  # fmt: skip
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    with pytest.raises(UserError, match=message):
        load_experiment(path)
