"""The embedded data sets: the same bytes everywhere, disjoint parts, and factors that tell the truth."""

from __future__ import annotations

import colorsys
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import scipy.ndimage
import torch
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from pydantic import TypeAdapter, ValidationError
from sklearn.datasets import load_digits

from experiments.data import Dataset, DataSettings, Part, load
from experiments.data.colours import DARKEST, LIGHTEST, NAMED, luma
from experiments.data.digits import WORDS
from experiments.data.letters import text_fonts
from experiments.data.settings import (
    DIGIT_COUNTS,
    ColouredDigitsSettings,
    DigitsSettings,
    GlyphsSettings,
    ScenesSettings,
)
from experiments.data.shapes import DARK, SHAPES

SMALL = {"train": 40, "validation": 12, "test": 20}
SOURCES = {
    "digits": DigitsSettings(**SMALL),
    "coloured-digits": ColouredDigitsSettings(**SMALL),
    "scenes": ScenesSettings(**SMALL, count_maximum=4),
    "glyphs": GlyphsSettings(**SMALL),
}
# The content's hashes at seed 7. If one changes, the bytes have changed: raise the source's version in GENERATORS.
KEYS = {
    "digits": "693be1195c52bab6f88dd71af30cec630efb6279d58802f533a5807f87f1c69f",
    "coloured-digits": "18bc62615021b78754108e88e8d60182ca72053e6b0a1bcbd9eaf432f08b89e7",
    "scenes": "1d1692d9e619a36035feabf892f7c65d5c23ac3c2bc9827179e87ae60fddce7b",
    "glyphs": "07abfac51a9c6d94b6caea18ce6f59010d92c0723be88b7b8c9b4938fccad28c",
}
PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_DATA", str(tmp_path_factory.mktemp("cache")))
        yield


def parts(dataset: Dataset) -> list[Part]:
    return [getattr(dataset, name) for name in PARTS]


def names_of(dataset: Dataset, part: Part, factor: str) -> list[str]:
    return [dataset.factors[factor].values[index] for index in part.factors[factor]]


@pytest.mark.parametrize("source", SOURCES)
def test_bytes_are_the_known_ones(source: str) -> None:
    assert load(SOURCES[source], 7).key == KEYS[source]


def test_another_process_on_another_processor_makes_the_same_bytes(tmp_path: Path) -> None:
    """NumPy's fast paths for newer processors are switched off, as if this were an older one."""
    found = numpy.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    code = (
        "import json\nfrom pydantic import TypeAdapter\nfrom experiments.data import DataSettings, load\n"
        f"for text in {[settings.model_dump_json() for settings in SOURCES.values()]!r}:\n"
        "    print(load(TypeAdapter(DataSettings).validate_json(text), 7).key)\n"
    )
    environment = {
        **os.environ,
        "HARNESS_DATA": str(tmp_path),
        "NPY_DISABLE_CPU_FEATURES": " ".join(found),
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "PYTHONHASHSEED": "1",
    }
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == list(KEYS.values())


@pytest.mark.parametrize("source", SOURCES)
def test_the_seed_changes_the_images_and_the_number_of_images_does_not(source: str) -> None:
    dataset = load(SOURCES[source], 7)
    other = load(SOURCES[source], 8)
    assert all((a.images != b.images).any() for a, b in zip(parts(dataset), parts(other), strict=True))
    if source != "digits":  # which draws without replacement, so that the parts share one order
        more = load(SOURCES[source].model_copy(update={"train": 300}), 7)  # more than are made at once
        assert (more.train.images[:40] == dataset.train.images).all()
        assert (more.test.images == dataset.test.images).all()


@pytest.mark.parametrize("source", SOURCES)
def test_every_factor_is_there_and_in_range(source: str) -> None:
    dataset = load(SOURCES[source], 7)
    assert dataset.factors[dataset.label].kind == "class"
    for part, count in zip(parts(dataset), SMALL.values(), strict=True):
        assert len(part) == count and part.images.dtype == numpy.uint8
        assert part.captions is None or len(part.captions) == count
        assert set(part.factors) == set(dataset.factors)
        for name, values in part.factors.items():
            information = dataset.factors[name]
            assert values.shape == (count,) and not values.flags.writeable
            if information.kind == "class":
                assert values.dtype == numpy.int64 and not information.unit
                assert values.min() >= 0 and values.max() < len(information.values)
                assert len(set(information.values)) == len(information.values)
            else:
                assert values.dtype == numpy.float64 and information.unit and not information.values
                top = {"degrees": 360, "index in scikit-learn's list": 1796}.get(information.unit, 1)
                low = -180 if "rotation" in name else 0
                there = values[~numpy.isnan(values)]
                assert (there >= low).all() and (there <= top).all()
                assert source == "scenes" or len(there) == count


# --- digits ---------------------------------------------------------------------------------------------------------


def test_counts_of_digits_are_scikit_learns() -> None:
    assert tuple(numpy.bincount(load_digits().target)) == DIGIT_COUNTS


def test_digits_at_their_own_size_are_scikit_learns() -> None:
    dataset, theirs = load(DigitsSettings(size=8, train=900, validation=300, test=597), 1), load_digits()
    items = numpy.concatenate([part.factors["item"] for part in parts(dataset)]).astype(int)
    assert (numpy.sort(items) == numpy.arange(1797)).all()  # disjoint, and all of them
    for part in parts(dataset):
        item = part.factors["item"].astype(int)
        assert (part.factors["digit"] == theirs.target[item]).all()
        assert (part.images[:, 0] == numpy.floor(theirs.images[item] * 255 / 16 + 0.5)).all()


def test_larger_digits_are_torchs_bilinear_interpolation() -> None:
    dataset = load(DigitsSettings(size=20, classes=4, **SMALL), 1)
    originals = torch.from_numpy(load_digits().images[dataset.test.factors["item"].astype(int)] / 16)[:, None]
    framed = torch.nn.functional.pad(originals, (2, 2, 2, 2))
    theirs = torch.nn.functional.interpolate(framed, scale_factor=2.5, mode="bilinear", align_corners=False)
    difference = dataset.test.images - theirs[:, :, 5:-5, 5:-5].numpy() * 255
    assert numpy.abs(difference).max() <= 0.5 + 1e-6
    assert set(dataset.train.factors["digit"]) == {0, 1, 2, 3}


def test_coloured_digits_share_no_digit_between_parts_and_tell_the_truth() -> None:
    settings = ColouredDigitsSettings(size=8, texture=0, noise=0, shift=0, scale_minimum=1, scale_maximum=1, rotation=0)
    dataset, theirs = (
        load(settings.model_copy(update={"train": 1500, "validation": 300, "test": 300}), 2),
        load_digits(),
    )
    items = [set(part.factors["item"].astype(int)) for part in parts(dataset)]
    assert not items[0] & items[1] and not items[0] & items[2] and not items[1] & items[2]
    for part in parts(dataset):
        item = part.factors["item"].astype(int)
        digit, colour, ground = (part.factors[name] for name in ("digit", "colour", "background"))
        assert (digit == theirs.target[item]).all() and set(digit) == set(range(10))
        assert (colour != ground).all() and set(colour) == set(ground) == set(range(8))
        # Where a digit's pixel is full the colour is the named one, where it is empty the background's.
        for index in range(len(part)):
            pixels = part.images[index].astype(float) / 255
            full, empty = theirs.images[item[index]] == 16, theirs.images[item[index]] == 0
            assert pixels[:, full] == pytest.approx(
                numpy.repeat(numpy.array(list(NAMED.values())[colour[index]])[:, None], full.sum(), 1), abs=0.003
            )
            background = pixels[:, empty][:, 0]
            assert luma(background[None])[0] == pytest.approx(part.factors["background_lightness"][index], abs=0.003)
            named = numpy.array(list(NAMED.values())[ground[index]])
            # The background mixes the named colour with black or with white.
            assert min(_off_line(background, named, numpy.zeros(3)), _off_line(background, named, numpy.ones(3))) < 0.01
            words = dict(
                colour=list(NAMED)[colour[index]], digit=WORDS[digit[index]], ground=list(NAMED)[ground[index]]
            )
            caption = "{colour} {digit} on a {ground} background".format(**words)
            assert part.captions and part.captions[index].replace(" an ", " a ").endswith(caption)
            assert part.captions[index].startswith("an o" if words["colour"] == "orange" else "a ")


def _off_line(point: numpy.ndarray, first: numpy.ndarray, second: numpy.ndarray) -> float:
    direction = second - first
    along = numpy.clip((point - first) @ direction / (direction @ direction), 0, 1)
    return float(numpy.abs(first + along * direction - point).max())


def test_grey_backgrounds() -> None:
    dataset = load(ColouredDigitsSettings(background="grey", texture=0, noise=0, colours=2, **SMALL), 0)
    corner = dataset.test.images[:, :, 0, 0]
    assert (corner == corner[:, :1]).all() and dataset.factors["background"].values == ("grey",)
    assert dataset.test.captions and all(text.endswith("on a grey background") for text in dataset.test.captions)


# --- glyphs ---------------------------------------------------------------------------------------------------------

PLAIN = GlyphsSettings(size=64, letters=12, texture=0, noise=0, train=24, validation=12, test=24)


def test_no_font_is_in_two_parts_and_seeds_draw_others() -> None:
    used = []
    for seed in range(4):
        dataset = load(GlyphsSettings(size=8, train=400, validation=200, test=200), seed)
        fonts = [{int(f) for copy in "1234" for f in part.factors[f"font_{copy}"]} for part in parts(dataset)]
        assert not fonts[0] & fonts[1] and not fonts[0] & fonts[2] and not fonts[1] & fonts[2]
        assert set.union(*fonts) == set(range(len(text_fonts())))
        used.append(frozenset(fonts[2]))
    assert len(set(used)) > 1


@pytest.mark.parametrize("families", [2, 4])
def test_classes_are_letter_and_hue_family(families: int) -> None:
    dataset = load(PLAIN.model_copy(update={"hue_families": families}), 3)
    assert dataset.label == "class" and len(dataset.factors["class"].values) == 12 * families
    for part in parts(dataset):
        factors = part.factors
        assert (factors["class"] == factors["letter"] * families + factors["hue_family"]).all()
        assert (numpy.floor(factors["hue"] / (360 / families)) == factors["hue_family"]).all()
        for index, name in enumerate(names_of(dataset, part, "class")):
            letter, family = name.split(", hue ")
            low, high = (float(edge) for edge in family.split("-"))
            assert letter == names_of(dataset, part, "letter")[index] and low <= factors["hue"][index] < high


def test_glyphs_have_their_colours() -> None:
    dataset = load(PLAIN, 3)
    for part in parts(dataset):
        for index in range(len(part)):
            pixels = part.images[index].reshape(3, -1).T / 255
            values, counts = numpy.unique(pixels, axis=0, return_counts=True)
            background, foreground = values[numpy.argsort(counts)[::-1][:2]]  # the two most frequent colours
            for colour, prefix in ((foreground, ""), (background, "background_")):
                hue, lightness = part.factors[f"{prefix}hue"][index], part.factors[f"{prefix}lightness"][index]
                assert luma(colour[None])[0] == pytest.approx(lightness, abs=0.004)
                theirs = colorsys.rgb_to_hsv(*colour)[0] * 360
                assert abs((theirs - hue + 180) % 360 - 180) < 0.5 * 60 * 2 / 255 / numpy.ptp(colour) + 1e-6
            assert DARKEST - 0.01 <= part.factors["background_lightness"][index] <= LIGHTEST + 0.01


def coverage(part: Part, index: int) -> numpy.ndarray:
    """How much of the foreground every pixel has, from the colours alone."""
    pixels = part.images[index].reshape(3, -1).T.astype(float)
    values, counts = numpy.unique(pixels, axis=0, return_counts=True)
    background, foreground = values[numpy.argsort(counts)[::-1][:2]]
    direction = foreground - background
    return ((pixels - background) @ direction / (direction @ direction)).reshape(part.images.shape[2:])


@pytest.mark.parametrize("copies", [1, 4])
def test_the_declared_letters_are_drawn(copies: int) -> None:
    """Against matplotlib's own outlines, placed by the declared pose and sampled 4 x 4 a pixel."""
    dataset = load(
        PLAIN.model_copy(update={"copies": copies, "jitter": 0.15, "rotation": 25.0, "scale_minimum": 0.3}), 4
    )
    size, fine = 64, 4
    at = (numpy.arange(size * fine) + 0.5) / (size * fine)
    for index in range(4):
        part = dataset.test
        expected = numpy.zeros((size * fine, size * fine), dtype=bool)
        letter = dataset.factors["letter"].values[part.factors["letter"][index]]
        for copy in range(1, copies + 1):
            font = dataset.factors[f"font_{copy}"].values[part.factors[f"font_{copy}"][index]]
            path = {path.stem: path for path in text_fonts()}[font]
            outline = TextPath((0, 0), letter, size=100, prop=FontProperties(fname=str(path)))
            box = outline.get_extents()
            x = at[None, :] - part.factors[f"centre_x_{copy}"][index]
            y = part.factors[f"centre_y_{copy}"][index] - at[:, None]  # up
            angle = -numpy.radians(part.factors[f"rotation_{copy}"][index])
            unit = max(box.width, box.height) / part.factors[f"scale_{copy}"][index]
            along = (x * numpy.cos(angle) - y * numpy.sin(angle)) * unit + (box.x0 + box.x1) / 2
            above = (x * numpy.sin(angle) + y * numpy.cos(angle)) * unit + (box.y0 + box.y1) / 2
            points = numpy.stack([along.ravel(), above.ravel()], axis=1)
            inside = numpy.zeros(len(points), dtype=bool)
            for polygon in outline.to_polygons(closed_only=True):
                inside ^= Outline(polygon).contains_points(points)
            expected |= inside.reshape(expected.shape)
        theirs = expected.reshape(size, fine, size, fine).mean(axis=(1, 3))
        ours = coverage(part, index)
        assert numpy.abs(ours - theirs).mean() < 0.02 and numpy.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.97


def test_as_many_copies_are_drawn_as_are_asked_for() -> None:
    for copies in (1, 4):
        dataset = load(
            PLAIN.model_copy(update={"copies": copies, "jitter": 0.0, "rotation": 0.0, "scale_maximum": 0.46}), 5
        )
        for index in range(len(dataset.test)):
            # All of A to L are connected.
            assert scipy.ndimage.label(coverage(dataset.test, index) > 0.4, numpy.ones((3, 3)))[1] == copies


def test_texture_and_noise_have_their_amplitudes() -> None:
    base = {
        "size": 40,
        "scale_minimum": 0.01,
        "scale_maximum": 0.01,
        "jitter": 0.0,
        "train": 400,
        "validation": 1,
        "test": 1,
    }
    plain = load(GlyphsSettings(**base, texture=0, noise=0), 6).train
    inner = (plain.images.min(axis=(1, 2, 3)) > 40) & (plain.images.max(axis=(1, 2, 3)) < 215)
    for knob, value in (("noise", 0.03), ("texture", 0.08)):
        changed = load(GlyphsSettings(**{**base, "texture": 0, "noise": 0, knob: value}), 6).train
        assert all((changed.factors[name] == plain.factors[name]).all() for name in plain.factors)
        difference = (changed.images[inner].astype(float) - plain.images[inner]) / 255
        if knob == "noise":
            assert difference.std() == pytest.approx(0.03, rel=0.02)
            assert abs(difference.mean()) < 0.001
        else:
            assert 0.06 < numpy.abs(difference).max() <= 0.08 + 1 / 255
            assert numpy.abs(numpy.diff(difference, axis=-1)).max() <= 2 * 0.08 * 4 / 40 + 1.01 / 255
            assert (difference.max(axis=1) - difference.min(axis=1)).max() <= 1.01 / 255  # the same in every channel


# --- scenes ---------------------------------------------------------------------------------------------------------


def test_scenes_show_what_they_declare() -> None:
    settings = ScenesSettings(
        size=64, noise=0, textures=1, backgrounds=1, count_maximum=4, scale_minimum=0.7, train=200, validation=1, test=1
    )
    dataset = load(settings, 1)
    part, shapes_by_name = dataset.train, list(SHAPES.values())
    at = (numpy.arange(64 * 4) + 0.5) / (64 * 4)
    assert set(part.factors["count"]) == {0, 1, 2, 3} and dataset.factors["count"].values[3] == "four"
    for index in range(100):
        there = [which for which in "1234" if not numpy.isnan(part.factors[f"scale_{which}"][index])]
        assert len(there) == part.factors["count"][index] + 1
        pixels = part.images[index].reshape(3, -1).T
        background = pixels[0]  # a corner
        foreground = numpy.array(list(NAMED.values())[part.factors["colour"][index]]) * 255
        direction = foreground - background
        ours = ((pixels - background.astype(float)) @ direction / (direction @ direction)).reshape(64, 64)
        assert scipy.ndimage.label(ours > 0.5, numpy.ones((3, 3)))[1] == len(there)
        theirs = numpy.zeros((256, 256), dtype=bool)
        for which in there:
            x = at[None, :] - part.factors[f"centre_x_{which}"][index]
            y = at[:, None] - part.factors[f"centre_y_{which}"][index]
            angle = numpy.radians(part.factors[f"rotation_{which}"][index])
            scale = part.factors[f"scale_{which}"][index]
            theirs |= shapes_by_name[part.factors["shape"][index]](
                (x * numpy.cos(angle) - y * numpy.sin(angle)) / scale,
                (x * numpy.sin(angle) + y * numpy.cos(angle)) / scale,
            )
        assert numpy.abs(ours - theirs.reshape(64, 4, 64, 4).mean(axis=(1, 3))).mean() < 0.01


def test_scenes_differ_by_texture_and_background() -> None:
    base = ScenesSettings(noise=0, train=300, validation=1, test=1)
    dataset = load(base, 2)
    part = dataset.train
    corners = part.images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].astype(int)
    flat = (numpy.ptp(corners, axis=2) == 0).all(axis=1)
    # Objects do not reach the corners, but for a few.
    assert flat[part.factors["background"] == 0].mean() > 0.95 and not flat[part.factors["background"] > 0].any()
    for index in range(300):
        colour = numpy.array(list(NAMED.values())[part.factors["colour"][index]])
        near = [
            (numpy.abs(part.images[index] / 255 - (colour * shade)[:, None, None]) < 0.01).all(axis=0).sum()
            for shade in (1, DARK)
        ]
        assert near[0] > 0 and (near[1] > 0) == (part.factors["texture"][index] > 0)
    assert set(part.factors["texture"]) == {0, 1, 2, 3} and set(part.factors["shape"]) == set(range(10))


def test_captions_of_scenes_name_their_factors() -> None:
    dataset = load(ScenesSettings(**{**SMALL, "train": 400}, count_maximum=4), 3)
    part = dataset.train
    factors = ("shape", "colour", "texture", "background", "count")
    names = {factor: names_of(dataset, part, factor) for factor in factors}
    assert part.captions
    for index, caption in enumerate(part.captions):
        shape, colour, texture, background, count = (names[name][index] for name in names)
        words = caption.split()
        assert words[0] == (count if count != "one" else "an" if colour == "orange" else "a")
        assert words[1] == colour and (texture in words) == (texture != "plain" or background == "plain")
        plural = {"cross": "crosses"}.get(shape, shape + "s")
        assert (shape if count == "one" else plural) in words
        assert caption.endswith(f"on a {background} background")


# --- settings -------------------------------------------------------------------------------------------------------


def test_the_source_decides_which_settings_there_are() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(DataSettings)
    for source in (*SOURCES, "cifar10", "cifar100", "stl10", "imagenet", "image-folder"):
        found = adapter.validate_python({"source": source})
        assert found.source == source and adapter.validate_json(found.model_dump_json()) == found
    assert adapter.validate_python({"source": "glyphs"}) == GlyphsSettings(
        size=20, letters=12, hue_families=2, copies=4, train=6000, validation=1000, test=2000,
        jitter=0.1, scale_minimum=0.44, scale_maximum=0.52, rotation=10, texture=0.08, noise=0.03,
    )  # fmt: skip
    for wrong in ({"source": "mnist"}, {"source": "digits", "letters": 3}, {"source": "glyphs", "copies": 2}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"source": "digits", "train": 1800}, "ask for 2900 different digits, but 10 classes have 1797"),
        ({"source": "digits", "classes": 2, "train": 1, "validation": 1, "test": 359}, "2 classes have 360"),
        ({"source": "glyphs", "scale_minimum": 0.6}, "scale_minimum 0.6 is larger than scale_maximum 0.52"),
        ({"source": "scenes", "count_minimum": 3, "count_maximum": 2}, "count_minimum 3 is larger"),
    ],
)
def test_settings_that_cannot_be_are_told(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TypeAdapter(DataSettings).validate_python(wrong)


def test_settings_and_a_made_entry_need_no_heavy_import() -> None:
    load(SOURCES["glyphs"], 7)
    code = (
        "import sys, json\nfrom experiments.data.settings import GlyphsSettings\nfrom experiments.data import load\n"
        f"load(GlyphsSettings(**{json.loads(SOURCES['glyphs'].model_dump_json())!r}), 7)\n"
        "print([name for name in ('torch', 'sklearn', 'matplotlib', 'torchvision', 'scipy') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "[]"
