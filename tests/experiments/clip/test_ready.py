"""Before a trial: is what it needs there, and does it fit? Each function is asked as the engine asks it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from clip_small import DIGITS, PATCHES, SCENES, SMALL
from torchvision.models import resnet18
from true_format_files import write_image_folder

from experiments.clip import ready
from harness.errors import UserError
from harness.spec.signature import imported, resolve

ROOM = Path(__file__).parents[3] / "experiments" / "clip"
TRIALS: dict[str, Callable[..., None]] = {
    "trial:classify_by_prompts": ready.prompts_are_there,
    "shift_trial:classify_under_shift": ready.shift_is_possible,
    "counting_trial:classify_tasks": ready.tasks_are_there,
    "transfer_trial:classify_unseen": ready.unseen_is_there,
    "few_shot_trial:compare_with_probes": ready.shots_are_there,
}
ENSEMBLE = {"templates": "held-out"}
RELEASED = {"kind": "open-clip", "name": "RN50", "pretrained": "nowhere.pt"}
PLAIN = {"source": "digits", "train": 40, "validation": 20, "test": 20}
CUT = {**PATCHES, "image": {**PATCHES["image"], "patch": 3}}
PAIRS = {"kind": "unseen pairs", "factors": ["colour", "digit"]}
USUAL: dict[str, dict[str, Any]] = {
    "trial:classify_by_prompts": {"prompts": {"a": ENSEMBLE}},
    "shift_trial:classify_under_shift": {"test": {"a": [], "b": [{"kind": "grey"}]}},
    "counting_trial:classify_tasks": {"task": {"a": {"factor": "digit"}}, "reader": {"a": "probe"}, "labelled": 30},
    "transfer_trial:classify_unseen": {"task": {"a": PAIRS}, "reader": {"a": "zero-shot"}},
    "few_shot_trial:compare_with_probes": {"shots": {"0": 0, "4": 4}, "layer": {"a": "penultimate"}},
}


def asked(trial: str, **changed: Any) -> None:
    """Ask as ``harness.plan.hooks`` does: with checked values, or the trial function's defaults."""
    hook, known = TRIALS[trial], resolve(f"experiments.clip.{trial}").parameters
    given = {"data": DIGITS, "model": SMALL, **USUAL[trial], **changed}
    names = list(inspect.signature(hook).parameters)
    assert set(names) <= set(known), "the hook asks for what the trial function does not take"
    hook(**{name: known[name].check(given[name]) if name in given else known[name].default for name in names})


def refused(trial: str, **changed: Any) -> str:
    with pytest.raises(UserError) as raised:
        asked(trial, **changed)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.parametrize("model", [SMALL, PATCHES], ids=["convolutional", "patches"])
def test_what_fits_is_ready(trial: str, model: dict[str, Any]) -> None:
    asked(trial, model=model)


def test_the_specs_name_these_functions() -> None:
    for path in sorted(ROOM.glob("clip-*.yaml")):
        spec = yaml.safe_load(path.read_text())
        assert imported(spec["ready"], (), "function") is TRIALS[spec["trial"].removeprefix("experiments.clip.")], path


@pytest.mark.parametrize("trial", TRIALS)
def test_what_no_small_encoder_can_be_trained_on(trial: str) -> None:
    assert refused(trial, data=PLAIN).startswith("digits: has no captions to train a small encoder on")
    assert refused(trial, model=CUT) == "coloured-digits: images of 16 x 16 cannot be cut into patches of 3"


@pytest.mark.parametrize("trial", TRIALS)
def test_real_data_are_opened(trial: str, tmp_path: Path) -> None:
    assert "data_root" in refused(trial, data={"source": "cifar10"})
    assert str(tmp_path) in refused(trial, data={"source": "cifar10"}, data_root=str(tmp_path))
    assert str(tmp_path) in refused(trial, data={"source": "torchvision", "name": "dtd"}, data_root=str(tmp_path))


@pytest.mark.parametrize(
    "trial", ["trial:classify_by_prompts", "shift_trial:classify_under_shift", "few_shot_trial:compare_with_probes"]
)
def test_attributes_without_classes_or_words(trial: str) -> None:
    assert refused(trial, attribute="item").startswith("coloured-digits: no classes 'item'")
    assert refused(trial, data={"source": "glyphs"}).startswith("glyphs: captions have no words for 'class'")
    asked(trial, attribute="colour")


@pytest.mark.parametrize("trial", TRIALS)
def test_templates_are_there(trial: str, tmp_path: Path) -> None:
    def asked_for(prompts: dict[str, Any]) -> dict[str, Any]:
        return (
            {"prompts": {"a": ENSEMBLE, "b": prompts}} if trial == "trial:classify_by_prompts" else {"prompts": prompts}
        )

    (tmp_path / "own.txt").write_text("a photo of a {}.\n# more\na {}.\n")
    (tmp_path / "bad.txt").write_text("a photo of a {}.\nno place\n")
    asked(trial, **asked_for({"templates": "own.txt", "count": 2}), data_root=str(tmp_path))
    for prompts, message in (
        ({"templates": "own.txt", "count": 3}, "'count' asks for 3 of 2 templates"),
        ({"templates": "bad.txt"}, "bad.txt, line 2: the template 'no place' has no placeholder"),
        ({"templates": "gone.txt"}, "gone.txt cannot be read"),
        ({"templates": "held-out", "count": 17}, "'count' asks for 17 of 16 templates"),
    ):
        assert message in refused(trial, **asked_for(prompts), data_root=str(tmp_path))
    asked(trial, **asked_for({"templates": "held-out", "count": 17}), captions={"held_out": 20})


@pytest.mark.parametrize("trial", ["trial:classify_by_prompts", "few_shot_trial:compare_with_probes"])
def test_a_released_encoder_is_there_and_has_templates(
    trial: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = {"layer": {"a": "projected"}}
    write_image_folder(tmp_path, ("apple", "bear"), 10, 3)
    given = {"data": {"source": "image-folder"}, "model": RELEASED, "data_root": str(tmp_path), **layer}
    assert "nowhere.pt of the model RN50 is missing" in refused(trial, **given)
    monkeypatch.setattr("experiments.clip.open_clip_weights.require_open_clip", lambda *given: None)
    assert refused(trial, **given).startswith("templates 'held-out' belong to captions")
    default = {"templates": "default"}
    asked(trial, **given, prompts={"a": default} if trial == "trial:classify_by_prompts" else default)


def test_a_class_without_a_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.clip.open_clip_weights.require_open_clip", lambda *given: None)
    write_image_folder(tmp_path, ("_", "bear"), 2, 1)
    given = {
        "data": {"source": "image-folder"},
        "model": RELEASED,
        "data_root": str(tmp_path),
        "prompts": {"a": {"templates": "bare"}},
    }
    assert "the name of class 0 is empty" in refused("trial:classify_by_prompts", **given)


def test_one_shift_twice_in_a_level() -> None:
    grey = {"kind": "grey"}
    assert (
        refused("shift_trial:classify_under_shift", test={"a": [grey, grey]})
        == "'test' has one shift twice in the level 'a'; leave one out"
    )
    asked("shift_trial:classify_under_shift", test={"a": [grey], "b": [grey]})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": {"a": {"factor": "digit"}, "b": {"factor": "size"}}}, "coloured-digits: no classes 'size'"),
        ({"task": {"a": {"factor": "digit", "pairs": [["one", "tow"]]}}}, "task 'a': digit has no class 'tow'; did you mean 'two'?"),
        ({"labelled": 65}, "'labelled' asks for 65 of 64 training images"),
        ({"data": {**SCENES, "count_maximum": 1}, "task": {"a": {"factor": "count"}}}, "task 'a': all images have one count, one"),
        ({"task": {"a": {"factor": "digit", "prompts": {"templates": "gone.txt"}}}}, "the file of templates gone.txt cannot be read"),
    ],
)  # fmt: skip
def test_tasks_that_cannot_be_asked(given: dict[str, Any], message: str) -> None:
    assert refused("counting_trial:classify_tasks", **given).startswith(message)


def test_labelled_images_matter_to_probes_alone() -> None:
    asked("counting_trial:classify_tasks", labelled=65, reader={"a": "zero-shot"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"withheld": 0.9}, "'withheld' 0.9 of 8 x 10 pairs would leave fewer than the 17"),
        ({"withheld": 0.001}, "no pair is withheld"),
        ({"task": {"a": {"kind": "seen pairs", "factors": ["colour", "size"]}}}, "coloured-digits: no classes 'size'"),
        ({"task": {"a": PAIRS, "b": {**PAIRS, "factors": ["digit", "colour"]}}}, "tasks 'a' and 'b' have different 'factors'"),
        ({"task": {"a": {"kind": "unseen attribute", "factor": "background", "prompts": ENSEMBLE}}}, "task 'a': captions mention 'background'"),
        ({"reader": {"a": "supervised"}}, "task 'a': the reader 'supervised' knows the data set's labels alone"),
        ({"model": RELEASED}, "task 'a': nothing is withheld from the training of a released model"),
        ({"task": {"a": {**PAIRS, "prompts": {"templates": "gone.txt"}}}}, "the file of templates gone.txt cannot be read"),
    ],
)  # fmt: skip
def test_what_is_unseen_and_cannot_be_asked(given: dict[str, Any], message: str) -> None:
    assert refused("transfer_trial:classify_unseen", **given).startswith(message)


def test_a_supervised_classifier_is_there_and_fits(tmp_path: Path) -> None:
    trial = "transfer_trial:classify_unseen"
    write_image_folder(tmp_path, ("apple", "bear"), 3, 2)
    given: dict[str, Any] = {
        "data": {"source": "image-folder"},
        "model": RELEASED,
        "data_root": str(tmp_path),
        "task": {"a": {"kind": "labels"}},
        "reader": {"a": "supervised", "b": "chance"},
        "supervised": {"name": "resnet18", "weights": "small.pt"},
    }
    assert "small.pt of the supervised resnet18 is missing" in refused(trial, **given)
    torch.save(resnet18(num_classes=3).state_dict(), tmp_path / "small.pt")
    assert "tell 3 classes apart, but the data set has 2" in refused(trial, **given)
    torch.save(resnet18(num_classes=2).state_dict(), tmp_path / "small.pt")
    # Nobody asks the released encoder, so it need not be there.
    asked(trial, **given)
    assert "nowhere.pt of the model RN50 is missing" in refused(trial, **{**given, "reader": {"a": "zero-shot"}})


def test_shots_need_images_of_each_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = "few_shot_trial:compare_with_probes"
    asked(trial, shots={"6": 6})
    assert refused(trial, shots={"7": 7}).startswith(
        "coloured-digits: 7 shots need as many training images of each class"
    )
    assert "penultimate" in refused(trial, model=RELEASED)
    write_image_folder(tmp_path, ("apple", "bear"), 10, 2)
    monkeypatch.setattr("experiments.clip.open_clip_weights.require_open_clip", lambda *given: None)
    given: dict[str, Any] = {
        "data": {"source": "image-folder"},
        "model": RELEASED,
        "data_root": str(tmp_path),
        "layer": {"a": "projected"},
        "prompts": {"templates": "bare"},
    }
    asked(trial, **given, shots={"9": 9})
    assert "10 shots need as many training images of each class, and one of them has 9 at most" in refused(
        trial, **given, shots={"10": 10}
    )
