"""What a dual encoder offers, whoever trained it: images and texts as vectors of one space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from experiments.data import Part


class DualEncoder(Protocol):
    """Images and texts as unit vectors, float32 on the CPU, [count, dimension].

    ``key`` names all that decides the vectors: the weights, and what is done to images and texts before they are
    encoded. ``scale`` is what cosines are multiplied by to give logits.
    """

    @property
    def key(self) -> str: ...

    @property
    def scale(self) -> float: ...

    def encode_images(self, part: Part) -> Tensor: ...

    def encode_texts(self, texts: Sequence[str]) -> Tensor: ...
