"""Data sets that the papers' experiments share: embedded ones that need no download, and the real ones."""

from __future__ import annotations

from experiments.data.loading import load
from experiments.data.parts import Dataset, DecodedPart, FactorInformation, Part
from experiments.data.settings import DataSettings

__all__ = ["DataSettings", "Dataset", "DecodedPart", "FactorInformation", "Part", "load"]
