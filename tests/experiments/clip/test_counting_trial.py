"""The trial on abstract and fine-grained tasks: what is asked, of whom, and what a record says."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
import torch
from clip_small import DIGITS, PATCHES, SCENES, SMALL, TRAINING, called, fresh
from pydantic import ValidationError

from experiments.clip import probes, setup
from experiments.clip.data_settings import ImageSettings
from experiments.clip.images import load_images
from experiments.data import Dataset
from experiments.data.settings import ScenesSettings
from harness.errors import UserError
from harness.execution.run import Run

TRIAL = "experiments.clip.counting_trial:classify_tasks"
THINGS: dict[str, Any] = {"templates": ["a photo of {} things.", "a picture of {} things."]}
TASKS: dict[str, Any] = {
    "count": {"factor": "count", "prompts": THINGS},
    "shape": {"factor": "shape"},
    "pairs": {"factor": "shape", "pairs": [["circle", "square"], ["star", "circle"]]},
}
READERS = {"words": "zero-shot", "labels": "probe"}
GIVEN: dict[str, Any] = {"task": TASKS, "reader": READERS, "data": SCENES, "labelled": 40, **TRAINING}


def trial(run: Run | None = None, **changed: Any) -> list[dict[str, Any]]:
    return called(TRIAL, run or fresh(), {**GIVEN, **changed})


def data_of(run: Run) -> Dataset:
    settings: ImageSettings = ScenesSettings(**SCENES)
    return load_images(settings, run.stream("data").seed)


def test_records_are_whole_and_follow_from_the_outcomes() -> None:
    run = fresh()
    records = trial(run)
    assert [(each["task"], each["reader"]) for each in records] == [(t, one) for t in TASKS for one in READERS]
    outcomes = run.tables["outcomes"]
    assert list(outcomes.columns) == ["item", "class", "task", "reader", "accuracy"]
    means = 100 * outcomes.groupby(["task", "reader"])["accuracy"].mean()
    for record in records:
        assert set(record) == {"task", "reader", "accuracy", "chance", "above_chance", "parameters", "loss"}
        assert record["chance"] == {"count": 25, "shape": 25, "pairs": 50}[record["task"]]
        expected = (record["accuracy"] - record["chance"]) / (100 - record["chance"])
        assert record["above_chance"] == pytest.approx(100 * expected)
        if record["task"] != "pairs":
            assert record["accuracy"] == pytest.approx(means[record["task"], record["reader"]], abs=1e-4)


def test_items_are_those_of_the_task_with_their_class() -> None:
    run = fresh()
    records = trial(run)
    dataset, outcomes = data_of(run), run.tables["outcomes"]
    for task, factor in (("count", "count"), ("shape", "shape")):
        rows = outcomes[(outcomes["task"] == task) & (outcomes["reader"] == "words")]
        assert list(rows["item"]) == list(range(60))
        values = dataset.factors[factor].values
        assert list(rows["class"]) == [values[label] for label in dataset.test.factors[factor]]
    shapes = numpy.array([dataset.factors["shape"].values[label] for label in dataset.test.factors["shape"]])
    for reader in READERS:
        rows = outcomes[(outcomes["task"] == "pairs") & (outcomes["reader"] == reader)]
        accuracies, start = [], 0
        for pair in TASKS["pairs"]["pairs"]:
            items = numpy.flatnonzero(numpy.isin(shapes, pair))
            own = rows.iloc[start : start + len(items)]
            assert list(own["item"]) == items.tolist() and list(own["class"]) == shapes[items].tolist()
            accuracies.append(100 * float(own["accuracy"].mean()))
            start += len(items)
        assert start == len(rows)
        record = next(each for each in records if (each["task"], each["reader"]) == ("pairs", reader))
        assert record["accuracy"] == pytest.approx(sum(accuracies) / 2, abs=1e-4)


def test_a_pair_is_told_apart_by_the_prompts_of_its_two_classes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = setup.SmallEncoder.encode_texts

    def watched(self: Any, texts: Any) -> Any:
        asked.extend(texts)
        return real(self, texts)

    monkeypatch.setattr(setup.SmallEncoder, "encode_texts", watched)
    task = {"pairs": {"factor": "shape", "pairs": [["star", "circle"]], "prompts": {"templates": "default"}}}
    trial(task=task, reader={"words": "zero-shot"})
    assert asked == ["a photo of a star.", "a photo of a circle."]


def test_the_probe_reads_features_of_the_labelled_images_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, ...]] = []
    real = probes.fit_probe

    def watched(*given: Any) -> Any:
        if len(given) == 4:  # as the trial calls it, and not as it calls itself
            seen.append(given)
        return real(*given)

    monkeypatch.setattr(probes, "fit_probe", watched)
    run = fresh()
    trial(run, reader={"labels": "probe"})
    dataset = data_of(run)
    chosen = run.stream("probe").numpy.permutation(64)[:40]
    count, shape, first, second = seen
    for given, factor in ((count, "count"), (shape, "shape")):
        assert given[0].shape == (40, 32) and given[2].shape == (40, 32)  # 8 channels on a grid of 2 x 2
        assert (given[1] == dataset.train.factors[factor][chosen]).all()
        assert (given[3] == dataset.validation.factors[factor]).all()
    assert torch.equal(count[0], shape[0])
    names = numpy.array([dataset.factors["shape"].values[label] for label in dataset.train.factors["shape"][chosen]])
    for given, pair in ((first, ["circle", "square"]), (second, ["star", "circle"])):
        rows = numpy.isin(names, pair)
        assert torch.equal(given[0], shape[0][torch.from_numpy(rows)])
        assert [pair[label] for label in given[1]] == names[rows].tolist()
    table = run.tables["probes"]
    assert list(table["pair"]) == ["", "", "circle or square", "star or circle"]
    assert set(table.columns) == {"task", "reader", "pair", "strength", "validation_accuracy", "converged"}


def test_the_same_run_gives_the_same_bytes_and_another_replicate_others() -> None:
    first, again = fresh(), fresh()
    records = trial(first)
    torch.manual_seed(5)
    numpy.random.seed(5)
    assert trial(again) == records
    for name in ("outcomes", "probes"):
        assert first.tables[name].equals(again.tables[name])
    assert trial(fresh(1)) != records


def test_tasks_and_readers_are_what_they_are_in_company() -> None:
    company = {(each["task"], each["reader"]): each for each in trial()}
    for task, settings in TASKS.items():
        for reader, kind in READERS.items():
            (alone,) = trial(task={task: settings}, reader={reader: kind})
            assert alone == company[task, reader]


def test_prompts_of_the_trial_serve_tasks_without_their_own() -> None:
    own = trial(task={"shape": {"factor": "shape", "prompts": THINGS}}, reader={"words": "zero-shot"})
    assert own == trial(task={"shape": {"factor": "shape"}}, reader={"words": "zero-shot"}, prompts=THINGS)


def test_a_trained_encoder_knows_colours() -> None:
    data = {**SCENES, "train": 600}
    given = {"task": {"colour": {"factor": "colour"}}, "steps": 80, "optimiser": {"learning_rate": 0.02}}
    words, labels = trial(data=data, **given)
    assert labels["accuracy"] > 85 and labels["above_chance"] > 70 and words["accuracy"] > 65


@pytest.mark.parametrize("given", [{"model": PATCHES}, {"data": DIGITS, "task": {"digit": {"factor": "digit"}}}])
def test_other_towers_and_sources(given: dict[str, Any]) -> None:
    assert all(0 <= record["accuracy"] <= 100 for record in trial(**given))


def test_where_training_diverged_nothing_is_scored() -> None:
    run = fresh()
    records = trial(run, optimiser={"learning_rate": 1e30, "warmup_steps": 0}, steps=6)
    assert len(records) == 6 and not run.tables
    for record in records:
        assert math.isnan(record["accuracy"]) and math.isnan(record["above_chance"]) and record["chance"] >= 25


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": {"a": {"factor": "size"}}}, "scenes: no classes 'size'"),
        ({"task": {"a": {"factor": "background_hue"}}}, "scenes: no classes 'background_hue'"),
        ({"task": {"a": {"factor": "texture"}}}, "task 'a': all images have one texture, plain"),
        ({"task": {"a": {"factor": "shape", "pairs": [["circle", "sqare"]]}}}, "task 'a': shape has no class 'sqare'; did you mean 'square'?"),
        ({"task": {"a": {"factor": "shape", "pairs": [["circle", "hexagon"]]}}}, "task 'a': shape has no class 'hexagon' (known: circle, square, triangle, star)"),
        ({"labelled": 65}, "'labelled' asks for 65 of 64 training images; ask for fewer"),
        ({"labelled": 1}, "The 1 labelled images that a linear probe is fitted on are all of one class"),
        ({"data": {"source": "digits", "train": 40, "validation": 20, "test": 20}}, "digits: has no captions"),
        ({"model": {**SMALL, "image": {"kind": "vision-transformer", "patch": 5}}}, "scenes: images of 16 x 16 cannot be cut"),
        ({"data": {**SCENES, "test": 1}, "task": {"pairs": {"factor": "shape", "pairs": [["circle", "square"], ["star", "triangle"]]}}}, "task 'pairs': the test part has no image of"),
        ({"prompts": {"templates": "held-out", "count": 17}}, "'count' asks for 17 of 16 templates"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_in_a_sentence(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        trial(**given)
    assert str(raised.value).startswith(message) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "task", [{}, {"a": {}}, {"a": {"factor": "shape", "pairs": []}}, {"a": {"factor": "shape", "pairs": [["star", "star"]]}},
             {"a": {"factor": "shape", "pairs": [["star"]]}}]
)  # fmt: skip
def test_what_is_no_task_is_refused(task: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        trial(task=task)
