"""Whole views: what holds for any subset of transformations, and that views are a function of the stream alone."""

from __future__ import annotations

import hashlib

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from experiments.simclr.augmentation import apply, as_float, augment, draw_parameters, two_views
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
EVERYTHING = AugmentationSettings(
    cutout=CutoutSettings(), sobel=SobelSettings(), noise=NoiseSettings(), rotate=RotationSettings()
)
POLICIES = {
    "policy": AugmentationSettings(),
    "shuffled": AugmentationSettings(colour=ColourSettings(shuffled=True, hue=0.5)),
    "bicubic": AugmentationSettings(crop=CropSettings(interpolation="bicubic")),
    "everything": EVERYTHING,
}

subsets = st.builds(
    AugmentationSettings,
    crop=st.sampled_from([None, CropSettings(), CropSettings(interpolation="bicubic")]),
    flip=st.sampled_from([0.0, 0.5, 1.0]),
    colour=st.sampled_from(
        [None, ColourSettings(hue=0.5), ColourSettings(probability=1.0, strength=2.5, shuffled=True)]
    ),
    grey=st.sampled_from([0.0, 0.5, 1.0]),
    blur=st.sampled_from([None, BlurSettings()]),
    cutout=st.sampled_from([None, CutoutSettings()]),
    sobel=st.sampled_from([None, SobelSettings()]),
    noise=st.sampled_from([None, NoiseSettings(sigma=(0.0, 1.0))]),
    rotate=st.sampled_from([None, RotationSettings()]),
    one_branch=st.booleans(),
)


def generator(seed: int = 0) -> numpy.random.Generator:
    return numpy.random.Generator(numpy.random.Philox(key=seed))


def photographs(count: int, channels: int = 3, height: int = 20, width: int = 20, seed: int = 7) -> Tensor:
    return torch.from_numpy(generator(seed).integers(0, 256, (count, channels, height, width), dtype=numpy.uint8))


def digest(images: Tensor) -> str:
    return hashlib.sha256(images.contiguous().numpy().tobytes()).hexdigest()


@settings(max_examples=120, deadline=None)
@given(
    subsets,
    st.integers(1, 6),
    st.sampled_from([1, 3]),
    st.sampled_from([(20, 20), (9, 14), (33, 21)]),
    st.sampled_from([None, 8, 24]),
    st.integers(0, 2**32),
)
def test_views_are_images(
    chosen: AugmentationSettings, count: int, channels: int, sides: tuple[int, int], size: int | None, seed: int
) -> None:
    if chosen.rotate is not None and size is None:
        sides = (20, 20)
    images = photographs(count, channels, *sides, seed=seed)
    before = images.clone()
    views = two_views(images, chosen, generator(seed), size)
    for view in views:
        assert view.shape == (count, channels, *(sides if size is None else (size, size)))
        assert view.dtype == torch.float32 and view.is_contiguous()
        assert torch.isfinite(view).all() and view.min() >= 0.0 and view.max() <= 1.0
    floats = as_float(images)
    kept = floats.clone()
    for view, of_floats in zip(views, two_views(floats, chosen, generator(seed), size), strict=True):
        assert torch.equal(view, of_floats)
    assert torch.equal(images, before) and torch.equal(floats, kept)  # what is given is left as it is


@pytest.mark.parametrize("channels", [1, 3])
def test_with_everything_off_the_view_is_the_image_in_memory_of_its_own(channels: int) -> None:
    images = as_float(photographs(5, channels))
    view = augment(images, NOTHING, generator())
    assert torch.equal(view, images) and view.data_ptr() != images.data_ptr()
    assert all(torch.equal(view, images) for view in two_views(images, NOTHING, generator()))
    assert torch.equal(augment(photographs(5, channels), NOTHING, generator()), images)


def test_a_jitter_of_no_strength_changes_nothing() -> None:
    images = as_float(photographs(5))
    chosen = NOTHING.model_copy(update={"colour": ColourSettings(strength=0.0, probability=1.0)})
    assert torch.equal(augment(images, chosen, generator()), images)


def test_bytes_are_float_images() -> None:
    images = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(as_float(images), torch.arange(256) / 255)
    assert as_float(images.double() / 255).dtype == torch.float32
    with pytest.raises(UserError, match="torch.int64 cannot be augmented"):
        as_float(images.long())


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=12, deadline=None)
@given(count=st.integers(1, 40), more=st.integers(1, 40), side=st.sampled_from([20, 17]))
def test_the_same_stream_gives_the_same_bytes_whatever_follows_in_the_batch(
    name: str, count: int, more: int, side: int
) -> None:
    chosen, images = POLICIES[name], photographs(count + more, 3, side, side)
    alone = augment(images[:count], chosen, generator(5))
    assert digest(alone) == digest(augment(images[:count], chosen, generator(5)))
    assert digest(alone) == digest(augment(images, chosen, generator(5))[:count])
    pair, longer = two_views(images[:count], chosen, generator(5)), two_views(images, chosen, generator(5))
    assert [digest(view) for view in pair] == [digest(view[:count]) for view in longer]


@pytest.mark.parametrize("name", POLICIES)
def test_equal_images_and_the_two_views_of_one_differ(name: str) -> None:
    images = photographs(1).expand(16, -1, -1, -1)
    both = torch.cat(two_views(images, POLICIES[name], generator()))
    assert len({digest(view) for view in both}) == len(both)


def test_another_stream_gives_other_views() -> None:
    images = photographs(4)
    policy = AugmentationSettings()
    assert not torch.equal(augment(images, policy, generator(1)), augment(images, policy, generator(2)))


def test_one_branch_leaves_the_other_view_alone_and_the_first_as_it_was() -> None:
    images = photographs(9)
    one_branch = EVERYTHING.model_copy(update={"one_branch": True})
    both, one, other = generator(3), generator(3), generator(3)
    first, second = two_views(images, one_branch, one)
    assert torch.equal(first, two_views(images, EVERYTHING, both)[0])
    assert torch.equal(second, as_float(images))
    assert one.random() == both.random()  # as much is drawn
    resized = two_views(images, one_branch, other, 10)[1]
    # Twice as large, a pixel lies in the middle of four.
    torch.testing.assert_close(resized, torch.nn.functional.avg_pool2d(as_float(images), 2), atol=2e-6, rtol=0)


def test_images_of_one_channel_keep_it_and_change_in_brightness_and_contrast_alone() -> None:
    images = photographs(12, 1)
    colours = NOTHING.model_copy(update={"colour": ColourSettings(probability=1.0, hue=0.5), "grey": 1.0})
    weaker = colours.model_copy(
        update={"colour": ColourSettings(probability=1.0, hue=0.0, saturation=0.0), "grey": 0.0}
    )
    view = augment(images, colours, generator())
    assert torch.equal(view, augment(images, weaker, generator()))
    assert not torch.equal(view, as_float(images))


@pytest.mark.parametrize("name", ["crop", "colour", "blur", "cutout", "sobel", "noise", "rotate"])
def test_views_apply_one_transformation_after_another_in_the_order_of_figure_5(name: str) -> None:
    """Whatever the split, the first transformations and then the rest of them are all of them."""
    order = ("crop", "cutout", "colour", "sobel", "noise", "blur", "rotate")
    cut = order.index(name)
    images = photographs(32)
    parameters = draw_parameters(32, 20, 20, EVERYTHING, generator())
    halves = [EVERYTHING.only(*names) for names in (order[:cut], order[cut:])]
    drawn = [draw_parameters(32, 20, 20, half, generator()) for half in halves]
    halfway = apply(images, drawn[0], halves[0])
    torch.testing.assert_close(
        apply(halfway, drawn[1], halves[1]), apply(images, parameters, EVERYTHING), atol=1e-6, rtol=0
    )
