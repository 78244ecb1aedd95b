"""Which encoder f gives h = f(x), and under which head it is trained. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

HeadName = Literal["none", "linear", "nonlinear", "released"]
"""A projection head; ``experiments.simclr.heads`` says what each is."""


class EncoderSettings(BaseModel):
    """A ResNet of torchvision, or a small stack of convolutions for small images.

    ``stem`` is a ResNet's: ``cifar`` has a first convolution of 3 x 3 with stride 1 and no pooling (appendix B.9).
    ``widths`` and ``strides`` are the small encoder's, a layer each; the last width is that of h.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["small", "resnet18", "resnet50"]
    stem: Literal["imagenet", "cifar"] = "imagenet"
    widths: tuple[int, ...] = (16, 32, 128)
    strides: tuple[int, ...] = (1, 2, 2)
    channels: int = Field(default=3, ge=1)
    width_multiplier: float = Field(default=1.0, gt=0, description="of the small encoder's widths")

    @model_validator(mode="after")
    def _layers(self) -> EncoderSettings:
        if len(self.widths) != len(self.strides) or not self.widths:
            raise ValueError("'widths' and 'strides' must name the same number of layers, one at least")
        return self

    def scaled_widths(self) -> tuple[int, ...]:
        """Return the small encoder's widths."""
        return tuple(max(1, round(width * self.width_multiplier)) for width in self.widths)
