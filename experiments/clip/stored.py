"""Vectors of released encoders, kept by content: a sweep over sets of prompts encodes nothing twice, in no process.

Images are kept by encoder, data set and part; prompts by encoder, template and class names. An entry is made once and
lies in the cache of ``experiments.data.cache``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy
import torch
from torch import Tensor

from experiments.clip.classifier import encode_prompts
from experiments.clip.encoding import DualEncoder
from experiments.data import Dataset
from experiments.data.cache import entry_of, is_whole, made_once

IMAGES, PROMPTS = "clip-images", "clip-prompts"
"""The names under which entries lie in the cache."""
VECTORS = "vectors.npy"
AT_ONCE = 20_000
"""Texts that are encoded in one go before their templates are kept: what an interruption loses at most."""


class Vectors(Protocol):
    """A dual encoder's vectors of a data set's images and of prompts.

    ``images`` gives unit vectors [items, dimension] of a part (``train``, ``validation`` or ``test``); ``prompts``
    those of templates with rows of class names, [templates, rows, classes, dimension].
    """

    @property
    def scale(self) -> float: ...

    def images(self, dataset: Dataset, part: str) -> Tensor: ...

    def prompts(self, templates: Sequence[str], rows: Sequence[Sequence[str]]) -> Tensor: ...


class FreshVectors:
    """Vectors that are computed where they are asked for: of an encoder that this trial has trained."""

    def __init__(self, encoder: DualEncoder) -> None:
        self._encoder = encoder

    @property
    def scale(self) -> float:
        return self._encoder.scale

    def images(self, dataset: Dataset, part: str) -> Tensor:
        return self._encoder.encode_images(getattr(dataset, part))

    def prompts(self, templates: Sequence[str], rows: Sequence[Sequence[str]]) -> Tensor:
        found = encode_prompts(self._encoder, templates, rows)
        return found.view(len(rows), len(templates), len(rows[0]), -1).transpose(0, 1)


class StoredVectors:
    """Vectors that are computed once and read from the cache ever after."""

    def __init__(self, encoder: DualEncoder) -> None:
        self._encoder, self._fresh = encoder, FreshVectors(encoder)

    @property
    def scale(self) -> float:
        return self._encoder.scale

    def images(self, dataset: Dataset, part: str) -> Tensor:
        identity = {"encoder": self._encoder.key, "data": dataset.key, "part": part}
        return _read(made_once(IMAGES, identity, lambda: self._fresh.images(dataset, part), _write))

    def prompts(self, templates: Sequence[str], rows: Sequence[Sequence[str]]) -> Tensor:
        identities = {template: self._identity(template, rows) for template in templates}
        missing = [t for t, identity in identities.items() if not is_whole(entry_of(PROMPTS, identity))]
        size = max(1, AT_ONCE // sum(len(row) for row in rows))
        for start in range(0, len(missing), size):
            # Together, because many texts of like length are encoded faster than few.
            chunk = missing[start : start + size]
            for template, found in zip(chunk, self._fresh.prompts(chunk, rows), strict=True):
                made_once(PROMPTS, identities[template], partial(_itself, found), _write)
        return torch.stack([_read(entry_of(PROMPTS, identities[template])) for template in templates])

    def _identity(self, template: str, rows: Sequence[Sequence[str]]) -> dict[str, Any]:
        return {"encoder": self._encoder.key, "template": template, "names": [list(row) for row in rows]}


def _itself(found: Tensor) -> Tensor:
    return found


def _write(vectors: Tensor, folder: Path) -> None:
    numpy.save(folder / VECTORS, vectors.numpy())


def _read(folder: Path) -> Tensor:
    return torch.from_numpy(numpy.load(folder / VECTORS))
