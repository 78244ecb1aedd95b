"""Items of several trials: those of different data sets add up, and whole data sets may be the items or the clusters."""

from __future__ import annotations

import dataclasses
import math
import random
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from forms_support import PAIRED, A, close
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import FAILED, Made, claim_yaml, design_of, published_yaml, state_with_samples, trials_folder

from harness.plan.state import PlanState
from harness.plan.trials import Trial
from harness.store.store import Store
from harness.verdicts.data import ItemData
from harness.verdicts.evidence import gather
from harness.verdicts.judge import judge
from harness.verdicts.judgement import Judgement
from harness.verdicts.observations import Observations
from harness.verdicts.statistics.bootstrap import clustered_draws, generator_for

SIZES = {"pets": 40, "cars": 90, "birds": 24, "digits": 60}
"""Data sets, as levels of the factor ``setting``, and how many items they have."""
SPEC: dict[str, Any] = {"factors": {"arm": ["a", "b"], "setting": list(SIZES)}, "replicates": 1}
BY_SET = {"table": "outcomes", "item": "setting", "cluster": "setting", "scale": 100}
BY_CLASS = {"table": "outcomes", "item": "item", "cluster": "class", "scale": 100}
DIFFERENCE = {"form": "difference", **PAIRED}


@cache
def outcomes(name: str, arm: str, replicate: int = 0) -> pandas.DataFrame:
    """Return rows whose items are numbered alike in every data set, with classes that are named alike as well."""
    items = numpy.arange(SIZES[name])
    generator = numpy.random.default_rng([list(SIZES).index(name), "ab".index(arm), replicate])
    right = (generator.random(len(items)) < (0.8 if arm == "a" else 0.5)).astype(float)
    return pandas.DataFrame({"item": items, "class": items % 6, "value": right})


def made(trial: Trial) -> pandas.DataFrame | None:
    return outcomes(str(trial.arm["setting"]), str(trial.arm["arm"]), trial.replicate)


def state_of_items(
    folder: Path,
    items: Mapping[str, Any],
    tables: Callable[[Trial], pandas.DataFrame | None] = made,
    spec: Mapping[str, Any] | None = None,
    **claim: Any,
) -> PlanState:
    """Return the state of a plan under a profile that judges over items; a trial without a table has failed."""
    profiles = {"laptop": {"fidelity": "paper", "items": dict(items)}}
    whole = {**SPEC, "claims": [claim_yaml(**{**DIFFERENCE, **claim})], "profiles": profiles, **(spec or {})}

    def make(trial: Trial) -> tuple[Made, dict[str, Any]]:
        table = tables(trial)
        return (FAILED, {}) if table is None else ({"value": 0.0}, {"outcomes": table})

    store = Store(Path(tempfile.mkdtemp(dir=folder)))
    return state_with_samples(design_of(folder, whole), make, store)


def judged(folder: Path, items: Mapping[str, Any], *arguments: Any, **keys: Any) -> Judgement:
    return judge(state_of_items(folder, items, *arguments, **keys))[0]


def data_of(state: PlanState) -> ItemData:
    data = gather(state.design.experiment.claims[0].claim, Observations(state)).data
    assert isinstance(data, ItemData)
    return data


@pytest.fixture
def folder(in_workplace: Callable[..., Path], tmp_path: Path) -> Path:
    return tmp_path


def differences(name: str, replicate: int = 0) -> numpy.ndarray:
    return (outcomes(name, "a", replicate)["value"] - outcomes(name, "b", replicate)["value"]).to_numpy()


def equal(found: Judgement, values: numpy.ndarray, classes: Any) -> None:
    """Compare with a direct call, on a table made here."""
    wanted = clustered_draws(numpy.atleast_2d(values), numpy.asarray(classes), generator_for("c"))
    assert found.n == wanted.n
    assert close(found.effect, wanted.effect)
    assert numpy.allclose(found.interval, wanted.interval(), rtol=1e-10)


def test_one_item_a_data_set_weighs_all_sets_alike(folder: Path) -> None:
    found = judged(folder, BY_SET)
    equal(found, 100 * numpy.array([differences(name).mean() for name in SIZES]), list(SIZES))
    assert found.unit_of_analysis == "4 levels of setting, each resampled as a whole"
    assert found.arms[0].finished == 4 and len(found.trials) == 8


def test_classes_of_all_data_sets_are_resampled(folder: Path) -> None:
    found = judged(folder, BY_CLASS)
    classes = [f"{item % 6} of setting {name}" for name, size in SIZES.items() for item in range(size)]
    equal(found, 100 * numpy.concatenate([differences(name) for name in SIZES]), classes)
    assert found.unit_of_analysis == "items, resampled by their 24 classes", "six of each, though named alike"


def test_items_may_be_resampled_by_data_set(folder: Path) -> None:
    found = judged(folder, {**BY_CLASS, "cluster": "setting"})
    names = numpy.repeat(list(SIZES), list(SIZES.values()))
    equal(found, 100 * numpy.concatenate([differences(name) for name in SIZES]), names)
    assert found.unit_of_analysis == "items, resampled by their 4 levels of setting"


def test_data_sets_may_be_resampled_by_what_a_column_says_of_them(folder: Path) -> None:
    kinds = {"pets": "animals", "birds": "animals", "cars": "things", "digits": "signs"}
    found = judged(folder, {**BY_SET, "cluster": "kind"}, lambda t: made(t).assign(kind=kinds[str(t.arm["setting"])]))
    equal(found, 100 * numpy.array([differences(name).mean() for name in SIZES]), [kinds[name] for name in SIZES])
    assert found.unit_of_analysis == "levels of setting, resampled by their 3 values of kind"


def test_a_level_that_runs_in_several_settings_is_the_mean_of_them(folder: Path) -> None:
    """Two prompts (levels of ``level``) for each data set: the set is one item, in which both weigh alike."""
    spec = {"factors": {**SPEC["factors"], "level": [0.0, 1.0]}}

    def tables(trial: Trial) -> pandas.DataFrame:
        table = outcomes(str(trial.arm["setting"]), str(trial.arm["arm"]), int(trial.arm["level"]))  # type: ignore[arg-type]
        return table.iloc[: 20 if trial.arm["level"] else None]

    found = judged(folder, BY_SET, tables, spec)
    wanted = [(differences(name).mean() + differences(name, 1)[:20].mean()) / 2 for name in SIZES]
    equal(found, 100 * numpy.array(wanted), list(SIZES))


def test_a_class_is_the_same_in_every_replicate_of_its_setting(folder: Path) -> None:
    found = judged(folder, BY_CLASS, spec={"replicates": 3})
    classes = [f"{item % 6} of setting {name}" for name, size in SIZES.items() for item in range(size)]
    values = [100 * numpy.concatenate([differences(name, r) for name in SIZES]) for r in range(3)]
    equal(found, numpy.array(values), classes)
    assert found.unit_of_analysis == "items, resampled by their 24 classes and 3 replicates"


def test_one_setting_is_as_without_the_factor(folder: Path) -> None:
    one = judged(folder, BY_CLASS, spec={"factors": {"arm": ["a", "b"], "setting": ["cars"]}})
    equal(one, 100 * differences("cars"), [str(item % 6) for item in range(SIZES["cars"])])
    fixed = judged(
        folder,
        BY_CLASS,
        treatment={"arm": "a", "setting": "cars"},
        control={"arm": "b", "setting": "cars"},
    )
    assert fixed.interval == one.interval and len(fixed.trials) == 2


@pytest.mark.parametrize("scale", [1, 100])
def test_a_value_over_data_sets(folder: Path, scale: int) -> None:
    """At a scale of 1 as well, where a rate over one test set would have Wilson's interval."""
    value = claim_yaml(form="value", arm=A, **published_yaml(0.8 * scale, 0.15 * scale))
    by_set, by_class = (_value(folder, value, {**items, "scale": scale}) for items in (BY_SET, BY_CLASS))
    equal(by_set, scale * numpy.array([outcomes(n, "a")["value"].mean() for n in SIZES]), list(SIZES))
    classes = [f"{item % 6} of setting {name}" for name, size in SIZES.items() for item in range(size)]
    equal(by_class, scale * numpy.concatenate([outcomes(n, "a")["value"] for n in SIZES]), classes)


def _value(folder: Path, claim: dict[str, Any], items: dict[str, Any]) -> Judgement:
    profiles = {"laptop": {"fidelity": "paper", "items": items}}
    design = design_of(folder, {**SPEC, "claims": [claim], "profiles": profiles})
    store = Store(Path(tempfile.mkdtemp(dir=folder)))
    return judge(state_with_samples(design, lambda t: ({"value": 0.0}, {"outcomes": made(t)}), store))[0]


def test_a_setting_that_one_arm_does_not_run_is_left_out(folder: Path) -> None:
    found = judged(folder, BY_SET, spec={"skip": [{"arm": "b", "setting": "pets"}]})
    left = [name for name in SIZES if name != "pets"]
    equal(found, 100 * numpy.array([differences(name).mean() for name in left]), left)


def test_a_data_set_that_failed_is_not_left_out_silently(folder: Path) -> None:
    broken = lambda t: None if t.arm["setting"] == "pets" and t.arm["arm"] == "a" and t.replicate == 0 else made(t)  # noqa: E731
    found = judged(folder, BY_SET, broken)
    assert found.verdict == "inconclusive" and "no replicate has finished in every arm and setting" in found.reason
    several = judged(folder, BY_CLASS, broken, {"replicates": 3})
    values = [100 * numpy.concatenate([differences(name, r) for name in SIZES]) for r in (1, 2)]
    classes = [f"{item % 6} of setting {name}" for name, size in SIZES.items() for item in range(size)]
    equal(several, numpy.array(values), classes)
    assert several.arms[0].failed == 1


def test_a_test_set_that_is_another_in_each_trial_is_no_test_set(folder: Path) -> None:
    found = judged(
        folder, BY_CLASS, lambda t: made(t).assign(**{"class": lambda x: x["item"] % (6 if t.arm["arm"] == "a" else 5)})
    )
    assert found.verdict == "not comparable"
    assert found.reason == (
        "the item 5 has the class 5 of setting pets in one place and 0 of setting pets in another, so the trials did "
        "not see one test set"
    )


@pytest.mark.parametrize("items", [BY_SET, BY_CLASS], ids=["sets", "classes"])
def test_items_that_no_trial_kept(folder: Path, items: dict[str, Any]) -> None:
    found = judged(folder, items, lambda t: made(t).drop(columns="value"))
    assert found.verdict == "not run" and "the samples 'outcomes' lack what the claim reads" in found.reason
    empty = judged(folder, items, lambda t: made(t).iloc[:0])
    assert empty.verdict == "inconclusive"
    holes = judged(folder, items, lambda t: made(t).assign(value=math.nan))
    assert holes.verdict == "inconclusive"
    one = judged(folder, items, lambda t: made(t).assign(value=lambda x: x["value"].where(x["item"] != 3)))
    assert one.verdict == "inconclusive", "an outcome that is no number is not left out silently"


def test_without_one_data_set_at_a_time(folder: Path) -> None:
    data = data_of(state_of_items(folder, BY_SET))
    assert [name for name, _ in data.leave_one_out()] == [f"setting {name}" for name in SIZES]
    for (_, rest), left in zip(data.leave_one_out(), SIZES, strict=True):
        kept = [differences(name).mean() for name in SIZES if name != left]
        assert isinstance(rest, ItemData) and numpy.allclose(rest.values[0], kept)
    by_class = [name for name, _ in data_of(state_of_items(folder, BY_CLASS)).leave_one_out()]
    assert by_class[0] == "class 0 of setting pets" and len(by_class) == 24
    found = judged(folder, BY_SET)
    assert [check.varied for check in found.sensitivity][:2] == [
        "leave one out",
        "interval: Student's t over levels of setting",
    ]
    assert not found.sensitivity[0].found.startswith("not tried")


def test_looks_are_made_over_replicates(folder: Path) -> None:
    looks = {"min": 1, "max": 3, "looks": [1, 3]}
    found = judged(folder, BY_CLASS, spec={"replicates": looks})
    assert found.look in (1, 3) and found.looks == (1, 3)
    first = data_of(state_of_items(folder, BY_CLASS, spec={"replicates": looks})).first(1)
    assert first.values.shape == (1, sum(SIZES.values()))
    assert first.unit() == "items, resampled by their 24 classes", "the words are kept"


@given(order=st.randoms(use_true_random=False), items=st.sampled_from([BY_SET, BY_CLASS]))
@settings(max_examples=15)
def test_the_order_of_trials_does_not_matter(order: random.Random, items: dict[str, Any]) -> None:
    state = _in_order(str(items["item"]))
    states = list(state.states)
    order.shuffle(states)
    found, wanted = data_of(dataclasses.replace(state, states=states)), data_of(state)
    for name in ("replicates", "classes"):
        assert getattr(found, name).tolist() == getattr(wanted, name).tolist()
    assert all((a == b).all() for a, b in zip(found.arms, wanted.arms, strict=True)), "to the last bit"


@cache
def _in_order(item: str) -> PlanState:
    folder = Path(tempfile.mkdtemp(prefix="items-", dir=trials_folder()))
    (folder / "small_trials.py").write_text((trials_folder() / "small_trials.py").read_text())
    return state_of_items(folder, BY_SET if item == "setting" else BY_CLASS, spec={"replicates": 2})
