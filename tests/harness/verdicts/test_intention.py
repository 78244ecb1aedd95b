"""Analysis by intention: what lost trials could have given decides along."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
from scipy import stats
from synthetic import FAILED, Made, claim_yaml, judged, published_yaml

from harness.plan.trials import Trial
from harness.verdicts.judgement import Judgement

TREATMENT = (1.0, 1.2, 0.9, 1.1, 1.0, 1.3, 0.8, 1.05)
CONTROL = (0.0, 0.1, -0.1, 0.05, 0.15, -0.05, 0.1, 0.0)
CLAIM = claim_yaml(form="difference", treatment={"arm": "a"}, control={"arm": "b"})


def found_without(lost: dict[tuple[int, str], Made], **keys: Any) -> Judgement:
    """Judge eight replicates of which some trials gave something else."""

    def make(trial: Trial) -> Made:
        place = (trial.replicate, str(trial.arm["arm"]))
        value = (TREATMENT if place[1] == "a" else CONTROL)[trial.replicate]
        return lost.get(place, {"value": value})

    return judged({"factors": {"arm": ["a", "b"]}, "replicates": 8, "claims": [{**CLAIM, **keys}]}, make)["c"]


def t_interval(values: Any) -> tuple[float, float]:
    return stats.t.interval(0.95, len(values) - 1, numpy.mean(values), stats.sem(values))


def test_nothing_lost_has_no_bounds() -> None:
    found = found_without({})
    assert found.bounds is None and found.verdict == "direction only"
    assert [(arm.arm, arm.planned, arm.finished, arm.failed, arm.diverged) for arm in found.arms] == [
        ("treatment", 8, 8, 0, 0),
        ("control", 8, 8, 0, 0),
    ]


@pytest.mark.parametrize(("made", "failed"), [(FAILED, 1), ({"value": math.nan}, 0), ({}, 0), ({"value": math.inf}, 0)])
def test_a_lost_trial_is_counted_and_bounds_the_effect(made: Made, failed: int) -> None:
    found = found_without({(2, "a"): made})
    treatment = found.arms[0]
    assert (treatment.finished, treatment.failed, treatment.diverged) == (7, failed, 1 - failed)
    assert found.n == 7, "the effect itself rests on the whole replicates"
    seen = [value for index, value in enumerate(TREATMENT) if index != 2] + list(CONTROL)
    intervals = []
    for filling in (min(seen), max(seen)):
        treated = numpy.array(TREATMENT)
        treated[2] = filling
        intervals.append(t_interval(treated - CONTROL))
    plain = t_interval(numpy.delete(numpy.array(TREATMENT) - CONTROL, 2))
    wanted = [min(low for low, _ in (*intervals, plain)), max(high for _, high in (*intervals, plain))]
    assert found.bounds == pytest.approx(wanted, rel=1e-10)
    assert found.verdict == "direction only", "even the worst leaves the direction"


def test_the_worst_case_may_take_the_verdict_away() -> None:
    found = found_without({(replicate, "a"): FAILED for replicate in (2, 4, 5, 6, 7)})
    assert found.interval[0] > 0 > found.bounds[0]  # type: ignore[index]
    assert found.verdict == "inconclusive"
    assert found.reason == (
        "5 results are lost, and the verdict depends on what they would have been (from direction only to inconclusive)"
    )


def test_the_possible_range_widens_what_was_seen() -> None:
    seen = found_without({(2, "a"): FAILED})
    wide = found_without({(2, "a"): FAILED}, possible=[-100.0, 100.0])
    assert seen.verdict == "direction only" and wide.verdict == "inconclusive"
    assert wide.bounds[0] < seen.bounds[0] < seen.bounds[1] < wide.bounds[1]  # type: ignore[index]


def test_a_narrow_possible_range_keeps_the_verdict() -> None:
    lost: dict[tuple[int, str], Made] = {(2, "a"): FAILED, (5, "a"): FAILED, (6, "a"): FAILED}
    assert found_without(lost, possible=[0.9, 1.1]).verdict == "direction only"


def test_both_arms_may_lose_and_each_may_have_gone_either_way() -> None:
    found = found_without({(2, "a"): FAILED, (5, "b"): FAILED})
    ends = (min(CONTROL), max(v for i, v in enumerate(TREATMENT) if i != 2))
    worst = numpy.array(TREATMENT), numpy.array(CONTROL)
    worst[0][2], worst[1][5] = ends
    assert found.bounds is not None and found.bounds[0] == pytest.approx(t_interval(worst[0] - worst[1])[0], rel=1e-10)
    assert [arm.lost for arm in found.arms] == [1, 1]


def test_an_arm_that_lost_trials_is_never_reproduced() -> None:
    keys = published_yaml(1.0, 0.9)
    assert found_without({}, **keys).verdict == "reproduced"
    found = found_without({(2, "b"): FAILED}, **keys)
    assert found.verdict == "direction only" and "an arm lost trials" in found.reason


def test_unpaired_arms_are_filled_too() -> None:
    found = found_without({(2, "a"): FAILED, (3, "a"): FAILED}, pairing="unpaired", possible=[-50.0, 50.0])
    assert found.n == 14 and found.verdict == "inconclusive" and "2 results are lost" in found.reason


def test_a_count_with_a_lost_trial_is_no_other_count() -> None:
    claim = claim_yaml(form="value", arm={"arm": "a"}, exact=True, **published_yaml(5.0, 0.5))
    make = lambda t: FAILED if (t.replicate, t.arm["arm"]) == (1, "a") else {"value": 5.0}  # noqa: E731
    found = judged({"factors": {"arm": ["a", "b"]}, "replicates": 3, "claims": [claim]}, make)["c"]
    assert (found.effect, found.verdict) == (5.0, "direction only")


def test_fillings_that_have_no_effect_are_said_to_be_the_reason() -> None:
    claim = claim_yaml(form="ratio", numerator={"arm": "a"}, denominator={"arm": "b"}, possible=[0.0, 10.0])
    make = lambda t: FAILED if (t.replicate, t.arm["arm"]) == (1, "a") else {"value": 2.0 + t.replicate}  # noqa: E731
    found = judged({"factors": {"arm": ["a", "b"]}, "replicates": 4, "claims": [claim]}, lambda t: make(t))["c"]
    assert found.verdict == "inconclusive"


def test_with_many_losing_arms_all_of_them_go_one_way() -> None:
    """Six levels that each lost a trial: two scenarios, not 64."""
    levels = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    claim = claim_yaml(form="trend", along="level")

    def make(t: Trial) -> Made:
        return (
            FAILED
            if t.replicate == 0
            else {"value": 2.0 * float(t.arm["level"]) + 0.01 * t.replicate * float(t.arm["level"])}
        )

    found = judged({"factors": {"level": levels}, "replicates": 6, "claims": [claim]}, make)["c"]
    assert sum(arm.lost for arm in found.arms) == 6 and found.bounds is not None


def test_worst_cases_count_at_looks_too() -> None:
    replicates = {"min": 4, "max": 8, "looks": [4, 8]}

    def make(t: Trial) -> Made:
        return (
            FAILED
            if (t.replicate, t.arm["arm"]) == (1, "a")
            else {"value": 50.0 * (t.arm["arm"] == "a") + CONTROL[t.replicate]}
        )

    spec = {"factors": {"arm": ["a", "b"]}, "replicates": replicates, "claims": [{**CLAIM, "possible": [-1e6, 1e6]}]}
    found = judged(spec, make)["c"]
    assert found.verdict == "inconclusive" and found.look == 8
