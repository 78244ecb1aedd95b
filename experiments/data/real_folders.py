"""ImageNet and folders of your own images: found by torchvision, decoded one at a time.

Nothing of these is copied into the cache: they are too large for it, and their images have unequal sizes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

import numpy
from torchvision.datasets import ImageFolder, ImageNet

from experiments.data.parts import Dataset, DecodedPart, classes
from experiments.data.settings import ImageNetSettings, RealFolderSettings
from experiments.data.splits import alone, held_out, required_root
from harness.errors import UserError

DEVELOPMENT_KIT = "ILSVRC2012_devkit_t12.tar.gz"
ARCHIVES = {"train": "ILSVRC2012_img_train.tar", "val": "ILSVRC2012_img_val.tar"}


def load(settings: RealFolderSettings, root: str | None, download: bool) -> Dataset:
    """Return the training images, less the validation part, and the test images, all as ``DecodedPart``.

    ImageNet's test part is its official validation images; a class's name is the first of its synset's words.

    Raises:
        UserError: ``root`` is None, a folder is missing or holds no images, or a download is asked for.
    """
    folder = required_root(settings.source, root)
    if download:
        raise UserError(
            f"{settings.source} cannot be downloaded by this program; put its files below {folder} yourself and leave "
            "download out."
        )
    if isinstance(settings, ImageNetSettings):
        train, test, names = _imagenet(folder)
    else:
        train, test, names = _image_folder(folder)
    labels = numpy.asarray([label for _, label in train], dtype=numpy.int64)
    validation = held_out(settings.source, labels, settings.validation)
    kept = numpy.setdiff1d(numpy.arange(len(labels)), validation)
    samples = {
        "train": [train[index] for index in kept],
        "validation": [train[index] for index in validation],
        "test": test,
    }
    parts = {
        part: DecodedPart(
            settings.source,
            tuple(path for path, _ in chosen),
            {"label": numpy.asarray([label for _, label in chosen], dtype=numpy.int64)},
        )
        for part, chosen in samples.items()
    }
    listing = [[part, Path(path).relative_to(folder).as_posix(), y] for part in samples for path, y in samples[part]]
    key = hashlib.sha256(json.dumps([names, listing]).encode()).hexdigest()
    return Dataset(settings.source, **parts, factors={"label": classes(names)}, label="label", key=key)


Samples = list[tuple[str, int]]


def _imagenet(folder: Path) -> tuple[Samples, Samples, tuple[str, ...]]:
    lacking = [
        f"{split}/ or {archive}"
        for split, archive in ARCHIVES.items()
        if not (folder / split).is_dir() and not (folder / archive).is_file()
    ]
    if not (folder / "meta.bin").is_file() and not (folder / DEVELOPMENT_KIT).is_file():
        lacking.append(DEVELOPMENT_KIT)
    if lacking:
        raise UserError(
            f"ImageNet is not whole below {folder}: {', '.join(lacking)} missing; it needs {DEVELOPMENT_KIT} and "
            f"{' and '.join(ARCHIVES.values())}, or the folders train/ and val/ with one folder a class instead of the "
            "last two."
        )
    try:
        # Unpacking takes hours: who comes meanwhile must not take half a folder for the whole. A folder that this
        # process may not write has been unpacked by somebody else.
        with alone(folder) if os.access(folder, os.W_OK) else contextlib.nullcontext():
            train, test = ImageNet(str(folder), split="train"), ImageNet(str(folder), split="val")
    except Exception as error:  # tar, pickle, MAT files: torchvision passes on many kinds
        raise UserError(
            f"ImageNet below {folder} cannot be read ({error}); put the official files there again, and remove "
            "train/, val/ and meta.bin if unpacking was broken off."
        ) from error
    _same_classes(folder, train.wnids, test.wnids)
    return train.samples, test.samples, tuple(words[0] for words in train.classes)


def _image_folder(folder: Path) -> tuple[Samples, Samples, tuple[str, ...]]:
    test_folder = folder / "test" if (folder / "test").is_dir() else folder / "val"
    for part in (folder / "train", test_folder):
        if not part.is_dir():
            raise UserError(
                f"The folder {part} is missing; image-folder needs train/<class>/<images> and test/<class>/<images> "
                f"(or val/) below {folder}."
            )
    try:
        train, test = ImageFolder(str(folder / "train")), ImageFolder(str(test_folder))
    except FileNotFoundError as error:
        raise UserError(
            f"The images below {folder} cannot be found ({error}); image-folder needs at least one image in every "
            "folder train/<class>/ and test/<class>/ (or val/)."
        ) from error
    _same_classes(folder, train.classes, test.classes)
    return train.samples, test.samples, tuple(train.classes)


def _same_classes(folder: Path, train: list[str], test: list[str]) -> None:
    if train != test:
        different = ", ".join(sorted(set(train) ^ set(test))[:5])
        raise UserError(
            f"The training and the test images below {folder} have different classes ({different}); every class needs "
            "a folder in both."
        )
