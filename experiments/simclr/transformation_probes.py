"""Which transformation was applied, told from a representation (Table 3 of the paper)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy
import torch

from experiments.simclr.augment_operations import sobel
from experiments.simclr.augmentation import as_float
from experiments.simclr.colour import grey_of
from harness.errors import UserError

TRANSFORMATIONS = ("colour-or-grey", "rotation", "original-or-corrupted", "original-or-sobel")
GREY_SHARE = 0.2
"""Share of images turned grey: a guess that says "colour" is right in 80 % of cases, as Table 3 prints."""
DEVIATION = 0.1
"""Standard deviation of the noise that corrupts, of pixels in 0..1; the paper does not state its own."""
HIDDEN = 128

Encode = Callable[[numpy.ndarray], numpy.ndarray]


def transformed(
    images: numpy.ndarray, name: str, generator: numpy.random.Generator
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Transform uint8 images [N, 3, H, W], each or not by chance; return them with what was done to each, int64 [N].

    Rotation has four classes, of quarter turns; the others two, 1 where the image was transformed.

    Raises:
        ValueError: the name is not among ``TRANSFORMATIONS``.
        UserError: grey images are to be told from coloured ones, or images that are no squares are to be turned.
    """
    count, channels = len(images), images.shape[1]
    if name == "colour-or-grey" and channels != 3:
        raise UserError(
            f"Whether an image was turned grey cannot be told where all images have {channels} channel(s), not 3; "
            "choose data in colour."
        )
    if name == "rotation":
        if images.shape[2] != images.shape[3]:
            size = " x ".join(str(side) for side in images.shape[2:])
            raise UserError(f"Images of {size} pixels change their shape with a quarter turn; choose data in squares.")
        turns = generator.integers(0, 4, count)
        found = images.copy()
        for quarter in (1, 2, 3):
            found[turns == quarter] = numpy.rot90(images[turns == quarter], quarter, axes=(2, 3))
        return found, turns.astype(numpy.int64)
    if name not in TRANSFORMATIONS:
        raise ValueError(f"there is no transformation '{name}' (known: {', '.join(TRANSFORMATIONS)})")
    share = GREY_SHARE if name == "colour-or-grey" else 0.5
    chosen = generator.random(count) < share
    picked = as_float(torch.from_numpy(images[chosen]))
    if name == "colour-or-grey":
        changed = grey_of(picked).expand_as(picked)
    elif name == "original-or-sobel":
        changed = sobel(picked)
    else:
        noise = generator.standard_normal(tuple(picked.shape), dtype=numpy.float32)
        changed = picked + DEVIATION * torch.from_numpy(noise)
    found = images.copy()
    found[chosen] = changed.clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    return found, chosen.astype(numpy.int64)


def transformation_scores(
    encode: Mapping[str, Encode],
    train_images: numpy.ndarray,
    test_images: numpy.ndarray,
    generator: numpy.random.Generator,
    seed: int,
    names: Sequence[str] = TRANSFORMATIONS,
) -> dict[tuple[str, str], float]:
    """Return, by representation and transformation, how often a small network tells it on test images, in percent.

    The network has one hidden layer of 128 and starts from ``seed``; all representations see the very same images.
    """
    found = {}
    for name in names:
        train, labels = transformed(train_images, name, generator)
        test, answers = transformed(test_images, name, generator)
        for layer, represent in encode.items():
            found[layer, name] = _network_accuracy(represent(train), labels, represent(test), answers, seed)
    return found


def _network_accuracy(
    features: numpy.ndarray, labels: numpy.ndarray, test_features: numpy.ndarray, answers: numpy.ndarray, seed: int
) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = MLPClassifier(
        (HIDDEN,), early_stopping=True, max_iter=100, random_state=seed % 2**32, learning_rate_init=0.003
    )
    with warnings.catch_warnings():
        # Whether all 100 passes were needed is no matter: the best of them on held-out images is taken.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = make_pipeline(StandardScaler(), network).fit(features, labels)
    return 100.0 * float(fitted.score(test_features, answers))
