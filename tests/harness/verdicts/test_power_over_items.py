"""A plan that is judged over test items has no power before there are outcomes, and is not refused for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from synthetic import claim_yaml, design_of, state_with, trials_folder
from test_items_of_settings import BY_CLASS, BY_SET, DIFFERENCE, SPEC, state_of_items

from harness.cli.plan_command import power_line
from harness.plan.state import PlanState
from harness.verdicts.judge import judge
from harness.verdicts.planned_power import UNKNOWN_ITEMS, planned_power, undecidable
from harness.verdicts.statistics.power import power_of_t

PLANNING = {"planning": {"sd": 0.001, "effect": 5.0, "reason": "the spread between trained replicates"}}


def unstarted(replicates: Any = 1, items: Any = BY_SET, **claim: Any) -> PlanState:
    profiles = {"laptop": {"fidelity": "paper", "items": items}} if items else {"laptop": {"fidelity": "paper"}}
    spec = {**SPEC, "replicates": replicates, "claims": [claim_yaml(**DIFFERENCE, **claim)], "profiles": profiles}
    return state_with(design_of(trials_folder(), spec), lambda trial: None)


@pytest.mark.parametrize("replicates", [1, 3, {"min": 1, "max": 3, "looks": [1, 3]}])
@pytest.mark.parametrize("keys", [{}, PLANNING], ids=["nothing declared", "a spread of replicates"])
def test_nothing_is_known_before_there_are_outcomes(replicates: Any, keys: dict[str, Any]) -> None:
    state = unstarted(replicates, **keys)
    (found,) = planned_power(state)
    assert (found.units, found.sd, found.power, found.decides, found.problem) == (None, None, None, None, "")
    assert found.unknown == UNKNOWN_ITEMS and undecidable([found]) == []
    assert power_line(found, state.design) == f"c: {UNKNOWN_ITEMS}"


def test_items_of_the_claims_own_are_not_refused_either() -> None:
    claims = [claim_yaml(**DIFFERENCE, items=BY_CLASS)]
    state = state_with(design_of(trials_folder(), {**SPEC, "claims": claims}), lambda trial: None)
    assert undecidable(planned_power(state)) == []


def test_without_items_one_replicate_is_refused_as_before() -> None:
    (found,) = undecidable(planned_power(unstarted(items=None)))
    assert found.problem == "one replicate has no interval"


@pytest.fixture
def folder(in_workplace: Callable[..., Path], tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("items", [BY_SET, BY_CLASS], ids=["sets", "classes"])
def test_outcomes_tell_what_the_test_set_finds(folder: Path, items: dict[str, Any]) -> None:
    state = state_of_items(folder, items, planning={"effect": 5.0, "reason": "r"})
    (found,) = planned_power(state)
    (judgement,) = judge(state)
    low, high = judgement.interval
    sd = (high - low) / 2 / float(stats.norm.ppf(0.975)) * math.sqrt(judgement.n)
    assert found.units == judgement.n and found.sd == pytest.approx(sd, rel=1e-9)
    assert found.sd_from == f"earlier attempts ({judgement.n} items)"
    assert found.power == pytest.approx(power_of_t(5.0, sd, judgement.n), rel=1e-9)
    assert found.decides is None and found.needed is None, "how large a test set is, no plan chooses"
    assert undecidable([found]) == [] and found.unknown == ""
    assert "units find" in power_line(found, state.design) and "decides in" in power_line(found, state.design)


def test_a_pilot_has_other_items(folder: Path) -> None:
    pilot = state_of_items(folder, BY_CLASS)
    (found,) = planned_power(unstarted(items=BY_CLASS), pilot)
    assert found.unknown == UNKNOWN_ITEMS and found.sd is None
