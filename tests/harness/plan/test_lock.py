"""The locked plan: what differs from it later is named, with what it was before."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from synthetic import FAILED, Made, claim_yaml, published_yaml, state_with

from harness.plan import lock
from harness.plan.code import CodeFingerprint, fingerprint
from harness.plan.design import make_design
from harness.plan.lock import deviations, lock_plan, underpowered_claims
from harness.plan.state import PlanState
from harness.plan.trials import Trial
from harness.spec.load import load_experiment
from harness.store.store import Store

CLAIM = claim_yaml(
    form="difference", treatment={"arm": "a"}, control={"arm": "b"}, **published_yaml(1.0, 0.5), id="p.effect"
)
SPEC: dict[str, Any] = {
    "experiment": "locked", "title": "T", "trial": "small_trials:arms",
    "factors": {"arm": ["a", "b"], "level": [0.0, 1.0]}, "replicates": 2,
    "fixed": {"setting": "s"}, "claims": [CLAIM], "profiles": {"laptop": {"fidelity": "paper"}},
}  # fmt: skip


def nothing(trial: Trial) -> Made:
    return None


_ours = lru_cache(fingerprint)


@pytest.fixture(autouse=True)
def code_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the project's own code once: its files stay as they are here, and following its imports takes a while."""
    monkeypatch.setattr(lock, "fingerprint", lambda name: (_ours if name.startswith("harness.") else fingerprint)(name))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def planned(in_workplace: Callable[..., Path], store: Store) -> Callable[..., PlanState]:
    """Return the state of the plan with some keys of the spec changed."""

    def make(trials: Callable[[Trial], Made] = nothing, options: Any = None, **changes: Any) -> PlanState:
        path = in_workplace("locked.yaml", yaml.safe_dump({**SPEC, **changes}, sort_keys=False))
        return state_with(make_design(load_experiment(path), **(options or {})), trials)

    return make


Planned = Callable[..., PlanState]


def test_what_a_profile_judges_over_is_part_of_the_plan(planned: Planned, store: Store) -> None:
    def over(**items: Any) -> PlanState:
        return planned(profiles={"laptop": {"fidelity": "paper", "items": {"table": "outcomes", **items}}})

    lock_plan(over(), store)
    assert deviations(over(), store) == []
    assert deviations(over(scale=100), store) == [
        "claim p.effect: items.scale was 1.0 when the plan was locked, and is 100.0"
    ]
    (changed,) = deviations(planned(), store)
    assert changed.startswith("claim p.effect: items was {") and changed.endswith("and is nothing")


def test_an_unchanged_plan_has_no_deviations(planned: Planned, store: Store) -> None:
    lock_plan(planned(), store)
    assert deviations(planned(), store) == []
    assert deviations(planned(lambda trial: {"value": 1.0}), store) == [], "results are no deviation"


def test_a_plan_is_written_once(planned: Planned, store: Store) -> None:
    for _ in range(3):
        lock_plan(planned(), store)
    files = list(store.root.rglob("locks/*/*.json"))
    assert len(files) == 1
    document = json.loads(files[0].read_text())
    assert {"claims", "factors", "trials", "analysis_code", "trial_code", "streams"} <= set(document)
    assert "harness.verdicts.rules" in document["analysis_code"] and "small_trials" in document["trial_code"]


def changed(**keys: Any) -> dict[str, Any]:
    return {"claims": [{**CLAIM, **keys}]}


OTHER = {**CLAIM, "id": "p.other"}
CHANGES: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "margin",
        changed(margin={"absolute": 2.0, "reason": "r"}),
        ["claim p.effect: margin.absolute was 0.5 when the plan was locked, and is 2.0"],
    ),
    (
        "kind of margin",
        changed(margin={"relative": 0.1, "reason": "r"}),
        ["claim p.effect: margin.relative was nothing", "claim p.effect: margin.absolute was 0.5"],
    ),
    (
        "published figure",
        changed(published={"value": 1.2, "locator": "Table 1", "basis": "source"}),
        ["claim p.effect: published.value was 1.0 when the plan was locked, and is 1.2"],
    ),
    (
        "arm",
        changed(treatment={"arm": "b"}, control={"arm": "a"}),
        ["claim p.effect: treatment.arm was a when the plan was locked, and is b", "claim p.effect: control.arm was b"],
    ),
    ("direction", changed(direction="less"), ["claim p.effect: direction was greater"]),
    ("family", changed(family="exploratory"), ["claim p.effect: family was confirmatory"]),
    ("claim added", {"claims": [CLAIM, OTHER]}, ["the claim p.other was added after the plan was locked"]),
    ("claim dropped", {"claims": []}, ["the claim p.effect was planned, and is left out now"]),
    (
        "level added",
        {"factors": {"arm": ["a", "b"], "level": [0.0, 1.0, 2.0]}},
        ["factors.level.2 was nothing when the plan was locked, and is 2.0", "4 trials were added to the plan: "],
    ),
    (
        "level dropped",
        {"factors": {"arm": ["a", "b"], "level": [0.0]}},
        ["factors.level.1 was 1.0 when the plan was locked, and is nothing", "4 planned trials were dropped: "],
    ),
    ("trials skipped", {"skip": [{"arm": "a", "level": 1}]}, ["2 planned trials were dropped: level=1.0-r0-"]),
    ("more replicates", {"replicates": 3}, ["looks was [2] when the plan was locked, and is [3]", "4 trials were added"]),
    ("fewer replicates", {"replicates": 1}, ["looks was [2]", "4 planned trials were dropped: "]),
    (
        "looks",
        {"replicates": {"min": 1, "max": 2, "looks": [1, 2]}},
        ["looks was [2] when the plan was locked, and is [1,2]"],
    ),
    ("fixed parameter", {"fixed": {"setting": "t"}}, ["fixed.setting was s when", "dropped: ", "added to the plan: "]),
    ("fidelity", {"profiles": {"laptop": {"fidelity": "proxy"}}}, ["profile.fidelity was paper"]),
    (
        "selection",
        {"select": {"factors": ["level"], "metric": "validation", "matched": {"level": 1.0}}},
        ["select was nothing when the plan was locked, and is {"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "sentences"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_change_is_named_with_what_it_was(
    planned: Planned, store: Store, changes: dict[str, Any], sentences: list[str]
) -> None:
    lock_plan(planned(), store)
    found = deviations(planned(**changes), store)
    for sentence in sentences:
        assert any(sentence in one for one in found), found
    assert len(found) >= len(sentences)
    lock_plan(planned(**changes), store)
    assert deviations(planned(**changes), store) == found, "locking again does not make it the plan"
    assert deviations(planned(), store) == []


def test_one_margin_is_one_deviation(planned: Planned, store: Store) -> None:
    lock_plan(planned(), store)
    assert len(deviations(planned(**changed(margin={"absolute": 2.0, "reason": "r"})), store)) == 1


def test_several_claims_are_always_named_in_the_same_order(planned: Planned, store: Store) -> None:
    names = [f"p.{letter}" for letter in "zyxwvut"]
    claims = [{**CLAIM, "id": name} for name in names]
    lock_plan(planned(claims=claims), store)
    found = deviations(planned(claims=[{**claim, "unit": "points"} for claim in claims]), store)
    assert [sentence.split(":")[0] for sentence in found] == [f"claim {name}" for name in sorted(names)]


def test_no_more_than_three_trials_are_named(planned: Planned, store: Store) -> None:
    lock_plan(planned(), store)
    [sentence] = [one for one in deviations(planned(replicates=1), store) if "dropped" in one]
    assert sentence.endswith(" and 1 more") and sentence.count("-r1-") == 3


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lock.ANALYSIS, "the analysis code changed after the plan was locked: harness.verdicts.rules"),
        ("small_trials:arms", "the trials' code changed after the plan was locked: small_trials"),
        (lock.STREAMS, "the derivation of random streams (the seeds) changed after the plan was locked"),
    ],
)
def test_changed_code_is_a_deviation(
    planned: Planned, store: Store, monkeypatch: pytest.MonkeyPatch, function: str, sentence: str
) -> None:
    lock_plan(planned(), store)
    module = sentence.rpartition(" ")[2]
    before = lock.fingerprint

    def edited(name: str) -> CodeFingerprint:
        found = before(name)
        return CodeFingerprint("other", {**found.modules, module: "other"}) if name == function else found

    monkeypatch.setattr(lock, "fingerprint", edited)
    assert deviations(planned(), store) == [sentence]


def test_a_comment_in_the_trials_code_is_no_change(planned: Planned, store: Store, tmp_path: Path) -> None:
    lock_plan(planned(), store)
    path = tmp_path / "small_trials.py"
    path.write_text(path.read_text() + "\n# nothing new\n")
    assert deviations(planned(), store) == []
    path.write_text(path.read_text() + "\nMORE = 1\n")
    assert deviations(planned(), store) == ["the trials' code changed after the plan was locked: small_trials"]
    sys.modules.pop("small_trials", None)


def test_a_command_line_that_changes_the_design_has_a_plan_of_its_own(planned: Planned, store: Store) -> None:
    lock_plan(planned(), store)
    more = {"replicates": 5}
    assert deviations(planned(options=more), store) == []
    lock_plan(planned(options=more), store)
    assert deviations(planned(options=more), store) == [] == deviations(planned(), store)
    fixed = {"overrides": {"setting": "t"}}
    lock_plan(planned(options=fixed), store)
    assert len(list((store.root / "locked" / "locks").iterdir())) == 3
    found = deviations(planned(options=more, **changed(unit="points")), store)
    assert found == ["claim p.effect: unit was  when the plan was locked, and is points"]


def test_profiles_have_plans_of_their_own(planned: Planned, store: Store) -> None:
    profiles = {"profiles": {"laptop": {"fidelity": "paper"}, "smoke": {"fidelity": "proxy", "replicates": 1}}}
    lock_plan(planned(**profiles), store)
    assert deviations(planned(options={"profile": "smoke"}, **profiles), store) == []


def test_results_without_a_plan_are_a_deviation(planned: Planned, store: Store) -> None:
    assert deviations(planned(), store) == [], "nothing ran"
    assert deviations(planned(lambda t: {"value": 1.0}), store) == ["no plan was locked before these trials ran"]
    assert deviations(planned(lambda t: FAILED), store) == ["no plan was locked before these trials ran"]


def test_a_plan_that_was_locked_after_results_existed_says_so(planned: Planned, store: Store) -> None:
    lock_plan(planned(lambda trial: {"value": 1.0} if trial.replicate == 0 else None), store)
    assert deviations(planned(), store) == ["the plan was locked when 4 of its trials had finished already"]


def test_claims_run_underpowered_are_remembered_and_are_no_change_of_plan(planned: Planned, store: Store) -> None:
    assert underpowered_claims(planned(), store) == []
    lock_plan(planned(), store, ["p.effect"])
    assert underpowered_claims(planned(), store) == ["p.effect"]
    assert deviations(planned(), store) == []
    lock_plan(planned(), store, [])
    assert underpowered_claims(planned(), store) == ["p.effect"], "once is enough"
    assert deviations(planned(), store) == []


def test_a_lock_that_is_no_json_is_passed_over(planned: Planned, store: Store) -> None:
    lock_plan(planned(), store)
    [path] = store.root.rglob("locks/*/*.json")
    (path.parent / "00000000T000000.000000-broken.json").write_text("{")
    assert deviations(planned(), store) == []
