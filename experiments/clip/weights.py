"""Weights of templates in an ensemble, from validation images: with their labels, or without."""

from __future__ import annotations

import torch
from torch import Tensor

from experiments.clip.classifier import by_embedding


def validation_weights(images: Tensor, labels: Tensor, prompts: Tensor, scale: float) -> Tensor:
    """Return weights [templates] that sum to one: the softmax of the single templates' standardised accuracies.

    Standardised by their own mean and standard deviation, a template one deviation above another weighs e times as
    much; where all are equally accurate all weigh alike.

    Args:
        images: unit vectors of labelled validation images [items, dimension]; ``labels`` their classes.
        prompts: unit vectors [templates, classes, dimension].
    """
    found = torch.tensor([by_embedding(images, labels, single[None], scale).accuracy for single in prompts])
    spread = found.std(correction=0)
    return torch.softmax((found - found.mean()) / spread if spread > 0 else torch.zeros_like(found), 0)


def unsupervised_weights(images: Tensor, prompts: Tensor, scale: float) -> Tensor:
    """Return weights [templates] that sum to one, without labels (zero-shot prompt ensembling, arXiv 2302.06235).

    A template's score is the mean over images of the highest logit, each class's logits less their own mean over the
    images and templates weighed by a softmax of the scores. The paper also takes off the mean over the images that the
    model was trained on, which are not at hand for a released one; here the images at hand stand for both.

    Args:
        images: unit vectors of images [items, dimension].
        prompts: unit vectors [templates, classes, dimension].
    """
    scores = []
    for single in prompts:
        logits = scale * (images @ single.T)
        scores.append((logits - logits.mean(0)).max(1).values.mean())
    return torch.softmax(torch.stack(scores), 0)
