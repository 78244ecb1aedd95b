"""Which transformations make a view, and their ranges (appendix A and Figure 4). Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Transformation = Literal["none", "crop", "cutout", "colour", "sobel", "noise", "blur", "rotate"]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CropSettings(_Settings):
    """Inception's crop: a share of the area and a ratio of width to height, resized to the view's size."""

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    @model_validator(mode="after")
    def _ranges(self) -> CropSettings:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError("'scale' must be two shares of the area, above 0 and at most 1, the smaller first")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError("'ratio' must be two positive ratios, the smaller first")
        return self


class ColourSettings(_Settings):
    """Colour jitter: with strength s, brightness, contrast and saturation by factors 1 +- 0.8 s, hue by +- 0.2 s turns.

    A number given by itself takes the place of its multiple of the strength. ``shuffled`` applies the four in an order
    drawn for each image ("one can also shuffle the order", appendix A).
    """

    strength: float = Field(default=1.0, ge=0)
    probability: Probability = 0.8
    brightness: float | None = Field(default=None, ge=0)
    contrast: float | None = Field(default=None, ge=0)
    saturation: float | None = Field(default=None, ge=0)
    hue: float | None = Field(default=None, ge=0, le=0.5)
    shuffled: bool = False

    def ranges(self) -> tuple[tuple[float, float], ...]:
        """Return the ranges of brightness, contrast and saturation factors, and of the hue's shift in turns."""
        factors = [
            0.8 * self.strength if own is None else own for own in (self.brightness, self.contrast, self.saturation)
        ]
        hue = min(0.5, 0.2 * self.strength) if self.hue is None else self.hue
        return (*((max(0.0, 1.0 - f), 1.0 + f) for f in factors), (-hue, hue))


class BlurSettings(_Settings):
    """Gaussian blur with a kernel of a tenth of the image's height, made odd."""

    probability: Probability = 0.5
    sigma: tuple[float, float] = (0.1, 2.0)


class RotateSettings(_Settings):
    """A turn by 90, 180 or 270 degrees (Figure 4)."""

    probability: Probability = 0.75


class CutoutSettings(_Settings):
    """A square of grey at a random place, its side a share of the image's."""

    probability: Probability = 1.0
    side: tuple[float, float] = (0.25, 0.5)


class NoiseSettings(_Settings):
    """Gaussian noise on every pixel; images are in 0..1."""

    probability: Probability = 1.0
    deviation: tuple[float, float] = (0.05, 0.2)


class SobelSettings(_Settings):
    """The magnitude of the grey image's gradient in place of the image."""

    probability: Probability = 1.0


class AugmentationSettings(_Settings):
    """What makes a view. None (or a probability of 0) leaves a transformation out; defaults are appendix A's.

    The order is: crop and flip, rotate, cutout, colour jitter, grey, Sobel, noise, blur.
    """

    crop: CropSettings | None = CropSettings()
    flip: Probability = 0.5
    colour: ColourSettings | None = ColourSettings()
    grey: Probability = 0.2
    blur: BlurSettings | None = BlurSettings()
    rotate: RotateSettings | None = None
    cutout: CutoutSettings | None = None
    noise: NoiseSettings | None = None
    sobel: SobelSettings | None = None
    one_branch: bool = Field(default=False, description="augment the first view alone, as in Figure 5")

    def only(self, first: Transformation, second: Transformation) -> AugmentationSettings:
        """Return the settings with these transformations alone, as they are here or else with their defaults.

        Colour is jitter and grey together, as in Figure 5. The flip is left out: it is none of the figure's.
        """
        wanted = {first, second} - {"none"}
        known: dict[str, tuple[object, object]] = {
            "crop": (self.crop, CropSettings()),
            "colour": (self.colour, ColourSettings()),
            "blur": (self.blur, BlurSettings()),
            "rotate": (self.rotate, RotateSettings()),
            "cutout": (self.cutout, CutoutSettings()),
            "noise": (self.noise, NoiseSettings()),
            "sobel": (self.sobel, SobelSettings()),
        }
        chosen = {name: (own or default) if name in wanted else None for name, (own, default) in known.items()}
        return self.model_copy(update={**chosen, "flip": 0.0, "grey": self.grey if "colour" in wanted else 0.0})
