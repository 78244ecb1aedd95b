"""How many floating-point operations a trial takes, counted before it runs: ``harness plan`` predicts hours by it."""

from __future__ import annotations

from experiments.data.settings import DataSettings, EmbeddedSettings
from experiments.simclr.encoder_settings import EncoderSettings
from experiments.simclr.probe_settings import LinearEvaluationSettings

TRAINING_IMAGES = {"cifar10": 50_000, "cifar100": 50_000, "stl10": 105_000, "imagenet": 1_281_167}
"""Official numbers of training images; STL-10's with its 100,000 unlabelled ones."""
LABELLED_IMAGES = {**TRAINING_IMAGES, "stl10": 5_000}
TEST_IMAGES = {"cifar10": 10_000, "cifar100": 10_000, "stl10": 8_000, "imagenet": 50_000}
PIXELS = {"cifar10": 32, "cifar100": 32, "stl10": 96}
BACKWARD = 2
"""A backward pass takes about twice the operations of a forward pass: one product each for inputs and weights."""
VIEWS = 2


def of_layers(*, data: DataSettings, encoder: EncoderSettings, epochs: float) -> float:
    """Return the operations of training one model that is read at several layers; raises as ``of_training`` does."""
    return of_training(data=data, encoder=encoder, epochs=epochs)


def of_training(
    *,
    data: DataSettings,
    encoder: EncoderSettings,
    epochs: float,
    view_size: int | None = None,
    linear_evaluation: LinearEvaluationSettings | None = None,
) -> float:
    """Return the operations of training and of linear evaluation; heads, losses and probes take next to none.

    Raises:
        ValueError: the number or size of the images is known only once they lie there (an image folder).
    """
    from experiments.simclr.encoders import operations_per_image

    size: int | None
    if isinstance(data, EmbeddedSettings):
        train, labelled, test = data.train, data.train, data.test + data.validation
        size = view_size or data.size
    elif data.source == "image-folder":
        raise ValueError("how many images a folder holds is known only once it lies there")
    else:
        share = 1.0 - data.validation
        train, labelled = (round(share * known[data.source]) for known in (TRAINING_IMAGES, LABELLED_IMAGES))
        test = TEST_IMAGES[data.source] + round(data.validation * LABELLED_IMAGES[data.source])
        size = view_size or PIXELS.get(data.source)
    if size is None:
        raise ValueError(f"{data.source}: images of unequal size need 'view_size'")
    forward = operations_per_image(encoder, size)
    trained = epochs * train * VIEWS * (1 + BACKWARD)
    evaluated = test + (linear_evaluation.epochs * labelled if linear_evaluation else labelled)
    return forward * (trained + evaluated)
