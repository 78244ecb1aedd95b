"""Which classification sets of torchvision are known, the files each needs, and how its images and labels are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
from PIL import Image
from torchvision import datasets

from experiments.data.content import PARTS
from experiments.data.parts import Part

SIGNS = 43
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""In the order of FER2013's numbers; torchvision has no names for them."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images, as paths or as uint8 [count, channels, height, width], with labels [count] and the names of classes."""

    images: numpy.ndarray
    labels: numpy.ndarray
    names: tuple[str, ...]

    def take(self, indices: numpy.ndarray) -> Split:
        return Split(self.images[indices], self.labels[indices], self.names)


class PatchesPart(Part):
    """Images of PatchCamelyon, which stay in their HDF5 file; ``images`` reads all of them (7 GB for training)."""

    def __init__(self, reader: Any, labels: numpy.ndarray) -> None:
        for name, value in (("reader", reader), ("factors", {"label": labels}), ("captions", None)):
            object.__setattr__(self, name, value)

    reader: Any

    def __len__(self) -> int:
        return len(self.factors["label"])

    @cached_property
    def images(self) -> numpy.ndarray:  # type: ignore[override]
        with self.reader.h5py.File(patches_file(self.reader, "images")) as file:
            return numpy.ascontiguousarray(file["x"][:].transpose(0, 3, 1, 2))

    def image(self, index: int) -> Image.Image:
        found: Image.Image = self.reader[index][0]
        return found


def patches_file(reader: Any, what: str) -> Path:
    return Path(reader._base_folder) / reader._FILES[reader._split][what][0]


def _from_loader(reader: Any) -> Split:
    """Read a set whose images torchvision hands to a function of ours, which leaves them undecoded."""
    rows = [reader[index] for index in range(len(reader))]
    return _split([path for path, _ in rows], [label for _, label in rows], reader.classes)


def _pets(reader: Any) -> Split:
    return _split(reader._images, reader._labels, reader.classes)


def _signs(reader: Any) -> Split:
    """Read signs, whose class is their official number.

    torchvision counts the folders of training images that it finds: with one of them missing, all that follow it would
    be another class than in the test part.
    """
    for path, label in reader._samples:
        folder = Path(path).parent.name
        if folder.isdigit() and int(folder) != label:
            raise ValueError(f"the folders before Training/{folder} are not all there")
    paths, labels = zip(*reader._samples, strict=True)
    return _split(paths, labels, [str(number) for number in range(SIGNS)])


def _objects(reader: Any) -> Split:
    base = Path(reader.root) / "101_ObjectCategories"
    rows = zip(reader.y, reader.index, strict=True)
    paths = [base / reader.categories[label] / f"image_{number:04d}.jpg" for label, number in rows]
    return _split(paths, reader.y, reader.categories)


def _handwriting(reader: Any) -> Split:
    return Split(reader.data.numpy()[:, None], reader.targets.numpy(), tuple(reader.classes))


def _house_numbers(reader: Any) -> Split:
    return Split(reader.data, reader.labels, tuple(str(digit) for digit in range(10)))


def _faces(reader: Any) -> Split:
    images, labels = zip(*(reader[index] for index in range(len(reader))), strict=True)
    return Split(numpy.stack([numpy.asarray(image) for image in images])[:, None], numpy.asarray(labels), EMOTIONS)


def _split(paths: Any, labels: Any, names: Any) -> Split:
    clean = tuple(name.replace("_", " ") for name in names)
    return Split(numpy.asarray([str(path) for path in paths]), numpy.asarray(labels, dtype=numpy.int64), clean)


@dataclass(frozen=True)
class RealSet:
    """How torchvision reads a set: the arguments for each part (a set without a test part is all in "train"), the
    files and folders that it needs below the root ("|" between alternatives), and where they come from.

    ``gone``: torchvision cannot fetch it any more.
    """

    kind: Any
    splits: Mapping[str, Mapping[str, Any]]
    needs: tuple[str, ...]
    origin: str
    read: Callable[[Any], Split] = _from_loader
    arguments: Mapping[str, Any] = field(default_factory=dict)
    arrays: bool = False
    gone: bool = False


def _named(*splits: str) -> dict[str, dict[str, str]]:
    """Return the arguments for a train, a validation (of three) and a test part called so."""
    parts = PARTS if len(splits) == 3 else ("train", "test")
    return {part: {"split": split} for part, split in zip(parts, splits, strict=True)}


PATHS: dict[str, Any] = {"loader": str}
"""In place of a decoder: the path itself."""

OXFORD = "https://www.robots.ox.ac.uk/~vgg/data"
PATCHES = tuple(
    f"pcam/camelyonpatch_level_2_split_{part}_{what}.h5" for part in ("train", "valid", "test") for what in "xy"
)
MNIST_FILES = tuple(
    f"MNIST/raw/{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
)
CARS = (
    "cars_train",
    "cars_test",
    "cars_test_annos_withlabels.mat",
    "devkit/cars_train_annos.mat",
    "devkit/cars_meta.mat",
)

# fmt: off
SETS: dict[str, RealSet] = {
    "food101": RealSet(
        datasets.Food101, _named("train", "test"), ("food-101/images", "food-101/meta"),
        "food-101.tar.gz of http://data.vision.ee.ethz.ch/cvl", arguments=PATHS),
    "oxford-pets": RealSet(
        datasets.OxfordIIITPet, _named("trainval", "test"), ("oxford-iiit-pet/images", "oxford-iiit-pet/annotations"),
        f"images.tar.gz and annotations.tar.gz of {OXFORD}/pets", _pets),
    "dtd": RealSet(
        datasets.DTD, _named("train", "val", "test"), ("dtd/dtd/images", "dtd/dtd/labels"),
        f"dtd-r1.0.1.tar.gz of {OXFORD}/dtd", arguments=PATHS),
    "eurosat": RealSet(
        datasets.EuroSAT, {"train": {}}, ("eurosat/2750",), "EuroSAT.zip (RGB) of https://github.com/phelber/EuroSAT",
        arguments=PATHS),
    "gtsrb": RealSet(
        datasets.GTSRB, _named("train", "test"),
        ("gtsrb/GTSRB/Training", "gtsrb/GTSRB/Final_Test/Images", "gtsrb/GT-final_test.csv"),
        "GTSRB-Training_fixed.zip, GTSRB_Final_Test_Images.zip and GTSRB_Final_Test_GT.zip of "
        "https://benchmark.ini.rub.de", _signs),
    "mnist": RealSet(
        datasets.MNIST, {"train": {"train": True}, "test": {"train": False}}, MNIST_FILES,
        "the four unpacked files of https://ossci-datasets.s3.amazonaws.com/mnist", _handwriting, arrays=True),
    "flowers102": RealSet(
        datasets.Flowers102, _named("train", "val", "test"),
        ("flowers-102/jpg", "flowers-102/imagelabels.mat", "flowers-102/setid.mat"),
        f"102flowers.tgz, imagelabels.mat and setid.mat of {OXFORD}/flowers/102", arguments=PATHS),
    "fgvc-aircraft": RealSet(
        datasets.FGVCAircraft, _named("train", "val", "test"), ("fgvc-aircraft-2013b/data",),
        f"fgvc-aircraft-2013b.tar.gz of {OXFORD}/fgvc-aircraft", arguments=PATHS),
    "caltech101": RealSet(
        datasets.Caltech101, {"train": {}}, ("caltech101/101_ObjectCategories/BACKGROUND_Google",),
        "caltech-101.zip of https://data.caltech.edu/records/mzrjq-6wc02", _objects),
    "svhn": RealSet(
        datasets.SVHN, _named("train", "test"), ("train_32x32.mat", "test_32x32.mat"),
        "the two files of http://ufldl.stanford.edu/housenumbers", _house_numbers, arrays=True),
    "pcam": RealSet(
        datasets.PCAM, _named("train", "val", "test"), PATCHES,
        "the six unpacked files of https://github.com/basveeling/pcam"),
    "country211": RealSet(
        datasets.Country211, _named("train", "valid", "test"),
        ("country211/train", "country211/valid", "country211/test"),
        "country211.tgz of https://openaipublic.azureedge.net/clip/data", arguments=PATHS),
    "rendered-sst2": RealSet(
        datasets.RenderedSST2, _named("train", "val", "test"),
        ("rendered-sst2/train", "rendered-sst2/valid", "rendered-sst2/test"),
        "rendered-sst2.tgz of https://openaipublic.azureedge.net/clip/data", arguments=PATHS),
    "stanford-cars": RealSet(
        datasets.StanfordCars, _named("train", "test"), tuple(f"stanford_cars/{name}" for name in CARS),
        "a copy of cars_train.tgz, cars_test.tgz, car_devkit.tgz and cars_test_annos_withlabels.mat",
        arguments=PATHS, gone=True),
    "fer2013": RealSet(
        datasets.FER2013, _named("train", "test"), ("fer2013/fer2013.csv|fer2013/icml_face_data.csv",),
        "Kaggle's challenges-in-representation-learning-facial-expression-recognition-challenge", _faces,
        arrays=True, gone=True),
    "sun397": RealSet(
        datasets.SUN397, {"train": {}}, ("SUN397/ClassName.txt",), "a copy of SUN397.tar.gz",
        arguments=PATHS, gone=True),
}
# fmt: on
