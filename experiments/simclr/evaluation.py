"""What a trained model knows: linear evaluation of the class, and one probe for every generating factor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor, nn

from experiments.data import Dataset, DecodedPart, Part
from experiments.simclr.augmentation import as_float, augment
from experiments.simclr.augmentation_settings import AugmentationSettings, CropSettings
from experiments.simclr.linear_evaluation import linear_evaluation
from experiments.simclr.loading import CropPlan, InSequence, crop_batches
from experiments.simclr.probe_settings import LinearEvaluationSettings, ProbeSettings
from experiments.simclr.probes import factor_scores, features_of, fit_classifier
from experiments.simclr.setup import Trained
from experiments.simclr.views import Order, Share
from harness.execution.streams import Stream

HELD_OUT_BATCH = 512
CROP_AND_FLIP = AugmentationSettings(crop=CropSettings(), flip=0.5, colour=None, grey=0.0, blur=None)


@dataclass(frozen=True)
class Labelled:
    """The labelled training images that probes see, uint8 [N, C, H, W], and their generating factors."""

    images: numpy.ndarray
    factors: Mapping[str, numpy.ndarray]


def labelled_images(dataset: Dataset, count: int | None, stream: Stream) -> Labelled:
    """Return ``count`` labelled training images, drawn without replacement; all where it is None."""
    part = dataset.train
    known = numpy.flatnonzero(part.factors[dataset.label] >= 0)
    chosen = known if count is None or count >= len(known) else numpy.sort(stream.numpy.permutation(known)[:count])
    return Labelled(part.images[chosen], {name: values[chosen] for name, values in part.factors.items()})


def probe_scores(
    module: nn.Module, dataset: Dataset, labelled: Labelled, settings: ProbeSettings, device: torch.device
) -> dict[str, float]:
    """Return the class accuracy on the validation part, and a score on the test part for every factor.

    The class' own score is called ``accuracy``, those of the other factors ``factor_<name>``; ``probe_converged`` says
    whether the classifier of the class was fitted to its end.
    """
    features = features_of(module, labelled.images, device)
    held, tested = (features_of(module, part.images, device) for part in (dataset.validation, dataset.test))
    classifier = fit_classifier(features, labelled.factors[dataset.label], settings, device)
    wanted = dataset.factors if settings.factors is None else settings.factors
    others = {name: dataset.factors[name] for name in wanted if name != dataset.label}
    scores = factor_scores(features, labelled.factors, tested, dataset.test.factors, others, settings, device)
    return {
        "validation_accuracy": classifier.accuracy(held, dataset.validation.factors[dataset.label]),
        "accuracy": classifier.accuracy(tested, dataset.test.factors[dataset.label]),
        "probe_converged": classifier.converged,
        **{f"factor_{name}": score for name, score in scores.items()},
    }


def validation_accuracy(seen: Trained, labelled: Labelled, settings: ProbeSettings) -> float:
    """Return the class accuracy on the validation part (%), as ``probe_scores`` does, and nothing else."""
    label, encoder = seen.dataset.label, seen.model.encoder
    features = features_of(encoder, labelled.images, seen.device)
    classifier = fit_classifier(features, labelled.factors[label], settings, seen.device)
    held = seen.dataset.validation
    return classifier.accuracy(features_of(encoder, held.images, seen.device), held.factors[label])


def linear_scores(
    trained: Trained, settings: LinearEvaluationSettings, stream: Stream, size: int | None, loaders: int
) -> dict[str, float]:
    """Return the paper's linear evaluation (appendix B.6) on the validation and the test part.

    One classifier is trained, on all labelled training images, cropped and flipped; neither part has a say in it.
    """
    dataset, device = trained.dataset, trained.device
    part = dataset.train
    known = numpy.flatnonzero(part.factors[dataset.label] >= 0)
    # A set smaller than the batch is one batch; the learning rate follows the batch that there is.
    settings = settings.model_copy(update={"batch_size": min(settings.batch_size, len(known))})
    order = Labels(Order(stream.child("order"), len(known), settings.batch_size, Share()), known)

    def training(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        first, last = epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch
        return _batches(dataset, part, order, first, last, CROP_AND_FLIP, stream.child("crop"), size, loaders, device)

    def looked_at(held: Part) -> Iterator[tuple[Tensor, Tensor]]:
        batches = InSequence(len(held), HELD_OUT_BATCH)
        return _batches(dataset, held, batches, 0, batches.steps, None, stream, size, loaders, device)

    scores = linear_evaluation(
        trained.model.encoder,
        trained.model.encoder.dimension,
        len(dataset.factors[dataset.label].values),
        training,
        order.steps_per_epoch,
        {"validation": lambda: looked_at(dataset.validation), "test": lambda: looked_at(dataset.test)},
        settings,
        device,
    )
    return {
        "validation_accuracy": scores["validation"].top1,
        "accuracy": scores["test"].top1,
        "top5_accuracy": scores["test"].top5,
    }


@dataclass(frozen=True)
class Labels:
    """An order over the labelled images alone, told as places in the whole part."""

    order: Order
    known: numpy.ndarray

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch

    def indices(self, step: int) -> numpy.ndarray:
        return self.known[self.order.indices(step)]


def _batches(
    dataset: Dataset,
    part: Part,
    order: Labels | InSequence,
    first: int,
    last: int,
    augmentation: AugmentationSettings | None,
    stream: Stream,
    size: int | None,
    loaders: int,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give images and labels on the device: cropped and flipped, or as they are (in files: the middle of each)."""
    if isinstance(part, DecodedPart):
        assert size is not None
        crop, flip = (None, 0.0) if augmentation is None else (augmentation.crop, augmentation.flip)
        for crops, labels in crop_batches(part, order, first, last, CropPlan(crop, flip, size), stream, loaders):
            yield as_float(crops[:, 0].to(device)), labels.to(device)
        return
    for step in range(first, last):
        chosen = order.indices(step)
        images = torch.from_numpy(part.images[chosen]).to(device)
        labels = torch.from_numpy(numpy.asarray(part.factors[dataset.label][chosen])).to(device)
        shown = (
            as_float(images) if augmentation is None else augment(images, augmentation, stream.child(step).numpy, size)
        )
        yield shown, labels
