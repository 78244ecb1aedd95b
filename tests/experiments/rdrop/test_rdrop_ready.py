"""Before a trial: do data and model fit, are they there, and how many operations will it take?"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from rdrop_small import DIGITS, SMALL
from support import Finished, Workplace

from experiments.rdrop import operations
from experiments.rdrop.model_settings import TransformerSettings
from experiments.rdrop.operations import of_training
from experiments.rdrop.ready import data_and_model_are_there, translation_is_possible
from harness.errors import NotKnownYet, UserError
from harness.spec.signature import resolve

SPEC = Path(__file__).parents[3] / "experiments" / "rdrop" / "rdrop-alpha.yaml"
PARAMETERS = resolve("experiments.rdrop.trial:train_and_evaluate").parameters
TEXTS = {"data": SMALL["data"], "model": SMALL["model"]}
FILES = {"source": "text-files", "train": "train.csv", "test": "test.csv"}
HUGGING_FACE = {"kind": "hugging-face", "name": "no/such-model"}
VISION = {"kind": "vision-transformer", "width": 8, "layers": 1, "heads": 2, "patch": 4}


@pytest.fixture
def in_folder(tmp_path: Path) -> Callable[..., Finished]:
    """Call the command line in a folder of its own."""
    return Workplace(tmp_path).harness


def checked(**given: Any) -> dict[str, Any]:
    return {name: PARAMETERS[name].check(value) for name, value in given.items()}


def ready(data_root: str | None = None, download: bool = False, **given: Any) -> None:
    names = set(signature(data_and_model_are_there).parameters) - {"data_root", "download"}
    values = {name: PARAMETERS[name].default for name in names - given.keys() if not PARAMETERS[name].required}
    values |= checked(**{"optimiser": SMALL["optimiser"], **given})
    kept = {name: value for name, value in values.items() if name in names}
    data_and_model_are_there(**kept, data_root=data_root, download=download)


def write_texts(folder: Path) -> None:
    rows = "".join(f"a text of number {n},{'ab'[n % 2]}\n" for n in range(40))
    for name in ("train.csv", "test.csv"):
        (folder / name).write_text("sentence,label\n" + rows)


# Ready


@pytest.mark.parametrize("given", [TEXTS, DIGITS, {**DIGITS, "model": VISION}])
def test_what_fits_and_is_there_is_ready(given: dict[str, Any]) -> None:
    ready(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({**TEXTS, "model": DIGITS["model"]}, "procedural-text: the model 'perceptron' does not take numbered words"),
        ({**TEXTS, "model": VISION}, "procedural-text: the model 'vision-transformer' does not take numbered words"),
        ({**TEXTS, "model": HUGGING_FACE}, "procedural-text: the model 'hugging-face' does not take numbered words"),
        ({**DIGITS, "model": SMALL["model"]}, "digits: the model 'transformer' does not take images; choose 'vision-transformer'"),
        ({**TEXTS, "data": FILES}, "text-files: the model 'transformer' has no tokenizer; choose the kind 'hugging-face'"),
        ({"data": FILES, "model": DIGITS["model"]}, "text-files: the model 'perceptron' has no tokenizer"),
        ({"data": {"source": "cifar10"}, "model": SMALL["model"]}, "cifar10: the model 'transformer' does not take images"),
        ({**DIGITS, "model": HUGGING_FACE}, "The model no/such-model has no configuration here"),
        ({"data": FILES, "model": HUGGING_FACE, "input_noise": [0.1]}, "text-files: words of texts in files are not replaced"),
        ({**DIGITS, "together": True, "precision": "bfloat16"}, "'together' computes in float32"),
        ({**DIGITS, "model": {**HUGGING_FACE, "pieces": 2}, "convention": "official-bert"}, "the convention 'official-bert' sums over a batch"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_sentence(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        ready(**given)
    assert str(raised.value).startswith(message) and "\n" not in str(raised.value)


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    for data, expected in ((FILES, "train.csv"), ({"source": "cifar10"}, "cifar-10")):
        model = HUGGING_FACE if data is FILES else VISION
        with pytest.raises(UserError, match=expected):
            ready(data=data, model=model, data_root=str(tmp_path))
        with pytest.raises(UserError, match="data_root"):
            ready(data=data, model=model)


def test_texts_that_are_there_still_need_a_tokenizer(tmp_path: Path) -> None:
    write_texts(tmp_path)
    with pytest.raises(UserError, match="The model no/such-model has no tokenizer here: it is no folder"):
        ready(data=FILES, model=HUGGING_FACE, data_root=str(tmp_path))


def test_patches_that_do_not_divide_are_refused_before_a_trial_starts() -> None:
    with pytest.raises(UserError, match="cut into patches of 3"):
        ready(**{**DIGITS, "model": {**VISION, "patch": 3}})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"heads": 3}, "'width' 16 cannot be shared among 3 'heads'"),
        (
            {"data": {"nouns": 2, "verbs": 2, "train": 100_000}},
            "procedural-translation: test asks for 400 sentences",
        ),
    ],
)
def test_a_translation_that_cannot_be_is_refused(changed: dict[str, Any], message: str) -> None:
    known = resolve("experiments.rdrop.translate:train_and_translate").parameters
    shares = dict.fromkeys(("adjective_share", "adverb_share", "place_share", "second_clause_share"), 0.0)
    data = {
        "source": "procedural-translation",
        **shares,
        **changed.get("data", {"train": 20, "validation": 5, "test": 5}),
    }
    given = {"data": data, "width": 16, "heads": changed.get("heads", 4)}
    checked_now = {name: known[name].check(value) for name, value in given.items()}
    with pytest.raises(UserError) as raised:
        translation_is_possible(**checked_now)
    assert str(raised.value).startswith(message) and "\n" not in str(raised.value)
    usual = {"data": {"source": "procedural-translation", "train": 20}, "width": 16, "heads": 4}
    translation_is_possible(**{name: known[name].check(value) for name, value in usual.items()})


# Operations


def counted(**given: Any) -> float:
    usual = {**DIGITS, "alpha": "plain", "steps": 10, "batch_size": 8}
    return of_training(**checked(**{**usual, **given}))


def test_a_perceptrons_operations_by_hand() -> None:
    forward = 2 * (64 * 16 + 16 * 10)
    assert counted() == forward * 3 * 10 * 8
    wide = {
        **DIGITS,
        "data": {**DIGITS["data"], "size": 16, "classes": 4},
        "model": {"kind": "perceptron", "widths": [5, 7]},
    }
    assert counted(**wide) == 2 * (256 * 5 + 5 * 7 + 7 * 4) * 3 * 10 * 8


def test_a_transformers_operations_by_hand() -> None:
    length, width, classes = 6, 8, 3
    attention = length * width * 3 * width + 2 * length * length * width + length * width * width
    block = attention + 2 * length * width * 4 * width
    # Embeddings are looked up, and the mean over words is classified.
    found = counted(**TEXTS)
    assert found == 2 * (block + width * classes) * 3 * 80
    layers = {**TEXTS, "model": {**TEXTS["model"], "layers": 3}}
    assert counted(**layers) - found == 2 * 2 * block * 3 * 80


def test_a_vision_transformers_operations_grow_with_its_patches() -> None:
    four, two = (counted(**{**DIGITS, "model": {**VISION, "patch": patch}}) for patch in (4, 2))
    assert 3 < two / four < 6


@pytest.mark.parametrize("given", [DIGITS, TEXTS], ids=["digits", "texts"])
def test_operations_follow_the_passes_that_are_made(given: dict[str, Any]) -> None:
    plain = counted(**given)
    for changed, times in (
        ({"alpha": "twice"}, 2), ({"alpha": 0}, 2), ({"alpha": 5}, 2), ({"alpha": 5, "passes": 3}, 3),
        ({"alpha": 5, "every": 2}, 1.5), ({"alpha": 5, "every": 10}, 1.1), ({"alpha": 5, "passes": 3, "every": 5}, 1.4),
        ({"alpha": "plain", "passes": 3, "every": 2}, 1), ({"alpha": "twice", "every": 2}, 2),
        ({"seed": {"a": 0, "b": 1, "c": 2}}, 3), ({"steps": 20}, 2), ({"batch_size": 24}, 3),
    ):  # fmt: skip
        assert counted(**{**given, **changed}) == pytest.approx(times * plain, rel=1e-12), changed


def test_files_of_a_known_shape_are_counted_without_them() -> None:
    perceptron = {"kind": "perceptron", "widths": [16]}
    for name, classes in (("cifar10", 10), ("cifar100", 100)):
        found = counted(data={"source": name}, model=perceptron)
        assert found == 2 * (3 * 32 * 32 * 16 + 16 * classes) * 3 * 80


def test_counting_draws_no_weights() -> None:
    data = {**SMALL["data"], "vocabulary": 100_000, "length": 64}
    model = {"kind": "transformer", "width": 4096, "layers": 2, "heads": 8}
    built, example = operations._on_meta(*checked(data=data, model=model).values(), download=False)
    assert {parameter.device.type for parameter in built.parameters()} == {"meta"} and example.device.type == "meta"
    assert sum(parameter.numel() for parameter in built.parameters()) > 5e8
    before = torch.get_rng_state()
    assert counted(data=data, model=model) > 1e12
    assert torch.equal(torch.get_rng_state(), before)
    assert isinstance(checked(model=model)["model"], TransformerSettings)


@pytest.mark.parametrize("data", [FILES, {"source": "cifar100"}, DIGITS["data"]], ids=["texts", "cifar100", "digits"])
def test_operations_of_a_model_that_is_not_here_are_not_known_yet(data: dict[str, Any]) -> None:
    with pytest.raises(NotKnownYet, match="The model no/such-model has no configuration here") as raised:
        counted(data=data, model=HUGGING_FACE)
    assert not isinstance(raised.value, UserError)


def test_a_plan_says_what_it_cannot_count_and_goes_on(in_folder: Callable[..., Finished], tmp_path: Path) -> None:
    # A folder of fetched models that is empty, whatever this machine has.
    environment = {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    found = in_folder("plan", str(SPEC), "--profile", "text", environment=environment)
    assert found.status == 0 and not found.err
    assert "rdrop-alpha, profile text, on cuda" in found.out
    assert "its operations cannot be counted. The model bert-base-uncased has no configuration here" in found.out
    assert "power: rdrop.alpha.plain" in found.out
