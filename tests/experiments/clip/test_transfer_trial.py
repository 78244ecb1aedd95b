"""The trial on what training never had: withheld pairs, untold attributes, labels, and who is asked beside."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from clip_small import DIGITS, SCENES, SMALL, TRAINING, called, fresh
from pydantic import ValidationError
from torchvision.models import ResNet18_Weights, resnet18
from true_format_files import write_image_folder

from experiments.clip import setup, supervised
from experiments.clip.images import load_images
from experiments.clip.task_settings import SupervisedSettings
from experiments.clip.withheld import names_of_pair, subset, withheld_pairs
from experiments.clip.words import COLOURS, NAMES
from experiments.clip.words import DIGITS as NUMBERS
from experiments.data import Dataset, DecodedPart, Part
from experiments.data.settings import ColouredDigitsSettings, ImageFolderSettings
from harness.errors import UserError
from harness.execution.run import Run
from harness.execution.streams import Stream

TRIAL = "experiments.clip.transfer_trial:classify_unseen"
FACTORS = ["colour", "digit"]
GROUND: dict[str, Any] = {
    "templates": ["a photo of a thing on a {} background.", "a view of a thing on a {} background."]
}
TASKS: dict[str, Any] = {
    "seen": {"kind": "seen pairs", "factors": FACTORS},
    "unseen": {"kind": "unseen pairs", "factors": FACTORS},
    "ground": {"kind": "unseen attribute", "factor": "background", "prompts": GROUND},
    "labels": {"kind": "labels"},
}
READERS = {"words": "zero-shot", "guess": "chance"}
GIVEN: dict[str, Any] = {
    "task": TASKS,
    "reader": READERS,
    "data": DIGITS,
    "captions": {"never": ["background"]},
    **TRAINING,
}
PAIRS = {name: TASKS[name] for name in ("seen", "unseen")}
LABELS: dict[str, Any] = {"labels": {"kind": "labels", "prompts": {"templates": "default"}}}


def trial(run: Run | None = None, **changed: Any) -> list[dict[str, Any]]:
    return called(TRIAL, run or fresh(), {**GIVEN, **changed})


def by_names(records: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(record["task"], record["reader"]): record for record in records}


def data_of(run: Run) -> Dataset:
    return load_images(ColouredDigitsSettings(**DIGITS), run.stream("data").seed)


def withheld_of(run: Run, share: float = 0.25) -> numpy.ndarray:
    return withheld_pairs(8, 10, share, run.stream("withheld"))


def trained_on(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return where the images, captions and vocabulary of a training will be noted."""
    noted: list[Any] = []
    real = setup.write_captions

    def watched(source: str, part: Part, *given: Any) -> tuple[str, ...]:
        found = real(source, part, *given)
        noted.append((part, found))
        return found

    monkeypatch.setattr(setup, "write_captions", watched)
    return noted


# Which pairs are withheld


@pytest.mark.parametrize(("first", "second"), [(8, 10), (2, 2), (3, 7), (10, 2)])
def test_every_class_stays_in_a_pair_and_the_share_is_met(first: int, second: int) -> None:
    most = (first * second - (first + second - 1)) / (first * second)
    for seed in range(40):
        for share in (0.0, 0.25 * most, 0.5 * most, most):
            found = withheld_pairs(first, second, share, Stream("pairs", seed))
            assert found.shape == (first, second) and found.sum() == round(share * first * second)
            assert (~found).any(axis=0).all() and (~found).any(axis=1).all()


def test_pairs_are_drawn_by_the_stream_and_each_as_likely() -> None:
    found = numpy.stack([withheld_pairs(4, 5, 0.25, Stream("pairs", seed)) for seed in range(800)])
    assert (found[0] == withheld_pairs(4, 5, 0.25, Stream("pairs", 0))).all() and len(numpy.unique(found, axis=0)) > 300
    assert numpy.abs(found.mean(0) - 0.25).max() < 0.07


def test_larger_shares_withhold_the_same_pairs_and_more() -> None:
    small, large = (withheld_pairs(8, 10, share, Stream("pairs")) for share in (0.1, 0.5))
    assert (large[small]).all() and large.sum() == 40


@pytest.mark.parametrize("share", [0.8, 1.0])
def test_a_share_that_leaves_too_few_is_refused(share: float) -> None:
    with pytest.raises(UserError, match=rf"'withheld' {share:g} of 8 x 10 pairs would leave fewer than the 17"):
        withheld_pairs(8, 10, share, Stream("pairs"))


def test_a_subset_keeps_images_factors_and_captions_together() -> None:
    part = data_of(fresh()).test
    for chosen in (numpy.array([5, 2, 40]), numpy.isin(numpy.arange(60), [2, 5, 40])):
        found = subset(part, chosen)
        places = numpy.arange(60)[chosen]
        assert len(found) == 3 and (found.images == part.images[places]).all()
        assert all((values == part.factors[name][places]).all() for name, values in found.factors.items())
        assert part.captions is not None and found.captions == tuple(part.captions[place] for place in places)
    assert subset(Part(part.images, part.factors), numpy.array([1])).captions is None


def test_names_of_pairs_go_by_their_places() -> None:
    assert names_of_pair(COLOURS["red"], NUMBERS["three"]) == ("red three", "scarlet trio", "crimson triple")
    assert names_of_pair(("a", "b"), ("x",)) == ("a x", "b x")


# What training sees


def test_no_training_image_and_no_caption_has_a_withheld_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    noted, run = trained_on(monkeypatch), fresh()
    data = {**DIGITS, "train": 1500}
    captions = {"never": ["background"], "omitted": 0, "attributes_omitted": 0, "unknown": 0}
    trial(run, data=data, captions=captions)
    gone = withheld_of(run)
    ((part, texts),) = noted
    whole = load_images(ColouredDigitsSettings(**data), run.stream("data").seed).train
    kept = ~gone[whole.factors["colour"], whole.factors["digit"]]
    assert (part.images == whole.images[kept]).all() and 0.6 < kept.mean() < 0.9
    assert not gone[part.factors["colour"], part.factors["digit"]].any()
    for factor, count in (("colour", 8), ("digit", 10)):
        assert len(numpy.unique(part.factors[factor])) == count
    colours, digits = list(COLOURS.values()), list(NUMBERS.values())
    said = {
        f"{a} {b}": (row, column)
        for row, one in enumerate(colours[:8])
        for column, other in enumerate(digits)
        for a in one
        for b in other
    }
    found = {place for text in texts for words, place in said.items() if f" {words} " in f" {text.replace('.', ' ')} "}
    assert len(found) > 50 and not any(gone[place] for place in found)


def test_without_pairs_nothing_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    noted = trained_on(monkeypatch)
    trial(task={"labels": TASKS["labels"]}, withheld=0.9)
    assert len(noted[0][0]) == DIGITS["train"]


def test_a_share_of_nought_withholds_nothing_and_leaves_seen_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    noted = trained_on(monkeypatch)
    records = trial(task={"seen": TASKS["seen"]}, withheld=0.0)
    assert len(noted[0][0]) == DIGITS["train"] and records[0]["classes"] == 80


# What is recorded


def test_records_are_whole_and_follow_from_the_outcomes() -> None:
    run = fresh()
    records = trial(run)
    assert [(each["task"], each["reader"]) for each in records] == [(t, one) for t in TASKS for one in READERS]
    outcomes = run.tables["outcomes"]
    assert list(outcomes.columns) == ["item", "class", "task", "reader", "accuracy"]
    means = 100 * outcomes.groupby(["task", "reader"])["accuracy"].mean()
    sizes = {"seen": 60, "unseen": 20, "ground": 8, "labels": 10}
    for record in records:
        task, reader = record["task"], record["reader"]
        assert record["classes"] == sizes[task] and record["chance"] == pytest.approx(100 / sizes[task])
        assert record["accuracy"] == pytest.approx(means[task, reader])
        more = {"parameters", "loss"} if reader == "words" else set()
        assert set(record) == {"task", "reader", "accuracy", "chance", "classes"} | more
        if reader == "guess":
            assert record["accuracy"] == pytest.approx(record["chance"])


def test_items_are_those_of_the_group_with_their_label() -> None:
    run = fresh()
    trial(run)
    dataset, gone, outcomes = data_of(run), withheld_of(run), run.tables["outcomes"]
    colours, digits = (dataset.test.factors[factor] for factor in FACTORS)
    names = [
        f"{dataset.factors['colour'].values[c]} {dataset.factors['digit'].values[d]}"
        for c, d in zip(colours, digits, strict=True)
    ]
    for task, group in (("seen", ~gone), ("unseen", gone)):
        items = numpy.flatnonzero(group[colours, digits])
        for reader in READERS:
            rows = outcomes[(outcomes["task"] == task) & (outcomes["reader"] == reader)]
            assert list(rows["item"]) == items.tolist() and list(rows["class"]) == [names[item] for item in items]


def test_pairs_are_told_apart_by_prompts_of_their_whole_group(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = setup.SmallEncoder.encode_texts

    def watched(self: Any, texts: Any) -> Any:
        asked.extend(texts)
        return real(self, texts)

    monkeypatch.setattr(setup.SmallEncoder, "encode_texts", watched)
    run = fresh()
    trial(run, task={"unseen": PAIRS["unseen"]}, prompts={"templates": "default"})
    values = data_of(run).factors
    expected = [
        f"a photo of a {values['colour'].values[row]} {values['digit'].values[column]}."
        for row, column in numpy.argwhere(withheld_of(run))
    ]
    assert asked == expected


def test_an_encoder_that_has_learnt_knows_both_groups() -> None:
    data = {**DIGITS, "classes": 2, "colours": 6, "background": "grey", "train": 1200, "test": 400}
    model = {
        **SMALL,
        "image": {**SMALL["image"], "widths": [8, 16]},
        "dimension": 16,
        "text": {"width": 16, "heads": 2},
    }
    captions = {"omitted": 0, "attributes_omitted": 0}
    given = {"task": PAIRS, "data": data, "model": model, "captions": captions, "steps": 200, "batch_size": 64}
    found = by_names(trial(**given, optimiser={"learning_rate": 0.01, "warmup_steps": 10}))
    assert found["seen", "words"]["classes"] == 9 and found["unseen", "words"]["classes"] == 3
    assert found["seen", "words"]["accuracy"] > 60 and found["unseen", "words"]["accuracy"] > 60


def test_the_same_run_gives_the_same_bytes_and_another_replicate_others() -> None:
    first, again = fresh(), fresh()
    records = trial(first)
    torch.manual_seed(5)
    numpy.random.seed(5)
    assert trial(again) == records
    assert first.tables["outcomes"].equals(again.tables["outcomes"])
    assert trial(fresh(1)) != records


def test_chance_alone_trains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    noted = trained_on(monkeypatch)
    records = trial(reader={"guess": "chance"})
    assert not noted and records == [each for each in trial() if each["reader"] == "guess"]


def test_weights_from_the_validation_part_are_of_the_same_group() -> None:
    run = fresh()
    given = {"data": {**DIGITS, "validation": 300}, "prompts": {"templates": "held-out", "weights": "validation"}}
    assert all(0 <= record["accuracy"] <= 100 for record in trial(run, task=PAIRS, **given))


def test_where_training_diverged_only_chance_has_scores() -> None:
    run = fresh()
    for record in trial(run, optimiser={"learning_rate": 1e30, "warmup_steps": 0}, steps=6):
        assert math.isnan(record["accuracy"]) == (record["reader"] == "words") and record["chance"] > 0
    assert set(run.tables["outcomes"]["reader"]) == {"guess"}


# A supervised classifier


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image folder of three classes, with ``small.pt`` in it: a ResNet-18 of random weights."""
    write_image_folder(tmp_path, ("apple", "bear", "car"), 4, 3)
    torch.manual_seed(0)
    torch.save(resnet18(num_classes=3).state_dict(), tmp_path / "small.pt")
    return tmp_path


def supervised_trial(root: Path, run: Run | None = None, **changed: Any) -> list[dict[str, Any]]:
    given = {
        "data": {"source": "image-folder"},
        "reader": {"control": "supervised", "guess": "chance"},
        "task": LABELS,
        "model": {"kind": "open-clip", "name": "ViT-B-32-quickgelu", "pretrained": "openai"},
        "supervised": {"name": "resnet18", "weights": "small.pt", "batch_size": 4},
        "data_root": str(root),
    }
    return called(TRIAL, run or fresh(), {**given, **changed})


def predictions(root: Path, path: Path) -> tuple[Dataset, torch.Tensor]:
    """Return what torchvision's own classifier says of the test part, image by image."""
    dataset = load_images(ImageFolderSettings(), 0, str(root))
    model = resnet18(num_classes=3).eval()
    state = torch.load(path)
    model.load_state_dict(state.get("model", state))
    transform = ResNet18_Weights.IMAGENET1K_V1.transforms()
    with torch.no_grad():
        found = [model(transform(dataset.test.image(item))[None]).argmax() for item in range(len(dataset.test))]
    return dataset, torch.stack(found)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_supervised_classifier_is_torchvisions_own(folder: Path, wrapped: bool) -> None:
    if wrapped:
        torch.save({"model": torch.load(folder / "small.pt"), "epoch": 3}, folder / "small.pt")
    run = fresh()
    control, guess = supervised_trial(folder, run)
    dataset, expected = predictions(folder, folder / "small.pt")
    labels = torch.from_numpy(dataset.test.factors["label"].copy())
    assert control == {
        "task": "labels", "reader": "control", "accuracy": pytest.approx(100 * float((expected == labels).double().mean())),
        "chance": pytest.approx(100 / 3), "classes": 3,
    }  # fmt: skip
    assert guess["accuracy"] == pytest.approx(100 / 3)
    outcomes = run.tables["outcomes"]
    assert list(outcomes["class"][:9]) == ["apple"] * 3 + ["bear"] * 3 + ["car"] * 3
    assert list(outcomes["accuracy"][:9]) == (expected == labels).tolist()


def test_its_classes_are_computed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = supervised_trial(folder)
    decoded: list[int] = []
    real = DecodedPart.image

    def noted(self: DecodedPart, index: int) -> Any:
        decoded.append(index)
        return real(self, index)

    monkeypatch.setattr(DecodedPart, "image", noted)
    assert supervised_trial(folder) == first and not decoded
    torch.manual_seed(1)
    torch.save(resnet18(num_classes=3).state_dict(), folder / "small.pt")
    supervised_trial(folder)
    assert sorted(decoded) == list(range(9))


def test_weights_of_a_tag_are_read_where_torchvision_keeps_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder / "hub"))
    (folder / "hub" / "checkpoints").mkdir(parents=True)
    (folder / "small.pt").rename(folder / "hub" / "checkpoints" / "resnet18-f37072fd.pth")
    found = supervised_trial(folder, supervised={"name": "resnet18", "weights": "IMAGENET1K_V1"})
    _, expected = predictions(folder, folder / "hub" / "checkpoints" / "resnet18-f37072fd.pth")
    assert 0 <= found[0]["accuracy"] <= 100 and len(expected) == 9


def test_the_weights_are_fetched_only_where_that_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refused(url: str, *given: Any, **more: Any) -> Any:
        asked.append(url)
        raise OSError("no network here")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder / "hub"))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refused)
    settings = SupervisedSettings(name="resnet50", weights="IMAGENET1K_V2")
    with pytest.raises(UserError, match="IMAGENET1K_V2 of resnet50 are not on this machine .*download=true") as raised:
        supervised.require_supervised(settings, 1000, None, False)
    assert not asked and "\n" not in str(raised.value)
    with pytest.raises(
        UserError, match="could not be fetched .no network here.; put https://.*resnet50-11ad3fa6.pth at"
    ):
        supervised.require_supervised(settings, 1000, None, True)
    assert len(asked) == 1


def save_code(path: Path) -> None:
    torch.save({"fc.bias": torch.zeros(3), "run": print}, path)


@pytest.mark.parametrize(
    ("write", "settings", "message"),
    [
        (None, {"weights": "other.pt"}, r"The checkpoint file .*other.pt of the supervised resnet18 is missing"),
        (None, {"weights": "IMAGENET1K_V2"}, r"torchvision has no weights IMAGENET1K_V2 of resnet18 \(known: IMAGENET1K_V1\)"),
        (None, {"name": "resnet50"}, r"The weights in .*small.pt are not those of resnet50 \(it lacks"),
        (lambda path: torch.save(resnet18(num_classes=4).state_dict(), path), {}, "tell 4 classes apart, but the data set has 3"),
        (lambda path: path.write_bytes(b"nothing"), {}, r"The file .*small.pt is no checkpoint of resnet18"),
        (lambda path: torch.save([1], path), {}, r"The file .*small.pt is no checkpoint of resnet18"),
        (lambda path: torch.save({"fc.bias": torch.zeros(())}, path), {}, r"The file .*small.pt is no checkpoint of resnet18"),
        (save_code, {}, r"The file .*small.pt is no checkpoint of resnet18"),
        (lambda path: torch.save({**resnet18(num_classes=3).state_dict(), "more": torch.zeros(2)}, path), {}, "are not those of resnet18"),
    ],
)  # fmt: skip
def test_weights_that_cannot_be_used_are_refused_in_a_sentence(
    folder: Path, write: Callable[[Path], None] | None, settings: dict[str, Any], message: str
) -> None:
    if write:
        write(folder / "small.pt")
    given = {"name": "resnet18", "weights": "small.pt", **settings}
    with pytest.raises(UserError, match=message) as raised:
        supervised_trial(folder, supervised=given)
    assert "\n" not in str(raised.value)


def test_a_classifier_leaves_torchs_generator_alone(folder: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    supervised.require_supervised(SupervisedSettings(name="resnet18", weights="small.pt"), 3, str(folder), False)
    assert torch.equal(torch.rand(2), expected)


# A released model


@pytest.fixture
def released(folder: Path) -> Iterator[dict[str, Any]]:
    """The settings of a small model of open_clip with random weights in ``folder``."""
    open_clip = pytest.importorskip("open_clip")
    factory = importlib.import_module("open_clip.factory")
    (folder / "configurations").mkdir()
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    configuration = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}
    (folder / "configurations" / "tiny-transfer.json").write_text(json.dumps(configuration))
    open_clip.add_model_config(folder / "configurations")
    torch.manual_seed(0)
    torch.save(open_clip.create_model("tiny-transfer", load_weights=False).state_dict(), folder / "clip.pt")
    yield {"kind": "open-clip", "name": "tiny-transfer", "pretrained": "clip.pt"}
    factory._MODEL_CONFIG_PATHS.remove(folder / "configurations")
    del factory._MODEL_CONFIGS["tiny-transfer"]


def test_a_released_model_beside_a_supervised_one(folder: Path, released: dict[str, Any]) -> None:
    run, readers = fresh(), {"words": "zero-shot", "control": "supervised", "guess": "chance"}
    records = supervised_trial(folder, run, model=released, reader=readers)
    assert [record["reader"] for record in records] == list(readers)
    assert records[1:] == supervised_trial(folder, reader={"control": "supervised", "guess": "chance"})
    outcomes = run.tables["outcomes"]
    assert len(outcomes) == 27 and list(outcomes.groupby("reader")["item"].apply(list)["words"]) == list(range(9))
    assert records[0]["parameters"] > 1e6 and 0 <= records[0]["accuracy"] <= 100
    assert supervised_trial(folder, model=released, reader=readers) == records


def test_a_released_model_has_no_templates_of_a_grammar(folder: Path, released: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="templates 'held-out' belong to captions"):
        supervised_trial(folder, model=released, reader={"words": "zero-shot"}, task={"labels": {"kind": "labels"}})


# What is refused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"withheld": 0.9}, "'withheld' 0.9 of 8 x 10 pairs would leave fewer"),
        ({"withheld": 0.0}, "no pair is withheld, so 'unseen pairs' has no labels"),
        ({"task": {"a": PAIRS["seen"], "b": {"kind": "unseen pairs", "factors": ["digit", "colour"]}}}, "tasks 'a' and 'b' have different 'factors'"),
        ({"task": {"a": {"kind": "seen pairs", "factors": ["colour", "item"]}}}, "coloured-digits: no classes 'item'"),
        ({"captions": {}}, "task 'ground': captions mention 'background', so it is not unseen"),
        ({"reader": {"a": "supervised"}}, "task 'seen': the reader 'supervised' knows the data set's labels alone"),
        ({"reader": {"a": "supervised"}, "task": LABELS}, "the reader 'supervised' needs a classifier"),
        ({"model": {"kind": "open-clip", "name": "RN50", "pretrained": "openai"}}, "task 'seen': nothing is withheld from the training of a released model"),
        ({"data": {"source": "digits", "train": 40, "validation": 20, "test": 20}}, "digits: has no captions"),
        ({"data": {**DIGITS, "test": 1}}, "coloured-digits: no test image is of the"),
        ({"data": {**DIGITS, "train": 1, "colours": 2, "classes": 2}, "withheld": 0.25}, "coloured-digits: no training image is of a pair that is seen"),
        ({"prompts": {"templates": "openai-81.txt"}}, "the file of templates openai-81.txt cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_in_a_sentence(given: dict[str, Any], message: str) -> None:
    if given.get("data", {}).get("train") == 1:
        replicate = next(each for each in range(50) if one_withheld(each, given["data"]))
        given = {**given, "task": {"seen": PAIRS["seen"]}}
    else:
        replicate = 0
    with pytest.raises(UserError) as raised:
        trial(fresh(replicate), **given)
    assert str(raised.value).startswith(message) and "\n" not in str(raised.value)


def one_withheld(replicate: int, data: dict[str, Any]) -> bool:
    """Return whether the only training image is of a pair that is withheld, and some test image is of a seen one."""
    run = fresh(replicate)
    part = load_images(ColouredDigitsSettings(**data), run.stream("data").seed).train
    gone = withheld_pairs(2, 2, 0.25, run.stream("withheld"))
    return bool(gone[part.factors["colour"][0], part.factors["digit"][0]])


@pytest.mark.parametrize(
    "given",
    [{"task": {}}, {"reader": {}}, {"task": {"a": {"kind": "seen pairs", "factors": ["digit", "digit"]}}},
     {"task": {"a": {"kind": "unseen attribute", "factor": "background"}}}, {"reader": {"a": "probe"}}, {"withheld": 1.5},
     {"supervised": {"name": "vgg16", "weights": "x"}}],
)  # fmt: skip
def test_what_is_no_setting_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        trial(**given)


def test_scenes_have_pairs_of_any_two_factors() -> None:
    tasks = {
        "a": {"kind": "seen pairs", "factors": ["background", "shape"]},
        "b": {"kind": "unseen pairs", "factors": ["background", "shape"]},
    }
    found = by_names(trial(data=SCENES, task=tasks, withheld=0.3, captions={}))
    assert found["a", "words"]["classes"] + found["b", "words"]["classes"] == 8 and "background" in NAMES["scenes"]
