"""The sets that torchvision reads, on small files in their true formats: every image tells its number by its colour."""

from __future__ import annotations

import csv
import json
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args
from urllib.error import URLError

import numpy
import pytest
import scipy.io
from PIL import Image
from torchvision import datasets
from torchvision.datasets import dtd, fer2013, flowers102, svhn

from experiments.data import DecodedPart, Part
from experiments.data.torchvision_sets import SETS, load_torchvision
from experiments.data.torchvision_settings import TorchvisionName, TorchvisionSettings
from harness.errors import UserError

NAMES = get_args(TorchvisionName)
Rows = list[tuple[int, int]]
Written = dict[str, Rows]
GREY = ("mnist", "fer2013")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "cache"))
    # Of the official files' MD5s; the code leaves the comparison to torchvision.
    for module in (svhn, flowers102, fer2013):
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: Path(path).is_file())
    return tmp_path / "cache"


def colour(number: int) -> tuple[int, int, int]:
    assert number < 216
    return 40 * (number % 6) + 20, 40 * (number // 6 % 6) + 20, 40 * (number // 36) + 20


def number_of(image: Image.Image, grey: bool) -> int:
    assert image.mode == "RGB"
    red, green, blue = image.getpixel((3, 3))
    if grey:
        assert red == green == blue
        return red
    return red // 40 + 6 * (green // 40) + 36 * (blue // 40)


def found_rows(part: Part, grey: bool) -> Rows:
    assert part.factors["label"].dtype == numpy.int64 and len(part.factors["label"]) == len(part)
    return [(number_of(part.image(i), grey), int(part.factors["label"][i])) for i in range(len(part))]


class Pictures:
    """Writes images of one colour each, numbered, and keeps what it wrote by part."""

    def __init__(self) -> None:
        self.written: Written = {}
        self.count = 0

    def number(self, part: str, label: int) -> int:
        self.written.setdefault(part, []).append((self.count, label))
        self.count += 1
        return self.count - 1

    def save(self, path: Path, part: str, label: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = 9 + self.count % 3, 8
        Image.new("RGB", size, colour(self.number(part, label))).save(path)

    def array(self, part: str, labels: list[int], side: int, grey: bool) -> numpy.ndarray:
        """Return uint8 [count, side, side] or [count, side, side, 3]."""
        numbers = [self.number(part, label) for label in labels]
        if grey:
            return numpy.stack([numpy.full((side, side), number, numpy.uint8) for number in numbers])
        return numpy.stack([numpy.full((side, side, 3), colour(number), numpy.uint8) for number in numbers])


Write = Callable[[Path, Pictures], list[str]]
"""Writes a set below a folder and returns the names of its classes as we give them."""


def write_food101(root: Path, pictures: Pictures) -> list[str]:
    for part, count in (("train", 8), ("test", 2)):
        meta: dict[str, list[str]] = {}
        for label, name in enumerate(["apple_pie", "baklava"]):
            meta[name] = [f"{name}/{part}{index}" for index in range(count)]
            for path in meta[name]:
                pictures.save(root / "food-101" / "images" / f"{path}.jpg", part, label)
        (root / "food-101" / "meta").mkdir(exist_ok=True)
        (root / "food-101" / "meta" / f"{part}.json").write_text(json.dumps(meta))
    return ["apple pie", "baklava"]


def write_pets(root: Path, pictures: Pictures) -> list[str]:
    for split, part, count in (("trainval", "train", 8), ("test", "test", 2)):
        lines = []
        for index in range(count):
            for label, (name, kind) in enumerate([("Abyssinian", 1), ("american_bulldog", 2), ("Bengal", 1)]):
                pictures.save(root / "oxford-iiit-pet" / "images" / f"{name}_{split}{index}.jpg", part, label)
                lines.append(f"{name}_{split}{index} {label + 1} {kind} {1}\n")
        (root / "oxford-iiit-pet" / "annotations").mkdir(exist_ok=True)
        (root / "oxford-iiit-pet" / "annotations" / f"{split}.txt").write_text("".join(lines))
    return ["Abyssinian", "American Bulldog", "Bengal"]


def write_dtd(root: Path, pictures: Pictures) -> list[str]:
    for split, part in (("train", "train"), ("val", "validation"), ("test", "test")):
        lines = []
        for index in range(3):
            for label, name in enumerate(["banded", "polka-dotted"]):
                pictures.save(root / "dtd" / "dtd" / "images" / name / f"{name}_{split}{index}.jpg", part, label)
                lines.append(f"{name}/{name}_{split}{index}.jpg\n")
        (root / "dtd" / "dtd" / "labels").mkdir(exist_ok=True)
        (root / "dtd" / "dtd" / "labels" / f"{split}1.txt").write_text("".join(lines))
    return ["banded", "polka-dotted"]


def write_eurosat(root: Path, pictures: Pictures) -> list[str]:
    for label, name in enumerate(["AnnualCrop", "Forest", "SeaLake"]):
        for index in range(10):
            pictures.save(root / "eurosat" / "2750" / name / f"{name}_{index}.jpg", "all", label)
    return ["AnnualCrop", "Forest", "SeaLake"]


def write_gtsrb(root: Path, pictures: Pictures) -> list[str]:
    base = root / "gtsrb" / "GTSRB"
    for label in range(43):
        for index in range(2):
            pictures.save(base / "Training" / f"{label:05d}" / f"00000_{index:05d}.ppm", "train", label)
    with (root / "gtsrb" / "GT-final_test.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Filename", "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId"])
        for index, label in enumerate([16, 1, 42]):
            pictures.save(base / "Final_Test" / "Images" / f"{index:05d}.ppm", "test", label)
            writer.writerow([f"{index:05d}.ppm", 9, 8, 0, 0, 9, 8, label])
    return [str(number) for number in range(43)]


def write_mnist(root: Path, pictures: Pictures) -> list[str]:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for file, part, count in (("train", "train", 40), ("t10k", "test", 10)):
        labels = [(3 * index) % 10 for index in range(count)]
        images = pictures.array(part, labels, 28, grey=True)
        (folder / f"{file}-images-idx3-ubyte").write_bytes(
            struct.pack(">HBBIII", 0, 8, 3, *images.shape) + images.tobytes()
        )
        (folder / f"{file}-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, count) + bytes(labels))
    return list(datasets.MNIST.classes)


def write_flowers(root: Path, pictures: Pictures) -> list[str]:
    splits, labels = {}, []
    for split, part in (("trnid", "train"), ("valid", "validation"), ("tstid", "test")):
        splits[split] = numpy.arange(len(labels) + 1, len(labels) + 5)
        for label in (101, 0, 7, 101):
            labels.append(label + 1)
            pictures.save(root / "flowers-102" / "jpg" / f"image_{len(labels):05d}.jpg", part, label)
    scipy.io.savemat(root / "flowers-102" / "setid.mat", splits)
    scipy.io.savemat(root / "flowers-102" / "imagelabels.mat", {"labels": numpy.array([labels], dtype=numpy.uint8)})
    return list(datasets.Flowers102.classes)


def write_aircraft(root: Path, pictures: Pictures) -> list[str]:
    folder = root / "fgvc-aircraft-2013b" / "data"
    for split, part in (("train", "train"), ("val", "validation"), ("test", "test")):
        lines = []
        for _ in range(3):
            for label, name in enumerate(["707-320", "F/A-18"]):
                pictures.save(folder / "images" / f"{pictures.count:07d}.jpg", part, label)
                lines.append(f"{pictures.count - 1:07d} {name}\n")
        (folder / f"images_variant_{split}.txt").write_text("".join(lines))
    (folder / "variants.txt").write_text("707-320\nF/A-18\n")
    return ["707-320", "F/A-18"]


def write_caltech(root: Path, pictures: Pictures) -> list[str]:
    folder = root / "caltech101" / "101_ObjectCategories"
    for label, name in enumerate(["BACKGROUND_Google", "Faces", "ant", "yin_yang"]):
        for index in range(1, 6):
            part = "background" if label == 0 else "all"
            pictures.save(folder / name / f"image_{index:04d}.jpg", part, label - 1)
    del pictures.written["background"]
    return ["Faces", "ant", "yin yang"]


def write_svhn(root: Path, pictures: Pictures) -> list[str]:
    for part, count in (("train", 40), ("test", 10)):
        labels = [(3 * index) % 10 for index in range(count)]
        images = pictures.array(part, labels, 32, grey=False)
        official = numpy.array([[label or 10] for label in labels], dtype=numpy.uint8)
        scipy.io.savemat(root / f"{part}_32x32.mat", {"X": images.transpose(1, 2, 3, 0), "y": official})
    return [str(digit) for digit in range(10)]


def write_pcam(root: Path, pictures: Pictures) -> list[str]:
    h5py = pytest.importorskip("h5py")
    (root / "pcam").mkdir()
    for split, part in (("train", "train"), ("valid", "validation"), ("test", "test")):
        labels = [1, 0, 0, 1]
        for what, values in (("x", pictures.array(part, labels, 96, grey=False)), ("y", numpy.array(labels))):
            with h5py.File(root / "pcam" / f"camelyonpatch_level_2_split_{split}_{what}.h5", "w") as file:
                file[what] = values if what == "x" else values.astype(numpy.uint8)[:, None, None, None]
    return ["no tumour", "tumour"]


def write_country211(root: Path, pictures: Pictures) -> list[str]:
    for split, part in (("train", "train"), ("valid", "validation"), ("test", "test")):
        for label, name in enumerate(["AD", "AE", "ZW"]):
            for index in range(2):
                pictures.save(root / "country211" / split / name / f"{index}.jpg", part, label)
    return ["AD", "AE", "ZW"]


def write_sst2(root: Path, pictures: Pictures) -> list[str]:
    for split, part in (("train", "train"), ("valid", "validation"), ("test", "test")):
        for label, name in enumerate(["negative", "positive"]):
            for index in range(2):
                pictures.save(root / "rendered-sst2" / split / name / f"{index}.png", part, label)
    return ["negative", "positive"]


def write_cars(root: Path, pictures: Pictures) -> list[str]:
    base = root / "stanford_cars"
    (base / "devkit").mkdir(parents=True)
    names = ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012"]
    meta = numpy.array([names], dtype=object)
    scipy.io.savemat(base / "devkit" / "cars_meta.mat", {"class_names": meta})
    for part, path in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        rows = []
        for index in range(8):
            pictures.save(base / f"cars_{part}" / f"{index:05d}.jpg", part, index % 2)
            rows.append((0, 0, 9, 8, index % 2 + 1, f"{index:05d}.jpg"))
        kinds: Any = [(name, "O") for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]
        scipy.io.savemat(base / path, {"annotations": numpy.array([rows], dtype=kinds)})
    return names


def write_faces(root: Path, pictures: Pictures) -> list[str]:
    (root / "fer2013").mkdir()
    with (root / "fer2013" / "fer2013.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "pixels", "Usage"])
        for usage, part, count in (("Training", "train", 28), ("PublicTest", "test", 4), ("PrivateTest", "test", 4)):
            for label in (index % 7 for index in range(count)):
                writer.writerow([label, " ".join([str(pictures.number(part, label))] * 48 * 48), usage])
    return ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def write_sun397(root: Path, pictures: Pictures) -> list[str]:
    for label, name in enumerate(["abbey", "airplane_cabin", "church/indoor"]):
        for index in range(5):
            pictures.save(root / "SUN397" / name[0] / name / f"sun_{label}{index}.jpg", "all", label)
    (root / "SUN397" / "ClassName.txt").write_text("/a/abbey\n/a/airplane_cabin\n/c/church/indoor\n")
    return ["abbey", "airplane cabin", "church/indoor"]


WRITERS: dict[str, Write] = {
    "food101": write_food101,
    "oxford-pets": write_pets,
    "dtd": write_dtd,
    "eurosat": write_eurosat,
    "gtsrb": write_gtsrb,
    "mnist": write_mnist,
    "flowers102": write_flowers,
    "fgvc-aircraft": write_aircraft,
    "caltech101": write_caltech,
    "svhn": write_svhn,
    "pcam": write_pcam,
    "country211": write_country211,
    "rendered-sst2": write_sst2,
    "stanford-cars": write_cars,
    "fer2013": write_faces,
    "sun397": write_sun397,
}


def settings(name: str, **more: Any) -> TorchvisionSettings:
    return TorchvisionSettings.model_validate({"source": "torchvision", "name": name, **more})


def refusal(name: str, root: Path, download: bool = False) -> str:
    with pytest.raises(UserError) as found:
        load_torchvision(settings(name), str(root), download)
    message = str(found.value)
    assert "\n" not in message and message.endswith(".") and name in message and str(root) in message
    return message


def test_every_name_of_the_settings_is_read_and_tested_here() -> None:
    assert set(NAMES) == set(SETS) == set(WRITERS)


@pytest.mark.parametrize("name", NAMES)
def test_parts_labels_and_names(name: str, tmp_path: Path) -> None:
    pictures = Pictures()
    names = WRITERS[name](tmp_path, pictures)
    written, grey = pictures.written, name in GREY
    dataset = load_torchvision(settings(name, validation=0.25), str(tmp_path))
    found = {part: found_rows(getattr(dataset, part), grey) for part in ("train", "validation", "test")}
    assert dataset.name == name and dataset.label == "label" and list(dataset.factors) == ["label"]
    assert dataset.factors["label"].values == tuple(names)
    if "all" in written:
        # Without an official test part: a fifth of each class, then a quarter of the rest.
        assert sorted(sum(found.values(), [])) == sorted(written["all"])
        sizes = Counter(label for _, label in written["all"])
        assert Counter(label for _, label in found["test"]) == {label: n // 5 for label, n in sizes.items()}
        assert Counter(label for _, label in found["validation"]) == {
            label: round(0.25 * (n - n // 5)) for label, n in sizes.items()
        }
        return
    assert found["test"] == written["test"]
    if "validation" in written:
        assert found == written
        return
    assert sorted(found["train"] + found["validation"]) == sorted(written["train"])
    sizes = Counter(label for _, label in written["train"])
    held = {label: max(round(0.25 * n), 1) for label, n in sizes.items()}
    assert Counter(label for _, label in found["validation"]) == held


@pytest.mark.parametrize("name", ["mnist", "svhn", "fer2013"])
def test_arrays_are_read_once_and_mapped(
    name: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITERS[name](tmp_path, Pictures())
    first = load_torchvision(settings(name), str(tmp_path))
    channels, side = {"mnist": (1, 28), "svhn": (3, 32), "fer2013": (1, 48)}[name]
    assert first.train.images.shape[1:] == (channels, side, side) and isinstance(first.train.images, numpy.memmap)

    def read_again(reader: Any) -> None:
        raise AssertionError("the files were read again")

    monkeypatch.setitem(SETS, name, type(SETS[name])(**{**vars(SETS[name]), "read": read_again}))
    assert load_torchvision(settings(name), str(tmp_path)).key == first.key
    assert [path.name.startswith(name) for path in cache.iterdir()] == [True]


def test_other_arrays_are_another_entry(tmp_path: Path, cache: Path) -> None:
    write_svhn(tmp_path, Pictures())
    first = load_torchvision(settings("svhn"), str(tmp_path))
    pictures = Pictures()
    pictures.count = 50
    write_svhn(tmp_path, pictures)
    second = load_torchvision(settings("svhn"), str(tmp_path))
    assert first.key != second.key and found_rows(second.test, False) == pictures.written["test"]
    assert len(list(cache.iterdir())) == 2


def test_patches_stay_in_their_file(tmp_path: Path) -> None:
    write_pcam(tmp_path, Pictures())
    part = load_torchvision(settings("pcam"), str(tmp_path)).test
    assert part.images.shape == (4, 3, 96, 96) and part.images is part.images
    assert tuple(part.images[1, :, 5, 5]) == part.image(1).getpixel((5, 5)) == colour(9)


def test_images_in_files_are_decoded_one_by_one(tmp_path: Path) -> None:
    write_dtd(tmp_path, Pictures())
    part = load_torchvision(settings("dtd"), str(tmp_path)).test
    assert isinstance(part, DecodedPart) and {part.image(i).size for i in range(6)} == {(9, 8), (10, 8), (11, 8)}
    Path(part.paths[2]).write_text("no image")
    assert part.image(1)
    with pytest.raises(UserError, match="cannot be decoded"):
        part.image(2)


def test_the_order_of_the_file_system_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sun397(tmp_path, Pictures())
    first = load_torchvision(settings("sun397"), str(tmp_path))
    listed = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: sorted(listed(self, pattern), reverse=True))
    assert load_torchvision(settings("sun397"), str(tmp_path)).key == first.key


def test_the_key_follows_files_and_fractions_but_not_the_place(tmp_path: Path) -> None:
    def key(root: Path, **more: Any) -> str:
        return load_torchvision(settings("eurosat", **more), str(root)).key

    for place in ("one", "two"):
        write_eurosat(tmp_path / place, Pictures())
    first = key(tmp_path / "one")
    assert key(tmp_path / "two") == first != key(tmp_path / "one", validation=0.5)
    folder = tmp_path / "two" / "eurosat" / "2750" / "Forest"
    (folder / "Forest_9.jpg").rename(folder / "Forest_99.jpg")
    assert key(tmp_path / "two") != first


# Refusals.


@pytest.mark.parametrize("name", NAMES)
def test_missing_files_are_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data_root=FOLDER"):
        load_torchvision(settings(name), None)
    message = refusal(name, tmp_path)
    for need in SETS[name].needs:
        assert need.replace("|", " or ") in message
    assert ("--set download=true" in message) != SETS[name].gone
    assert not list(tmp_path.iterdir())


def test_one_missing_file_is_named_alone(tmp_path: Path) -> None:
    write_mnist(tmp_path, Pictures())
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    message = refusal("mnist", tmp_path)
    assert "t10k-labels-idx1-ubyte missing" in message and "train-images" not in message


@pytest.mark.parametrize("name", [name for name in NAMES if SETS[name].gone])
def test_what_torchvision_cannot_fetch_any_more_is_not_tried(name: str, tmp_path: Path) -> None:
    assert "cannot fetch" in refusal(name, tmp_path, download=True)
    WRITERS[name](tmp_path, Pictures())
    assert load_torchvision(settings(name), str(tmp_path), download=True).name == name


def test_what_is_there_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dtd(tmp_path, Pictures())
    monkeypatch.setattr(dtd, "download_and_extract_archive", lambda *given, **more: pytest.fail("downloaded"))
    assert load_torchvision(settings("dtd"), str(tmp_path), download=True).name == "dtd"
    assert not (tmp_path / ".harness-lock").exists()


def test_a_download_that_fails_says_so_and_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: Any, **more: Any) -> None:
        raise URLError("no route")

    monkeypatch.setattr(dtd, "download_and_extract_archive", refused)
    message = refusal("dtd", tmp_path, download=True)
    assert "could not be downloaded" in message and "no route" in message and "dtd-r1.0.1.tar.gz" in message
    assert "missing" in refusal("dtd", tmp_path)
    monkeypatch.setattr(dtd, "download_and_extract_archive", lambda *given, **more: write_dtd(tmp_path, Pictures()))
    assert len(load_torchvision(settings("dtd"), str(tmp_path), download=True).test) == 6
    assert len(load_torchvision(settings("dtd"), str(tmp_path)).test) == 6


def test_half_a_download_is_not_taken_for_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_off(*given: Any, **more: Any) -> None:
        write_dtd(tmp_path, Pictures())
        raise KeyboardInterrupt

    monkeypatch.setattr(dtd, "download_and_extract_archive", broken_off)
    with pytest.raises(KeyboardInterrupt):
        load_torchvision(settings("dtd"), str(tmp_path), download=True)
    for download in (False, True):
        message = refusal("dtd", tmp_path, download)
        assert "was broken off" in message and "remove dtd and .dtd-unfinished" in message
    (tmp_path / ".dtd-unfinished").unlink()
    assert len(load_torchvision(settings("dtd"), str(tmp_path)).test) == 6


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    write_food101(tmp_path, Pictures())
    meta = tmp_path / "food-101" / "meta" / "test.json"
    meta.write_text('{"apple_pie": ["apple_pie/test0"]}')
    assert "different classes: baklava" in refusal("food101", tmp_path)
    meta.write_text('{"apple_pie": [], "baklava": []}')
    assert "its test split has 0 images" in refusal("food101", tmp_path)
    meta.write_text("{")
    assert "cannot be read" in refusal("food101", tmp_path)


def test_a_missing_folder_of_signs_is_no_shift_of_classes(tmp_path: Path) -> None:
    write_gtsrb(tmp_path, Pictures())
    for path in (tmp_path / "gtsrb" / "GTSRB" / "Training" / "00007").iterdir():
        path.unlink()
    (tmp_path / "gtsrb" / "GTSRB" / "Training" / "00007").rmdir()
    assert "the folders before Training/00008 are not all there" in refusal("gtsrb", tmp_path)


def test_a_label_that_is_no_class_is_refused(tmp_path: Path) -> None:
    write_gtsrb(tmp_path, Pictures())
    path = tmp_path / "gtsrb" / "GT-final_test.csv"
    path.write_text(path.read_text().replace(";42", ";43"))
    assert "its test split has 3 images, not all of them of 43 classes" in refusal("gtsrb", tmp_path)


def test_official_sums_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_svhn(tmp_path, Pictures())
    monkeypatch.undo()
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "cache"))
    message = refusal("svhn", tmp_path)
    assert "corrupted" in message and "ufldl.stanford.edu" in message


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for need in SETS["pcam"].needs:
        (tmp_path / need).parent.mkdir(exist_ok=True)
        (tmp_path / need).touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install h5py"):
        load_torchvision(settings("pcam"), str(tmp_path))


def test_settings_are_read_without_torch() -> None:
    code = "import sys, experiments.data.torchvision_settings; assert not {'torch', 'torchvision'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
