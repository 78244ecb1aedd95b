"""What a source makes before it goes into the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.data.parts import FactorInformation, Part

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Content:
    """The parts by name, each with every factor of ``factors``; ``label`` names the class by default."""

    parts: Mapping[str, Part]
    factors: Mapping[str, FactorInformation]
    label: str
