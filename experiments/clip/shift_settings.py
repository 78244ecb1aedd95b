"""How test images can be made unlike the training images. Imports no torch.

Stand-ins for the natural shifts of section 3.3 (ImageNet-V2, Sketch, Rendition and others), which need ImageNet.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NoiseSettings(_Settings):
    """Gaussian noise on every value, of a standard deviation that is a share of the range of values; then clipped."""

    kind: Literal["noise"] = "noise"
    deviation: float = Field(default=0.2, gt=0, le=1)


class BlurSettings(_Settings):
    """A Gaussian blur of standard deviation ``sigma`` in pixels; images are reflected at their edges."""

    kind: Literal["blur"] = "blur"
    sigma: float = Field(default=1.5, gt=0, le=32)


class GreySettings(_Settings):
    """The luma of every pixel in all channels."""

    kind: Literal["grey"] = "grey"


class InvertSettings(_Settings):
    """255 less every value: the negative."""

    kind: Literal["invert"] = "invert"


class RotateSettings(_Settings):
    """Every image turned by so many degrees to the left or to the right, each as likely; edges are drawn out."""

    kind: Literal["rotate"] = "rotate"
    degrees: float = Field(default=45.0, gt=0, le=180)


class ContrastSettings(_Settings):
    """Every value's distance to the image's mean lightness times ``factor``; then clipped."""

    kind: Literal["contrast"] = "contrast"
    factor: float = Field(default=0.3, ge=0, le=10)


class OccludeSettings(_Settings):
    """A square of mid-grey, its side a share of the image's, anywhere inside it with equal chance."""

    kind: Literal["occlude"] = "occlude"
    side: float = Field(default=0.4, gt=0, le=1)


class ShiftColoursSettings(_Settings):
    """Every hue turned by so many degrees on the circle of hues."""

    kind: Literal["shift-colours"] = "shift-colours"
    degrees: float = Field(default=90.0, ge=-180, le=180)


ShiftSettings = Annotated[
    NoiseSettings
    | BlurSettings
    | GreySettings
    | InvertSettings
    | RotateSettings
    | ContrastSettings
    | OccludeSettings
    | ShiftColoursSettings,
    Field(discriminator="kind"),
]
