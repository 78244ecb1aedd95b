"""Which images CLIP's experiments can take. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from experiments.data.settings import EmbeddedSettings, RealSettings
from experiments.data.torchvision_settings import TorchvisionSettings

ImageSettings = Annotated[EmbeddedSettings | RealSettings | TorchvisionSettings, Field(discriminator="source")]
