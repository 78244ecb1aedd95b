"""The trial on prompts, end to end on small data: its records and tables, what each option does, and how it ends."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch.nn import functional

from experiments.clip import setup, training
from experiments.clip.caption_settings import CaptionSettings
from experiments.clip.captions import draw_templates
from experiments.clip.model_settings import ConvolutionalSettings, PatchesSettings, SmallSettings, TextSettings
from experiments.clip.optimiser_settings import OptimiserSettings
from experiments.clip.setup import SmallEncoder, Training, as_float, batches, train_small
from experiments.clip.words import COLOURS, DIGITS
from experiments.data import load
from experiments.data.settings import ColouredDigitsSettings
from harness.errors import UserError
from harness.execution.run import Checkpoint, Run
from harness.spec.signature import resolve

PROMPTS: dict[str, Any] = {
    "default": {"templates": "default"},
    "bare": {"templates": "bare"},
    "held-out": {"templates": "held-out"},
    "training": {"templates": "training", "combine": "probability", "weights": "validation"},
    "each": {"templates": "held-out", "combine": "each"},
    "own": {"templates": ["my {}", "this photo shows a {}."], "weights": "unsupervised", "names": "synonyms"},
    "subsets": {"templates": "openai-80", "count": 3, "subsets": 4},
    "specific": {"templates": "specific"},
}
SIZES = {"size": 8, "train": 64, "validation": 40, "test": 60}
SMALL: dict[str, Any] = {
    "prompts": PROMPTS,
    "data": {"source": "coloured-digits", **SIZES},
    "model": {
        "kind": "small",
        "image": {"kind": "convolutional", "widths": [4, 6], "strides": [1, 2], "grid": 2},
        "text": {"width": 8, "heads": 2},
        "dimension": 8,
    },
    "steps": 4,
    "batch_size": 16,
}
COUNTS = {"default": 1, "bare": 1, "held-out": 16, "training": 24, "each": 16, "own": 2, "subsets": 3, "specific": 8}


def called(run: Run | None = None, **changed: Any) -> list[dict[str, Any]]:
    """Call the trial with plain data, checked as the engine checks a spec's."""
    function = resolve("experiments.clip.trial:classify_by_prompts")
    given = {key: function.parameters[key].check(value) for key, value in {**SMALL, **changed}.items()}
    found: list[dict[str, Any]] = function.call(run=run or Run("small", threads=1), **given)
    return found


def few(*names: str) -> dict[str, Any]:
    return {name: PROMPTS[name] for name in names or ("default", "held-out")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Run]:
    """The records of the small trial, and its run."""
    run = Run("small", replicate=1, threads=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HARNESS_DATA", str(tmp_path_factory.getbasetemp() / "data"))
        before = torch.get_num_threads()
        records = called(run)
        torch.set_num_threads(before)
    return records, run


Whole = tuple[list[dict[str, Any]], Run]


def again(replicate: int = 1, **changed: Any) -> setup.Trained:
    """Train the same encoder as the trial does, without it."""
    data = ColouredDigitsSettings(**SIZES)
    run = Run("small", replicate=replicate, threads=1)
    asked = Training(CaptionSettings(), OptimiserSettings(), 4, 16)
    model = SmallSettings(
        image=ConvolutionalSettings(widths=(4, 6), strides=(1, 2), grid=2),
        text=TextSettings(width=8, heads=2),
        dimension=8,
    )
    return train_small(run, load(data, run.stream("data").seed), model, asked, **changed)


# Records and tables


def test_there_is_a_record_for_every_set_of_prompts(whole: Whole) -> None:
    records, run = whole
    assert [record["prompts"] for record in records] == list(PROMPTS)
    for record in records:
        assert 0 <= record["accuracy"] <= 100 and math.isfinite(record["nll"]) and record["nll"] > 0
        assert record["templates"] == COUNTS[record["prompts"]]
        assert {"parameters", "scale", "loss"} <= set(record)
    for name in ("parameters", "scale", "loss"):
        assert len({record[name] for record in records}) == 1
    assert records[0]["loss"] == run.scalars[-1]["loss"]
    assert records[0]["parameters"] == sum(p.numel() for p in again().encoder.model.parameters())
    assert [row["step"] for row in run.scalars] == [0, 1, 2, 3]


def test_the_table_of_outcomes_has_every_item_and_the_accuracy_follows_from_it(whole: Whole) -> None:
    records, run = whole
    table = run.tables["outcomes"]
    assert list(table.columns) == ["item", "class", "prompts", "accuracy"] and len(table) == 60 * len(PROMPTS)
    data = load(ColouredDigitsSettings(**SIZES), run.stream("data").seed)
    names = [list(DIGITS)[digit] for digit in data.test.factors["digit"]]
    for record in records:
        own = table[table["prompts"] == record["prompts"]]
        assert list(own["item"]) == list(range(60)) and list(own["class"]) == names
        assert 100 * own["accuracy"].mean() == pytest.approx(record["accuracy"], abs=1e-4)
        assert own["accuracy"].between(0, 1).all()
        if record["prompts"] not in ("each", "subsets"):
            assert set(own["accuracy"]) <= {0.0, 1.0}


def test_the_table_of_singles_is_a_direct_classification(whole: Whole) -> None:
    _, run = whole
    trained = again()
    table = run.tables["singles"]
    assert len(set(table["template"])) == len(table)
    expected = {"{}", "a photo of a {}.", "my {}", "this photo shows a {}.", *trained.templates.held_out}
    assert expected | set(trained.templates.training) <= set(table["template"])
    data = load(ColouredDigitsSettings(**SIZES), run.stream("data").seed)
    images = trained.encoder.encode_images(data.test)
    for template, accuracy in zip(table["template"], table["accuracy"], strict=True):
        prompts = trained.encoder.encode_texts([template.replace("{}", digit) for digit in DIGITS])
        right = (images @ prompts.T).argmax(1).numpy() == data.test.factors["digit"]
        assert accuracy == pytest.approx(100 * right.mean(), abs=1e-9)


def test_single_templates_and_their_average_agree_with_the_table(whole: Whole) -> None:
    records, run = whole
    singles = run.tables["singles"].set_index("template")["accuracy"]
    accuracies = {record["prompts"]: record["accuracy"] for record in records}
    assert accuracies["default"] == pytest.approx(singles["a photo of a {}."], abs=1e-9)
    assert accuracies["bare"] == pytest.approx(singles["{}"], abs=1e-9)
    held = again().templates.held_out
    assert accuracies["each"] == pytest.approx(numpy.mean([singles[template] for template in held]), abs=1e-4)


def test_the_same_trial_again_gives_the_same_bytes_and_another_replicate_others(whole: Whole) -> None:
    records, run = whole
    second = Run("small", replicate=1, threads=1)
    torch.manual_seed(3)
    assert called(second) == records
    assert all(second.tables[name].equals(run.tables[name]) for name in ("outcomes", "singles"))
    assert second.scalars == run.scalars
    other = called(Run("small", replicate=2, threads=1), prompts=few())
    assert other[0]["loss"] != records[0]["loss"]


def test_a_set_has_the_same_record_whichever_others_stand_beside_it(whole: Whole) -> None:
    records, _ = whole
    found = called(Run("small", replicate=1, threads=1), prompts=few("subsets", "own", "default"))
    by_name = {record["prompts"]: record for record in records}
    assert [record["prompts"] for record in found] == ["subsets", "own", "default"]
    for record in found:
        # Texts are encoded in other company, which moves the last digits.
        expected = by_name[record["prompts"]]
        assert record.keys() == expected.keys()
        assert [v for k, v in record.items() if k != "prompts"] == pytest.approx(
            [v for k, v in expected.items() if k != "prompts"], rel=1e-6
        )


def test_a_resumed_trial_gives_the_same_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Whole) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1.0)

    class Interrupted(Run):
        def progress(self, done: int, total: int) -> None:
            if done == 3:
                raise KeyboardInterrupt

    given: dict[str, Any] = {"replicate": 1, "threads": 1, "checkpoint_folder": tmp_path / "kept"}
    with pytest.raises(KeyboardInterrupt):
        called(Interrupted("small", **given))
    assert Checkpoint(tmp_path / "kept").load()["step"] == 3
    resumed = Run("small", **given)
    assert called(resumed) == whole[0]
    assert all(resumed.tables[name].equals(whole[1].tables[name]) for name in ("outcomes", "singles"))


# Options


def test_polysemy_takes_the_place_of_the_captions_own(whole: Whole) -> None:
    def loss(**given: Any) -> float:
        return float(called(Run("small", replicate=1, threads=1), prompts=few("default"), **given)[0]["loss"])

    usual = whole[0][0]["loss"]
    assert loss(polysemy=0.0) == usual == loss(captions={"polysemy": 0.7}, polysemy=0.0)
    assert loss(polysemy=0.7) == loss(captions={"polysemy": 0.7}) != usual
    assert loss(captions={"polysemy": 0.7, "plain": 1.0}, polysemy=0.0) == loss(captions={"plain": 1.0}) != usual


def test_another_factors_classes_are_told_apart_by_the_same_encoder(whole: Whole) -> None:
    run = Run("small", replicate=1, threads=1)
    records = called(run, prompts=few("default", "own"), attribute="colour")
    assert records[0]["loss"] == whole[0][0]["loss"]
    data = load(ColouredDigitsSettings(**SIZES), run.stream("data").seed)
    names = [list(COLOURS)[colour] for colour in data.test.factors["colour"]]
    assert list(run.tables["outcomes"]["class"])[:60] == names
    trained = again()
    prompts = trained.encoder.encode_texts([f"a photo of a {colour}." for colour in list(COLOURS)[:8]])
    right = (trained.encoder.encode_images(data.test) @ prompts.T).argmax(1).numpy() == data.test.factors["colour"]
    assert records[0]["accuracy"] == pytest.approx(100 * right.mean(), abs=1e-9)


@pytest.mark.parametrize(
    ("data", "attribute", "classes"),
    [
        ({"source": "scenes", **SIZES, "size": 16, "count_maximum": 4}, None, 10),
        ({"source": "scenes", **SIZES, "size": 16, "count_maximum": 3}, "count", 3),
        ({"source": "scenes", **SIZES, "size": 16}, "texture", 4),
        ({"source": "glyphs", **SIZES, "size": 12, "letters": 4}, "letter", 4),
    ],
)
def test_other_sources(data: dict[str, Any], attribute: str | None, classes: int) -> None:
    run = Run("small", threads=1)
    records = called(run, data=data, attribute=attribute, prompts=few("default", "held-out", "specific"))
    assert len(records) == 3 and all(math.isfinite(record["nll"]) for record in records)
    assert 1 < run.tables["outcomes"]["class"].nunique() <= classes


def test_a_vision_transformer_as_the_image_tower() -> None:
    model = {**SMALL["model"], "image": {"kind": "vision-transformer", "patch": 4, "width": 8, "layers": 1, "heads": 2}}
    records = called(model=model, prompts=few())
    assert all(math.isfinite(record["nll"]) for record in records)
    assert records[0]["loss"] != called(prompts=few())[0]["loss"]


def test_templates_of_a_file_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("a photo of a {}.\n# no\nmy {}\n")
    prompts = {"file": {"templates": "mine.txt"}, "list": {"templates": ["a photo of a {}.", "my {}"]}}
    file, own = called(prompts=prompts, data_root=str(tmp_path))
    assert {**file, "prompts": ""} == {**own, "prompts": ""} and file["templates"] == 2


def test_a_longer_training_learns_something() -> None:
    data = {"source": "coloured-digits", **SIZES, "train": 600, "colours": 3}
    captions = {"omitted": 0.0, "attributes_omitted": 0.0, "distractors": 0.0, "synonyms": 0.0}
    optimiser = {"learning_rate": 0.01, "warmup_steps": 5}
    found = called(
        data=data, captions=captions, steps=150, batch_size=64, optimiser=optimiser, attribute="colour", prompts=few()
    )
    # Of three colours a third is chance; 60 % of 60 items lie more than four standard deviations above it.
    assert all(record["accuracy"] > 60 for record in found)


# What cannot be done


def refused(**changed: Any) -> str:
    with pytest.raises(UserError) as caught:
        called(**changed)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_a_source_without_captions_is_refused() -> None:
    data = {"source": "digits", "size": 8, "train": 64, "validation": 40, "test": 60}
    sentence = refused(data=data)
    assert sentence.startswith(
        "digits: has no captions to train a small encoder on; choose one of coloured-digits, scenes"
    )


def test_images_that_cannot_be_cut_into_patches_are_refused() -> None:
    model = {**SMALL["model"], "image": {"kind": "vision-transformer", "patch": 5}}
    assert refused(model=model) == "coloured-digits: images of 8 x 8 cannot be cut into patches of 5"


def test_prompts_and_attributes_that_the_data_do_not_have_are_refused(tmp_path: Path) -> None:
    assert "no classes 'shape'" in refused(attribute="shape")
    assert "no classes 'item'" in refused(attribute="item")
    assert "no class names and templates" in refused(prompts={"real": {"templates": "set"}})
    assert "cannot be read" in refused(prompts={"file": {"templates": str(tmp_path / "none.txt")}})
    assert "'count' asks for 5 of 1" in refused(prompts={"many": {"templates": "bare", "count": 5}})


@pytest.mark.parametrize(
    "changed",
    [
        {"attribute": "shape"},
        {"prompts": {"file": {"templates": "/nowhere/none.txt"}}},
        {"prompts": {"many": {"templates": "bare", "count": 5}}},
        {"data": {"source": "glyphs", **SIZES}},
    ],
)
def test_what_cannot_be_classified_is_refused_before_the_training(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    steps: list[int] = []

    class Watched(Run):
        def progress(self, done: int, total: int) -> None:
            steps.append(done)

    with pytest.raises(UserError):
        called(Watched("small", threads=1), **changed)
    assert steps == []


def test_a_training_that_diverges_says_so_with_nan() -> None:
    run = Run("small", threads=1)
    records = called(run, optimiser={"learning_rate": 1e30})
    assert [record["prompts"] for record in records] == list(PROMPTS)
    for record in records:
        assert math.isnan(record["accuracy"]) and math.isnan(record["nll"]) and record["parameters"] > 0
        assert not math.isfinite(record["loss"])
    assert "outcomes" not in run.tables


# The encoder


def test_a_trained_encoder_gives_unit_vectors_of_its_model() -> None:
    trained = again()
    encoder, data = trained.encoder, load(ColouredDigitsSettings(**SIZES), 0)
    assert encoder.scale == pytest.approx(float(encoder.model.scale.detach()))
    images, texts = encoder.encode_images(data.test), encoder.encode_texts(["a red three", "zebra"])
    for found in (images, texts):
        torch.testing.assert_close(found.norm(dim=1), torch.ones(len(found)), rtol=0, atol=1e-6)
        assert found.dtype == torch.float32 and not found.requires_grad
    features = encoder.features(data.test)
    assert features.shape == (60, 6 * 4)
    projected = functional.normalize(encoder.model.image.projection(features), dim=1)
    torch.testing.assert_close(projected, images, rtol=0, atol=1e-6)


def test_the_key_of_an_encoder_follows_its_weights_and_words() -> None:
    first, same, other = again().encoder, again().encoder, again(replicate=2).encoder
    assert first.key == same.key != other.key
    assert first.key != SmallEncoder(first.model, type(first.vocabulary)(("cat",)), first.device).key
    with torch.no_grad():
        first.model.logit_scale.add_(1e-3)
    assert first.key != same.key


def test_images_come_in_batches_between_nought_and_one(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load(ColouredDigitsSettings(**SIZES), 0)
    whole = as_float(data.test, slice(None), torch.device("cpu"))
    assert whole.shape == (60, 3, 8, 8) and whole.dtype == torch.float32
    assert torch.equal(whole, torch.from_numpy(numpy.array(data.test.images)).float() / 255)
    monkeypatch.setattr(setup, "BATCH", 25)
    parts = batches(data.test, torch.device("cpu"))
    assert [len(part) for part in parts] == [25, 25, 10] and torch.equal(torch.cat(parts), whole)
    assert torch.equal(as_float(data.test, numpy.array([3, 1]), torch.device("cpu")), whole[[3, 1]])


def test_how_many_texts_are_encoded_at_once_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = again().encoder
    texts = [f"a {colour} {digit}" for colour in COLOURS for digit in DIGITS] + ["red", "a photo of a red three on a"]
    before = encoder.encode_texts(texts)
    monkeypatch.setattr(setup, "BATCH", 7)
    torch.testing.assert_close(encoder.encode_texts(texts), before, rtol=0, atol=1e-6)


def test_templates_of_the_captions_are_the_streams_own() -> None:
    assert again().templates == draw_templates(CaptionSettings(), Run("small", 1).stream("templates"))
    assert again(2).templates != again(1).templates


def test_another_training_part_takes_the_place_of_the_data_sets() -> None:
    data = load(ColouredDigitsSettings(**SIZES), Run("small", 1).stream("data").seed)
    assert again(train_part=data.train).encoder.key == again().encoder.key
    assert again(train_part=data.validation).encoder.key != again().encoder.key


def test_patches_and_text_settings_of_a_spec() -> None:
    assert PatchesSettings(width=8, heads=2).patch == 4 and TextSettings().layers == 1
