"""Would the verdict change: without one replicate, by the other interval, with other margins?"""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from scipy import stats
from synthetic import FAILED, Made, claim_yaml, judged, published_yaml

from harness.plan.trials import Trial
from harness.verdicts.judgement import Judgement
from harness.verdicts.sensitivity import Check


def found_for(
    differences: list[float], spec: dict[str, Any] | None = None, lost: int | None = None, **keys: Any
) -> Judgement:
    def make(trial: Trial) -> Made:
        if trial.replicate == lost and trial.arm["arm"] == "a":
            return FAILED
        return {"value": differences[trial.replicate] if trial.arm["arm"] == "a" else 0.0}

    claim = claim_yaml(form="difference", treatment={"arm": "a"}, control={"arm": "b"}, **keys)
    whole = {"factors": {"arm": ["a", "b"]}, "replicates": len(differences), "claims": [claim], **(spec or {})}
    return judged(whole, make)["c"]


def check(found: Judgement, varied: str) -> Check:
    return next(one for one in found.sensitivity if one.varied.startswith(varied))


STEADY = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.2]


def test_a_steady_verdict_stands() -> None:
    found = found_for(STEADY)
    assert [one.varied for one in found.sensitivity] == [
        "leave one out",
        "interval: signed ranks (no normal law assumed)",
    ]
    assert not any(one.changes for one in found.sensitivity)
    assert {one.found for one in found.sensitivity} == {"direction only"}


def test_the_replicate_that_carries_the_verdict_is_named() -> None:
    """Without replicate 3, which is low, the others would be enough."""
    found = found_for([1.0, 1.1, 0.9, -0.9, 0.95])
    assert found.verdict == "inconclusive"
    assert check(found, "leave one out") == Check("leave one out", True, "direction only without replicate 3")


def test_no_more_than_four_replicates_are_named() -> None:
    values = [0.3, 1.0, 0.3, 1.0, 0.3, 1.0, -0.63, 0.5]
    values = [value - float(numpy.mean(values)) for value in values]
    edge = float(stats.t.isf(0.025, 7) * stats.sem(values))
    found = found_for([value + 1.001 * edge for value in values])
    shown = check(found, "leave one out").found
    assert found.verdict == "direction only" and shown.count("without replicate") == 4 and shown.endswith(" more")


def test_the_other_interval_cannot_decide_below_six_replicates() -> None:
    found = found_for(STEADY[:5])
    other = check(found, "interval")
    assert found.verdict == "direction only" and (other.changes, other.found) == (True, "inconclusive")


def test_the_other_interval_is_wilcoxons() -> None:
    """An outlier widens Student's interval past zero, and not that of signed ranks."""
    values = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 30.0]
    found = found_for(values)
    assert stats.wilcoxon(values).pvalue < 0.05 < stats.ttest_1samp(values, 0).pvalue
    assert found.verdict == "inconclusive" and check(found, "interval").found == "direction only"


@pytest.mark.parametrize(
    ("margin", "verdict", "twice", "half"),
    [(0.5, "reproduced", "reproduced", "reproduced"), (0.12, "reproduced", "reproduced", "direction only"),
     (0.06, "direction only", "reproduced", "direction only")],
)  # fmt: skip
def test_margins_twice_and_half_as_wide(margin: float, verdict: str, twice: str, half: str) -> None:
    found = found_for(STEADY, **published_yaml(1.025, margin))
    assert found.verdict == verdict
    assert check(found, "twice the margin") == Check("twice the margin", twice != verdict, twice)
    assert check(found, "half the margin") == Check("half the margin", half != verdict, half)


def test_every_kind_of_margin_is_varied() -> None:
    negligible = found_for(STEADY, negligible={"absolute": 0.7, "reason": "r"})
    assert negligible.verdict == "direction only" and check(negligible, "twice the margin").found == "contradicted"
    claim = claim_yaml(
        form="equivalence", treatment={"arm": "a"}, control={"arm": "b"}, within={"absolute": 1.5, "reason": "r"}
    )
    same = judged(
        {"factors": {"arm": ["a", "b"]}, "replicates": 8, "claims": [claim]},
        lambda t: {"value": STEADY[t.replicate] if t.arm["arm"] == "a" else 0.0},
    )["c"]
    assert same.verdict == "direction only"
    assert check(same, "twice the margin").found == "direction only"
    assert check(same, "half the margin").found == "contradicted"


def test_an_unpaired_difference_has_no_second_interval() -> None:
    found = found_for([1.0, 1.1, 0.9, 1.05], pairing="unpaired")
    assert [one.varied for one in found.sensitivity] == ["leave one out"]


def test_lost_trials_count_in_each_check() -> None:
    """The verdict is taken away by what was lost, with or without another replicate; only without the lost one it stands."""
    found = found_for(STEADY, lost=6, possible=[-100.0, 100.0])
    assert found.verdict == "inconclusive"
    assert check(found, "leave one out") == Check("leave one out", True, "direction only without replicate 6")
    assert not check(found, "interval").changes


@pytest.mark.parametrize(
    "spec",
    [
        {"profiles": {"laptop": {"fidelity": "paper", "conclusive": False}}},
        {"replicates": 9},
        {"profiles": {"laptop": {"fidelity": "paper", "factors": {"arm": ["a"]}}}},
    ],
)
def test_what_decides_nothing_is_not_varied(spec: dict[str, Any]) -> None:
    values = [*STEADY, 1.0]
    make_missing = spec.get("replicates") == 9
    claim = claim_yaml(form="difference", treatment={"arm": "a"}, control={"arm": "b"})
    whole = {"factors": {"arm": ["a", "b"]}, "replicates": 8, "claims": [claim], **spec}

    def make(t: Trial) -> Made:
        return None if make_missing and t.replicate == 8 else {"value": values[t.replicate] * (t.arm["arm"] == "a")}

    found = judged(whole, make)["c"]
    assert found.verdict in ("inconclusive", "not run") and found.sensitivity == ()


def test_a_sweep_with_very_many_replicates_says_that_leaving_out_was_not_tried() -> None:
    values = (1.0 + 0.1 * numpy.sin(numpy.arange(201.0))).tolist()
    assert check(found_for(values), "leave one out").found == "not tried: 201 units are more than 200"
