"""Table 3's transformations against torch, torchvision and SciPy, and the network that tells them."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage, stats
from sklearn.linear_model import LogisticRegression
from torchvision.transforms.functional import rgb_to_grayscale

from experiments.simclr.transformation_probes import TRANSFORMATIONS, transformation_scores, transformed
from harness.errors import UserError

PIXELS = arrays(numpy.uint8, st.tuples(st.integers(1, 12), st.just(3), st.just(6), st.just(6)))


def random_images(count: int, seed: int, size: int = 8) -> numpy.ndarray:
    return numpy.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=numpy.uint8)


@settings(max_examples=40)
@given(images=PIXELS, seed=st.integers(0, 2**32), name=st.sampled_from(TRANSFORMATIONS))
def test_labels_are_true_and_the_images_given_stay_as_they_are(images: numpy.ndarray, seed: int, name: str) -> None:
    given_images = images.copy()
    found, labels = transformed(images, name, numpy.random.default_rng(seed))
    assert numpy.array_equal(images, given_images)
    assert found.shape == images.shape and found.dtype == numpy.uint8 and labels.shape == (len(images),)
    assert set(labels.tolist()) <= set(range(4 if name == "rotation" else 2))
    for made, image, label in zip(found, images, labels.tolist(), strict=True):
        if name == "rotation":
            back = torch.rot90(torch.from_numpy(made), -label, dims=(1, 2))
            assert numpy.array_equal(back.numpy(), image)
        elif label == 0:
            assert numpy.array_equal(made, image)
        elif name == "colour-or-grey":
            assert numpy.ptp(made.astype(int), axis=0).max() == 0
            # torchvision's weights are rounded to four digits and it cuts off what we round.
            expected = rgb_to_grayscale(torch.from_numpy(image)).numpy().astype(int)
            assert numpy.abs(made[:1].astype(int) - expected).max() <= 1
        elif name == "original-or-sobel":
            # Channel by channel: SciPy smooths along every other axis.
            for one, channel in zip(made, image / 255.0, strict=True):
                across, down = (ndimage.sobel(channel, axis=axis, mode="nearest") for axis in (1, 0))
                assert numpy.abs(one - 255 * numpy.minimum(numpy.hypot(across, down), 1)).max() <= 0.51


def test_the_shares_are_those_that_the_papers_guesses_imply() -> None:
    images = random_images(4000, 0, size=2)
    for name, shares in {
        "colour-or-grey": (0.8, 0.2),
        "rotation": (0.25, 0.25, 0.25, 0.25),
        "original-or-corrupted": (0.5, 0.5),
        "original-or-sobel": (0.5, 0.5),
    }.items():
        _, labels = transformed(images, name, numpy.random.default_rng(1))
        counts = numpy.bincount(labels, minlength=len(shares))
        assert stats.chisquare(counts, 4000 * numpy.array(shares)).pvalue > 1e-5


def test_corruption_is_gaussian_noise_of_a_tenth_of_the_range_that_is_new_for_every_pixel() -> None:
    images = numpy.full((600, 3, 8, 8), 128, dtype=numpy.uint8)
    found, labels = transformed(images, "original-or-corrupted", numpy.random.default_rng(2))
    noise = (found[labels == 1].astype(float) - 128) / 255
    count = noise.size
    assert abs(noise.mean()) < 5 * 0.1 / numpy.sqrt(count)
    # Rounding to whole levels adds a variance of 1 / 12 levels squared.
    expected = numpy.sqrt(0.1**2 + 1 / (12 * 255**2))
    assert abs(noise.std() - expected) < 5 * expected / numpy.sqrt(2 * count)
    # Five deviations of the range's middle reach its ends, so that nothing but rounding bends the bell.
    assert abs(stats.kurtosis(noise, axis=None)) < 5 * numpy.sqrt(24 / count)
    neighbours = numpy.corrcoef(noise[..., :-1].ravel(), noise[..., 1:].ravel())[0, 1]
    channels = numpy.corrcoef(noise[:, 0].ravel(), noise[:, 1].ravel())[0, 1]
    assert max(abs(neighbours), abs(channels)) < 5 / numpy.sqrt(count / 3)


def test_the_network_is_not_a_linear_one() -> None:
    def product(images: numpy.ndarray) -> numpy.ndarray:
        # Grey is told by the product of two numbers, by neither alone and by no sum of them.
        grey = numpy.where(numpy.ptp(images.astype(int), axis=1).max(axis=(1, 2)) == 0, 1.0, -1.0)
        sign = numpy.where(images.sum(axis=(1, 2, 3), dtype=int) % 2, 1.0, -1.0)
        return numpy.stack([sign, sign * grey], axis=1)

    train, test = random_images(1000, 3), random_images(1000, 4)
    found = transformation_scores(
        {"product": product}, train, test, numpy.random.default_rng(5), seed=6, names=["colour-or-grey"]
    )
    assert found == {("product", "colour-or-grey"): pytest.approx(100, abs=1)}
    seen, labels = transformed(train, "colour-or-grey", numpy.random.default_rng(5))
    linear = LogisticRegression().fit(product(seen), labels)
    assert linear.score(product(seen), labels) < 0.9


def test_a_representations_scores_do_not_depend_on_which_others_are_asked_about() -> None:
    def flat(images: numpy.ndarray) -> numpy.ndarray:
        return images.reshape(len(images), -1) / 255.0

    def dark(images: numpy.ndarray) -> numpy.ndarray:
        return flat(images).mean(axis=1, keepdims=True)

    train, test = random_images(200, 7, size=4), random_images(200, 8, size=4)

    def scores(**encode: object) -> dict[tuple[str, str], float]:
        return transformation_scores(encode, train, test, numpy.random.default_rng(9), seed=10)  # type: ignore[arg-type]

    both, alone = scores(z=dark, h=flat), scores(h=flat)
    assert {key: score for key, score in both.items() if key[0] == "h"} == alone
    assert both.keys() == {(layer, name) for layer in "hz" for name in TRANSFORMATIONS}


def test_what_cannot_be_told_is_refused() -> None:
    generator = numpy.random.default_rng(0)
    with pytest.raises(UserError, match="have 1 channel"):
        transformed(random_images(4, 0)[:, :1], "colour-or-grey", generator)
    with pytest.raises(UserError, match="8 x 6 pixels"):
        transformed(random_images(4, 0)[..., :6], "rotation", generator)
