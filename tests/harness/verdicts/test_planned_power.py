"""Power before money: what a plan could find, out of earlier attempts, a pilot or a declared spread."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower
from synthetic import Made, claim_yaml, design_of, published_yaml, state_with, trials_folder

from harness.plan.state import PlanState
from harness.plan.trials import Trial
from harness.verdicts.planned_power import PlannedPower, planned_power, undecidable
from harness.verdicts.statistics.power import detectable_effect, power_of_t, replicates_needed

PAIRED: dict[str, Any] = {"form": "difference", "treatment": {"arm": "a"}, "control": {"arm": "b"}}
DECLARED = {"planning": {"sd": 1.0, "effect": 1.0, "reason": "a pilot elsewhere"}}


def nothing(trial: Trial) -> Made:
    return None


def drawn(trial: Trial) -> Made:
    values = numpy.random.default_rng(1).normal(size=(50, 2))
    return {"value": float(values[trial.replicate, "ab".index(str(trial.arm["arm"]))])}


def state(make: Callable[[Trial], Made] = nothing, replicates: Any = 10, claims: Any = None, **spec: Any) -> PlanState:
    whole = {"factors": {"arm": ["a", "b"]}, "replicates": replicates, "claims": claims, **spec}
    return state_with(design_of(trials_folder(), whole), make)


def power_of(
    make: Callable[[Trial], Made] = nothing, replicates: Any = 10, spec: Any = None, **claim: Any
) -> PlannedPower:
    return planned_power(state(make, replicates, [claim_yaml(**{**PAIRED, **claim})], **(spec or {})))[0]


@pytest.mark.parametrize("replicates", [5, 10, 20])
def test_a_declared_spread_gives_the_power_of_the_t_test(replicates: int) -> None:
    found = power_of(replicates=replicates, **DECLARED)
    assert (found.sd, found.sd_from, found.effect, found.effect_from) == (
        1.0, "declared: a pilot elsewhere", 1.0, "declared",
    )  # fmt: skip
    assert found.power == power_of_t(1.0, 1.0, replicates, 0.05)
    assert found.mde == detectable_effect(1.0, replicates, 0.05)
    assert found.needed == replicates_needed(1.0, 1.0, 0.05) == 10
    # The wrong side is nothing found, so the textbook's two-sided power is a hair above.
    assert found.power == pytest.approx(TTestPower().power(1.0, replicates, 0.05, alternative="two-sided"), abs=1e-3)
    assert found.decides == (replicates >= 10) and bool(found.problem) == (replicates < 10)


def test_a_plan_that_can_hardly_decide_says_so() -> None:
    found = power_of(replicates=5, unit="points", **DECLARED)
    assert found.problem == (
        "it decides in 40% of cases if the effect is 1 points (declared); 10 replicates would in 80 %"
    )
    assert undecidable([found]) == [found]


@pytest.mark.parametrize("effect", [0.3, 1.0, 3.0])
def test_the_spread_of_earlier_attempts_comes_first(effect: float) -> None:
    planning = {"planning": {"sd": 50.0, "effect": effect, "reason": "r"}}
    found = power_of(lambda t: drawn(t) if t.replicate < 6 else None, **planning)
    differences = [drawn(_trial(r, "a"))["value"] - drawn(_trial(r, "b"))["value"] for r in range(6)]  # type: ignore[index,call-overload]
    sd = float(numpy.std(differences, ddof=1))
    assert found.sd == pytest.approx(sd, rel=1e-10) and found.sd_from == "earlier attempts (6 units)"
    assert found.units == 10 and found.power == pytest.approx(power_of_t(effect, sd, 10), rel=1e-9)


def _trial(replicate: int, arm: str) -> Trial:
    return Trial("", {"arm": arm}, {}, {}, replicate, {})


def test_two_earlier_attempts_tell_no_spread() -> None:
    found = power_of(lambda t: drawn(t) if t.replicate < 2 else None, **DECLARED)
    assert found.sd_from.startswith("declared")


def test_a_pilot_comes_before_what_is_declared() -> None:
    claims = [claim_yaml(**PAIRED, **DECLARED)]
    profiles = {"laptop": {"fidelity": "paper"}, "smoke": {"fidelity": "proxy", "replicates": 4}}
    folder = trials_folder()
    spec = {"factors": {"arm": ["a", "b"]}, "replicates": 10, "claims": claims, "profiles": profiles}
    pilot = state_with(design_of(folder, spec, profile="smoke"), drawn)
    plan = state_with(design_of(folder, spec), nothing)
    assert planned_power(plan, pilot)[0].sd_from == "the pilot (4 units)"
    assert planned_power(plan)[0].sd_from.startswith("declared")
    assert planned_power(state_with(design_of(folder, spec), drawn), pilot)[0].sd_from == "earlier attempts (10 units)"


def test_the_published_effect_is_what_must_not_be_missed_unless_another_is_declared() -> None:
    found = power_of(**published_yaml(2.0, 0.5), planning={"sd": 1.0, "reason": "r"})
    assert (found.effect, found.effect_from) == (2.0, "published")
    assert found.power == power_of_t(2.0, 1.0, 10)


def test_without_a_spread_nothing_is_known_and_nothing_refused() -> None:
    found = power_of()
    assert (found.sd, found.power, found.mde, found.decides, found.problem) == (None, None, None, None, "")
    assert undecidable([found]) == []
    assert power_of(planning={"sd": 1.0, "reason": "r"}).mde == detectable_effect(1.0, 10)


def test_one_replicate_has_no_interval() -> None:
    found = power_of(replicates=1)
    assert (found.decides, found.problem) == (False, "one replicate has no interval")


@pytest.mark.parametrize(
    ("keys", "gap"),
    [
        ({"at_least": 0.25, "bound_reason": "b"}, 0.75),
        ({"at_most": 3.0, "bound_reason": "b"}, 2.0),
        ({"form": "non_inferiority", "tolerated": {"absolute": 0.5, "reason": "r"}}, 1.5),
    ],
)
def test_the_effect_counts_from_the_threshold(keys: dict[str, Any], gap: float) -> None:
    assert power_of(**DECLARED, **keys).power == power_of_t(gap, 1.0, 10)


def test_a_ratio_is_planned_on_the_scale_of_logarithms() -> None:
    keys: dict[str, Any] = {"form": "ratio", "numerator": {"arm": "a"}, "denominator": {"arm": "b"}}
    claim = claim_yaml(**keys, planning={"sd": 0.1, "effect": 1.2, "reason": "r"})
    found = planned_power(state(replicates=6, claims=[claim]))[0]
    assert found.power == power_of_t(math.log(1.2), 0.1, 6)
    assert found.mde == pytest.approx(math.exp(detectable_effect(0.1, 6)), rel=1e-12)


def test_within_a_band_both_ends_must_be_cleared() -> None:
    keys = {"form": "equivalence", "within": {"absolute": 1.0, "reason": "r"}}
    found = power_of(replicates=20, planning={"sd": 1.0, "effect": 0.0, "reason": "r"}, **keys)
    assert found.power == 2 * power_of_t(1.0, 1.0, 20) - 1
    draws = numpy.random.default_rng(2).normal(size=(20_000, 20))
    half = stats.t.isf(0.025, 19) * draws.std(axis=1, ddof=1) / math.sqrt(20)
    inside = ((draws.mean(axis=1) - half > -1) & (draws.mean(axis=1) + half < 1)).mean()
    assert found.power == pytest.approx(inside, abs=0.01)


def test_an_optimum_counts_from_the_bound_that_the_sentence_states() -> None:
    keys = {"form": "optimum", "along": "level", "claimed": [2.0], "against": 1.0}
    planning = {"planning": {"sd": 1.0, "effect": 3.0, "reason": "r"}}
    spec = {"factors": {"level": [1.0, 2.0]}, "replicates": 5}
    for bound, gap in (({}, 3.0), ({"at_least": 2.0, "bound_reason": "b"}, 1.0)):
        design = design_of(trials_folder(), {**spec, "claims": [claim_yaml(**keys, **planning, **bound)]})
        assert planned_power(state_with(design, nothing))[0].power == power_of_t(gap, 1.0, 5)


def test_families_and_readings_share_the_level() -> None:
    claims = [claim_yaml(id=f"c{index}", **PAIRED, **DECLARED) for index in range(4)]
    assert {found.level for found in planned_power(state(claims=claims))} == {0.05 / 4}
    claims[0]["family"] = "exploratory"
    assert [found.level for found in planned_power(state(claims=claims))] == [0.05] + [0.05 / 3] * 3
    claims[1]["exact"] = True
    found = planned_power(state(claims=claims))
    assert [one.claim for one in found] == ["c0", "c2", "c3"], "counts have no power"
    assert [one.level for one in found] == [0.05, 0.025, 0.025]
    select = {"factors": ["level"], "metric": "validation", "matched": {"level": 1.0}}
    tuned = state(claims=claims[2:3], factors={"arm": ["a", "b"], "level": [1.0, 2.0]}, select=select)
    assert planned_power(tuned)[0].level == 0.025, "two readings"


def test_an_exploratory_claim_is_never_refused() -> None:
    assert undecidable([power_of(replicates=3, family="exploratory", **DECLARED)]) == []


def test_looks_stop_early_and_cost_a_little_power() -> None:
    looks = {"min": 4, "max": 12, "looks": [4, 8, 12]}
    found, plain = power_of(replicates=looks, **DECLARED), power_of(replicates=12, **DECLARED)
    assert found.units == 12 and found.power is not None and plain.power is not None
    assert plain.power - 0.05 < found.power < plain.power + 0.005
    assert found.expected_units is not None and 4 < found.expected_units < 12 and plain.expected_units is None
    assert found.mde == pytest.approx(plain.mde, rel=0.05)
    assert found == power_of(replicates=looks, **DECLARED), "the same bytes every time"


@pytest.mark.parametrize(
    "spec",
    [
        {"profiles": {"laptop": {"fidelity": "paper", "conclusive": False}}},
        {"profiles": {"laptop": {"fidelity": "paper", "factors": {"arm": ["a"]}}}},
    ],
)
def test_what_this_profile_cannot_decide_anyway_is_not_refused(spec: dict[str, Any]) -> None:
    assert power_of(replicates=1, spec=spec).decides is None


def test_what_more_replicates_would_cost() -> None:
    plan = state(replicates=4, claims=[claim_yaml(**PAIRED, **DECLARED)])
    assert planned_power(plan, seconds_of_replicate=3.0)[0].seconds == 3.0 * (10 - 4)


def test_no_number_of_replicates_may_suffice() -> None:
    found = power_of(replicates=5, planning={"sd": 1e6, "effect": 1e-3, "reason": "r"})
    assert found.needed is None and "no number of replicates would in 80 %" in found.problem


def test_a_row_is_plain_data() -> None:
    for found in (
        power_of(),
        power_of(**DECLARED),
        power_of(replicates=1),
        power_of(replicates=2, planning={"sd": 900.0, "reason": "r"}),
    ):
        json.dumps(found.row(), allow_nan=False)
        assert "claim" not in found.row()
    huge = claim_yaml(
        form="ratio", numerator={"arm": "a"}, denominator={"arm": "b"}, planning={"sd": 900.0, "reason": "r"}
    )
    assert planned_power(state(replicates=2, claims=[huge]))[0].row()["mde"] is None
