"""Sixteen classification sets that torchvision reads, each in its official parts.

The test part is the official test split. EuroSAT, SUN397 and Caltech 101 have none in torchvision: a fixed fifth of
each class is taken for it (EuroSAT: 5,400 images, as in VTAB; the CLIP paper tests on 5,000, 19,850 and 6,085 images
that it does not name). clip_benchmark evaluates on all images of these three, whatever split it is asked for. Images in
files stay there and are decoded one at a time; MNIST, SVHN and FER2013 are read once and then mapped from the cache.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

from experiments.data.cache import made_once
from experiments.data.content import PARTS, Content
from experiments.data.parts import Dataset, DecodedPart, Part, classes
from experiments.data.splits import alone, held_out, required_root
from experiments.data.storage import read_dataset, write_content
from experiments.data.torchvision_readers import SETS, PatchesPart, Split, patches_file
from experiments.data.torchvision_settings import TorchvisionSettings
from harness.errors import UserError

VERSION = 1
TEST_FRACTION = 0.2


def load_torchvision(settings: TorchvisionSettings, root: str | None, download: bool = False) -> Dataset:
    """Return a set's parts; ``download`` fetches files that are missing below ``root``.

    Validation is the official part where torchvision has one, else ``settings.validation`` of each class's training
    images (GTSRB's come in tracks of thirty frames of one sign, of which both parts then have some).

    Raises:
        UserError: ``root`` is None, files are missing or damaged, a download failed or is not possible any more, or a
            package that reads them is not installed.
    """
    folder = required_root(settings.name, root)
    if download:
        _fetch(settings.name, folder)
    missing = _missing(settings.name, folder)
    if missing:
        raise UserError(_not_whole(settings.name, folder, missing))
    if _unfinished(settings.name, folder).exists():
        raise UserError(_broken_off(settings.name, folder))
    if settings.name == "pcam":
        return _patch_camelyon(folder)
    if not SETS[settings.name].arrays:
        return _in_files(settings, folder)
    files = [path for need in SETS[settings.name].needs for name in need.split("|") if (path := folder / name).exists()]
    identity = {
        "settings": settings.model_dump(mode="json"),
        "version": VERSION,
        "files": [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in files],
    }

    def make() -> Content:
        parts, names = _parts(settings, folder)
        made = {part: Part(found.images, {"label": found.labels}) for part, found in parts.items()}
        return Content(made, {"label": classes(names)}, "label")

    return read_dataset(settings.name, made_once(settings.name, identity, make, write_content))


def _readers(name: str, folder: Path, **more: Any) -> dict[str, Any]:
    chosen = SETS[name]
    return {part: chosen.kind(str(folder), **own, **chosen.arguments, **more) for part, own in chosen.splits.items()}


def _parts(settings: TorchvisionSettings, folder: Path) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Return the three parts of a set and the names of its classes."""
    name = settings.name
    try:
        found = {part: SETS[name].read(reader) for part, reader in _readers(name, folder).items()}
    except Exception as error:  # JSON, CSV and MAT files, and folders: torchvision passes on many kinds
        raise UserError(_unreadable(name, folder, error)) from error
    train = found["train"]
    for part, split in found.items():
        if split.names != train.names:
            different = ", ".join(sorted(set(split.names) ^ set(train.names))[:5])
            raise UserError(_unreadable(name, folder, f"its parts have different classes: {different}"))
        if not len(split.labels) or split.labels.min() < 0 or split.labels.max() >= len(train.names):
            why = f"its {part} split has {len(split.labels)} images, not all of them of {len(train.names)} classes"
            raise UserError(_unreadable(name, folder, why))
    if "test" not in found:
        # In the order of their names, since a file system may list them in any.
        train = train.take(numpy.argsort(train.images, kind="stable"))
        found["test"], train = _apart(train, held_out(f"{name}-test", train.labels, TEST_FRACTION))
    if "validation" not in found:
        found["validation"], train = _apart(train, held_out(name, train.labels, settings.validation))
    return {**found, "train": train}, train.names


def _apart(split: Split, chosen: numpy.ndarray) -> tuple[Split, Split]:
    """Return the chosen images of a split, and the others."""
    return split.take(chosen), split.take(numpy.setdiff1d(numpy.arange(len(split.labels)), chosen))


def _in_files(settings: TorchvisionSettings, folder: Path) -> Dataset:
    found, names = _parts(settings, folder)
    parts = {
        part: DecodedPart(settings.name, tuple(found[part].images.tolist()), {"label": found[part].labels})
        for part in PARTS
    }
    listing = [
        [part, Path(path).relative_to(folder).as_posix(), label]
        for part in PARTS
        for path, label in zip(parts[part].paths, found[part].labels.tolist(), strict=True)
    ]
    return _dataset(settings.name, parts, names, listing)


def _patch_camelyon(folder: Path) -> Dataset:
    if importlib.util.find_spec("h5py") is None:
        raise UserError("The data set pcam is read by a package that is not installed: pip install h5py.")
    parts, listing = {}, []
    try:
        for part, reader in _readers("pcam", folder).items():
            path = patches_file(reader, "targets")
            # torchvision gives a label only with its image, which would decode all 327,680 of them.
            with reader.h5py.File(path) as file:
                labels = file["y"][:, 0, 0, 0].astype(numpy.int64)
            if len(labels) != len(reader):
                raise ValueError(f"{len(reader)} images and {len(labels)} labels of the {part} split")
            parts[part] = PatchesPart(reader, labels)
            size = patches_file(reader, "images").stat().st_size
            listing.append([part, path.name, size, hashlib.sha256(labels.tobytes()).hexdigest()])
    except Exception as error:  # what h5py raises
        raise UserError(_unreadable("pcam", folder, error)) from error
    return _dataset("pcam", parts, ("no tumour", "tumour"), listing)


def _dataset(name: str, parts: Mapping[str, Part], names: tuple[str, ...], listing: list[list[Any]]) -> Dataset:
    key = hashlib.sha256(json.dumps([names, listing]).encode()).hexdigest()
    return Dataset(name, **parts, factors={"label": classes(names)}, label="label", key=key)


def _fetch(name: str, folder: Path) -> None:
    """Let torchvision fetch what is missing.

    Raises:
        UserError: that fails, or the set cannot be fetched any more.
    """
    chosen, mark = SETS[name], _unfinished(name, folder)
    if not _missing(name, folder) and not mark.exists():
        return
    if chosen.gone:
        raise UserError(
            f"torchvision cannot fetch {name} any more, so leave download out and put {chosen.origin} unpacked below "
            f"{folder}: {', '.join(chosen.needs).replace('|', ' or ')}."
        )
    try:
        with alone(folder):
            if not _missing(name, folder):
                if mark.exists():
                    raise UserError(_broken_off(name, folder))
                return  # another process has fetched it meanwhile
            # Files may be there before the last of them are: who finds this mark must not take some for all.
            mark.touch()
            _readers(name, folder, download=True)
            mark.unlink()
    except UserError:
        raise
    except Exception as error:  # torchvision, urllib and archives raise many kinds
        raise UserError(
            f"{name} could not be downloaded into {folder} ({_first(error)}); fetch {chosen.origin} by hand and unpack "
            "it there."
        ) from error


def _missing(name: str, folder: Path) -> list[str]:
    needs = SETS[name].needs
    return [need.replace("|", " or ") for need in needs if not any((folder / way).exists() for way in need.split("|"))]


def _unfinished(name: str, folder: Path) -> Path:
    return folder / f".{name}-unfinished"


def _not_whole(name: str, folder: Path, missing: list[str]) -> str:
    way = " (torchvision cannot fetch them any more)" if SETS[name].gone else ", or --set download=true"
    return (
        f"{name} is not whole below {folder}: {', '.join(missing)} missing, of {SETS[name].origin}; put them there, "
        f"unpacked{way}."
    )


def _broken_off(name: str, folder: Path) -> str:
    base = sorted({need.split("/")[0] for need in SETS[name].needs})
    return (
        f"A download of {name} into {folder} goes on or was broken off; if nothing runs any more, remove "
        f"{', '.join(base)} and {_unfinished(name, folder).name} there and download again."
    )


def _unreadable(name: str, folder: Path, why: object) -> str:
    return f"{name} below {folder} cannot be read ({_first(why)}); put {SETS[name].origin} there again, unpacked."


def _first(why: object) -> str:
    """Return the first sentence of a message; torchvision's second one is what we say in our own words."""
    return (str(why).strip() or type(why).__name__).splitlines()[0].split(". ")[0][:200]
