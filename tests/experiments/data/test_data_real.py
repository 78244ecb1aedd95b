"""The real sources, on small files in their true formats."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torchvision
from true_format_files import (
    CIFAR10_NAMES,
    STL10_NAMES,
    Written,
    write_cifar10,
    write_cifar100,
    write_image_folder,
    write_imagenet,
    write_imagenet_archives,
    write_stl10,
)

from experiments.data import Part, load
from experiments.data.settings import (
    Cifar10Settings,
    Cifar100Settings,
    ImageFolderSettings,
    ImageNetSettings,
    Stl10Settings,
)
from harness.errors import UserError

TRUSTED: dict[str, Any] = {"verify_checksums": False}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def rows(*parts: Part) -> list[tuple[bytes, int]]:
    """Every image's bytes with its label, sorted."""
    return sorted(
        (part.images[index].tobytes(), int(part.factors["label"][index]))
        for part in parts
        for index in range(len(part))
    )


def written_rows(written: tuple[numpy.ndarray, numpy.ndarray]) -> list[tuple[bytes, int]]:
    return sorted((image.tobytes(), int(label)) for image, label in zip(*written, strict=True))


@pytest.mark.parametrize(
    ("settings", "write", "classes", "held"),
    [(Cifar10Settings(**TRUSTED), write_cifar10, 10, 10), (Cifar100Settings(**TRUSTED), write_cifar100, 100, 100)],
)
def test_cifar(
    tmp_path: Path, settings: Cifar10Settings, write: Callable[[Path], Written], classes: int, held: int
) -> None:
    written = write(tmp_path)
    found = load(settings, 0, root=str(tmp_path))
    assert rows(found.train, found.validation) == written_rows(written["train"])
    assert (found.test.images == written["test"][0]).all() and (found.test.factors["label"] == written["test"][1]).all()
    # A tenth of every class, and one at least.
    assert (numpy.bincount(found.validation.factors["label"], minlength=classes) == held // classes).all()
    assert found.label == "label" and len(found.factors["label"].values) == classes
    assert found.train.images.dtype == numpy.uint8 and not found.train.images.flags.writeable
    assert isinstance(found.train.images, numpy.memmap)


def test_class_names_and_orientation_are_torchvisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path)
    assert load(Cifar10Settings(**TRUSTED), 0, root=str(tmp_path)).factors["label"].values == tuple(CIFAR10_NAMES)
    kind = torchvision.datasets.CIFAR10
    monkeypatch.setattr(kind, "test_list", [[name, None] for name, _ in kind.test_list])
    monkeypatch.setattr(kind, "train_list", [[name, None] for name, _ in kind.train_list])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": None})
    theirs = kind(str(tmp_path), train=False)
    ours = load(Cifar10Settings(**TRUSTED), 0, root=str(tmp_path)).test
    assert all(ours.image(index).tobytes() == theirs[index][0].tobytes() for index in range(len(theirs)))


def test_stl10_trains_on_unlabelled_images_too(tmp_path: Path) -> None:
    written = write_stl10(tmp_path, train=40, test=20, unlabelled=30)
    found = load(Stl10Settings(**TRUSTED, validation=0.25), 0, root=str(tmp_path))
    labels = found.train.factors["label"]
    assert (labels[:30] == -1).all() and (labels[30:] >= 0).all()
    assert (found.train.images[:30] == written["unlabeled"][0]).all()
    labelled = Part(found.train.images[30:], {"label": labels[30:]})
    assert rows(labelled, found.validation) == written_rows(written["train"])
    assert (numpy.bincount(found.validation.factors["label"]) == 1).all() and len(found.validation) == 10
    assert (found.test.images == written["test"][0]).all()
    assert found.factors["label"].values == tuple(STL10_NAMES)


def test_the_seed_does_not_matter(tmp_path: Path, cache: Path) -> None:
    write_cifar10(tmp_path)
    first = load(Cifar10Settings(**TRUSTED), 1, root=str(tmp_path))
    second = load(Cifar10Settings(**TRUSTED), 2, root=str(tmp_path))
    assert first.key == second.key and len(list(cache.iterdir())) == 1


def test_other_files_are_another_entry(tmp_path: Path, cache: Path) -> None:
    write_cifar10(tmp_path)
    first = load(Cifar10Settings(**TRUSTED), 0, root=str(tmp_path))
    write_cifar10(tmp_path, seed=100)
    second = load(Cifar10Settings(**TRUSTED), 0, root=str(tmp_path))
    assert first.key != second.key and (first.test.images != second.test.images).any()


def test_files_that_are_not_the_official_ones_are_refused(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    with pytest.raises(UserError, match=r"data_batch_1 is damaged or not the official one.*verify_checksums") as caught:
        load(Cifar10Settings(), 0, root=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_official_checksums_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    write_cifar10(tmp_path)
    folder, kind = tmp_path / "cifar-10-batches-py", torchvision.datasets.CIFAR10

    def md5(name: str) -> str:
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    monkeypatch.setattr(kind, "train_list", [[name, md5(name)] for name, _ in kind.train_list])
    monkeypatch.setattr(kind, "test_list", [[name, md5(name)] for name, _ in kind.test_list])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5("batches.meta")})
    assert len(load(Cifar10Settings(), 0, root=str(tmp_path)).test) == 20


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Cifar10Settings(), ["cifar-10-batches-py/", "data_batch_1", "data_batch_5", "test_batch", "batches.meta"]),
        (Cifar100Settings(), ["cifar-100-python/", "train", "test", "meta"]),
        (Stl10Settings(), ["stl10_binary/", "train_X.bin", "train_y.bin", "unlabeled_X.bin", "class_names.txt"]),
    ],
)
def test_missing_files_are_named(tmp_path: Path, settings: Cifar10Settings, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        load(settings, 0, root=str(tmp_path))
    assert all(word in str(caught.value) for word in [*words, str(tmp_path), "--set download=true"])


@pytest.mark.parametrize(
    "settings", [Cifar10Settings(), Cifar100Settings(), Stl10Settings(), ImageNetSettings(), ImageFolderSettings()]
)
def test_a_root_is_needed(settings: Cifar10Settings) -> None:
    with pytest.raises(UserError, match=f"{settings.source} needs the folder.*--set data_root="):
        load(settings, 0)


@pytest.mark.parametrize("damage", ["cut", "rubbish", "labels"])
def test_a_damaged_pickle_gives_one_sentence(tmp_path: Path, damage: str) -> None:
    write_cifar10(tmp_path)
    file = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:1000])
    elif damage == "rubbish":
        file.write_bytes(b"<html>not here</html>")
    else:
        import pickle

        content = pickle.loads(file.read_bytes())
        file.write_bytes(pickle.dumps({**content, "labels": content["labels"][:-1]}, protocol=2))
    with pytest.raises(UserError, match="cifar10 in .*cifar-10-batches-py cannot be read"):
        load(Cifar10Settings(**TRUSTED), 0, root=str(tmp_path))


def test_a_damaged_binary_gives_one_sentence(tmp_path: Path) -> None:
    write_stl10(tmp_path)
    file = tmp_path / "stl10_binary" / "test_X.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="stl10 in .*stl10_binary cannot be read"):
        load(Stl10Settings(**TRUSTED), 0, root=str(tmp_path))


def test_download_is_torchvisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive is unpacked where the files are looked for, from torchvision's address for it."""
    source = tmp_path / "source"
    write_cifar10(source)
    asked: list[str] = []

    def fetch(url: str, root: str, filename: str, md5: str) -> None:
        asked.append(url)
        with tarfile.open(tmp_path / filename, "w:gz") as tar:
            tar.add(source / "cifar-10-batches-py", "cifar-10-batches-py")
        with tarfile.open(tmp_path / filename) as tar:
            tar.extractall(root, filter="data")

    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", fetch)
    kind = torchvision.datasets.CIFAR10
    for name in ("train_list", "test_list"):
        monkeypatch.setattr(kind, name, [[file, None] for file, _ in getattr(kind, name)])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": None})
    for _ in range(2):  # the second time they are there
        assert len(load(Cifar10Settings(), 0, root=str(tmp_path / "root"), download=True).test) == 20
    assert asked == [kind.url]


def test_a_failed_download_gives_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*arguments: Any, **named: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.datasets.stl10, "download_and_extract_archive", fetch)
    with pytest.raises(UserError, match=r"stl10 could not be downloaded.*no route to host.*by hand"):
        load(Stl10Settings(), 0, root=str(tmp_path), download=True)


def test_files_of_your_own_are_not_replaced_by_a_download(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    assert len(load(Cifar10Settings(**TRUSTED), 0, root=str(tmp_path), download=True).test) == 20


def check_folder(found: Any, written: Written, parts: tuple[str, str], tolerance: float) -> None:
    train, test = parts
    assert len(found.train) + len(found.validation) == len(written[train][1])
    assert not set(found.train.paths) & set(found.validation.paths)
    assert set(numpy.unique(found.validation.factors["label"])) == set(range(len(found.factors["label"].values)))
    for part, name in ((found.train, train), (found.validation, train), (found.test, test)):
        for index in range(len(part)):
            number = int(Path(part.paths[index]).stem.split("_")[-1])  # the writer numbers the images
            image = part.image(index)
            assert image.mode == "RGB"
            pixels = numpy.asarray(image)[:40, :40].transpose(2, 0, 1).astype(float)
            assert numpy.abs(pixels - written[name][0][number]).mean() <= tolerance
            assert part.factors["label"][index] == written[name][1][number]
    sizes = {found.test.image(index).size for index in range(len(found.test))}
    assert len(sizes) > 1


@pytest.mark.parametrize("parts", [("train", "test"), ("train", "val")])
def test_image_folder(tmp_path: Path, cache: Path, parts: tuple[str, str]) -> None:
    written = write_image_folder(tmp_path / "images", parts=parts)
    found = load(ImageFolderSettings(), 5, root=str(tmp_path / "images"))
    check_folder(found, written, parts, 0)
    assert found.factors["label"].values == ("apple", "pear", "plum") and len(found.validation) == 3
    again = load(ImageFolderSettings(), 6, root=str(tmp_path / "images"))
    assert again.key == found.key and again.validation.paths == found.validation.paths  # type: ignore[attr-defined]
    assert not cache.exists()


def test_image_folder_holds_grey_images_as_rgb_and_has_no_array(tmp_path: Path) -> None:
    from PIL import Image

    for part in ("train", "test"):
        for index in range(3):
            (tmp_path / part / "only").mkdir(parents=True, exist_ok=True)
            Image.new("L", (7 + index, 5), 99).save(tmp_path / part / "only" / f"{index}.png")
    found = load(ImageFolderSettings(), 0, root=str(tmp_path))
    assert found.test.image(2).size == (9, 5) and found.test.image(2).getpixel((0, 0)) == (99, 99, 99)
    assert repr(found.train) == "DecodedPart('image-folder', 2 images)"
    with pytest.raises(UserError, match="image-folder have unequal sizes.*cifar10"):
        _ = found.train.images


def test_imagenet_as_unpacked(tmp_path: Path) -> None:
    written = write_imagenet(tmp_path, train=10)
    found = load(ImageNetSettings(), 0, root=str(tmp_path))
    check_folder(found, written, ("train", "val"), 30)  # JPEG keeps the noise of these images only roughly
    assert found.factors["label"].values == ("tench", "goldfish", "great white")


def test_imagenet_from_its_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archives = torchvision.datasets.imagenet.ARCHIVE_META
    for name, (file, _) in archives.items():
        monkeypatch.setitem(archives, name, (file, None))
    written = write_imagenet_archives(tmp_path / "imagenet", tmp_path / "scratch")
    found = load(ImageNetSettings(validation=0.3), 0, root=str(tmp_path / "imagenet"))
    check_folder(found, written, ("train", "val"), 30)
    assert len(found.validation) == 9


def test_imagenet_archives_are_verified(tmp_path: Path) -> None:
    write_imagenet_archives(tmp_path / "imagenet", tmp_path / "scratch")
    with pytest.raises(UserError, match=r"ImageNet below .* cannot be read \(The archive ILSVRC2012_devkit_t12.tar.gz"):
        load(ImageNetSettings(), 0, root=str(tmp_path / "imagenet"))


@pytest.mark.parametrize("lacking", ["train", "val", "meta.bin"])
def test_imagenet_tells_what_is_missing(tmp_path: Path, lacking: str) -> None:
    write_imagenet(tmp_path)
    os.rename(tmp_path / lacking, tmp_path / "elsewhere")
    named = {"train": "train/ or ILSVRC2012_img_train.tar missing", "val": "val/ or ILSVRC2012_img_val.tar missing"}
    with pytest.raises(UserError, match=named.get(lacking, "ILSVRC2012_devkit_t12.tar.gz missing")):
        load(ImageNetSettings(), 0, root=str(tmp_path))


@pytest.mark.parametrize("settings", [ImageNetSettings(), ImageFolderSettings()])
def test_folders_cannot_be_downloaded(tmp_path: Path, settings: ImageFolderSettings) -> None:
    with pytest.raises(UserError, match=f"{settings.source} cannot be downloaded"):
        load(settings, 0, root=str(tmp_path), download=True)


def test_image_folder_tells_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train is missing; image-folder needs train/<class>/"):
        load(ImageFolderSettings(), 0, root=str(tmp_path))
    write_image_folder(tmp_path)
    (tmp_path / "train" / "quince").mkdir()
    with pytest.raises(UserError, match=r"quince.*at least one image"):
        load(ImageFolderSettings(), 0, root=str(tmp_path))
    os.rename(tmp_path / "train" / "quince", tmp_path / "train" / ".quince")
    (tmp_path / "train" / ".quince").rmdir()
    os.rename(tmp_path / "test" / "plum", tmp_path / "test" / "prune")
    with pytest.raises(UserError, match=r"different classes \(plum, prune\)"):
        load(ImageFolderSettings(), 0, root=str(tmp_path))


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    write_image_folder(tmp_path)
    found = load(ImageFolderSettings(), 0, root=str(tmp_path))
    path = Path(found.test.paths[1])  # type: ignore[attr-defined]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=f"{path.name} of image-folder cannot be decoded"):
        found.test.image(1)


def test_a_class_of_one_image_stays_in_training(tmp_path: Path) -> None:
    write_image_folder(tmp_path, train=1)
    with pytest.raises(UserError, match="no class with two images"):
        load(ImageFolderSettings(), 0, root=str(tmp_path))


def test_settings_survive_json() -> None:
    settings = Stl10Settings(validation=0.2)
    assert Stl10Settings(**json.loads(settings.model_dump_json())) == settings
