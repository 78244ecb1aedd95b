"""Which images are asked for, and how difficult they are made.

Read by the command line, so nothing here imports torch or numpy.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Images of each digit 0..9 in scikit-learn's copy of the UCI test set; a test compares them with scikit-learn.
DIGIT_COUNTS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Scale = Annotated[float, Field(gt=0, le=2)]
Degrees = Annotated[float, Field(ge=0, le=180)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Posed(_Settings):
    """What images with drawn objects have in common: lengths are fractions of the image's side, angles degrees."""

    scale_minimum: Scale
    scale_maximum: Scale

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.scale_minimum > self.scale_maximum:
            raise ValueError(
                f"scale_minimum {self.scale_minimum} is larger than scale_maximum {self.scale_maximum}; "
                "the range of scales goes from the smaller to the larger."
            )
        return self


class DigitsSettings(_Settings):
    """scikit-learn's 1,797 handwritten digits, grey; the parts are disjoint and drawn per seed.

    ``size`` pixels a side (8 is the original, larger is interpolated); ``classes`` the first so many digits;
    ``train``, ``validation``, ``test`` the numbers of images.
    """

    source: Literal["digits"] = "digits"
    size: int = Field(default=16, ge=8, le=256)
    classes: int = Field(default=10, ge=2, le=10)
    train: Count = 300
    validation: Count = 300
    test: Count = 800

    @model_validator(mode="after")
    def _enough(self) -> Self:
        wanted, there = self.train + self.validation + self.test, sum(DIGIT_COUNTS[: self.classes])
        if wanted > there:
            raise ValueError(
                f"train, validation and test ask for {wanted} different digits, but {self.classes} classes have "
                f"{there}; ask for fewer."
            )
        return self


class ColouredDigitsSettings(_Posed):
    """The same digits in a named colour over a background, with captions.

    ``colours`` the first so many of the eight named colours; ``background``: "colours" (another named colour) or
    "grey"; ``shift`` of the centre and ``rotation``: uniform within plus or minus; ``texture`` the amplitude of a
    smooth pattern on the background and ``noise`` the standard deviation of the pixels' noise, both as fractions of
    the range of values. A part may have more images than it has digits: digits are drawn with replacement, and no
    digit is in two parts.
    """

    source: Literal["coloured-digits"] = "coloured-digits"
    size: int = Field(default=16, ge=8, le=256)
    classes: int = Field(default=10, ge=2, le=10)
    colours: int = Field(default=8, ge=2, le=8)
    background: Literal["colours", "grey"] = "colours"
    shift: Fraction = 0.05
    scale_minimum: Scale = 0.8
    scale_maximum: Scale = 1.0
    rotation: Degrees = 10.0
    texture: Fraction = 0.05
    noise: Fraction = 0.02
    train: Count = 4000
    validation: Count = 1000
    test: Count = 2000


class ScenesSettings(_Posed):
    """Procedural shapes on a background, with captions.

    ``shapes``, ``colours``, ``textures``, ``backgrounds``: the first so many classes of each; ``count_minimum`` to
    ``count_maximum`` objects in an image, which share shape, colour and texture; with more than one possible every
    object has a cell of a 2 x 2 grid, so that its size does not tell their number. ``shift`` and the scales are
    fractions of the side of the object's cell; ``noise`` is the standard deviation of the pixels' noise.
    """

    source: Literal["scenes"] = "scenes"
    size: int = Field(default=32, ge=8, le=256)
    shapes: int = Field(default=10, ge=2, le=10)
    colours: int = Field(default=8, ge=1, le=8)
    textures: int = Field(default=4, ge=1, le=4)
    backgrounds: int = Field(default=3, ge=1, le=3)
    count_minimum: int = Field(default=1, ge=1, le=4)
    count_maximum: int = Field(default=1, ge=1, le=4)
    shift: Fraction = 0.08
    scale_minimum: Scale = 0.6
    scale_maximum: Scale = 0.85
    rotation: Degrees = 15.0
    noise: Fraction = 0.02
    train: Count = 4000
    validation: Count = 1000
    test: Count = 2000

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if self.count_minimum > self.count_maximum:
            raise ValueError(
                f"count_minimum {self.count_minimum} is larger than count_maximum {self.count_maximum}; "
                "an image has from the smaller to the larger number of objects."
            )
        return self


class GlyphsSettings(_Posed):
    """Copies of one letter on a jittered grid, each in its own font; the class is letter x hue family.

    ``letters`` the first so many capitals; ``hue_families`` equally wide arcs of the circle of hues; ``copies`` 4 (a
    2 x 2 grid) or 1; ``jitter`` of a copy's centre as a fraction of its cell's side, ``scale`` of a copy's longer side
    as a fraction of the image's side, ``rotation`` in degrees: uniform (jitter, rotation within plus or minus);
    ``texture`` the amplitude of the smooth pattern on the background, ``noise`` the standard deviation of the pixels'
    noise. No font is in two parts; which fonts are where is drawn per seed.
    """

    source: Literal["glyphs"] = "glyphs"
    size: int = Field(default=20, ge=8, le=256)
    letters: int = Field(default=12, ge=2, le=26)
    hue_families: int = Field(default=2, ge=1, le=12)
    copies: Literal[1, 4] = 4
    jitter: Fraction = 0.1
    scale_minimum: Scale = 0.44
    scale_maximum: Scale = 0.52
    rotation: Degrees = 10.0
    texture: Fraction = 0.08
    noise: Fraction = 0.03
    train: Count = 6000
    validation: Count = 1000
    test: Count = 2000


class _Real(_Settings):
    """``validation`` is the fraction of each class's training images that becomes the validation part."""

    validation: float = Field(default=0.1, gt=0, lt=1)


class _CheckedFiles(_Real):
    """``verify_checksums`` compares every file with the MD5 that torchvision knows for the official one. Turn it off
    only for files in the same format that you trust, such as a small subset: CIFAR's files are pickles, and reading
    a pickle can run code."""

    verify_checksums: bool = True


class Cifar10Settings(_CheckedFiles):
    """CIFAR-10, 32 px, 10 classes."""

    source: Literal["cifar10"] = "cifar10"


class Cifar100Settings(_CheckedFiles):
    """CIFAR-100, 32 px, 100 fine classes."""

    source: Literal["cifar100"] = "cifar100"


class Stl10Settings(_CheckedFiles):
    """STL-10, 96 px, 10 classes; the training part is the unlabelled images (label -1) and the labelled ones."""

    source: Literal["stl10"] = "stl10"


class ImageNetSettings(_Real):
    """ImageNet 2012, 1,000 classes, images of unequal sizes, decoded when asked for."""

    source: Literal["imagenet"] = "imagenet"
    validation: float = Field(default=0.01, gt=0, lt=1)


class ImageFolderSettings(_Real):
    """Your own images: ``train/<class>/*`` and ``test/<class>/*`` (or ``val``), decoded when asked for."""

    source: Literal["image-folder"] = "image-folder"


EmbeddedSettings = DigitsSettings | ColouredDigitsSettings | ScenesSettings | GlyphsSettings
RealArraySettings = Cifar10Settings | Cifar100Settings | Stl10Settings
RealFolderSettings = ImageNetSettings | ImageFolderSettings
RealSettings = RealArraySettings | RealFolderSettings
DataSettings = Annotated[EmbeddedSettings | RealSettings, Field(discriminator="source")]
