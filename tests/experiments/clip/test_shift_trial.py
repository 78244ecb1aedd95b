"""The trial on distribution shift: what it records, what its learners share, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from clip_small import DIGITS, PATCHES, SCENES, TRAINING, called, fresh
from pydantic import ValidationError

from experiments.clip import setup as put_together
from experiments.clip import training
from experiments.clip.training import Outcome
from harness.errors import UserError
from harness.execution.run import Run

TRIAL = "experiments.clip.shift_trial:classify_under_shift"
NOISE: dict[str, Any] = {"kind": "noise", "deviation": 0.3}
TESTS: dict[str, Any] = {
    "as it is": [],
    "noise": [NOISE],
    "inverted": [{"kind": "invert"}],
    "all": [NOISE, {"kind": "invert"}],
}
LEARNERS = {"clip": "zero-shot", "control": "supervised"}
GIVEN: dict[str, Any] = {"test": TESTS, "learner": LEARNERS, "data": DIGITS, **TRAINING}


def trial(run: Run | None = None, **changed: Any) -> list[dict[str, Any]]:
    return called(TRIAL, run or fresh(), {**GIVEN, **changed})


def by_names(records: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(record["test"], record["learner"]): record for record in records}


def test_records_are_whole_and_follow_from_the_outcomes() -> None:
    run = fresh()
    records = trial(run)
    assert [(each["test"], each["learner"]) for each in records] == [(t, one) for t in TESTS for one in LEARNERS]
    outcomes = run.tables["outcomes"]
    assert list(outcomes.columns) == ["item", "class", "test", "learner", "accuracy"]
    assert len(outcomes) == len(records) * DIGITS["test"]
    means = 100 * outcomes.groupby(["test", "learner"])["accuracy"].mean()
    for record in records:
        assert set(record) == {"test", "learner", "accuracy", "kept", "parameters", "loss"}
        assert record["accuracy"] == pytest.approx(means[record["test"], record["learner"]])
        assert math.isfinite(record["loss"])
    found = by_names(records)
    for (_, learner), record in found.items():
        whole = found["as it is", learner]["accuracy"]
        assert record["kept"] == pytest.approx(100 * record["accuracy"] / whole)
    assert found["as it is", "clip"]["kept"] == 100
    assert found["noise", "clip"]["parameters"] > found["noise", "control"]["parameters"]


def test_several_shifts_are_averaged_each_applied_alone() -> None:
    run = fresh()
    found = by_names(trial(run, steps=12))
    for learner in LEARNERS:
        singles = [found[name, learner]["accuracy"] for name in ("noise", "inverted")]
        assert found["all", learner]["accuracy"] == pytest.approx(sum(singles) / 2)
    table = run.tables["outcomes"]
    assert set(table[table["test"] == "all"]["accuracy"]) <= {0.0, 0.5, 1.0}


def test_items_have_their_class() -> None:
    run = fresh()
    trial(run)
    dataset = put_together.load_images(put_together_data(), run.stream("data").seed)
    for (_, learner), rows in run.tables["outcomes"].groupby(["test", "learner"]):
        assert learner in LEARNERS and list(rows["item"]) == list(range(DIGITS["test"]))
        expected = [dataset.factors["digit"].values[label] for label in dataset.test.factors["digit"]]
        assert list(rows["class"]) == expected


def put_together_data() -> Any:
    from experiments.data.settings import ColouredDigitsSettings

    return ColouredDigitsSettings(**DIGITS)


def test_the_same_run_gives_the_same_bytes_and_another_replicate_others() -> None:
    first, again = fresh(), fresh()
    records = trial(first)
    torch.manual_seed(5)
    numpy.random.seed(5)
    assert trial(again) == records
    assert first.tables["outcomes"].equals(again.tables["outcomes"])
    assert trial(fresh(1)) != records


def test_a_learner_and_a_shift_are_what_they_are_in_company() -> None:
    company = by_names(trial())
    for learner, kind in LEARNERS.items():
        alone = by_names(trial(learner={learner: kind}, test={"all": TESTS["all"]}))["all", learner]
        assert math.isnan(alone.pop("kept"))
        assert alone == {name: value for name, value in company["all", learner].items() if name != "kept"}


def test_one_kind_at_two_levels_is_trained_once_and_scores_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []
    real = put_together.train

    def counted(model: Any, *given: Any, **more: Any) -> Outcome:
        trained.append(model)
        return real(model, *given, **more)

    monkeypatch.setattr(put_together, "train", counted)
    monkeypatch.setattr(training, "train", counted)
    found = by_names(trial(learner={"a": "supervised", "b": "supervised"}))
    assert len(trained) == 1
    for test in TESTS:
        assert {**found[test, "a"], "learner": ""} == {**found[test, "b"], "learner": ""}


def test_both_learners_begin_with_one_image_tower_and_see_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, tuple[Any, list[Any]]] = {}
    real = training.train

    def watched(model: Any, loss_of: Callable[..., Any], *given: Any, **more: Any) -> Outcome:
        tower, batches = getattr(model, "image", model), []
        start = {name: value.clone() for name, value in tower.state_dict().items()}
        seen["clip" if tower is not model else "control"] = (start, batches)

        def noted(chosen: Any) -> Any:
            batches.append(chosen.tolist())
            return loss_of(chosen)

        return real(model, noted, *given, **more)

    monkeypatch.setattr(put_together, "train", watched)
    monkeypatch.setattr(training, "train", watched)
    trial()
    (one, batches), (other, others) = seen["clip"], seen["control"]
    assert batches == others and len(batches) == TRAINING["steps"]
    assert one.keys() == other.keys()
    for name, value in one.items():
        if name == "projection.weight":
            assert (value.shape, other[name].shape) == ((8, 32), (10, 32))
        else:
            assert torch.equal(value, other[name]), name


def test_the_control_learns_its_labels() -> None:
    given = {
        "learner": {"control": "supervised"},
        "attribute": "colour",
        "steps": 60,
        "optimiser": {"learning_rate": 0.02},
    }
    (record,) = trial(test={"as it is": []}, data={**DIGITS, "train": 400, "colours": 3}, **given)
    assert record["accuracy"] > 80


@pytest.mark.parametrize(
    "given", [{"model": PATCHES}, {"data": SCENES}, {"attribute": "colour"}, {"prompts": {"templates": "default"}}]
)
def test_other_towers_sources_factors_and_prompts(given: dict[str, Any]) -> None:
    assert all(0 <= record["accuracy"] <= 100 for record in trial(**given))


def test_subsets_of_templates_are_the_same_ones_for_every_test() -> None:
    prompts = {"templates": "held-out", "count": 2, "subsets": 2}
    found = by_names(trial(prompts=prompts, test={"one": [], "two": []}, learner={"clip": "zero-shot"}))
    assert found["one", "clip"]["accuracy"] == found["two", "clip"]["accuracy"]


@pytest.mark.parametrize("lost", ["clip", "control"])
def test_a_learner_that_diverges_has_no_scores_and_the_other_has(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = training.train

    def diverging(model: Any, loss_of: Callable[..., Any], *given: Any, **more: Any) -> Outcome:
        return real(model, lambda chosen: loss_of(chosen) * math.nan, *given, **more)

    # The dual encoder's training has a name of its own; the control's is looked up where it is defined.
    monkeypatch.setattr(put_together if lost == "clip" else training, "train", diverging)
    run = fresh()
    for record in trial(run):
        gone = [math.isnan(record[name]) for name in ("accuracy", "kept")]
        assert gone == [record["learner"] == lost] * 2
    assert set(run.tables["outcomes"]["learner"]) == set(LEARNERS) - {lost}


def test_where_all_diverge_there_are_no_outcomes() -> None:
    run = fresh()
    records = trial(run, optimiser={"learning_rate": 1e30, "warmup_steps": 0}, steps=6)
    assert len(records) == 8 and all(math.isnan(record["accuracy"]) for record in records)
    assert "outcomes" not in run.tables


def test_an_interrupted_trial_ends_the_same(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = trial()
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1.0)

    class Interrupted(Run):
        calls = 0

        def progress(self, done: int, total: int) -> None:
            Interrupted.calls += 1
            if Interrupted.calls == TRAINING["steps"] + 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trial(Interrupted("small", 0, threads=1, checkpoint_folder=tmp_path))
    assert (tmp_path / "state.pt").exists() and (tmp_path / "supervised" / "state.pt").exists()
    assert trial(Run("small", 0, threads=1, checkpoint_folder=tmp_path)) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": {"source": "digits", "train": 40, "validation": 20, "test": 20}}, "digits: has no captions"),
        ({"attribute": "item"}, "coloured-digits: no classes 'item'"),
        ({"model": {**PATCHES, "image": {**PATCHES["image"], "patch": 3}}}, "coloured-digits: images of 16 x 16 cannot be cut"),
        ({"prompts": {"templates": "nowhere.txt"}}, "the file of templates nowhere.txt cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_tried_is_refused_in_a_sentence(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        trial(**given)
    assert str(raised.value).startswith(message) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "given", [{"test": {}}, {"learner": {}}, {"learner": {"a": "probe"}}, {"test": {"a": [{"kind": "snow"}]}},
              {"model": {"kind": "open-clip", "name": "RN50", "pretrained": "openai"}}]
)  # fmt: skip
def test_what_is_no_level_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        trial(**given)
