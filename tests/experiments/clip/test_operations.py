"""Operations against counts by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from clip_small import DIGITS, PATCHES, SCENES, SMALL, checked

from experiments.clip.operations import TEST_IMAGES, WORDS, of_shift_trial, of_trial
from experiments.data.torchvision_sets import SETS
from harness.errors import NotKnownYet

PROMPTS = "experiments.clip.trial:classify_by_prompts"
SHIFT = "experiments.clip.shift_trial:classify_under_shift"
BATCH, STEPS = 16, 5


def counted(**changed: Any) -> float:
    given = {"data": DIGITS, "model": SMALL, "steps": STEPS, "batch_size": BATCH, **changed}
    return of_trial(**checked(PROMPTS, given))


def counted_shift(*kinds: str, **changed: Any) -> float:
    learner = {kind: kind for kind in kinds}
    return of_shift_trial(
        **checked(
            SHIFT, {"data": DIGITS, "model": SMALL, "steps": STEPS, "batch_size": BATCH, "learner": learner, **changed}
        )
    )


def block(length: int, width: int) -> float:
    """Return the products of a block of a Transformer, without the factor 2."""
    return (
        length * width * 3 * width
        + 2 * length * length * width
        + length * width * width
        + 2 * length * width * 4 * width
    )


TEXT = block(WORDS, 8) + 8 * 8
IMAGE = 8 * 8 * 9 * 3 * 4 + 4 * 4 * 9 * 4 * 8 + 32 * 8
"""Two convolutions of stride 2 on 16 x 16 pixels, and the projection of 8 channels on a grid of 2 x 2."""
LOGITS = BATCH * 8
"""Of one image with the texts of its batch."""


def test_a_training_of_both_towers_by_hand() -> None:
    assert counted() == 2 * (TEXT + IMAGE + LOGITS) * 3 * BATCH * STEPS


def test_a_vision_transformer_by_hand() -> None:
    image = 16 * (4 * 4 * 3 * 8) + block(17, 8) + 8 * 8
    assert counted(model=PATCHES) == 2 * (TEXT + image + LOGITS) * 3 * BATCH * STEPS


def test_steps_and_batches_count() -> None:
    assert counted(steps=10) == 2 * counted()
    assert counted(batch_size=32) == pytest.approx(2 * counted(), rel=0.05)
    assert counted(batch_size=10_000) == counted(batch_size=DIGITS["train"])
    assert counted(data=SCENES) == counted()


def test_the_supervised_control_has_no_texts() -> None:
    assert counted_shift("zero-shot") == counted()
    assert counted_shift("supervised") == 2 * IMAGE * 3 * BATCH * STEPS
    assert counted_shift("zero-shot", "supervised") == counted() + counted_shift("supervised")


def test_counting_draws_no_weights_and_no_numbers() -> None:
    image = {"kind": "vision-transformer", "patch": 2, "width": 4096, "layers": 4, "heads": 8}
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    assert counted(model={**SMALL, "image": image}) > 1e12
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": {"source": "digits"}}, "digits has no captions"),
        ({"data": {"source": "cifar10"}}, "cifar10 has no captions"),
        ({"model": {**SMALL, "image": {"kind": "vision-transformer", "patch": 5}}}, "cannot be cut into patches of 5"),
        ({"model": {"kind": "open-clip", "name": "RN50", "pretrained": "openai"}, "data": {"source": "image-folder"}}, "how many test images image-folder has"),
        ({"model": {"kind": "open-clip", "name": "RN50", "pretrained": "openai"}, "data": {"source": "torchvision", "name": "sun397"}}, "how many test images sun397 has"),
        ({"model": {"kind": "open-clip", "name": "RN51", "pretrained": "openai"}}, "open_clip has no model 'RN51'"),
        ({"model": {"kind": "open-clip", "name": "roberta-ViT-B-32", "pretrained": "x"}}, "roberta-ViT-B-32 is described in the Hugging Face hub"),
    ],
)  # fmt: skip
def test_what_cannot_be_known_yet(given: dict[str, Any], message: str) -> None:
    with pytest.raises(NotKnownYet, match=message):
        counted(**given)


def test_a_released_model_passes_over_the_test_images() -> None:
    model = {"kind": "open-clip", "name": "ViT-B-32-quickgelu", "pretrained": "openai"}
    tokens, width = 50, 768
    image = 49 * 32 * 32 * 3 * width + 12 * block(tokens, width) + width * 512
    for data, count in (
        ({"source": "cifar10"}, 10_000),
        ({"source": "torchvision", "name": "dtd"}, 1_880),
        (DIGITS, 60),
    ):
        assert counted(model=model, data=data) == pytest.approx(2 * image * count, rel=0.01)


def test_the_known_sets_are_ours() -> None:
    assert set(TEST_IMAGES) - {"cifar10", "cifar100", "stl10", "imagenet"} == set(SETS) - {"caltech101", "sun397"}
