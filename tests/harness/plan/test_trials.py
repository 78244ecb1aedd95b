"""Trials: stable ids, deterministic expansion, skip rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import SMALL_SPEC as SPEC

from harness.errors import UserError
from harness.plan.design import Design, make_design
from harness.plan.trials import Trial, canonical, expand
from harness.spec.load import load_experiment

Write = Callable[..., Path]

GOLDEN = {
    "alpha=0.5-r0-889cdd4283dbf29a",
    "alpha=2.0,index=2-r1-65cbaf3ab8bbae61",
}


def design_of(write: Write, text: str, **options: object) -> Design:
    return make_design(load_experiment(write("s.yaml", text)), **options)  # type: ignore[arg-type]


def ids(write: Write, text: str, **options: object) -> set[str]:
    return {trial.id for trial in expand(design_of(write, text, **options))}


def test_ids_are_those_of_earlier_versions(in_workplace: Write) -> None:
    """Golden: an id that changes makes everybody's finished results look missing."""
    found = ids(in_workplace, SPEC)
    assert found >= GOLDEN
    assert len(found) == 12


def test_ids_do_not_depend_on_how_a_spec_is_written(in_workplace: Write) -> None:
    first = ids(in_workplace, SPEC)
    turned = SPEC.replace(
        "  index: [0, 1, 2]\n  alpha: [0.5, 2]", "  alpha: [2.0, 5e-1]\n  index:\n    levels: [2, 0, 1]"
    )
    with_default = SPEC + "fixed: {label: ''}\n"
    other_profile = SPEC.replace("laptop", "another")
    assert first == ids(in_workplace, turned) == ids(in_workplace, with_default) == ids(in_workplace, other_profile)


def test_ids_change_with_what_changes_the_computation(in_workplace: Write) -> None:
    first = ids(in_workplace, SPEC)
    assert not first & ids(in_workplace, SPEC + "fixed: {label: other}\n")
    assert not first & ids(in_workplace, SPEC.replace("experiment: small", "experiment: smaller"))
    assert first < ids(in_workplace, SPEC, replicates=3)


def test_a_parameter_that_equals_its_default_is_no_part_of_the_identity(in_workplace: Write) -> None:
    alone = SPEC.replace("  alpha: [0.5, 2]\n", "")
    varied = SPEC.replace("[0.5, 2]", "[1, 2]")
    assert ids(in_workplace, alone) < ids(in_workplace, varied)


def test_replicates_are_outermost(in_workplace: Write) -> None:
    trials = expand(design_of(in_workplace, SPEC))
    assert [trial.replicate for trial in trials] == [0] * 6 + [1] * 6
    assert trials[:6] == expand(design_of(in_workplace, SPEC, replicates=1))


def test_skip_rules_need_every_named_factor(in_workplace: Write) -> None:
    rules = "skip:\n  - {index: [1, 2], alpha: 2}\n"
    arms = [dict(trial.arm) for trial in expand(design_of(in_workplace, SPEC + rules, replicates=1))]
    assert {(arm["index"], arm["alpha"]) for arm in arms} == {(0, 0.5), (0, 2), (1, 0.5), (2, 0.5)}


BLOCKED = """
experiment: timed
title: Systems timed against each other
trial: small_trials:pair
factors:
  system:
    blocked: true
    levels: {fast: 1.0, slow: 10.0, slower: 20.0}
  threads: [1, 2]
skip:
  - {system: slower, threads: 2}
profiles:
  laptop: {fidelity: proxy}
  few: {fidelity: proxy, factors: {system: [slow, fast]}}
"""


def test_blocked_levels_run_together_and_are_skipped_one_by_one(in_workplace: Write) -> None:
    trials: dict[object, Trial] = {trial.arm["threads"]: trial for trial in expand(design_of(in_workplace, BLOCKED))}
    assert trials[1].blocked == {"system": ("fast", "slow", "slower")}
    assert trials[2].blocked == {"system": ("fast", "slow")}
    assert trials[2].parameters["system"] == {"fast": 1.0, "slow": 10.0}


def test_the_order_of_blocked_levels_is_no_part_of_the_identity(in_workplace: Write) -> None:
    few = ids(in_workplace, BLOCKED, profile="few")
    turned = ids(in_workplace, BLOCKED.replace("[slow, fast]", "[fast, slow]"), profile="few")
    assert few == turned
    # Without 'slower' the two-thread trial is the same in both profiles.
    assert len(few & ids(in_workplace, BLOCKED)) == 1


def test_overrides_fix_parameters_and_choose_levels(in_workplace: Write) -> None:
    trials = expand(design_of(in_workplace, SPEC, overrides={"index": 1, "label": "x"}))
    assert {(trial.arm["index"], trial.parameters["label"]) for trial in trials} == {(1, "x")}
    assert len(expand(design_of(in_workplace, SPEC, overrides={"index": [0, 7]}))) == 8
    with pytest.raises(UserError, match="no level 'fsat'; did you mean 'fast'"):
        design_of(in_workplace, BLOCKED, overrides={"system": "fsat"})


def test_a_profile_chooses_named_levels_or_brings_its_own(in_workplace: Write) -> None:
    own = BLOCKED.replace("{system: [slow, fast]}", "{system: {fast: 2.0, new: 3.0}}")
    trial = expand(design_of(in_workplace, own, profile="few"))[0]
    assert trial.parameters["system"] == {"fast": 2.0, "new": 3.0}
    with pytest.raises(UserError, match="no level 'fats'; did you mean 'fast'"):
        design_of(in_workplace, BLOCKED.replace("[slow, fast]", "[slow, fats]"), profile="few")


@given(
    st.dictionaries(st.text(min_size=1, max_size=5), st.integers() | st.floats(allow_nan=False) | st.text(max_size=5))
)
def test_canonical_text_depends_on_the_value_alone(value: dict[str, object]) -> None:
    turned = dict(reversed(list(value.items())))
    assert canonical(value) == canonical(turned)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    )
)
def test_canonical_text_is_that_of_earlier_versions(value: object) -> None:
    """Ids are hashes of it, so it must not change by a byte."""
    assert canonical(value) == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
