"""What is done to an image before the encoder sees it: SimCLR's policy (appendix A) and its neighbours in Figure 5.

Read by the command line, so nothing here imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from harness.errors import UserError

if TYPE_CHECKING:
    from torchvision.transforms import InterpolationMode

__all__ = [
    "AugmentationSettings",
    "BlurSettings",
    "ColourSettings",
    "CropSettings",
    "CutoutSettings",
    "NoiseSettings",
    "RotationSettings",
    "SobelSettings",
    "Transformation",
]

Transformation = Literal["none", "crop", "cutout", "colour", "sobel", "noise", "blur", "rotate"]
"""A row or column of Figure 5; ``none`` stands for no transformation."""

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Range = tuple[float, float]

LARGEST_HUE_SHIFT = 0.5  # of a turn: the whole circle in both directions


def _ascending(name: str, value: Range, lowest: float, highest: float) -> Range:
    low, high = value
    if not (lowest <= low <= high <= highest):
        raise ValueError(f"{name} ({low}, {high}) is no range: {lowest:g} <= first <= second <= {highest:g} is needed.")
    return value


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CropSettings(_Settings):
    """Inception's random crop, resized to the view's size (appendix A).

    ``scale``: range of the crop's share of the image's area; ``ratio``: range of its width over its height, drawn
    evenly on a logarithmic scale; ``interpolation`` of the resizing.
    """

    scale: Range = (0.08, 1.0)
    ratio: Range = (3 / 4, 4 / 3)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    @property
    def interpolation_mode(self) -> InterpolationMode:
        """The interpolation as torchvision names it."""
        from torchvision.transforms import InterpolationMode

        return InterpolationMode(self.interpolation)

    @field_validator("scale")
    @classmethod
    def _shares(cls, value: Range) -> Range:
        if value[0] <= 0.0:
            raise ValueError(f"scale starts at {value[0]}: a crop needs an area above 0.")
        return _ascending("scale", value, 0.0, 1.0)

    @field_validator("ratio")
    @classmethod
    def _ratios(cls, value: Range) -> Range:
        if value[0] <= 0.0:
            raise ValueError(f"ratio starts at {value[0]}: width over height is above 0.")
        return _ascending("ratio", value, 0.0, float("inf"))


class ColourSettings(_Settings):
    """Colour jitter (appendix A): with ``probability``, all four of brightness, contrast, saturation and hue change.

    ``brightness``, ``contrast`` and ``saturation`` are the half widths of the ranges of their factors around 1, as in
    torchvision's ``ColorJitter``; None: 0.8 x ``strength``. ``hue`` is the largest shift in turns of the hue circle;
    None: 0.2 x ``strength``. ``shuffled``: the order is drawn for each image; otherwise it is the one named here.
    """

    strength: float = Field(default=1.0, ge=0.0)
    probability: Probability = 0.8
    brightness: float | None = Field(default=None, ge=0.0)
    contrast: float | None = Field(default=None, ge=0.0)
    saturation: float | None = Field(default=None, ge=0.0)
    hue: float | None = Field(default=None, ge=0.0, le=LARGEST_HUE_SHIFT)
    shuffled: bool = False

    @property
    def hue_shift(self) -> float:
        """The largest shift of the hue, in turns."""
        return 0.2 * self.strength if self.hue is None else self.hue

    @property
    def ranges(self) -> dict[str, Range]:
        """Ranges of the factors of brightness, contrast and saturation, and of the hue's shift in turns."""
        around_one = {name: getattr(self, name) for name in ("brightness", "contrast", "saturation")}
        widths = {name: 0.8 * self.strength if given is None else given for name, given in around_one.items()}
        factors = {name: (max(0.0, 1.0 - width), 1.0 + width) for name, width in widths.items()}
        return {**factors, "hue": (-self.hue_shift, self.hue_shift)}

    @model_validator(mode="after")
    def _within_the_circle(self) -> Self:
        if self.hue_shift > LARGEST_HUE_SHIFT:
            raise ValueError(f"strength {self.strength} shifts the hue by over half a turn: at most 2.5, or give hue.")
        return self


class BlurSettings(_Settings):
    """Gaussian blur (appendix A), its kernel a tenth of the view's height; ``sigma`` in pixels, drawn evenly."""

    probability: Probability = 0.5
    sigma: Range = (0.1, 2.0)

    @field_validator("sigma")
    @classmethod
    def _positive(cls, value: Range) -> Range:
        if value[0] <= 0.0:
            raise ValueError(f"sigma starts at {value[0]}: a blur needs one above 0.")
        return _ascending("sigma", value, 0.0, float("inf"))


class CutoutSettings(_Settings):
    """A square overwritten with ``fill`` (Figure 4): ``side`` is the range of its side over the view's shorter one.

    It lies wholly within the view. The paper prints neither probability nor size; these are ours.
    """

    probability: Probability = 0.5
    side: Range = (0.25, 0.5)
    fill: float = Field(default=0.5, ge=0.0, le=1.0)

    @field_validator("side")
    @classmethod
    def _shares(cls, value: Range) -> Range:
        return _ascending("side", value, 0.0, 1.0)


class SobelSettings(_Settings):
    """The view replaced by the magnitude of its Sobel gradient (Figure 4). The paper prints no probability."""

    probability: Probability = 0.5


class NoiseSettings(_Settings):
    """Gaussian noise on every value of the view (Figure 4), its ``sigma`` drawn evenly. The paper prints no figures."""

    probability: Probability = 0.5
    sigma: Range = (0.0, 0.2)

    @field_validator("sigma")
    @classmethod
    def _positive(cls, value: Range) -> Range:
        return _ascending("sigma", value, 0.0, float("inf"))


class RotationSettings(_Settings):
    """A rotation by 90, 180 or 270 degrees, evenly (Figure 4). By default 0 degrees is as likely as each of them."""

    probability: Probability = 0.75


class AugmentationSettings(_Settings):
    """The transformations of a view, off where None (or of probability 0); the defaults are appendix A's policy.

    They are applied in the order of Figure 5's columns: crop (with the horizontal flip, of probability ``flip``),
    ``cutout``, ``colour`` (the jitter, then with probability ``grey`` colour dropped), ``sobel``, ``noise``, ``blur``,
    ``rotate``. ``one_branch``: only the first of two views is augmented and the other is the image (section 3.1).
    """

    crop: CropSettings | None = CropSettings()
    flip: Probability = 0.5
    colour: ColourSettings | None = ColourSettings()
    grey: Probability = 0.2
    blur: BlurSettings | None = BlurSettings()
    cutout: CutoutSettings | None = None
    sobel: SobelSettings | None = None
    noise: NoiseSettings | None = None
    rotate: RotationSettings | None = None
    one_branch: bool = False

    def only(self, *names: Transformation | None) -> AugmentationSettings:
        """Return the settings with these transformations alone left on: a cell of Figure 5.

        The flip belongs to ``crop`` and the dropping of colour to ``colour``, as in section 3.1. None and ``none`` name
        no transformation. Both orders of a pair give the same settings, applied in the order of the upper triangle.

        Raises:
            UserError: a transformation to be left on is off in these settings.
        """
        kept = {name for name in names if name is not None and name != "none"}
        for name in sorted(kept):
            if getattr(self, name) is None:
                raise UserError(
                    f"augmentation: {name} is to be left on but is off; give its settings, as '{name}: {{}}'."
                )
        off = {name: None for name in get_args(Transformation) if name != "none" and name not in kept}
        flip, grey = self.flip if "crop" in kept else 0.0, self.grey if "colour" in kept else 0.0
        return self.model_copy(update={**off, "flip": flip, "grey": grey})
