"""What a loaded data set is: three parts, and what is known about every image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy
from PIL import Image

from harness.errors import UserError


@dataclass(frozen=True, eq=False)
class Part:
    """Images with the factors that made them.

    ``images`` uint8 [count, channels, height, width], a read-only memory map; ``factors`` each [count], int64 for a
    class and float64 for a number (NaN where there is none, such as the third object of two); ``captions`` one an
    image, or None.
    """

    images: numpy.ndarray
    factors: Mapping[str, numpy.ndarray]
    captions: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> Image.Image:
        """Return one image in RGB."""
        pixels = numpy.asarray(self.images[index])
        return Image.fromarray(numpy.ascontiguousarray(pixels.transpose(1, 2, 0)).squeeze()).convert("RGB")


class DecodedPart(Part):
    """Images of unequal sizes that stay in their files; ``image(index)`` decodes one of them.

    It has no ``images`` array: reading that raises a UserError.
    """

    def __init__(self, name: str, paths: tuple[str, ...], factors: Mapping[str, numpy.ndarray]) -> None:
        for field, value in (("name", name), ("paths", paths), ("factors", factors), ("captions", None)):
            object.__setattr__(self, field, value)

    name: str
    paths: tuple[str, ...]

    def __repr__(self) -> str:
        return f"DecodedPart({self.name!r}, {len(self)} images)"

    @property
    def images(self) -> numpy.ndarray:  # type: ignore[override]
        raise UserError(
            f"The images of {self.name} have unequal sizes and are decoded one at a time, so what needs them as one "
            "array cannot use it: choose one of digits, coloured-digits, scenes, glyphs, cifar10, cifar100, stl10."
        )

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int) -> Image.Image:
        """Decode one image to RGB.

        Raises:
            UserError: the file is gone or is no readable image.
        """
        path = self.paths[index]
        try:
            with Image.open(path) as file:
                return file.convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(
                f"The image {path} of {self.name} cannot be decoded ({error}); put the original file there again."
            ) from error


@dataclass(frozen=True)
class FactorInformation:
    """A factor's kind; the names of its classes in the order of their numbers (empty for a number); its unit."""

    kind: Literal["class", "number"]
    values: tuple[str, ...] = ()
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Dataset:
    """``label`` names the factor that is the class by default; ``key`` is a hash of the content: the bytes of the
    arrays, or for decoded images the list of files and their classes."""

    name: str
    train: Part
    validation: Part
    test: Part
    factors: Mapping[str, FactorInformation]
    label: str
    key: str


def classes(values: tuple[str, ...]) -> FactorInformation:
    return FactorInformation("class", tuple(values))


def number(unit: str) -> FactorInformation:
    return FactorInformation("number", (), unit)
