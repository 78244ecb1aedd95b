"""Small files in the true formats of CIFAR-10, CIFAR-100, STL-10, ImageNet and a folder of images.

Only their sizes and MD5s differ from the official ones, so that the array sources read them with
``verify_checksums=false``. Every writer returns the images and labels it wrote, in the files' order. An image's mean
colour tells its class, so that something can be learnt from a few.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy
import scipy.io
import torch
from PIL import Image

Written = dict[str, tuple[numpy.ndarray, numpy.ndarray]]

CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
STL10_NAMES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]


def class_images(labels: numpy.ndarray, side: int, seed: int, classes: int) -> numpy.ndarray:
    """Return uint8 [count, 3, side, side]: the class's colour, with noise."""
    noise = numpy.random.default_rng(seed).integers(-40, 41, (len(labels), 3, side, side))
    colours = numpy.random.default_rng(12345).integers(40, 216, (classes, 3))
    return (colours[labels][:, :, None, None] + noise).astype(numpy.uint8)


def write_cifar10(root: Path, per_batch: int = 20, test: int = 20, seed: int = 0) -> Written:
    """Write ``cifar-10-batches-py/``: five training batches, the test batch and ``batches.meta``."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for batch, count in [(f"data_batch_{number}", per_batch) for number in range(1, 6)] + [("test_batch", test)]:
        labels = numpy.arange(count) % 10
        images = class_images(labels, 32, seed + len(found), 10)
        content = {
            "batch_label": batch,
            "labels": labels.tolist(),
            "data": images.reshape(count, 3072),
            "filenames": [f"{batch}_{index}.png" for index in range(count)],
        }
        _pickle(folder / batch, content)
        found.append((images, labels))
    _pickle(folder / "batches.meta", {"num_cases_per_batch": per_batch, "label_names": CIFAR10_NAMES, "num_vis": 3072})
    images, labels = (numpy.concatenate(values) for values in zip(*found[:5], strict=True))
    return {"train": (images, labels), "test": found[5]}


def write_cifar100(root: Path, train: int = 300, test: int = 100, seed: int = 0) -> Written:
    """Write ``cifar-100-python/``: ``train``, ``test`` and ``meta``, with fine and coarse labels."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True, exist_ok=True)
    found: Written = {}
    for name, count in (("train", train), ("test", test)):
        labels = numpy.arange(count) % 100
        images = class_images(labels, 32, seed + len(found), 100)
        content = {
            "filenames": [f"{name}_{index}.png" for index in range(count)],
            "batch_label": name,
            "fine_labels": labels.tolist(),
            "coarse_labels": (labels // 5).tolist(),
            "data": images.reshape(count, 3072),
        }
        _pickle(folder / name, content)
        found[name] = images, labels
    names = {
        "fine_label_names": [f"fine {index}" for index in range(100)],
        "coarse_label_names": [f"coarse {index}" for index in range(20)],
    }
    _pickle(folder / "meta", names)
    return found


def write_stl10(root: Path, train: int = 40, test: int = 20, unlabelled: int = 30, seed: int = 0) -> Written:
    """Write ``stl10_binary/``: images column by column, labels from 1, the names and the ten folds."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True, exist_ok=True)
    found: Written = {}
    for name, count in (("train", train), ("test", test), ("unlabeled", unlabelled)):
        labels = numpy.arange(count) % 10
        images = class_images(labels, 96, seed + len(found), 10)
        images.transpose(0, 1, 3, 2).tofile(folder / f"{name}_X.bin")
        if name != "unlabeled":
            (labels + 1).astype(numpy.uint8).tofile(folder / f"{name}_y.bin")
        found[name] = images, labels
    (folder / "class_names.txt").write_text("\n".join(STL10_NAMES) + "\n")
    fold = " ".join(str(index) for index in range(0, train, 2))
    (folder / "fold_indices.txt").write_text(f"{fold}\n" * 10)
    return found


def write_image_folder(
    root: Path,
    names: tuple[str, ...] = ("apple", "pear", "plum"),
    train: int = 10,
    test: int = 4,
    seed: int = 0,
    parts: tuple[str, str] = ("train", "test"),
    ending: str = "png",
) -> Written:
    """Write ``train/<class>/`` and ``test/<class>/`` with images of unequal sizes, 40 to 60 pixels a side.

    Returns the first 40 x 40 pixels of every image, class by class.
    """
    random = numpy.random.default_rng(seed)
    found: Written = {}
    for part, count in zip(parts, (train, test), strict=True):
        labels = numpy.repeat(numpy.arange(len(names)), count)
        images = class_images(labels, 60, seed + len(found), len(names))
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            height, width = random.integers(40, 61, 2)
            path = root / part / names[label] / f"{part}_{index:05d}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)[:height, :width]).save(path)
        found[part] = images[:, :, :40, :40], labels
    return found


IMAGENET_SYNSETS = {"n01440764": ("tench", "Tinca tinca"), "n01443537": ("goldfish",), "n01484850": ("great white",)}


def write_imagenet(root: Path, train: int = 10, test: int = 4, seed: int = 0) -> Written:
    """Write ImageNet as it lies after torchvision has unpacked it: ``meta.bin``, ``train/<synset>/``,
    ``val/<synset>/``."""
    names = tuple(IMAGENET_SYNSETS)
    found = write_image_folder(root, names, train, test, seed, ("train", "val"), "JPEG")
    torch.save((IMAGENET_SYNSETS, [names[label] for label in found["val"][1]]), root / "meta.bin")
    return found


def write_imagenet_archives(root: Path, scratch: Path, train: int = 10, test: int = 4, seed: int = 0) -> Written:
    """Write ImageNet as it is handed out: the development kit, a tar of tars, and a flat tar of validation images.

    torchvision compares their MD5s: a test has to set those of ``torchvision.datasets.imagenet.ARCHIVE_META`` to None.
    """
    found = write_image_folder(scratch, tuple(IMAGENET_SYNSETS), train, test, seed, ("train", "val"), "JPEG")
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / "ILSVRC2012_img_train.tar", "w") as outer:
        for synset in IMAGENET_SYNSETS:
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as tar:
                for path in sorted((scratch / "train" / synset).iterdir()):
                    tar.add(path, path.name)
            _add_bytes(outer, f"{synset}.tar", inner.getvalue())
    with tarfile.open(root / "ILSVRC2012_img_val.tar", "w") as tar:
        for path in sorted((scratch / "val").rglob("*.JPEG")):
            tar.add(path, path.name)
    kinds: Any = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
    synsets = [
        (number, synset, ", ".join(words), "a fish", 0)
        for number, (synset, words) in enumerate(IMAGENET_SYNSETS.items(), 1)
    ]
    # A synset with children, which is no class.
    synsets.append((len(synsets) + 1, "n00001740", "entity", "that which is", 3))
    meta = io.BytesIO()
    scipy.io.savemat(meta, {"synsets": numpy.array(synsets, dtype=kinds)})
    truth = "".join(f"{label + 1}\n" for label in found["val"][1])
    with tarfile.open(root / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
        _add_bytes(tar, "ILSVRC2012_devkit_t12/data/meta.mat", meta.getvalue())
        _add_bytes(tar, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", truth.encode())
    return found


def _pickle(path: Path, content: dict[str, Any]) -> None:
    with path.open("wb") as file:
        pickle.dump(content, file, protocol=2)


def _add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
