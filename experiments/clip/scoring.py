"""What each set of prompts is worth on a test part: one classifier, or many, on images encoded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from experiments.clip.classifier import Outcomes, averaged, by_each, by_embedding, by_probability
from experiments.clip.prompt_settings import PromptSettings
from experiments.clip.stored import Vectors
from experiments.clip.templates import Subject
from experiments.clip.weights import unsupervised_weights, validation_weights
from experiments.data import Dataset
from harness.errors import UserError
from harness.execution.streams import Stream


@dataclass(frozen=True)
class Encoded:
    """Images as unit vectors [items, dimension], and their classes int64 [items]."""

    vectors: Tensor
    labels: Tensor


def encoded(vectors: Vectors, dataset: Dataset, part: str, factor: str) -> Encoded:
    """Return a part's images with their classes of a factor."""
    labels = numpy.array(getattr(dataset, part).factors[factor], dtype=numpy.int64)
    return Encoded(vectors.images(dataset, part), torch.from_numpy(labels))


class Scorer:
    """Classifies a test part by sets of prompts; each prompt is encoded once, whichever sets have it.

    Weights come from the validation part alone.
    """

    def __init__(self, vectors: Vectors, subject: Subject, test: Encoded, validation: Encoded) -> None:
        self._vectors, self._subject = vectors, subject
        self._test, self._validation = test, validation
        self._prompts: dict[tuple[str, str], Tensor] = {}

    def prepare(self, sets: Mapping[str, PromptSettings]) -> None:
        """Encode all prompts of several sets in one go.

        Raises:
            UserError: templates that the subject does not have.
        """
        for names in dict.fromkeys(settings.names for settings in sets.values()):
            wanted = [t for s in sets.values() if s.names == names for t in self._subject.templates(s)]
            self._encode(list(dict.fromkeys(wanted)), names)

    def score(self, settings: PromptSettings, stream: Stream) -> Outcomes:
        """Return what comes out for each item of the test part.

        Args:
            stream: where subsets of templates are drawn from.

        Raises:
            UserError: templates that the subject does not have, or fewer than a subset needs.
        """
        prompts = self._encode(self._subject.templates(settings), settings.names)
        if settings.count is None:
            return self._combined(settings, prompts.flatten(0, 1))
        if settings.count > len(prompts):
            raise UserError(f"'count' asks for {settings.count} of {len(prompts)} templates; ask for fewer")
        draws = stream.numpy
        chosen = [draws.permutation(len(prompts))[: settings.count] for _ in range(settings.subsets)]
        return averaged([self._combined(settings, prompts[torch.from_numpy(one)].flatten(0, 1)) for one in chosen])

    def singles(self, templates: Sequence[str]) -> list[float]:
        """Return the accuracy (%) of each template alone."""
        prompts = self._encode(templates, "label")
        return [self._embedding(single).accuracy for single in prompts]

    def _combined(self, settings: PromptSettings, prompts: Tensor) -> Outcomes:
        test, scale = self._test, self._vectors.scale
        if settings.combine == "each":
            return by_each(test.vectors, test.labels, prompts, scale)
        weights = self._weights(settings, prompts)
        if settings.combine == "embedding":
            return self._embedding(prompts, weights)
        return by_probability(test.vectors, test.labels, prompts, scale, weights)

    def _embedding(self, prompts: Tensor, weights: Tensor | None = None) -> Outcomes:
        return by_embedding(self._test.vectors, self._test.labels, prompts, self._vectors.scale, weights)

    def _weights(self, settings: PromptSettings, prompts: Tensor) -> Tensor | None:
        if settings.weights == "uniform":
            return None
        held, scale = self._validation, self._vectors.scale
        if settings.weights == "validation":
            return validation_weights(held.vectors, held.labels, prompts, scale)
        return unsupervised_weights(held.vectors, prompts, scale)

    def _encode(self, templates: Sequence[str], names: str) -> Tensor:
        """Return prompts [templates, rows of names, classes, dimension]."""
        missing = [template for template in templates if (template, names) not in self._prompts]
        if missing:
            found = self._vectors.prompts(missing, self._subject.class_names(names))
            self._prompts |= {(template, names): each for template, each in zip(missing, found, strict=True)}
        return torch.stack([self._prompts[template, names] for template in templates])
