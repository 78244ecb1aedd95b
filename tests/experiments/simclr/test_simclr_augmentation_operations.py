"""Each operation on a batch, against torchvision, Pillow or SciPy on one image at a time with the same parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from experiments.simclr import augment_operations as operations
from experiments.simclr import colour
from experiments.simclr.augmentation import Parameters, apply, as_float, draw_parameters
from experiments.simclr.augmentation_settings import (
    AugmentationSettings,
    BlurSettings,
    ColourSettings,
    CropSettings,
    CutoutSettings,
    NoiseSettings,
    RotationSettings,
    SobelSettings,
)
from harness.errors import UserError

NOTHING = AugmentationSettings(crop=None, flip=0.0, colour=None, grey=0.0, blur=None)


def generator(seed: int = 0) -> numpy.random.Generator:
    return numpy.random.Generator(numpy.random.Philox(key=seed))


def photographs(count: int = 24, channels: int = 3, height: int = 20, width: int = 20) -> Tensor:
    """Noise, smooth images, flat and primary colours: ties between channels and saturated values among them."""
    values = generator(99).random((count, channels, height, width)).astype(numpy.float32)
    images = torch.from_numpy(values)
    images[1::4] = images[1::4].mean((2, 3), keepdim=True)  # flat
    images[2::4] = images[2::4].round()  # black, white and the six primary and secondary colours
    images[3::4] = images[3::4, :1]  # grey
    return images


def drawn(images: Tensor, chosen: AugmentationSettings, seed: int = 0) -> Parameters:
    return draw_parameters(len(images), images.shape[2], images.shape[3], chosen, generator(seed))


def one_by_one(function: Callable[..., Tensor], images: Tensor, *amounts: numpy.ndarray) -> Tensor:
    return torch.stack(
        [function(image, *row) for image, *row in zip(images, *(a.tolist() for a in amounts), strict=True)]
    )


ADJUSTMENTS = {
    "brightness": (colour.adjust_brightness_, functional.adjust_brightness, (0.0, 3.0)),
    "contrast": (colour.adjust_contrast_, functional.adjust_contrast, (0.0, 3.0)),
    "saturation": (colour.adjust_saturation_, functional.adjust_saturation, (0.0, 3.0)),
    "hue": (colour.adjust_hue_, functional.adjust_hue, (-0.5, 0.5)),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ADJUSTMENTS)
def test_adjustments_are_torchvisions(name: str, channels: int) -> None:
    ours, theirs, (low, high) = ADJUSTMENTS[name]
    images = photographs(channels=channels)
    amounts = numpy.linspace(low, high, len(images))
    result = ours(images.clone(), torch.from_numpy(amounts).float())
    torch.testing.assert_close(result, one_by_one(theirs, images, amounts), atol=2e-6, rtol=0)
    assert result.min() >= 0.0 and result.max() <= 1.0


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 255), min_size=3, max_size=3), st.floats(-0.5, 0.5))
def test_any_colour_is_shifted_in_hue_as_by_torchvision(values: list[int], turns: float) -> None:
    image = torch.tensor(values, dtype=torch.uint8).view(1, 3, 1, 1)
    ours = colour.adjust_hue_(as_float(image), torch.tensor([turns]))
    torch.testing.assert_close(ours, functional.adjust_hue(as_float(image), turns), atol=5e-6, rtol=0)


def test_grey_is_torchvisions() -> None:
    images = photographs()
    torch.testing.assert_close(colour.grey_of(images), functional.rgb_to_grayscale(images), atol=1e-6, rtol=0)


def test_the_jitter_in_its_order_is_torchvisions() -> None:
    images = photographs()
    chosen = NOTHING.model_copy(update={"colour": ColourSettings(hue=0.5), "grey": 0.4})
    parameters = drawn(images, chosen)
    assert 0 < parameters.jitter.sum() < len(images) and 0 < parameters.grey.sum() < len(images)
    expected = _jittered(images, parameters)
    torch.testing.assert_close(apply(images, parameters, chosen), expected, atol=5e-6, rtol=0)


def test_the_jitter_in_shuffled_order_is_torchvisions() -> None:
    images = photographs(96)
    chosen = NOTHING.model_copy(update={"colour": ColourSettings(hue=0.5, shuffled=True)})
    parameters = drawn(images, chosen)
    result = apply(images, parameters, chosen)
    torch.testing.assert_close(result, _jittered(images, parameters), atol=5e-6, rtol=0)
    plain = replace(parameters, order=numpy.tile(numpy.arange(4), (len(images), 1)))
    assert (result - _jittered(images, plain)).abs().max() > 0.1  # the order does matter


def _jittered(images: Tensor, parameters: Parameters) -> Tensor:
    done = []
    for row, image in enumerate(images):
        if parameters.jitter[row]:
            for place in parameters.order[row]:
                name = ("brightness", "contrast", "saturation", "hue")[place]
                image = ADJUSTMENTS[name][1](image, float(getattr(parameters, name)[row]))
        done.append(functional.rgb_to_grayscale(image, 3) if parameters.grey[row] else image)
    return torch.stack(done)


@pytest.mark.parametrize("size", [None, 12, 33])
@pytest.mark.parametrize(("height", "width"), [(20, 20), (31, 20), (7, 40)])
def test_bilinear_crops_are_torchvisions(height: int, width: int, size: int | None) -> None:
    images = photographs(40, 3, height, width)
    chosen = NOTHING.model_copy(update={"crop": CropSettings(scale=(0.05, 1.0)), "flip": 0.5})
    parameters = drawn(images, chosen)
    assert 0 < parameters.flip.sum() < len(images)
    sides = [height, width] if size is None else [size, size]
    expected = [
        functional.resized_crop(image, *box, sides, antialias=False)
        for image, box in zip(images, parameters.crop.tolist(), strict=True)
    ]
    expected = [view.flip(-1) if flip else view for view, flip in zip(expected, parameters.flip, strict=True)]
    torch.testing.assert_close(apply(images, parameters, chosen, size), torch.stack(expected), atol=2e-5, rtol=0)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [11, 20, 40])
def test_whole_images_are_resized_as_by_torchvision(mode: str, size: int) -> None:
    images = photographs()
    crop = CropSettings.model_validate({"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "interpolation": mode})
    chosen = NOTHING.model_copy(update={"crop": crop})
    expected = functional.resize(images, [size, size], crop.interpolation_mode, antialias=False).clamp(0.0, 1.0)
    torch.testing.assert_close(apply(images, drawn(images, chosen), chosen, size), expected, atol=2e-5, rtol=0)


def test_bicubic_crops_differ_from_torchvisions_along_the_border_only() -> None:
    """Two pixels of the crop, here enlarged four times, are as far as a cubic curve looks beyond the border."""
    images = photographs(12, 3, 24, 24)
    chosen = NOTHING.model_copy(update={"crop": CropSettings(interpolation="bicubic")})
    parameters = replace(drawn(images, chosen), crop=numpy.tile([5, 6, 10, 10], (12, 1)))
    theirs = functional.resized_crop(images, 5, 6, 10, 10, [40, 40], InterpolationMode.BICUBIC, antialias=False)
    inside = (..., slice(8, -8), slice(8, -8))
    result = apply(images, parameters, chosen, 40)
    torch.testing.assert_close(result[inside], theirs.clamp(0.0, 1.0)[inside], atol=5e-5, rtol=0)


def test_a_flip_alone_is_exact() -> None:
    images = photographs()
    chosen = NOTHING.model_copy(update={"flip": 0.5})
    parameters = drawn(images, chosen)
    flips = torch.from_numpy(parameters.flip).view(-1, 1, 1, 1)
    assert torch.equal(apply(images, parameters, chosen), torch.where(flips, images.flip(-1), images))


@pytest.mark.parametrize(("side", "kernel"), [(8, 3), (20, 3), (32, 3), (40, 5), (100, 11), (224, 23)])
def test_the_blur_is_torchvisions_over_a_tenth_of_the_height(side: int, kernel: int) -> None:
    images = photographs(4, 3, side, side)
    assert 2 * operations.blur_radius(side) + 1 == kernel
    sigmas = numpy.array([0.1, 0.5, 1.2, 2.0])
    expected = one_by_one(
        lambda image, sigma: functional.gaussian_blur(image, [kernel] * 2, [sigma] * 2), images, sigmas
    )
    torch.testing.assert_close(operations.blur(images, torch.from_numpy(sigmas).float()), expected, atol=2e-6, rtol=0)


def test_only_the_chosen_images_are_blurred() -> None:
    images = photographs()
    chosen = NOTHING.model_copy(update={"blur": BlurSettings(sigma=(1.0, 2.0))})
    parameters = drawn(images, chosen)
    result, rows = apply(images, parameters, chosen), numpy.flatnonzero(parameters.blur)
    others = numpy.flatnonzero(~parameters.blur)
    assert len(rows) and torch.equal(result[others], images[others])
    expected = one_by_one(
        lambda image, sigma: functional.gaussian_blur(image, [3, 3], [sigma, sigma]),
        images[rows],
        parameters.blur_sigma[rows],
    )
    torch.testing.assert_close(result[rows], expected, atol=2e-6, rtol=0)


def test_rotations_are_torchvisions() -> None:
    images = photographs()
    chosen = NOTHING.model_copy(update={"rotate": RotationSettings()})
    parameters = drawn(images, chosen)
    assert set(parameters.quarter_turns) == {0, 1, 2, 3}
    expected = one_by_one(lambda image, turns: functional.rotate(image, 90.0 * turns), images, parameters.quarter_turns)
    assert torch.equal(apply(images, parameters, chosen), expected)


def test_sobel_is_scipys_gradient() -> None:
    images = photographs()
    planes = images.double().numpy().reshape(-1, 20, 20)
    slopes = [numpy.stack([ndimage.sobel(plane, axis, mode="nearest") for plane in planes]) for axis in (0, 1)]
    expected = torch.from_numpy(numpy.hypot(*slopes)).clamp(max=1.0).float().view(images.shape)
    torch.testing.assert_close(operations.sobel(images), expected, atol=2e-6, rtol=0)
    chosen = NOTHING.model_copy(update={"sobel": SobelSettings()})
    parameters = drawn(images, chosen)
    selected = torch.from_numpy(parameters.sobel).view(-1, 1, 1, 1)
    torch.testing.assert_close(
        apply(images, parameters, chosen), torch.where(selected, expected, images), atol=2e-6, rtol=0
    )


@pytest.mark.parametrize(("height", "width"), [(20, 20), (16, 30)])
def test_a_cutout_is_torchvisions_erasing_of_a_square_within_the_image(height: int, width: int) -> None:
    images = photographs(200, 3, height, width)
    chosen = NOTHING.model_copy(update={"cutout": CutoutSettings(side=(0.1, 1.0), fill=0.25)})
    parameters = drawn(images, chosen)
    result = apply(images, parameters, chosen)
    edges = set()
    for row, (view, image) in enumerate(zip(result, images, strict=True)):
        if not parameters.cutout[row]:
            assert torch.equal(view, image)
            continue
        side = round(float(parameters.cutout_side[row]) * min(height, width))
        top, left = (
            math.floor(place * (room - side + 1))
            for place, room in zip(parameters.cutout_place[row].tolist(), (height, width), strict=True)
        )
        assert torch.equal(view, functional.erase(image, top, left, side, side, torch.tensor(0.25)))
        edges |= {
            ("top", top == 0),
            ("bottom", top + side == height),
            ("left", left == 0),
            ("right", left + side == width),
        }
    assert len(edges) == 8  # every border is reached, and not always


def test_noise_is_normal_of_the_drawn_width_and_each_images_own() -> None:
    images = torch.full((40, 3, 32, 32), 0.5)
    chosen = NOTHING.model_copy(update={"noise": NoiseSettings(probability=1.0, sigma=(0.02, 0.1))})
    parameters = drawn(images, chosen)
    noise = (apply(images, parameters, chosen) - 0.5).double().numpy() / parameters.noise_sigma[:, None, None, None]
    assert numpy.abs(noise).max() < 0.5 / 0.1  # nothing was cut off, so the distribution can be tested
    assert stats.kstest(noise.ravel(), stats.norm.cdf).pvalue > 1e-4
    between_images = numpy.corrcoef(noise.reshape(40, -1)) - numpy.eye(40)
    assert numpy.abs(between_images).max() < stats.norm.isf(1e-4 / (40 * 39)) / math.sqrt(3 * 32 * 32)
    neighbours = stats.pearsonr(noise[..., :-1].ravel(), noise[..., 1:].ravel())
    assert neighbours.pvalue > 1e-4


def test_what_cannot_be_done_is_refused_in_a_sentence() -> None:
    images = photographs(2, 3, 20, 24)
    for chosen, message in (
        (NOTHING.model_copy(update={"rotate": RotationSettings()}), "20x24 pixels cannot be rotated"),
        (NOTHING, "N x C x H x W with C of 1 or 3"),
    ):
        wrong = images if chosen.rotate else images[:, :2]
        with pytest.raises(UserError, match=message):
            apply(wrong, drawn(images, chosen), chosen)
    assert apply(images, drawn(images, NOTHING), NOTHING, 20).shape == (2, 3, 20, 20)
    with pytest.raises(UserError, match="too narrow"):
        operations.blur(photographs(2, 3, 100, 5), torch.ones(2))
    with pytest.raises(ValueError, match="2 images cannot be augmented with 1 rows"):
        apply(images, drawn(images[:1], NOTHING), NOTHING)
