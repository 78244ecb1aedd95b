"""Selection under equal budgets: every arm gets the same grid, and its levels are frozen before anything is reported."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from synthetic import FAILED, Made, claim_yaml, state_with

from harness.errors import UserError
from harness.execution.run import Run
from harness.plan.design import Design, make_design
from harness.plan.selection import Selection, freeze, frozen_selection
from harness.plan.state import PlanState
from harness.plan.trials import Trial, expand, outer_arm
from harness.spec.load import load_experiment
from harness.store.store import Store
from harness.verdicts.judge import judge
from harness.verdicts.judgement import Judgement

CLAIM = claim_yaml(form="difference", treatment={"arm": "a"}, control={"arm": "b"})
SPEC: dict[str, Any] = {
    "experiment": "tuned", "title": "T", "trial": "small_trials:arms",
    "factors": {"arm": ["a", "b"], "level": [0.1, 0.2, 0.3], "setting": ["s", "t"]}, "replicates": 4,
    "select": {"factors": ["level", "setting"], "metric": "validation", "replicates": 2,
               "matched": {"level": 0.2, "setting": "s"}},
    "claims": [CLAIM], "profiles": {"laptop": {"fidelity": "paper"}},
}  # fmt: skip
Scores = Mapping[tuple[str, float, str], float]
BEST_OF = {"a": (0.3, "t"), "b": (0.2, "s")}
"""Arm b is at its best at the matched levels."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def design(in_workplace: Callable[..., Path]) -> Callable[..., Design]:
    def make(select: Mapping[str, Any] | None = None, **changes: Any) -> Design:
        spec = {**SPEC, **changes, "select": {**SPEC["select"], **(select or {})}}
        return make_design(load_experiment(in_workplace("tuned.yaml", yaml.safe_dump(spec, sort_keys=False))))

    return make


MakeDesign = Callable[..., Design]


def levels(trial: Trial) -> tuple[Any, ...]:
    return trial.arm["level"], trial.arm["setting"]


def validated(trial: Trial) -> Made:
    """The validation metric of a tuning trial; replicates differ by a hundredth."""
    best = levels(trial) == BEST_OF[str(trial.arm["arm"])]
    return {"validation": (0.9 if best else 0.5) + 0.01 * trial.replicate}


def frozen(design: Design, store: Store, make: Callable[[Trial], Made] = validated, code: str = "code") -> Selection:
    return freeze(store, design, code, state_with(design, make).states)


def named(selection: Selection) -> dict[str, tuple[str, str]]:
    return {arm: (chosen["level"], chosen["setting"]) for arm, chosen in selection.best.items()}


A, B = '{"arm":"a"}', '{"arm":"b"}'


def test_every_arm_tries_the_same_grid_on_replicates_that_are_never_reported(design: MakeDesign) -> None:
    trials = expand(design())
    assert len(trials) == 2 * 3 * 2 * 2 and {trial.readings for trial in trials} == {("tuning",)}
    assert Counter(trial.replicate for trial in trials) == {-1: 12, -2: 12}
    budgets = Counter((outer_arm(design(), trial.arm), levels(trial)) for trial in trials)
    assert set(budgets.values()) == {2} and len(budgets) == 12


def test_tuning_replicates_share_no_random_stream_with_reported_ones(design: MakeDesign, store: Store) -> None:
    trials = expand(design(), frozen(design(), store).best)
    seeds = {replicate: Run("tuned", replicate).stream("init").seed for replicate in {t.replicate for t in trials}}
    assert set(seeds) == {-2, -1, 0, 1, 2, 3} and len(set(seeds.values())) == 6


def test_each_arm_is_frozen_at_the_levels_with_the_best_mean(design: MakeDesign, store: Store) -> None:
    found = frozen(design(), store)
    assert named(found) == {A: ("0.3", "t"), B: ("0.2", "s")}
    best = next(score for score in found.scores if score.arm == A and score.levels == {"level": "0.3", "setting": "t"})
    assert best.mean == pytest.approx(0.9 - 0.015) and best.replicates == 2
    assert len(found.scores) == 12 and len(found.attempts) == 24


def test_less_may_be_better(design: MakeDesign, store: Store) -> None:
    found = frozen(design({"direction": "less"}), store, lambda t: {"validation": -validated(t)["validation"]})  # type: ignore[index,call-overload]
    assert named(found) == {A: ("0.3", "t"), B: ("0.2", "s")}


def test_ties_go_to_what_stands_first_in_the_spec(design: MakeDesign, store: Store) -> None:
    assert named(frozen(design(), store, lambda t: {"validation": 0.5})) == {A: ("0.1", "s"), B: ("0.1", "s")}


@pytest.mark.parametrize(
    "bad",
    [
        FAILED,
        {"validation": math.nan},
        {"validation": math.inf},
        {},
        {"validation": "0.99"},
        None,
        {"validation": True},
    ],
)
def test_a_combination_that_lost_a_replicate_is_never_chosen(design: MakeDesign, store: Store, bad: Made) -> None:
    make = lambda t: bad if levels(t) == (0.3, "t") and t.replicate == -2 else validated(t)  # noqa: E731
    found = frozen(design(), store, make)
    assert named(found)[A] != ("0.3", "t")
    assert named(found)[B] == ("0.2", "s")
    assert [s.mean for s in found.scores if s.levels == {"level": "0.3", "setting": "t"}] == [None, None]


def test_an_arm_without_a_whole_combination_cannot_be_tuned(design: MakeDesign, store: Store) -> None:
    with pytest.raises(UserError, match=r"no combination of level, setting finished .* in the arm \{\"arm\":\"b\"\}"):
        frozen(design(), store, lambda t: FAILED if t.arm["arm"] == "b" else validated(t))
    assert frozen_selection(store, design(), "code") is None


def test_what_was_frozen_first_stays(design: MakeDesign, store: Store) -> None:
    first = frozen(design(), store)
    again = frozen(design(), store, lambda t: {"validation": float(t.arm["level"])})  # type: ignore[arg-type]
    assert again == first == frozen_selection(store, design(), "code")


def test_other_code_and_another_grid_freeze_anew(design: MakeDesign, store: Store) -> None:
    other = lambda t: {"validation": -float(t.arm["level"])}  # type: ignore[arg-type]  # noqa: E731
    first = frozen(design(), store)
    assert frozen_selection(store, design(), "edited") is None
    assert named(frozen(design(), store, other, code="edited")) != named(first)
    wider = design(factors={**SPEC["factors"], "level": [0.1, 0.2, 0.3, 0.4]})
    assert frozen_selection(store, wider, "code") is None
    assert frozen_selection(store, design({"replicates": 3}), "code") is None
    assert frozen_selection(store, design(), "code") == first


def test_blocked_levels_are_averaged(in_workplace: Callable[..., Path], store: Store) -> None:
    spec = {
        **SPEC, "trial": "small_trials:pair", "claims": [],
        "factors": {"system": {"levels": {"x": 1.0, "y": 2.0}, "blocked": True}, "threads": [1, 2]},
        "select": {"factors": ["threads"], "metric": "validation", "matched": {"threads": 1}},
    }  # fmt: skip
    plan = make_design(load_experiment(in_workplace("tuned.yaml", yaml.safe_dump(spec))))
    values = {1: (0.9, 0.1), 2: (0.6, 0.6)}
    make = lambda t: [{"system": s, "validation": v} for s, v in zip("xy", values[int(t.arm["threads"])], strict=True)]  # type: ignore[call-overload]  # noqa: E731
    assert frozen(plan, store, make).best == {"{}": {"threads": "2"}}


# After it is frozen.


def reported(design: Design, store: Store, make: Callable[[Trial], Made]) -> PlanState:
    """Return the state after tuning, with reporting trials that gave what ``make`` says."""
    selection = frozen(design, store)
    states = {entry.trial.id: entry for entry in state_with(design, validated).states}
    trials = expand(design, selection.best)
    plan = _with_trials(design, trials, lambda t: make(t) if t.replicate >= 0 else validated(t))
    assert states.keys() <= {entry.trial.id for entry in plan}
    return PlanState(design, "code", plan, selection)


def _with_trials(design: Design, trials: list[Trial], make: Callable[[Trial], Made]) -> list[Any]:
    from synthetic import _state

    return [_state(trial, make(trial)) for trial in trials]


def test_the_reporting_trials_are_two_readings_of_each_arm(design: MakeDesign, store: Store) -> None:
    trials = [t for t in expand(design(), frozen(design(), store).best) if t.replicate >= 0]
    found = {(t.arm["arm"], levels(t)): t.readings for t in trials}
    assert found == {
        ("a", (0.2, "s")): ("matched",),
        ("a", (0.3, "t")): ("best",),
        ("b", (0.2, "s")): ("matched", "best"),
    }, "an arm that is best at the matched levels runs once for both"
    assert len(trials) == 3 * 4


def outcome(trial: Trial) -> Made:
    """At matched levels a is worse than b; at its best it is better."""
    base = {("a", (0.2, "s")): 0.0, ("a", (0.3, "t")): 2.0, ("b", (0.2, "s")): 1.0}[
        str(trial.arm["arm"]), levels(trial)
    ]
    return {"value": base + 0.1 * ((trial.replicate * (2 if trial.arm["arm"] == "a" else 1)) % 3)}


def by_reading(judgements: list[Judgement]) -> dict[str | None, Judgement]:
    return {one.reading: one for one in judgements}


def test_a_claim_is_judged_in_both_readings_which_may_disagree(design: MakeDesign, store: Store) -> None:
    found = by_reading(judge(reported(design(), store, outcome)))
    assert list(found) == ["matched", "best"]
    assert (found["matched"].verdict, found["best"].verdict) == ("contradicted", "direction only")
    assert found["matched"].n == found["best"].n == 4
    assert {one.family.members for one in found.values()} == {2}
    assert {one.components for one in found.values()} == {()}, "tuned levels are no settings"
    assert all("tuning" not in name for one in found.values() for name in one.trials)
    shared = set(found["matched"].trials) & set(found["best"].trials)
    assert len(shared) == 4 and all("-r" in name for name in shared)


@pytest.mark.parametrize("reading", ["matched", "best"])
def test_a_claim_may_ask_for_one_reading(design: MakeDesign, store: Store, reading: str) -> None:
    found = judge(reported(design(claims=[{**CLAIM, "reading": reading}]), store, outcome))
    assert [one.reading for one in found] == [reading] and found[0].family.members == 1


def test_nothing_is_reported_before_the_arms_are_tuned(design: MakeDesign) -> None:
    for found in judge(state_with(design(), validated)):
        assert (found.verdict, found.reason) == ("not run", "the arms are not tuned yet, so nothing is reported")


def test_a_reported_trial_that_is_missing_is_waited_for(design: MakeDesign, store: Store) -> None:
    state = reported(design(), store, lambda t: None if t.replicate == 3 else outcome(t))
    assert {one.verdict for one in judge(state)} == {"inconclusive"}
    assert {one.look for one in judge(state)} == {None}
