"""What R-Drop's models are trained on. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from experiments.data.language_settings import ProceduralTextSettings
from experiments.data.settings import Cifar10Settings, Cifar100Settings, DigitsSettings
from experiments.data.text_settings import TextFilesSettings

ImageSettings = DigitsSettings | Cifar10Settings | Cifar100Settings
TextSettings = ProceduralTextSettings | TextFilesSettings
ClassificationSettings = Annotated[ImageSettings | TextSettings, Field(discriminator="source")]
EMBEDDED = (DigitsSettings, ProceduralTextSettings)
"""Drawn from a seed; the others are files."""
