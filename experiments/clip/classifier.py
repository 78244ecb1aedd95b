"""Zero-shot classifiers out of prompts (section 3.1.4): encode every template with every class name, then combine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from experiments.clip.encoding import DualEncoder

CHUNK = 32_000_000
"""The most logits that are held at once: 128 MB."""


def encode_prompts(encoder: DualEncoder, templates: Sequence[str], names: Sequence[Sequence[str]]) -> Tensor:
    """Return unit vectors of all prompts, float32 [rows of names x templates, classes, dimension].

    Each text is encoded once, whichever templates and names make it.

    Args:
        templates: each with one placeholder ``{}``.
        names: rows of names, one name a class.
    """
    texts = [template.replace("{}", name) for row in names for template in templates for name in row]
    different = list(dict.fromkeys(texts))
    place = {text: index for index, text in enumerate(different)}
    vectors = encoder.encode_texts(different)
    return vectors[[place[text] for text in texts]].view(len(names) * len(templates), len(names[0]), -1)


def embedding_ensemble(prompts: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return a classifier's vectors [classes, dimension]: the mean of its prompts' unit vectors, made unit again.

    Args:
        prompts: unit vectors [templates, classes, dimension].
        weights: [templates], which sum to one; default: all alike.
    """
    mean = prompts.mean(0) if weights is None else torch.einsum("t,tcd->cd", weights, prompts)
    return functional.normalize(mean, dim=1)


@dataclass(frozen=True)
class Outcomes:
    """For each item: whether its class had the highest score (a share, where several classifiers are averaged), and the
    negative log-likelihood of its class (nats); both float32 [items]."""

    correct: Tensor
    nll: Tensor

    @property
    def accuracy(self) -> float:
        """The top-1 accuracy in percent."""
        return 100.0 * float(self.correct.double().mean())


def by_embedding(
    images: Tensor, labels: Tensor, prompts: Tensor, scale: float, weights: Tensor | None = None
) -> Outcomes:
    """Classify unit vectors of images [items, dimension] by one classifier made of all prompts.

    Args:
        labels: the items' classes, int64 [items].
        prompts: unit vectors [templates, classes, dimension].
        scale: what cosines are multiplied by.
    """
    classifier = embedding_ensemble(prompts, weights)
    parts = [
        _outcomes(torch.log_softmax(scale * (chunk @ classifier.T), 1), known)
        for chunk, known in _chunks(images, labels, len(classifier))
    ]
    return _joined(parts)


def by_probability(
    images: Tensor, labels: Tensor, prompts: Tensor, scale: float, weights: Tensor | None = None
) -> Outcomes:
    """Classify by the mean over prompts of the classes' probabilities; arguments as of ``by_embedding``."""
    shares = torch.full((len(prompts),), 1 / len(prompts)) if weights is None else weights
    parts = []
    for chunk, known in _chunks(images, labels, prompts.shape[1]):
        mean = torch.zeros(len(chunk), prompts.shape[1])
        for share, single in zip(shares, prompts, strict=True):
            mean += share * torch.softmax(scale * (chunk @ single.T), 1)
        # A probability can underflow to nought; its logarithm must stay a number.
        parts.append(_outcomes(mean.clamp_min(torch.finfo(torch.float32).tiny).log(), known))
    return _joined(parts)


def by_each(images: Tensor, labels: Tensor, prompts: Tensor, scale: float) -> Outcomes:
    """Classify by every prompt alone, and average what comes out for each item; arguments as of ``by_embedding``."""
    singles = [by_embedding(images, labels, single[None], scale) for single in prompts]
    return averaged(singles)


def averaged(outcomes: Sequence[Outcomes]) -> Outcomes:
    """Return what came out on average over several classifiers, item by item."""
    return Outcomes(
        torch.stack([each.correct for each in outcomes]).mean(0), torch.stack([each.nll for each in outcomes]).mean(0)
    )


def _outcomes(log_probabilities: Tensor, labels: Tensor) -> Outcomes:
    correct = (log_probabilities.argmax(1) == labels).float()
    return Outcomes(correct, -log_probabilities.gather(1, labels[:, None])[:, 0])


def _joined(parts: Sequence[Outcomes]) -> Outcomes:
    return Outcomes(torch.cat([part.correct for part in parts]), torch.cat([part.nll for part in parts]))


def _chunks(images: Tensor, labels: Tensor, classes: int) -> Iterator[tuple[Tensor, Tensor]]:
    size = max(1, CHUNK // classes)
    yield from zip(images.split(size), labels.split(size), strict=True)
