"""Which trial and arms ``--arm`` means, and the function that makes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import Workplace

from harness.errors import UserError
from harness.execution.run import Run
from harness.plan.design import Design, make_design
from harness.plan.hooks import KEYS, check_hooks, profiled_hook
from harness.plan.profiled import Chosen, choose
from harness.plan.trials import expand
from harness.spec.load import load_experiment

TRIALS = """
from collections.abc import Mapping
from typing import Any

MADE: list[Any] = []


def multiply(*, run: Any, size: Mapping[str, int], head: str = "a", rate: float | None = None, steps: int = 7) -> Any:
    return [{"size": name, "value": 1.0} for name in size]


def train(*, run: Any, head: str = "a", rate: float | None = None) -> Any:
    return {"value": 1.0}


def arms(*, run: Any, size: Mapping[str, int], steps: int) -> Any:
    MADE.append((run, dict(size), steps))
    return {name: rows * steps for name, rows in size.items()}


def without_run(*, head: str) -> Any:
    return head


def greedy(*, run: Any, sizes: int) -> Any:
    return {}


def grasping(*, sizes: int) -> Any:
    return {}


def broken(*, run: Any) -> Any:
    raise KeyError("lost")
"""
SPEC: dict[str, Any] = {
    "experiment": "products",
    "title": "T",
    "trial": "profiled_trials:multiply",
    "profiled": "profiled_trials:arms",
    "factors": {
        "size": {"blocked": True, "levels": {"small": 32, "large": 64, "192x320": 5}},
        "head": ["a", "b"],
        "rate": [0.1, None, 1.0],
    },
    "skip": [{"head": "b", "rate": [0.1, None]}, {"head": "b", "size": "large"}],
    "replicates": 2,
    "profiles": {
        "laptop": {"fidelity": "proxy"},
        "tiny": {"fidelity": "proxy", "factors": {"head": ["a"], "rate": [0.1]}},
    },
}


@pytest.fixture
def design(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Any:
    (workplace.folder / "profiled_trials.py").write_text(TRIALS)
    monkeypatch.chdir(workplace.folder)
    monkeypatch.syspath_prepend(str(workplace.folder))
    sys.modules.pop("profiled_trials", None)

    def made(profile: str = "laptop", **changes: Any) -> Design:
        spec = {key: value for key, value in (SPEC | changes).items() if value is not None}
        path = workplace.write("spec.yaml", yaml.safe_dump(spec, sort_keys=False))
        return make_design(load_experiment(Path(path)), profile, device="cpu")

    return made


def chosen(design: Design, *arms: str) -> Chosen:
    return choose(design, expand(design), arms)


def test_levels_of_other_factors_choose_the_trial_and_its_first_replicate(design: Any) -> None:
    plan = design()
    found = chosen(plan, "head=a", "rate=none", "size=192x320", "size=small")
    assert (dict(found.trial.arm), found.trial.replicate) == ({"head": "a", "rate": None}, 0)
    assert found.trial in expand(plan), "the trial is the sweep's own, with its id"
    assert (found.factor, found.arms) == ("size", ("192x320", "small"))
    assert found.cut.parameters["size"] == {"192x320": 5, "small": 32}
    assert found.cut.id == found.trial.id and set(found.trial.parameters["size"]) == {"small", "large", "192x320"}


def test_without_a_level_of_the_blocked_factor_all_arms_of_the_trial_are_meant(design: Any) -> None:
    assert chosen(design("tiny")).arms == ("small", "large", "192x320")
    assert chosen(design(), "head=b").arms == ("small", "192x320"), "the large one is skipped there"


@pytest.mark.parametrize(("text", "level"), [("0.1", 0.1), ("1.0e-1", 0.1), ("1", 1.0), ("1.0", 1.0), ("none", None)])
def test_levels_are_named_as_in_claims_or_as_values(design: Any, text: str, level: Any) -> None:
    assert chosen(design(), "head=a", f"rate={text}").trial.arm["rate"] == level


@pytest.mark.parametrize(
    ("arms", "sentence"),
    [
        (["sise=small"], "--arm sise=small: no factor 'sise'; did you mean 'size'? (known: size, head, rate)"),
        (["size=smal"], "--arm size=smal: the factor 'size' has no level 'smal'; did you mean 'small'? (known: small,"),
        (["size"], "--arm size: must read FACTOR=LEVEL"),
        (["=small"], "--arm =small: must read FACTOR=LEVEL"),
        (["size="], "--arm size=: must read FACTOR=LEVEL"),
        (["head=a", "head=b"], "--arm head=b: a trial has one level of 'head', and a was named already"),
        (["head=b", "rate=0.1"], "products: no trial of profile laptop has head=b, rate=0.1 (see 'skip' in its spec)"),
        (["head=b", "size=large"], "--arm size=large: is skipped there (arms of the trial: small, 192x320)"),
        (["size=small"], "choose a level of head: a, b; rate: 0.1, none, 1 (as in '--arm head=a --arm rate=0.1')"),
        (["head=a"], "choose a level of rate: 0.1, none, 1 (as in '--arm rate=0.1')"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_sentence(design: Any, arms: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        chosen(design(), *arms)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_spec_that_blocks_nothing_has_one_nameless_arm(design: Any) -> None:
    factors = {key: value for key, value in SPEC["factors"].items() if key != "size"}
    plan = design(trial="profiled_trials:train", factors=factors, profiled="profiled_trials:without_run", skip=[])
    found = chosen(plan, "head=b", "rate=1")
    assert (found.factor, found.arms) == ("", ("",)) and found.cut is found.trial


def test_the_function_is_given_the_run_and_the_arms_that_were_asked_for(design: Any) -> None:
    plan, run = design(), Run()
    hook = profiled_hook(plan)
    assert hook is not None
    found = chosen(plan, "head=a", "rate=1", "size=small")
    assert hook.with_run(found.cut, run) == {"small": 32 * 7}
    assert hook.with_run(found.cut, run) == {"small": 32 * 7}
    made = sys.modules["profiled_trials"].MADE
    assert made == [(run, {"small": 32}, 7)] * 2, "built anew each time: nothing is shared between profiles"
    assert profiled_hook(design(profiled=None)) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("profiled_trials:amrs", r"spec\.yaml:\d+: profiled: function 'profiled' .*has no such function.*'arms'"),
        ("profiled_trails:arms", r"spec\.yaml:\d+: profiled: .*there is no module 'profiled_trails'"),
        ("profiled_trials:grasping", r"asks for 'sizes', which the trial function does not take; did you mean 'size'"),
    ],
)
def test_a_function_that_cannot_be_used_is_refused_with_the_line_of_the_spec(
    design: Any, name: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        profiled_hook(design(profiled=name))
    for key in KEYS:
        changes = {"profiled": None, key: name}
        with pytest.raises(UserError, match=message.replace("profiled:", f"{key}:").replace("'profiled'", f"'{key}'")):
            check_hooks(design(**changes))


def test_a_function_that_makes_arms_may_ask_for_the_run_and_for_nothing_else_unknown(design: Any) -> None:
    with pytest.raises(
        UserError, match=r"asks for 'sizes', which the trial function does not take; did you mean 'size'"
    ):
        profiled_hook(design(profiled="profiled_trials:greedy"))
    with pytest.raises(UserError, match=r"operations: 'profiled_trials:greedy' asks for 'run', which"):
        check_hooks(design(profiled=None, operations="profiled_trials:greedy"))


def test_a_function_that_fails_names_the_line_of_the_spec(design: Any) -> None:
    plan = design(profiled="profiled_trials:broken")
    hook = profiled_hook(plan)
    assert hook is not None
    with pytest.raises(UserError, match=r"spec\.yaml:\d+: profiled: .* fails for a trial of this plan with KeyError"):
        hook.with_run(expand(plan)[0], Run())
