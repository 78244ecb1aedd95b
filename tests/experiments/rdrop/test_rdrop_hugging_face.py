"""Classifiers of the transformers library from small folders in the true format, up to a finished report on CSV files."""

from __future__ import annotations

import csv
import json
import math
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from rdrop_small import Watched, checked_call
from support import Finished, Workplace
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from experiments.rdrop import training
from experiments.rdrop.hugging_face import ImageClassifier, TextClassifier, Tokenizer, build_hugging_face
from experiments.rdrop.model_settings import HuggingFaceSettings
from harness.errors import UserError
from harness.execution.run import Run
from harness.execution.streams import Stream

SPECS = Path(__file__).parents[3] / "experiments" / "rdrop"
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "a",
    "cat",
    "dog",
    "bird",
    "eats",
    "sleeps",
    "sings",
    "not",
    "##s",
    ",",
    ".",
]
TEXTS = ("the cat eats", "A dog sleeps, the birds sing.", "", "the cats eats not the dog, not a bird")
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
BERT = {"vocab_size": len(WORDS), "max_position_embeddings": 140, "pad_token_id": 0, **SIZES}
MEAN, DEVIATION = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``bert``, ``roberta``, ``distilbert``, ``masked`` (BERT before fine-tuning) and ``vit``."""
    where = tmp_path_factory.mktemp("models")
    distilbert = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "vocab_size": len(WORDS)}
    models = {
        "bert": (transformers.BertForSequenceClassification, transformers.BertConfig(**BERT)),
        "masked": (transformers.BertForMaskedLM, transformers.BertConfig(**BERT)),
        "roberta": (
            transformers.RobertaForSequenceClassification,
            transformers.RobertaConfig(**BERT, type_vocab_size=1),
        ),
        "distilbert": (
            transformers.DistilBertForSequenceClassification,
            transformers.DistilBertConfig(**distilbert, max_position_embeddings=140),
        ),
        "vit": (
            transformers.ViTForImageClassification,
            transformers.ViTConfig(image_size=32, patch_size=8, num_labels=3, **SIZES),
        ),
    }
    vocabulary = where / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS) + "\n")
    for place, (name, (kind, configuration)) in enumerate(models.items()):
        with Stream("folders", place).as_torch_default():
            model = kind(configuration)
            for parameter in model.parameters():
                # Away from zero biases and from logits that hardly move.
                parameter.data += 0.2 * torch.randn(parameter.shape)
        model.save_pretrained(where / name)
        if name == "vit":
            transformers.ViTImageProcessor(
                size={"height": 32, "width": 32}, resample=3, do_rescale=False, image_mean=MEAN, image_std=DEVIATION
            ).save_pretrained(where / name)
        else:
            tokenizers = (
                transformers.DistilBertTokenizerFast if name == "distilbert" else transformers.BertTokenizerFast
            )
            tokenizers(vocab=str(vocabulary)).save_pretrained(where / name)
    return where


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with GLUE's columns in train.csv and validation.csv."""
    where = tmp_path_factory.mktemp("files")
    draws = random.Random(0)
    for name, count in (("train", 40), ("validation", 16)):
        with (where / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["sentence1", "sentence2", "label", "idx"])
            for index in range(count):
                one, other = draws.choice(["cat", "dog", "bird"]), draws.choice(["cat", "dog", "bird"])
                verb = draws.choice(["eats", "sleeps, not sings"])
                writer.writerow([f"the {one} {verb}.", f"a {other} {verb}", int(verb == "eats"), index])
    return where


def named(name: object, **more: Any) -> HuggingFaceSettings:
    return HuggingFaceSettings(kind="hugging-face", name=str(name), **more)


def built(name: object, images: bool = False, classes: int = 2, dropout: float | None = None, **more: Any) -> nn.Module:
    return build_hugging_face(named(name, **more), images, classes, dropout, Stream("model", "init")).eval()


def copied(folder: Path, where: Path) -> Path:
    return Path(shutil.copytree(folder, where / "copy"))


# Inputs.


@pytest.mark.parametrize("family", ["bert", "distilbert"])
@pytest.mark.parametrize("pairs", [False, True])
def test_tokens_are_those_of_the_folders_tokenizer(folders: Path, family: str, pairs: bool) -> None:
    second = TEXTS[::-1] if pairs else None
    tokenizer = Tokenizer(named(folders / family))
    found = tokenizer(TEXTS, second)
    assert tokenizer.vocabulary == len(WORDS)
    # Known from vocab.txt alone: [CLS] the cat eats [SEP].
    assert found[0, 0, :5].tolist() == [WORDS.index(word) for word in ("[CLS]", "the", "cat", "eats", "[SEP]")]
    theirs = transformers.AutoTokenizer.from_pretrained(folders / family)
    each = []
    for place, text in enumerate(TEXTS):
        alone = theirs([text], [second[place]] if second else None)
        each.append({name: numbers[0] for name, numbers in alone.items()})
    length = max(len(one["input_ids"]) for one in each)
    assert found.shape == (len(TEXTS), 3, length) and found.dtype == torch.int64
    for row, one in zip(found.tolist(), each, strict=True):
        own = len(one["input_ids"])
        types = one.get("token_type_ids", [0] * own)
        expected = [one["input_ids"], [1] * own, types]
        assert row == [numbers + [0] * (length - own) for numbers in expected]
    assert bool(found[:, 2].any()) == (pairs and family == "bert")


def test_long_texts_are_cut(folders: Path) -> None:
    found = Tokenizer(named(folders / "bert", maximum_length=6))(["the cat eats not the dog", "a"])
    expected = [["[CLS]", "the", "cat", "eats", "not", "[SEP]"], ["[CLS]", "a", "[SEP]", *["[PAD]"] * 3]]
    assert found[:, 0].tolist() == [[WORDS.index(word) for word in row] for row in expected]


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_logits_are_the_models_own(folders: Path, family: str) -> None:
    tokens = Tokenizer(named(folders / family))(TEXTS, TEXTS[::-1])
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folders / family).eval()
    model = built(folders / family)
    assert isinstance(model, TextClassifier) and model.with_types == (family == "bert")
    lengths: list[int] = []
    model.model.register_forward_pre_hook(
        lambda module, given, named: lengths.append(named["input_ids"].shape[1]), with_kwargs=True
    )

    def expected(x: Tensor) -> Tensor:
        types = {"token_type_ids": x[:, 2]} if family == "bert" else {}
        return theirs(input_ids=x[:, 0], attention_mask=x[:, 1], **types).logits

    with torch.no_grad():
        torch.testing.assert_close(model(tokens), expected(tokens), rtol=0, atol=1e-6)
        # The second and third pair are the longest: without them there is padding that nobody needs.
        short = tokens[torch.tensor([0, 0])]
        short[1, :, 6:] = 0
        widened = torch.cat([short, torch.zeros(2, 3, 9, dtype=torch.int64)], 2)
        torch.testing.assert_close(model(widened), expected(widened), rtol=0, atol=1e-6)
        spread = (expected(tokens)[0] - expected(tokens)[1]).abs().max()
    assert lengths == [tokens.shape[2], int(short[:, 1].sum(-1).max())]
    assert spread > 1e-3, "all texts alike would hide everything"


def pixels(model: nn.Module, images: Tensor) -> Tensor:
    """What the transformers model is shown."""
    assert isinstance(model, ImageClassifier)
    seen: list[Tensor] = []
    hook = model.model.register_forward_pre_hook(
        lambda module, given, named: seen.append(named["pixel_values"]), with_kwargs=True
    )
    model(images)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("side", [20, 32, 50])
def test_images_are_prepared_as_by_the_folders_processor(folders: Path, side: int) -> None:
    # Far from 0 and 1, so that no cubic overshoots them.
    images = 0.4 + 0.2 * torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    processor = transformers.AutoImageProcessor.from_pretrained(folders / "vit")
    theirs = processor(list(images), return_tensors="pt")["pixel_values"]
    model = built(folders / "vit", images=True, classes=3)
    torch.testing.assert_close(pixels(model, images), theirs, rtol=0, atol=1e-5)
    own = transformers.AutoModelForImageClassification.from_pretrained(folders / "vit").eval()
    with torch.no_grad():
        torch.testing.assert_close(model(images), own(pixel_values=theirs).logits, rtol=0, atol=1e-5)


def test_resized_images_stay_between_black_and_white(folders: Path) -> None:
    images = (torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    resized = functional.resize(images, [32, 32], functional.InterpolationMode.BICUBIC, antialias=True)
    assert resized.max() > 1.01 and resized.min() < -0.01
    mean, deviation = (torch.tensor(value).view(1, 3, 1, 1) for value in (MEAN, DEVIATION))
    found = pixels(built(folders / "vit", images=True), images)
    torch.testing.assert_close(found, (resized.clamp(0, 1) - mean) / deviation, rtol=0, atol=1e-5)


def test_grey_images_are_shown_in_three_channels(folders: Path) -> None:
    grey = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    model = built(folders / "vit", images=True)
    assert torch.equal(model(grey), model(grey.repeat(1, 3, 1, 1)))


def test_without_a_processor_images_are_normalised_by_halves(folders: Path, tmp_path: Path) -> None:
    folder = copied(folders / "vit", tmp_path)
    (folder / "preprocessor_config.json").unlink()
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(pixels(built(folder, images=True), images), 2 * images - 1, rtol=0, atol=1e-5)


# Weights and dropout.


def rates(model: nn.Module) -> dict[str, float]:
    """Every rate of dropout in a model: of its dropout layers, and what its attention hands to a function."""
    found = {name: module.p for name, module in model.named_modules() if isinstance(module, nn.Dropout)}
    for name, module in model.named_modules():
        found |= {
            f"{name}.{key}": value for key, value in vars(module).items() if "dropout" in key and type(value) is float
        }
    return found


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "vit"])
def test_every_rate_of_dropout_is_set(folders: Path, family: str) -> None:
    images = family == "vit"
    own = rates(built(folders / family, images))
    found = rates(built(folders / family, images, dropout=0.37))
    assert any("attention" in name for name in found) and len(found) >= 5
    assert set(found.values()) == {0.37} and 0.37 not in own.values()
    assert set(rates(built(folders / family, images, dropout=0.0)).values()) == {0.0}


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "vit"])
def test_two_passes_over_a_doubled_batch_differ_by_dropout_alone(folders: Path, family: str) -> None:
    images = family == "vit"
    inputs = torch.rand(2, 3, 32, 32) if images else Tokenizer(named(folders / family))(TEXTS)
    doubled = torch.cat([inputs, inputs])
    for rate in (0.3, 0.0):
        first, second = built(folders / family, images, dropout=rate).train()(doubled).chunk(2)
        far = (first - second).abs().max(-1).values
        assert (far > 1e-4).all() if rate else far.max() < 1e-5


def test_the_folders_weights_are_loaded(folders: Path) -> None:
    for name, head in (("bert", "classifier"), ("masked", "classifier bert.pooler")):
        state = built(folders / name, classes=2).model.state_dict()
        theirs = transformers.BertForMaskedLM if name == "masked" else transformers.BertForSequenceClassification
        kept = theirs.from_pretrained(folders / name).state_dict()
        new = tuple(head.split()) if name == "masked" else ("none",)
        shared = [key for key in state if not key.startswith(new)]
        assert len(shared) > 30 and all(torch.equal(state[key], kept[key]) for key in shared)


def test_another_number_of_classes_gets_a_new_head_from_the_stream(folders: Path) -> None:
    def state(seed: int) -> dict[str, Tensor]:
        stream = Stream("model", seed)
        return build_hugging_face(named(folders / "bert"), False, 5, None, stream).state_dict()

    kept = transformers.BertForSequenceClassification.from_pretrained(folders / "bert").state_dict()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = state(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    same, other = state(0), state(1)
    assert one["model.classifier.weight"].shape == (5, 16)
    for key, value in one.items():
        assert torch.equal(value, same[key])
        if "classifier" not in key:
            assert torch.equal(value, kept[key.removeprefix("model.")]) and torch.equal(value, other[key])
    assert not torch.equal(one["model.classifier.weight"], other["model.classifier.weight"])


@pytest.mark.parametrize("family", ["bert", "vit"])
def test_from_scratch_takes_the_configuration_alone(folders: Path, family: str, tmp_path: Path) -> None:
    folder = copied(folders / family, tmp_path)
    (folder / "model.safetensors").unlink()

    def state(seed: int) -> dict[str, Tensor]:
        settings = named(folder, from_scratch=True)
        return build_hugging_face(settings, family == "vit", 3, None, Stream("model", seed)).state_dict()

    one, same, other = state(0), state(0), state(1)
    assert all(torch.equal(one[key], same[key]) for key in one)
    pretrained = built(folders / family, family == "vit", 3).state_dict()
    assert one.keys() == pretrained.keys()
    matrices = [key for key in one if one[key].ndim == 2]
    assert len(matrices) > 10
    assert not any(torch.equal(one[key], other[key]) or torch.equal(one[key], pretrained[key]) for key in matrices)


# Refusals.


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[object]:
    """Every attempt to reach another machine, none of which succeeds."""
    tried: list[object] = []

    def refused(*given: object, **more: object) -> None:
        tried.append(given)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    # What the hub's library has fetched once in a process, it would not ask for again.
    monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", None, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.AGENT_HARNESSES_PATH", str(tmp_path / "none"), raising=False)
    return tried


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(UserError) as found:
        call()
    message = str(found.value)
    assert "\n" not in message and message.startswith("The model ")
    return message


HUB_NAME = "no-such-owner/no-such-model-here"


@pytest.mark.parametrize("name", ["no-such-owner/no-such-model-here", "FOLDER/nothing", "FOLDER/empty"])
@pytest.mark.parametrize("part", ["tokenizer", "texts", "images"])
def test_a_model_that_is_not_there_is_refused(name: str, part: str, tmp_path: Path, connections: list[object]) -> None:
    (tmp_path / "empty").mkdir()
    name = name.replace("FOLDER", str(tmp_path))
    message = refusal(lambda: Tokenizer(named(name)) if part == "tokenizer" else built(name, part == "images"))
    assert name in message and ("no tokenizer" if part == "tokenizer" else "no configuration") in message
    right = "the folder lacks it" if name.endswith("empty") else "--set download=true asks the hub"
    assert right in message


@pytest.mark.parametrize("name", [HUB_NAME, "FOLDER/nothing", "FOLDER/empty"])
@pytest.mark.parametrize("part", ["tokenizer", "texts", "images"])
def test_the_network_is_not_asked_without_download(
    name: str, part: str, tmp_path: Path, connections: list[object]
) -> None:
    (tmp_path / "empty").mkdir()
    name = name.replace("FOLDER", str(tmp_path))
    refusal(lambda: Tokenizer(named(name)) if part == "tokenizer" else built(name, part == "images"))
    assert not connections


def test_a_folder_of_another_kind_is_refused(folders: Path, connections: list[object]) -> None:
    texts, images = folders / "bert", folders / "vit"
    for call, folder, lacking in (
        (lambda: built(texts, images=True), texts, "no classifier of images"),
        (lambda: built(images), images, "no classifier of texts"),
        (lambda: built(texts, images=True, from_scratch=True), texts, "no classifier of images"),
        (lambda: Tokenizer(named(images)), images, "no tokenizer"),
    ):
        message = refusal(call)
        assert str(folder) in message and lacking in message and "holds another kind of model" in message
    assert not connections


@pytest.mark.parametrize("broken", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_with_a_missing_or_broken_part_is_refused(folders: Path, tmp_path: Path, broken: str) -> None:
    folder = copied(folders / "bert", tmp_path)
    call = (lambda: Tokenizer(named(folder))) if broken == "tokenizer.json" else (lambda: built(folder))
    call()
    if broken != "model.safetensors":
        (folder / broken).write_text("{")
        assert str(folder) in refusal(call)
    if broken != "tokenizer.json":
        (folder / broken).unlink()
        assert str(folder) in refusal(call)


def test_broken_weights_are_refused(folders: Path, tmp_path: Path) -> None:
    folder = copied(folders / "bert", tmp_path)
    (folder / "model.safetensors").write_bytes((folders / "bert" / "model.safetensors").read_bytes()[:3000])
    assert str(folder) in refusal(lambda: built(folder))


def test_a_folder_without_a_tokenizer_is_refused(folders: Path, tmp_path: Path) -> None:
    folder = copied(folders / "bert", tmp_path)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    assert "no tokenizer" in refusal(lambda: Tokenizer(named(folder)))


@pytest.mark.parametrize("weights", ["another size", "another kind"])
def test_weights_of_another_model_are_refused(folders: Path, tmp_path: Path, weights: str) -> None:
    folder = copied(folders / "bert", tmp_path)
    if weights == "another kind":
        shutil.copy(folders / "vit" / "model.safetensors", folder / "model.safetensors")
    else:
        other = transformers.BertConfig(**{**BERT, "hidden_size": 24})
        transformers.BertForSequenceClassification(other).save_pretrained(tmp_path / "other")
        shutil.copy(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")
    assert str(folder) in refusal(lambda: built(folder))


def test_a_tokenizer_that_pads_on_the_left_loses_no_words(folders: Path, tmp_path: Path) -> None:
    folder = copied(folders / "bert", tmp_path)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "padding_side": "left"}))
    assert torch.equal(Tokenizer(named(folder))(TEXTS), Tokenizer(named(folders / "bert"))(TEXTS))


def test_every_rate_of_dropout_is_set_whatever_it_is_called(tmp_path: Path) -> None:
    configuration = transformers.GPT2Config(
        vocab_size=9, n_embd=8, n_layer=1, n_head=2, n_positions=16, bos_token_id=1, eos_token_id=2, pad_token_id=0
    )
    configuration.save_pretrained(tmp_path)
    assert set(rates(built(tmp_path, dropout=0.37, from_scratch=True)).values()) == {0.37}


def test_a_model_of_images_without_a_side_is_refused(tmp_path: Path) -> None:
    transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic").save_pretrained(
        tmp_path
    )
    assert str(tmp_path) in refusal(lambda: built(tmp_path, images=True, from_scratch=True))


# The trial.


@pytest.fixture
def trained(folders: Path, root: Path) -> Callable[..., Any]:
    """Call the trial as the engine does, on the CSV files and the BERT folder."""
    files = {"source": "text-files", "train": "train.csv", "test": "validation.csv"}
    small = {
        "alpha": 1, "dropout": 0.2, "steps": 6, "batch_size": 6, "evaluations": 3, "data_root": str(root),
        "data": {**files, "text": "sentence1", "second_text": "sentence2"},
        "model": {"kind": "hugging-face", "name": str(folders / "bert")},
        "optimiser": {"learning_rate": 0.002, "warmup_steps": 2, "schedule": "linear", "clip": 1.0},
    }  # fmt: skip

    def call(run: Run | None = None, **changed: Any) -> Any:
        return checked_call("experiments.rdrop.trial:train_and_evaluate", run or Watched(), {**small, **changed})

    return call


def as_bytes(run: Run, records: Any) -> bytes:
    return json.dumps([records, run.tables["course"].to_dict("records")]).encode()


def test_a_batch_may_pass_in_equal_pieces(trained: Callable[..., Any], folders: Path) -> None:
    model = {"kind": "hugging-face", "name": str(folders / "bert")}
    whole, cut = Watched(), Watched()
    # Without dropout the pieces draw nothing, so the steps are the batch's to rounding.
    trained(whole, dropout=0.0)
    trained(cut, dropout=0.0, model={**model, "pieces": 3})
    nll = [[row["nll"] for row in run.tables["course"].to_dict("records")] for run in (whole, cut)]
    assert nll[1] == pytest.approx(nll[0], rel=1e-3)
    with pytest.raises(UserError, match="a batch of 6 cannot be cut into 4 equal 'pieces'"):
        trained(model={**model, "pieces": 4})


def test_the_trial_leaves_finite_metrics_and_the_same_bytes_again(trained: Callable[..., Any]) -> None:
    first, second = Watched(), Watched()
    (record,) = trained(first)
    assert record.keys() >= {"accuracy", "nll", "ece", "inconsistency", "mean_divergence", "nll_last", "best_step"}
    assert all(math.isfinite(value) for name, value in record.items() if name != "seed")
    assert record["steps"] == 6 and record["compute"] == 12 and record["inconsistency"] > 0
    assert first.steps == [1, 2, 3, 4, 5, 6] and first.tables["course"]["step"].tolist() == [2, 4, 6]
    assert as_bytes(first, [record]) == as_bytes(second, trained(second))
    other = Watched(replicate=1)
    assert as_bytes(other, trained(other)) != as_bytes(first, [record])
    # It learns from the labels: the weights move.
    assert len({row["nll"] for row in first.tables["course"].to_dict("records")}) == 3


@pytest.mark.parametrize("interrupt", [1, 4])
def test_a_resumed_trial_is_the_uninterrupted_one(
    trained: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupt: int
) -> None:
    whole = Watched(tmp_path / "whole")
    expected = as_bytes(whole, trained(whole))
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        trained(Watched(tmp_path / "cut", interrupt=interrupt))
    resumed = Watched(tmp_path / "cut")
    records = trained(resumed)
    assert resumed.steps == list(range(interrupt + 1, 7)), "it began anew"
    assert as_bytes(resumed, records) == expected


def test_seeds_are_trained_one_by_one(trained: Callable[..., Any]) -> None:
    run = Watched()
    one, two = trained(run, seed={"one": 4, "two": 9})
    assert [one["seed"], two["seed"]] == ["one", "two"] and one["nll_last"] != two["nll_last"]
    assert sorted(set(run.tables["course"]["seed"])) == ["4", "9"]
    # The first is as it would be alone.
    (alone,) = trained(seed={"one": 4})
    assert alone == one


def test_what_needs_a_small_model_is_refused(trained: Callable[..., Any], folders: Path) -> None:
    for changed, wanted in (
        ({"together": True}, "'together' needs one of the small models"),
        ({"second_dropout": 0.4}, "'second_dropout' needs one of the small models"),
        ({"data": {"source": "procedural-text"}}, "choose 'transformer'"),
        ({"input_noise": [0.2]}, "leave 'input_noise' out"),
        ({"batch_size": 99}, "do not fill a batch of 99"),
    ):
        with pytest.raises(UserError) as refused:
            trained(**changed)
        assert wanted in str(refused.value), changed


# The profile, up to a report.


@pytest.fixture
def in_folder(tmp_path: Path) -> Callable[..., Finished]:
    return Workplace(tmp_path).harness


def small_text_spec(where: Path, model: Path) -> Path:
    """Write the real spec with a budget for a small folder on the CPU; the protocol's code is that of its text profile."""
    spec = yaml.safe_load((SPECS / "rdrop-alpha.yaml").read_text())
    profile: dict[str, Any] = spec["profiles"]["text"]
    profile |= {"device": "cpu", "resources": {}, "replicates": 2, "conclusive": False}
    profile["factors"] |= {"alpha": ["plain", "twice", 0, 1, 5, 10]}
    profile["fixed"] |= {"steps": 6, "batch_size": 6, "evaluations": 2}
    profile["fixed"]["optimiser"] |= {"learning_rate": 0.01, "warmup_steps": 1}
    profile["fixed"]["model"] |= {"name": str(model)}
    spec |= {"profiles": {"text": profile}, "claims_file": str(SPECS / "claims.yaml")}
    path = where / "rdrop-alpha.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return path


@pytest.mark.slow
def test_the_text_profile_runs_up_to_a_verified_report(
    folders: Path, root: Path, tmp_path: Path, in_folder: Callable[..., Finished]
) -> None:
    spec = str(small_text_spec(tmp_path, folders / "bert"))
    found = in_folder("run", spec, "--executor", "inline", "--set", f"data_root={root}")
    assert found.status == 0, found.err
    reported = in_folder("report", spec)
    assert reported.status == 0, reported.err
    rows = json.loads((tmp_path / "site" / "claims.json").read_text())
    named = {row["claim"]: row for row in rows if row["reading"] == "matched"}
    assert named.keys() >= {"rdrop.alpha.plain", "rdrop.alpha.compute", "rdrop.alpha.five", "rdrop.alpha.nll"}
    page = (tmp_path / "site" / "index.html").read_text()
    for claim in ("rdrop.alpha.plain", "rdrop.alpha.compute", "rdrop.alpha.five", "rdrop.alpha.nll"):
        # Two arms, two replicates.
        assert len(named[claim]["trials"]) == 4
        assert claim in page and named[claim]["verdict"] != "not run" and named[claim]["verdict"] in page
    # Accuracies on so few texts may all be equal, which leaves no effect; likelihoods never are.
    assert all(math.isfinite(named[claim]["effect"]) for claim in ("rdrop.alpha.nll", "rdrop.consistency.plain"))
    assert "one task of GLUE in place of eight" in page
    verified = in_folder("verify")
    assert verified.status == 0 and verified.out.startswith("verified: "), verified.out
    assert ", 0 attempts" not in verified.out


def test_missing_files_start_nothing(
    folders: Path, root: Path, tmp_path: Path, in_folder: Callable[..., Finished]
) -> None:
    def lines(spec: Path, *more: str) -> list[str]:
        found = in_folder("run", str(spec), "--executor", "inline", *more)
        assert found.status == 2 and not (tmp_path / "results").exists(), found.err
        return found.err.splitlines()

    spec = small_text_spec(tmp_path, folders / "bert")
    (line,) = lines(spec)
    assert "--set data_root=FOLDER" in line
    (line,) = lines(spec, "--set", f"data_root={folders}")
    assert str(folders / "train.csv") in line and "missing" in line
    spec = small_text_spec(tmp_path, folders / "nothing")
    (line,) = lines(spec, "--set", f"data_root={root}")
    assert str(folders / "nothing") in line and "--set download=true" in line
