"""What augmentation settings accept, resolve and refuse; and that reading them needs no torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from experiments.simclr.augmentation_settings import (
    AugmentationSettings,
    BlurSettings,
    ColourSettings,
    CropSettings,
    CutoutSettings,
    NoiseSettings,
    RotationSettings,
    SobelSettings,
    Transformation,
)
from harness.errors import UserError

EVERYTHING = AugmentationSettings(
    cutout=CutoutSettings(), sobel=SobelSettings(), noise=NoiseSettings(), rotate=RotationSettings(), one_branch=True
)


def test_reading_them_imports_neither_torch_nor_torchvision() -> None:
    code = "import experiments.simclr.augmentation_settings, sys; print([m for m in ('torch', 'torchvision') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_defaults_are_the_policy_of_appendix_a() -> None:
    policy = AugmentationSettings()
    assert policy.crop == CropSettings(scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
    assert (policy.flip, policy.grey) == (0.5, 0.2)
    assert policy.colour is not None and policy.colour.probability == 0.8
    assert policy.blur == BlurSettings(probability=0.5, sigma=(0.1, 2.0))
    assert (policy.cutout, policy.sobel, policy.noise, policy.rotate, policy.one_branch) == (
        None,
        None,
        None,
        None,
        False,
    )


@pytest.mark.parametrize("strength", [0.0, 0.125, 0.5, 1.0, 2.0])
def test_the_jitter_is_that_of_the_papers_snippet(strength: float) -> None:
    from torchvision.transforms.v2 import ColorJitter

    theirs = ColorJitter(0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength)
    for name, limits in ColourSettings(strength=strength).ranges.items():
        nothing = (0.0, 0.0) if name == "hue" else (1.0, 1.0)  # torchvision says None where nothing would change
        assert limits == pytest.approx(getattr(theirs, name) or nothing)


def test_single_amounts_take_the_place_of_those_of_the_strength() -> None:
    ranges = ColourSettings(strength=0.5, hue=0.5, contrast=0.0).ranges
    assert ranges == {"brightness": (0.6, 1.4), "contrast": (1.0, 1.0), "saturation": (0.6, 1.4), "hue": (-0.5, 0.5)}
    assert ColourSettings(strength=3.0, hue=0.1).ranges["brightness"] == (0.0, pytest.approx(3.4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"flip": 1.5}, "less than or equal to 1"),
        ({"grey": -0.1}, "greater than or equal to 0"),
        ({"crop": {"scale": (0.0, 1.0)}}, "an area above 0"),
        ({"crop": {"scale": (0.5, 0.2)}}, "is no range"),
        ({"crop": {"scale": (0.5, 1.2)}}, "is no range"),
        ({"crop": {"ratio": (0.0, 1.0)}}, "above 0"),
        ({"crop": {"ratio": (1.0, float("inf"))}}, "finite"),
        ({"crop": {"interpolation": "nearest"}}, "'bilinear' or 'bicubic'"),
        ({"colour": {"strength": 2.6}}, "over half a turn"),
        ({"colour": {"hue": 0.6}}, "less than or equal to 0.5"),
        ({"colour": {"strength": float("nan")}}, "greater than or equal to 0|finite"),
        ({"blur": {"sigma": (0.0, 1.0)}}, "above 0"),
        ({"cutout": {"side": (0.5, 1.5)}}, "is no range"),
        ({"noise": {"sigma": (-0.1, 1.0)}}, "is no range"),
        ({"color": {}}, "Extra inputs"),
        ({"rotate": {"degrees": 90}}, "Extra inputs"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AugmentationSettings(**settings)


def test_settings_survive_json() -> None:
    assert AugmentationSettings.model_validate_json(EVERYTHING.model_dump_json()) == EVERYTHING


@pytest.mark.parametrize("name", get_args(Transformation))
def test_one_transformation_is_left_on_with_what_belongs_to_it(name: Transformation) -> None:
    left = EVERYTHING.only(name, None)
    on = {key for key in get_args(Transformation) if key != "none" and getattr(left, key) is not None}
    assert on == ({name} if name != "none" else set())
    assert (left.flip > 0, left.grey > 0) == (name == "crop", name == "colour")
    assert left.one_branch


def test_a_pair_is_the_same_in_both_orders_and_its_settings_stay() -> None:
    coarse = EVERYTHING.model_copy(update={"crop": CropSettings(scale=(0.2, 1.0))})
    assert coarse.only("crop", "colour") == coarse.only("colour", "crop")
    assert coarse.only("crop", "colour").crop == CropSettings(scale=(0.2, 1.0))
    assert coarse.only("crop", "crop") == coarse.only("crop", "none") == coarse.only("crop")


def test_what_is_off_cannot_be_left_on() -> None:
    with pytest.raises(UserError, match="rotate is to be left on but is off"):
        AugmentationSettings().only("crop", "rotate")
