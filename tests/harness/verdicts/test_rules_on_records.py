"""No records end in an exception, and none that are missing, damaged or too few in a reproduced claim."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from synthetic import FAILED, Made, claim_yaml, design_of, judged, published_yaml, state_with, trials_folder

from harness.plan.trials import Trial
from harness.verdicts.judge import judge
from harness.verdicts.rules import VERDICTS

# What never reaches the rules, through records.

ARMS = {"factors": {"arm": ["a", "b"]}, "replicates": 4}
COMPARED = claim_yaml(form="difference", treatment={"arm": "a"}, control={"arm": "b"}, **published_yaml(1.0, 0.5))


def good(trial: Trial) -> dict[str, Any]:
    shift = {"a": 1.0, "b": 0.0}[str(trial.arm["arm"])]
    return {"value": shift + 0.1 * ((3 * trial.replicate + (shift > 0)) % 4)}


def where(replicate: int, arm: str, other: Made) -> Callable[[Trial], Made]:
    """Return good records but for one trial."""
    return lambda trial: other if (trial.replicate, trial.arm["arm"]) == (replicate, arm) else good(trial)


def constant(trial: Trial) -> dict[str, Any]:
    return {"value": 1.0 if trial.arm["arm"] == "a" else 0.0}


TINY = {"profiles": {"laptop": {"fidelity": "paper", "conclusive": False}}}
NARROW = {"profiles": {"laptop": {"fidelity": "paper", "factors": {"arm": ["a"]}}}}
GATED = {"claims": [{**COMPARED, "gates": [{"metric": "parameters", "value": 5, "reason": "r"}]}]}

BOUNDED = {"claims": [{**COMPARED, **published_yaml(1.0, 5.0), "possible": [0.8, 1.4]}]}

RECORDS: list[tuple[str, dict[str, Any], Callable[[Trial], Made], str, str]] = [
    ("good", {}, good, "reproduced", "within the margin"),
    ("nothing ran", {}, lambda trial: None, "not run", "no finished trial"),
    ("all failed", {}, lambda trial: FAILED, "not run", "8 of 8 trials failed, none finished"),
    ("one is missing", {}, where(3, "a", None), "inconclusive", "7 of 8 planned trials are finished"),
    ("one failed", {}, where(3, "a", FAILED), "inconclusive", "depends on what they would"),
    ("one failed that could not matter", BOUNDED, where(3, "a", FAILED), "direction only", "an arm lost trials"),
    ("an arm failed", {}, lambda t: FAILED if t.arm["arm"] == "a" else good(t), "inconclusive", "no replicate has"),
    ("not a number", {}, where(3, "a", {"value": math.nan}), "inconclusive", "depends on what they would"),
    ("infinite", {}, where(3, "a", {"value": math.inf}), "inconclusive", "depends on what they would"),
    ("a text", {}, where(3, "a", {"value": "1.0"}), "inconclusive", "depends on what they would"),
    ("a truth value", {}, where(3, "a", {"value": True}), "inconclusive", "depends on what they would"),
    ("too large for a number", {}, where(3, "a", {"value": 10**400}), "inconclusive", "depends on what they would"),
    ("no such metric", {}, lambda trial: {"other": 1.0}, "not run", "do not measure 'value' under this profile"),
    ("none ever a number", {}, lambda trial: {"value": math.nan}, "inconclusive", "no replicate has a finite value"),
    ("constant", {}, constant, "inconclusive", "every value is the same"),
    ("one replicate", {"replicates": 1}, good, "inconclusive", "one replicate"),
    ("one whole replicate", {}, lambda t: FAILED if t.replicate else good(t), "inconclusive", "one replicate"),
    ("shows only that it runs", TINY, good, "inconclusive", "only shows that everything runs"),
    ("an arm is left out", NARROW, good, "not run", "the profile 'laptop' does not run arm b"),
    ("a check failed", {}, lambda t: {**good(t), "gate_shape": False}, "not comparable", "the check 'shape' failed"),
    ("a count differs", GATED, lambda t: {**good(t), "parameters": 6}, "not comparable", "is 6 and should be 5"),
    ("a count is right", GATED, lambda t: {**good(t), "parameters": 5}, "reproduced", "within the margin"),
    ("a count is missing", GATED, good, "not comparable", "parameters is nan"),
]


@pytest.mark.parametrize(
    ("spec", "make", "verdict", "reason"), [row[1:] for row in RECORDS], ids=[row[0] for row in RECORDS]
)
def test_records_that_cannot_carry_a_verdict(
    spec: dict[str, Any], make: Callable[[Trial], Made], verdict: str, reason: str
) -> None:
    found = judged({**ARMS, "claims": [COMPARED], **spec}, make)["c"]
    assert (found.verdict, reason in found.reason) == (verdict, True), found.reason


# Anything at all.

A1, B1 = {"arm": "a", "level": 1.0}, {"arm": "b", "level": 1.0}
AROUND_ONE = published_yaml(1.0, 5.0)
FORMS: dict[str, dict[str, Any]] = {
    "difference": {"form": "difference", "treatment": A1, "control": B1},
    "unpaired": {"form": "difference", "treatment": A1, "control": B1, "pairing": "unpaired"},
    "pooled": {"form": "difference", "treatment": {"arm": "a"}, "control": {"arm": "b"}},
    "all": {"form": "difference", "treatment": {"arm": "a"}, "control": {"arm": "b"}, "pool": {"rule": "all"}},
    "quartiles": {
        "form": "difference", "treatment": {"arm": "a"}, "control": {"arm": "b"}, "pool": {"rule": "interquartile mean"},
    },
    "dispersed": {
        "form": "difference", "treatment": A1, "control": B1, "direction": "less",
        **published_yaml(1.0, 5.0, dispersion=0.5, runs=4),
    },
    "seen from afar": {"form": "difference", "treatment": A1, "control": B1, **published_yaml(1.0, 5.0, runs=4)},
    "counted": {"form": "difference", "treatment": A1, "control": B1, "exact": True},
    "ratio": {"form": "ratio", "numerator": A1, "denominator": B1},
    "non_inferiority": {
        "form": "non_inferiority", "treatment": A1, "control": B1, "tolerated": {"absolute": 2.0, "reason": "r"},
        "possible": [-10.0, 10.0],
    },
    "equivalence": {
        "form": "equivalence", "treatment": A1, "control": B1, "within": {"absolute": 2.0, "reason": "r"},
    },
    "trend": {"form": "trend", "along": "level", "arm": {"arm": "a"}, "scale": "log"},
    "optimum": {"form": "optimum", "along": "level", "arm": {"arm": "a"}, "claimed": [2.0], "against": 1.0},
    "ordering": {"form": "ordering", "order": [A1, B1, {"arm": "a", "level": 3.0}]},
    "counted order": {"form": "ordering", "order": [A1, B1], "exact": True},
    "value": {"form": "value", "arm": A1},
    "crossing": {"form": "crossing", "along": "level", "first": {"arm": "a"}, "second": {"arm": "b"}},
}  # fmt: skip
ALL_CLAIMS = [
    claim_yaml(**{**AROUND_ONE, **keys}, id=name.replace(" ", "-"), paper=name) for name, keys in FORMS.items()
]
PLANS: dict[str, Any] = {"one": 1, "three": 3, "looks": {"min": 2, "max": 4, "looks": [2, 4]}}


@lru_cache(maxsize=16)
def everything(plan: str, fidelity: str) -> Any:
    spec = {
        "factors": {"arm": ["a", "b"], "level": [1.0, 2.0, 3.0]},
        "replicates": PLANS[plan],
        "claims": ALL_CLAIMS,
        "profiles": {"laptop": {"fidelity": fidelity}},
    }
    return design_of(trials_folder(), spec)


tempting = st.floats(0.5, 1.5)
odd = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(
        [math.nan, math.inf, 0.0, -1.0, 1e308, -1e308, 10**400, None, "text", True, "lack", "fail", "wait"]
    ),
)
cell = st.one_of(tempting, tempting, tempting, odd)


@settings(max_examples=60)
@given(
    plan=st.sampled_from(sorted(PLANS)),
    fidelity=st.sampled_from(["paper", "paper", "reduced", "proxy"]),
    flat=st.booleans(),
    cells=st.lists(cell, min_size=24, max_size=24),
)
@example(plan="three", fidelity="paper", flat=True, cells=[1.5, 0.5, 1.5, 0.5, 0.6, 0.7] * 4)
@example(plan="three", fidelity="paper", flat=True, cells=[1.3, 1.2, 0.7, 1.0, 1.0, 1.0] * 4)
@example(plan="looks", fidelity="paper", flat=False, cells=[1e308, -1e308] * 12)
@example(plan="three", fidelity="paper", flat=False, cells=[1e200, 2.0, -1e200, 1.0] * 6)
@example(plan="one", fidelity="paper", flat=False, cells=[1.0] * 24)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_records_end_in_an_exception_and_no_poor_ones_in_reproduced(
    plan: str, fidelity: str, flat: bool, cells: list[Any]
) -> None:
    """``flat`` repeats each arm's first value in all of its replicates."""
    design = everything(plan, fidelity)
    given_values: dict[str, Any] = {}
    order: dict[tuple[Any, ...], int] = {}

    def make(trial: Trial) -> Made:
        arm = order.setdefault(tuple(trial.arm.values()), len(order))
        found = cells[arm if flat else 6 * trial.replicate + arm]
        given_values[trial.id] = found
        made: dict[str, Made] = {"fail": FAILED, "wait": None, "lack": {}}
        return made[found] if isinstance(found, str) and found in made else {"value": found}

    state = state_with(design, make)
    replicates = {entry.trial.id: entry.trial.replicate for entry in state.states}
    for found in judge(state):
        assert found.verdict in VERDICTS and found.reason
        json.dumps(found.row(), allow_nan=False)
        if found.verdict != "reproduced":
            continue
        assert fidelity == "paper"
        assert found.look is not None and (found.look > 1 or found.claim.exact)
        used = [given_values[name] for name in found.trials if replicates[name] < found.look]
        assert all(isinstance(v, float) and math.isfinite(v) for v in used), "an arm lost trials"
        assert found.claim.exact or not flat, "there is no variation"


@pytest.mark.parametrize("name", sorted(set(FORMS) - {"counted", "counted order"}))
def test_good_records_of_each_form_are_reproduced(name: str) -> None:
    """Otherwise the test above would say nothing."""
    level = {1.0: 0.0, 2.0: 1.0, 3.0: -1.0}

    def make(trial: Trial) -> dict[str, Any]:
        arm, x = str(trial.arm["arm"]), float(trial.arm["level"])  # type: ignore[arg-type]
        noise = 0.01 * ((7 * trial.replicate + 3 * (arm == "a") + int(x)) % 5)
        if name == "dispersed":
            return {"value": noise + (0.5 if arm == "b" else -0.5)}
        if name == "trend":
            return {"value": noise + x}
        if name == "ordering":
            return {"value": noise + (3.0 + noise if arm == "b" else 5.5 - x)}
        if name == "crossing":
            return {"value": noise + (x if arm == "b" else 1.5)}
        return {"value": noise + (2.0 if arm == "a" else 1.0) + (level[x] if name == "optimum" else 0.0)}

    spec = {
        "factors": {"arm": ["a", "b"], "level": [1.0, 2.0, 3.0]},
        "replicates": 5,
        "claims": [claim_yaml(**{**AROUND_ONE, **FORMS[name]})],
    }
    found = judged(spec, make)["c"]
    assert found.verdict == "reproduced", found.reason
