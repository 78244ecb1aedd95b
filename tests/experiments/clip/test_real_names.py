"""Class names and templates of real sets: as clip_benchmark and open_clip have them, in torchvision's order of labels."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zoneinfo
from importlib.machinery import ModuleSpec
from importlib.resources import files
from pathlib import Path

import pytest
from torchvision.datasets import Flowers102
from torchvision.models import ResNet18_Weights

from experiments.clip.real_names import NAMED_BY_FILES, TEMPLATES, class_names, set_templates
from experiments.data.torchvision_readers import EMOTIONS, SIGNS
from harness.errors import UserError

SIZES = {
    "mnist": 10,
    "svhn": 10,
    "gtsrb": SIGNS,
    "eurosat": 10,
    "flowers102": 102,
    "country211": 211,
    "pcam": 2,
    "caltech101": 101,
    "fer2013": 7,
    "oxford-pets": 37,
    "rendered-sst2": 2,
    "imagenet": 1000,
}
TEMPLATE_COUNTS = {
    "food101": 1, "oxford-pets": 1, "dtd": 8, "eurosat": 3, "gtsrb": 3, "mnist": 1, "flowers102": 1,
    "fgvc-aircraft": 2, "caltech101": 34, "svhn": 6, "pcam": 2, "country211": 5, "rendered-sst2": 1,
    "stanford-cars": 8, "fer2013": 6, "sun397": 2, "cifar10": 18, "cifar100": 18, "stl10": 2, "imagenet": 80,
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_there_is_one_name_a_class(name: str) -> None:
    names = class_names(name)
    assert len(names) == SIZES[name] and all(word.strip() for word in names)
    if name != "imagenet":  # which has "missile" and "sunglasses" twice
        assert len(set(names)) == len(names)
    assert class_names(name, own=["any"] * SIZES[name]) == names
    with pytest.raises(UserError, match=f"has 3 classes here, but there are {SIZES[name]} names"):
        class_names(name, own=["a", "b", "c"])


@pytest.mark.parametrize("name", TEMPLATE_COUNTS)
def test_templates_have_one_place_for_the_name(name: str) -> None:
    templates = set_templates(name)
    assert len(set(templates)) == TEMPLATE_COUNTS[name]
    assert all(template.count("{}") == 1 and "{c}" not in template for template in templates)
    assert all("fig tree" in template.format("fig tree") for template in templates)


def test_every_set_is_tested_here() -> None:
    assert set(TEMPLATE_COUNTS) == {*TEMPLATES, "imagenet"} == {*SIZES, *NAMED_BY_FILES}


def test_templates_are_those_of_the_set() -> None:
    assert set_templates("food101") == ("a photo of {}, a type of food.",)
    assert set_templates("mnist") == ('a photo of the number: "{}".',)
    assert "a photo of the large {}." in set_templates("imagenet")
    assert set_templates("imagenet")[0] == "a bad photo of a {}."


# The order of labels, against what torchvision's code says of it.


def test_flowers_are_in_torchvisions_order() -> None:
    same = [ours == theirs for ours, theirs in zip(class_names("flowers102"), Flowers102.classes, strict=True)]
    assert sum(same) == 99  # "globe-flower", "pink-yellow dahlia?" and "ball moss" are said in other words


def test_imagenet_is_in_torchvisions_order() -> None:
    theirs = ResNet18_Weights.DEFAULT.meta["categories"]
    names = [name.lower() for name in class_names("imagenet")]
    assert sum(ours == other.lower() for ours, other in zip(names, theirs, strict=True)) > 650
    assert sum(ours == other.lower() for ours, other in zip(names[1:], theirs[:-1], strict=True)) < 10


def test_emotions_are_in_the_order_of_the_original_file() -> None:
    names = class_names("fer2013")
    assert all(name.startswith(emotion) for name, emotion in zip(names, EMOTIONS, strict=True))
    assert names[4:] == ("sad", "surprised", "neutral")


def test_countries_are_in_the_order_of_their_codes() -> None:
    """Folders are called by ISO 3166 codes; the table of these is part of the time zones' data."""
    places = [Path(folder) / "iso3166.tab" for folder in zoneinfo.TZPATH]
    if importlib.util.find_spec("tzdata"):
        places.append(Path(str(files("tzdata"))) / "zoneinfo" / "iso3166.tab")
    table = next((path for path in places if path.is_file()), None)
    if table is None:
        pytest.skip("no table of country codes on this machine")
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    codes = {row[1].lower(): row[0] for row in rows}
    found = [codes[name.lower()] for name in class_names("country211") if name.lower() in codes]
    assert len(found) > 150 and found == sorted(found)


def test_folders_sorted_by_name_give_the_same_order() -> None:
    folders = ["AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop",
               "Residential", "River", "SeaLake"]  # fmt: skip
    words = [
        "annual",
        "forest",
        "shrub",
        "highway",
        "industrial",
        "pasture",
        "permanent",
        "residential",
        "river",
        "sea",
    ]
    assert folders == sorted(folders)
    assert all(word in name for word, name in zip(words, class_names("eurosat"), strict=True))
    pets = class_names("oxford-pets")
    assert list(pets) == sorted(pets)
    objects = class_names("caltech101")
    # Faces, Faces_easy, Leopards, Motorbikes come before the small letters; then accordion, airplanes, ... yin_yang.
    assert objects[:6] == ("off-center face", "centered face", "leopard", "motorbike", "accordion", "airplane")
    assert objects[-1] == "yin and yang symbol" and "background" not in objects


def test_signs_have_their_official_numbers() -> None:
    names = class_names("gtsrb")
    limits = {0: "20", 1: "30", 2: "50", 3: "60", 4: "70", 5: "80", 7: "100", 8: "120"}
    assert all(f"{speed} kph speed limit" in names[number] for number, speed in limits.items())
    for number, words in {12: "priority road", 13: "yield", 14: "stop", 17: "no entry", 27: "person walking",
                          33: "right turn", 34: "left turn", 40: "traffic circle"}.items():  # fmt: skip
        assert words in names[number]


def test_digits_sentiments_and_tissue() -> None:
    assert class_names("mnist") == tuple("0123456789")
    assert class_names("svhn")[:3] == ("zero", "one", "two") and class_names("svhn")[9] == "nine"
    assert class_names("rendered-sst2") == ("negative", "positive")
    assert "metastatic" in class_names("pcam")[1] and "metastatic" not in class_names("pcam")[0]


@pytest.mark.parametrize("name", NAMED_BY_FILES)
def test_names_in_a_sets_files_are_taken_from_there(name: str) -> None:
    own = ("ice cream", "church/indoor", "aquarium_fish")
    expected = ("ice cream", "church indoor", "aquarium_fish") if name == "sun397" else own
    assert class_names(name, own) == expected
    with pytest.raises(UserError, match=f"class names of {name} are in its own files"):
        class_names(name)


# Refusals.


def test_an_unknown_set_is_refused() -> None:
    for call in (class_names, set_templates):
        with pytest.raises(UserError, match="'food-101'; did you mean 'food101'"):
            call("food-101")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for call in (class_names, set_templates):
        with pytest.raises(UserError, match="pip install --no-deps clip_benchmark"):
            call("mnist")
    assert len(set_templates("imagenet")) == 80  # which is open_clip's


def test_a_damaged_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModuleSpec("clip_benchmark", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    path = tmp_path / "datasets" / "en_classnames.json"
    path.parent.mkdir()
    for content in (None, "{", json.dumps({"svhn": ["zero"]})):
        if content:
            path.write_text(content)
        with pytest.raises(UserError, match="cannot be used") as refused:
            class_names("mnist")
        assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_the_package_is_not_imported() -> None:
    code = (
        "import sys; from experiments.clip.real_names import class_names, set_templates; "
        "assert class_names('gtsrb') and set_templates('gtsrb'); "
        "assert not {'clip_benchmark', 'torch', 'open_clip'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
