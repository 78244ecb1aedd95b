"""Structural checks: recorded by trials, or declared by claims; a failed one makes its claims not comparable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from synthetic import FAILED, Made, claim_yaml, judged

from harness.plan.trials import Trial
from harness.verdicts.judgement import Judgement

NOISE = (0.0, 0.2, 0.1, 0.3)


def found_with(gates: list[dict[str, Any]], metrics: Mapping[str, Mapping[str, Any]], **keys: Any) -> Judgement:
    """Judge arm a against arm b, where each arm's records also hold its ``metrics``; arm c stands beside."""
    claim = claim_yaml(form="difference", treatment={"arm": "a"}, control={"arm": "b"}, gates=gates, **keys)

    def make(trial: Trial) -> dict[str, Any]:
        arm = str(trial.arm["arm"])
        return {
            "value": {"a": 1.0, "b": 0.0, "c": 5.0}[arm] + NOISE[trial.replicate] * (arm == "a"),
            **metrics.get(arm, {}),
        }

    return judged({"factors": {"arm": ["a", "b", "c"]}, "replicates": 4, "claims": [claim]}, make)["c"]


def gate(**keys: Any) -> list[dict[str, Any]]:
    return [{"metric": "parameters", "reason": "Table 6", **keys}]


def both(a: Any, b: Any) -> dict[str, dict[str, Any]]:
    return {"a": {"parameters": a}, "b": {"parameters": b}}


@pytest.mark.parametrize(
    ("gates", "metrics", "reason"),
    [
        ([], {}, ""),
        (gate(value=100), both(100, 100), ""),
        (gate(value=100), both(100, 101), "control: parameters is 101 and should be 100 (Table 6)"),
        (gate(value=100, relative=0.02), both(100, 101), ""),
        (gate(value=100, absolute=0.5), both(100, 101), "control: parameters is 101"),
        (gate(value=100, absolute=1), both(100, 101), ""),
        (gate(value=100, arm={"arm": "a"}), both(100, 7), ""),
        (gate(value=100, arm={"arm": "a"}), both(7, 100), "arm a: parameters is 7 and should be 100 (Table 6)"),
        (gate(value=100, arm={"arm": "c"}), {**both(1, 2), "c": {"parameters": 100}}, ""),
        (gate(value=100, arm={"arm": "c"}), {**both(1, 2), "c": {"parameters": 99}}, "arm c: parameters is 99"),
        (gate(at_least=50), both(50, 60), ""),
        (gate(at_least=50), both(49, 60), "treatment: parameters is 49, below 50 (Table 6)"),
        (gate(at_most=50), both(50, 51), "control: parameters is 51, above 50 (Table 6)"),
        (gate(at_least=1, at_most=2), both(1.5, 3), "control: parameters is 3, above 2"),
        (gate(equal=True), both(5, 5), ""),
        (gate(equal=True), both(5, 6), "the arms differ in parameters: treatment 5, control 6 (Table 6)"),
        (gate(equal=True, relative=0.2), both(5, 6), ""),
        (gate(equal=True), both(5, None), "the arms differ in parameters"),
        (gate(value=100), both(100, None), "control: parameters is nan"),
        (gate(value=100), both(100, math.nan), "control: parameters is nan"),
        (gate(at_least=50), both(60, "many"), "control: parameters is nan, below 50"),
        (gate(value=100), {}, "parameters is nan"),
        (gate(value=100) + gate(at_most=1), both(100, 100), "treatment: parameters is 100, above 1"),
    ],
)  # fmt: skip
def test_a_declared_check(gates: list[dict[str, Any]], metrics: dict[str, Any], reason: str) -> None:
    found = found_with(gates, metrics)
    assert found.verdict == ("not comparable" if reason else "direction only"), found.reason
    assert reason in found.reason
    assert math.isnan(found.effect) == bool(reason), "what is not comparable shows no effect"


def test_a_check_looks_at_every_replicate() -> None:
    claim = claim_yaml(form="difference", treatment={"arm": "a"}, control={"arm": "b"}, gates=gate(value=3))
    make = lambda t: {"value": NOISE[t.replicate] + (t.arm["arm"] == "a"), "parameters": 3 + (t.replicate == 2)}  # noqa: E731
    found = judged({"factors": {"arm": ["a", "b"]}, "replicates": 4, "claims": [claim]}, make)["c"]
    assert found.verdict == "not comparable" and "is 4 and should be 3" in found.reason


def test_a_trial_that_failed_has_not_failed_its_check() -> None:
    claim = claim_yaml(form="difference", treatment={"arm": "a"}, control={"arm": "b"}, gates=gate(value=3))

    def make(t: Trial) -> Made:
        return FAILED if t.replicate == 3 else {"value": float(t.replicate * (t.arm["arm"] == "a")), "parameters": 3}

    assert (
        judged({"factors": {"arm": ["a", "b"]}, "replicates": 4, "claims": [claim]}, make)["c"].verdict
        == "inconclusive"
    )


def test_a_check_that_a_trial_recorded_as_failed() -> None:
    found = found_with([], {"a": {"gate_regions": False, "detail_regions": "10 regions, not 36"}})
    assert found.verdict == "not comparable"
    assert found.reason == "arm a: the check 'regions' failed: 10 regions, not 36"


@pytest.mark.parametrize("passed", [True, None, 1, "yes"])
def test_a_recorded_check_fails_by_false_alone(passed: Any) -> None:
    assert found_with([], {"a": {"gate_regions": passed}}).verdict == "direction only"


def test_a_failed_check_of_an_arm_that_the_claim_does_not_name_is_no_objection() -> None:
    assert found_with([], {"c": {"gate_regions": False}}).verdict == "direction only"


def test_several_failed_checks_are_all_named_once() -> None:
    found = found_with(
        gate(value=1), {"a": {"gate_x": False, "gate_two_words": False, "parameters": 1}, "b": {"parameters": 1}}
    )
    assert found.reason == "arm a: the check 'x' failed; arm a: the check 'two words' failed"


@pytest.mark.parametrize("arm", [{"arm": "z"}, {"arn": "a"}])
def test_an_arm_that_cannot_be_checked_has_not_passed(arm: dict[str, str]) -> None:
    found = found_with(gate(value=1, arm=arm), both(1, 1))
    assert found.verdict == "not comparable" and "parameters cannot be checked" in found.reason


def test_checks_come_before_a_sweep_is_whole() -> None:
    claim = claim_yaml(form="difference", treatment={"arm": "a"}, control={"arm": "b"}, gates=gate(value=3))
    make = lambda t: {"value": 1.0, "parameters": 4} if t.replicate == 0 else None  # noqa: E731
    found = judged({"factors": {"arm": ["a", "b"]}, "replicates": 4, "claims": [claim]}, make)["c"]
    assert found.verdict == "not comparable"


def test_a_check_of_an_arm_that_has_not_finished_has_failed() -> None:
    claim = claim_yaml(
        form="difference", treatment={"arm": "a"}, control={"arm": "b"},
        gates=[{"metric": "parameters", "value": 10, "arm": {"arm": "c"}, "reason": "r"}],
    )  # fmt: skip
    spec = {"factors": {"arm": ["a", "b", "c"]}, "replicates": 3, "claims": [claim]}
    found = judged(spec, lambda t: None if t.arm["arm"] == "c" else {"value": float(t.replicate), "parameters": 10})[
        "c"
    ]
    assert found.verdict == "not comparable" and "parameters is not measured, so it cannot be checked" in found.reason
