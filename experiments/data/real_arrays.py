"""CIFAR-10, CIFAR-100 and STL-10, read by torchvision once and then mapped from the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
from torchvision.datasets import CIFAR10, CIFAR100, STL10
from torchvision.datasets.utils import check_integrity

from experiments.data.cache import made_once
from experiments.data.content import Content
from experiments.data.parts import Dataset, Part, classes
from experiments.data.settings import RealArraySettings
from experiments.data.splits import alone, held_out, required_root
from experiments.data.storage import read_dataset, write_content
from harness.errors import UserError

VERSION = 1

SOURCES = {"cifar10": CIFAR10, "cifar100": CIFAR100, "stl10": STL10}


def load(settings: RealArraySettings, root: str | None, download: bool) -> Dataset:
    """Return the official training images, less the validation part, and the official test images.

    STL-10's training part is the 100,000 unlabelled images (label -1) followed by the labelled ones that are not in
    the validation part.

    Raises:
        UserError: ``root`` is None, a file is missing or damaged, or the download failed.
    """
    folder = required_root(settings.source, root)
    base = folder / SOURCES[settings.source].base_folder
    if download:
        _download(settings, folder)
    _check_there(settings, base)
    files = [base / name for name, _ in _files(settings)]
    identity = {
        "settings": settings.model_dump(mode="json"),
        "version": VERSION,
        "files": [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in files],
    }

    def make() -> Content:
        if settings.verify_checksums:
            _check_sums(settings, base)
        return _read(settings, folder)

    return read_dataset(settings.source, made_once(settings.source, identity, make, write_content))


def _files(settings: RealArraySettings) -> list[tuple[str, str | None]]:
    """Return the files that torchvision reads and the MD5 it knows for them; None where it knows none."""
    kind = SOURCES[settings.source]
    files: list[tuple[str, str | None]] = [(name, md5) for name, md5 in [*kind.train_list, *kind.test_list]]
    if kind is STL10:
        return [*files, (STL10.class_names_file, None)]
    return [*files, (kind.meta["filename"], kind.meta["md5"])]


def _check_there(settings: RealArraySettings, base: Path) -> None:
    missing = [name for name, _ in _files(settings) if not (base / name).is_file()]
    if missing:
        wanted = ", ".join(name for name, _ in _files(settings))
        raise UserError(
            f"{settings.source} is not whole below {base.parent}: {', '.join(missing)} missing in {base.name}/, which "
            f"needs the files {wanted} of {SOURCES[settings.source].filename}; put them there, or --set download=true."
        )


def _check_sums(settings: RealArraySettings, base: Path) -> None:
    for name, md5 in _files(settings):
        if md5 is not None and not check_integrity(str(base / name), md5):
            raise UserError(
                f"The file {base / name} is damaged or not the official one (its MD5 is not {md5}); put the official "
                "file there, or set verify_checksums to false if you trust it."
            )


def _download(settings: RealArraySettings, folder: Path) -> None:
    kind = SOURCES[settings.source]
    base = folder / kind.base_folder
    if not settings.verify_checksums and all((base / name).is_file() for name, _ in _files(settings)):
        return  # torchvision would replace files that are not the official ones
    try:
        with alone(folder):
            kind(str(folder), download=True)
    except Exception as error:  # torchvision and urllib raise many kinds
        raise UserError(
            f"{settings.source} could not be downloaded from {kind.url} into {folder} ({error}); fetch "
            f"{kind.filename} by hand and unpack it there."
        ) from error


def _read(settings: RealArraySettings, folder: Path) -> Content:
    kind: Any = SOURCES[settings.source]
    try:
        if kind is STL10:
            reader = _without_sums(kind)
            train, test = reader(str(folder), split="train"), reader(str(folder), split="test")
            unlabelled = reader(str(folder), split="unlabeled").data
            labels = train.labels, test.labels
            images = train.data, test.data
            names = tuple(train.classes)
        else:
            reader = _without_sums(kind)
            train, test = reader(str(folder), train=True), reader(str(folder), train=False)
            unlabelled = numpy.empty((0, 3, 32, 32), dtype=numpy.uint8)
            labels = train.targets, test.targets
            images = train.data.transpose(0, 3, 1, 2), test.data.transpose(0, 3, 1, 2)
            names = tuple(train.classes)
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(_damaged(settings, folder, error)) from error
    train_labels, test_labels = (numpy.asarray(values, dtype=numpy.int64) for values in labels)
    for found, count in ((train_labels, len(images[0])), (test_labels, len(images[1]))):
        if len(found) != count or ((found < 0) | (found >= len(names))).any():
            raise UserError(
                _damaged(settings, folder, f"{count} images, {len(found)} labels, {len(names)} names of classes")
            )
    validation = held_out(settings.source, train_labels, settings.validation)
    kept = numpy.setdiff1d(numpy.arange(len(train_labels)), validation)
    parts = {
        "train": Part(
            numpy.concatenate([unlabelled, images[0][kept]]),
            {"label": numpy.concatenate([numpy.full(len(unlabelled), -1, dtype=numpy.int64), train_labels[kept]])},
        ),
        "validation": Part(images[0][validation], {"label": train_labels[validation]}),
        "test": Part(images[1], {"label": test_labels}),
    }
    return Content(parts, {"label": classes(names)}, "label")


def _damaged(settings: RealArraySettings, folder: Path, why: object) -> str:
    base = folder / SOURCES[settings.source].base_folder
    return (
        f"The files of {settings.source} in {base} cannot be read ({why}); put the official ones of "
        f"{SOURCES[settings.source].filename} there."
    )


def _without_sums(kind: Any) -> Any:
    """Return torchvision's reader without its comparison of MD5s.

    Ours has been made by then, unless the settings ask for none; torchvision's would read every file twice more.
    """

    class Reader(kind):  # type: ignore[misc]
        train_list = [[name, None] for name, _ in kind.train_list]
        test_list = [[name, None] for name, _ in kind.test_list]
        if hasattr(kind, "meta"):
            meta = {**kind.meta, "md5": None}

    return Reader
