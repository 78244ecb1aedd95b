"""Tuning at some levels only, parameters that only say where something lies, and costs counted before anything ran."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import Workplace

from harness.errors import UserError
from harness.plan.cost import predicted_cost
from harness.plan.design import Design, make_design
from harness.plan.state import PlanState, state_of
from harness.plan.trials import expand, outer_arm
from harness.spec.load import load_experiment
from harness.store.store import Store

TRIAL = """
from typing import Annotated, Any

from harness.spec.signature import Placement


def train(
    *, run: Any, head: str = "a", width: int = 8, rate: float = 1.0, steps: int = 10,
    root: Annotated[str | None, Placement()] = None,
) -> dict[str, Any]:
    return {"value": 1.0, "validation": rate}


def operations(*, steps: int, width: int) -> float:
    return 1e9 * steps * width


def broken(*, width: int) -> float:
    raise KeyError("lost")


def unknown(*, width: int) -> float:
    from harness.errors import NotKnownYet

    raise NotKnownYet("The model is not here.")


def greedy(*, widht: int) -> float:
    return 1.0
"""
SPEC: dict[str, Any] = {
    "experiment": "tuned",
    "title": "T",
    "trial": "placed_trials:train",
    "operations": "placed_trials:operations",
    "factors": {"head": ["a", "b"], "width": [8, 16], "rate": [1.0, 2.0]},
    "skip": [{"head": "b", "width": 16}],
    "replicates": 3,
    "select": {
        "factors": ["rate"], "metric": "validation", "replicates": 2, "matched": {"rate": 1.0}, "at": {"width": 8},
    },
    "profiles": {"laptop": {"fidelity": "paper", "device": "cpu"}},
}  # fmt: skip


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "placed_trials.py").write_text(TRIAL)
    monkeypatch.delitem(sys.modules, "placed_trials", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(changed: dict[str, Any] | None = None, **options: Any) -> Design:
        path = tmp_path / "tuned.yaml"
        path.write_text(yaml.safe_dump({**SPEC, **(changed or {})}, sort_keys=False))
        return make_design(load_experiment(path), **options)

    return make


def test_only_arms_at_these_levels_tune_and_have_a_best(design: Any) -> None:
    made = design()
    assert [(t.arm["head"], t.arm["width"], t.arm["rate"], t.replicate) for t in expand(made)] == [
        (head, 8, rate, replicate) for replicate in (-1, -2) for head in "ab" for rate in (1.0, 2.0)
    ]
    best = {outer_arm(made, {"head": head, "width": 8}): {"rate": "2"} for head in "ab"}
    reported = [t for t in expand(made, best) if t.replicate == 0]
    readings = {(t.arm["head"], t.arm["width"], t.arm["rate"]): t.readings for t in reported}
    assert readings == {
        ("a", 8, 1.0): ("matched",), ("a", 8, 2.0): ("best",), ("a", 16, 1.0): ("matched",),
        ("b", 8, 1.0): ("matched",), ("b", 8, 2.0): ("best",),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ({"widht": 8}, "no factor 'widht'"),
        ({"width": 9}, "the factor 'width' has no level '9'"),
        ({"rate": 1.0}, "'at' names 'rate', which is tuned"),
        ({"head": "b", "width": 16}, "no combination has these levels"),
    ],
)
def test_levels_that_do_not_exist_are_refused(design: Any, at: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        expand(design({"select": {**SPEC["select"], "at": at}}))


def test_where_data_lie_is_no_part_of_what_a_trial_is(design: Any) -> None:
    plain, here, there = design(), design(overrides={"root": "/here"}), design({"fixed": {"root": "/there"}})
    assert [t.id for t in expand(here)] == [t.id for t in expand(plain)] == [t.id for t in expand(there)]
    assert expand(here)[0].parameters["root"] == "/here" and here.overrides == {}
    longer = design(overrides={"steps": 11})
    assert {t.id for t in expand(longer)}.isdisjoint(t.id for t in expand(plain))
    assert longer.overrides == {"steps": 11}


def test_a_place_is_no_factor(design: Any) -> None:
    with pytest.raises(UserError, match="'root'.*|only says where something lies"):
        design({"factors": {**SPEC["factors"], "root": ["a", "b"]}})


def cost(made: Design, folder: Path) -> Any:
    return predicted_cost(state_of(made, Store(folder / "results")), workers=2)


def test_operations_over_the_declared_rate_are_hours(design: Any, tmp_path: Path) -> None:
    resources = {"gpus": 2, "teraflops": 0.001}
    found = cost(design({"resources": resources}), tmp_path)
    # Tuning: 2 heads x 2 rates x 2 replicates at width 8. Matched: 3 arms x 3 replicates, of which one at width 16.
    # Best: at most the two arms at width 8, 3 replicates each.
    eights, sixteens = 8 + 2 * 3 + 2 * 3, 3
    assert found.trials == eights + sixteens
    assert found.operations == pytest.approx(1e10 * (8 * eights + 16 * sixteens))
    assert found.seconds == pytest.approx(found.operations / 1e9 / 2)
    assert found.device_hours == pytest.approx(2 * found.operations / 1e9 / 3600)


def test_no_rate_or_no_counter_means_no_prediction(design: Any, tmp_path: Path) -> None:
    assert cost(design(), tmp_path) is None
    assert cost(design({"operations": None, "resources": {"teraflops": 1}}), tmp_path) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("placed_trials:broken", "fails for a trial of this plan with KeyError"),
        ("placed_trials:operatoins", "has no such function.*operations"),
        ("placed_trials:greedy", "asks for 'widht', which the trial function does not take.*'width'"),
        ("no_module:count", "there is no module 'no_module'"),
    ],
)
def test_a_counter_that_cannot_be_used_gets_one_sentence(design: Any, tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        cost(design({"operations": name, "resources": {"teraflops": 1}}), tmp_path)
    assert "tuned.yaml" in str(error.value) and "\n" not in str(error.value)


def test_what_is_done_costs_nothing_more(design: Any, tmp_path: Path) -> None:
    made = design({"select": None, "resources": {"teraflops": 0.001}})
    state = state_of(made, Store(tmp_path / "results"))
    done = [entry if number else type(entry)(entry.trial, "done", None) for number, entry in enumerate(state.states)]
    found = predicted_cost(PlanState(made, state.code, done), workers=1)
    assert found is not None and found.trials == len(done) - 1


def test_a_profile_may_leave_out_more_than_the_spec(design: Any) -> None:
    profiles = {"laptop": {"fidelity": "paper", "device": "cpu", "skip": [{"head": "a", "width": 16}]}}
    made = design({"select": None, "profiles": {**profiles, "gpu": {"fidelity": "paper", "device": "cpu"}}})
    assert {(t.arm["head"], t.arm["width"]) for t in expand(made)} == {("a", 8), ("b", 8)}
    whole = design(
        {"select": None, "profiles": {**profiles, "gpu": {"fidelity": "paper", "device": "cpu"}}}, profile="gpu"
    )
    assert {(t.arm["head"], t.arm["width"]) for t in expand(whole)} == {("a", 8), ("b", 8), ("a", 16)}
    wrong = {"laptop": {"fidelity": "paper", "device": "cpu", "skip": [{"heda": "a"}]}}
    with pytest.raises(UserError, match=r"profiles\.laptop\.skip\.0\.heda: no factor 'heda'"):
        expand(design({"profiles": wrong}))


READY = """

from pathlib import Path
from harness.errors import UserError


def ready(*, root: str | None, width: int) -> None:
    with open("asked.txt", "a") as file:
        file.write(f"{root} {width}\\n")
    if root is None:
        raise UserError("name the folder with --set root=DIR")
"""


def test_what_is_missing_is_said_before_anything_starts(design: Any, tmp_path: Path) -> None:
    design({"ready": "placed_trials:ready", "select": None})
    (tmp_path / "placed_trials.py").write_text(TRIAL + READY)
    place = Workplace(tmp_path)
    refused = place.harness("run", "tuned.yaml", "--executor", "inline")
    assert (refused.status, refused.err) == (2, "harness: name the folder with --set root=DIR\n")
    assert not (tmp_path / "results").exists()
    found = place.harness("run", "tuned.yaml", "--executor", "inline", "--set", "root=here")
    assert found.status == 0, found.err
    # Once for each width, not once for each trial.
    assert (tmp_path / "asked.txt").read_text().splitlines() == ["None 8", "here 8", "here 16"]
    assert place.harness("plan", "tuned.yaml").status == 0


def test_a_plan_says_what_keeps_it_from_counting_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "placed_trials.py").write_text(TRIAL)
    spec = {**SPEC, "operations": "placed_trials:unknown", "resources": {"teraflops": 1}}
    (tmp_path / "tuned.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    place = Workplace(tmp_path)
    found = place.harness("plan", "tuned.yaml")
    assert found.status == 0 and "cannot be counted. The model is not here." in found.out, found.err
    found = place.harness("plan", "tuned.yaml", "--json")
    plan = json.loads(found.out)
    assert plan["cost_unknown"] == "The model is not here." and "predicted_cost" not in plan
