"""The distribution of every parameter, against the paper's ranges and torchvision's own draws.

Every test of a distribution has an error rate of 1e-4, and the generators are fixed.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import combinations

import numpy
import pytest
import torch
from numpy import ndarray
from scipy import stats
from torchvision.transforms import RandomResizedCrop

from experiments.simclr.augmentation import Parameters, draw_crops, draw_parameters
from experiments.simclr.augmentation_settings import (
    AugmentationSettings,
    ColourSettings,
    CropSettings,
    CutoutSettings,
    NoiseSettings,
    RotationSettings,
    SobelSettings,
)

ERROR_RATE = 1e-4
COUNT = 20_000
NEIGHBOURS = {
    "cutout": CutoutSettings(probability=0.3),
    "sobel": SobelSettings(probability=0.6),
    "noise": NoiseSettings(probability=0.7),
    "rotate": RotationSettings(),
}
EVERYTHING = AugmentationSettings(colour=ColourSettings(shuffled=True), **NEIGHBOURS)
OWN_FIELDS = {
    "crop": ("crop",),
    "colour": ("jitter", "brightness", "contrast", "saturation", "hue", "order"),
    "cutout": ("cutout", "cutout_side"),
    "sobel": ("sobel",),
    "noise": ("noise", "noise_sigma"),
    "blur": ("blur", "blur_sigma"),
    "rotate": ("quarter_turns",),
    "flip": ("flip",),
    "grey": ("grey",),
}


def generator(seed: int = 0) -> numpy.random.Generator:
    return numpy.random.Generator(numpy.random.Philox(key=seed))


@pytest.fixture(scope="module")
def drawn() -> Parameters:
    return draw_parameters(COUNT, 64, 64, EVERYTHING, generator())


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("brightness", 0.2, 1.8),
        ("contrast", 0.2, 1.8),
        ("saturation", 0.2, 1.8),
        ("hue", -0.2, 0.2),
        ("blur_sigma", 0.1, 2.0),
        ("cutout_side", 0.25, 0.5),
        ("noise_sigma", 0.0, 0.2),
    ],
)
def test_amounts_are_drawn_evenly_from_their_ranges(drawn: Parameters, name: str, low: float, high: float) -> None:
    values = getattr(drawn, name)
    assert low <= values.min() and values.max() <= high
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > ERROR_RATE


@pytest.mark.parametrize("axis", [0, 1])
def test_a_cutout_lies_evenly_in_the_room_that_it_has(drawn: Parameters, axis: int) -> None:
    assert stats.kstest(drawn.cutout_place[:, axis], stats.uniform.cdf).pvalue > ERROR_RATE


@pytest.mark.parametrize(
    ("name", "probability"),
    [("flip", 0.5), ("jitter", 0.8), ("grey", 0.2), ("blur", 0.5), ("cutout", 0.3), ("sobel", 0.6), ("noise", 0.7)],
)
def test_transformations_are_applied_as_often_as_they_should(drawn: Parameters, name: str, probability: float) -> None:
    assert stats.binomtest(int(getattr(drawn, name).sum()), COUNT, probability).pvalue > ERROR_RATE


def test_rotations_are_even_over_the_four_angles(drawn: Parameters) -> None:
    assert stats.chisquare(numpy.bincount(drawn.quarter_turns, minlength=4)).pvalue > ERROR_RATE


def test_orders_of_the_jitter_are_even_over_the_24(drawn: Parameters) -> None:
    assert (numpy.sort(drawn.order, axis=1) == numpy.arange(4)).all()
    _, counts = numpy.unique(drawn.order, axis=0, return_counts=True)
    assert len(counts) == 24 and stats.chisquare(counts).pvalue > ERROR_RATE


def test_seeds_of_the_noise_differ(drawn: Parameters) -> None:
    assert len(numpy.unique(drawn.noise_seed)) == COUNT and drawn.noise_seed.min() >= 0


def test_parameters_do_not_depend_on_one_another(drawn: Parameters) -> None:
    places = (drawn.crop[:, :2] + 0.5) / (65 - drawn.crop[:, 2:])  # the middle of a step, whose width the box decides
    columns = {field.name: getattr(drawn, field.name) for field in fields(drawn) if field.name not in ("crop", "order")}
    columns |= {"area": drawn.crop[:, 2] * drawn.crop[:, 3], "aspect": drawn.crop[:, 3] / drawn.crop[:, 2]}
    columns |= {
        "top": places[:, 0],
        "left": places[:, 1],
        "cutout_place": drawn.cutout_place[:, 0],
        "first": drawn.order[:, 0],
    }
    ranks = numpy.corrcoef([stats.rankdata(column) for column in columns.values()])
    pairs = list(combinations(range(len(columns)), 2))
    largest = stats.norm.isf(ERROR_RATE / (2 * len(pairs))) / numpy.sqrt(COUNT)
    names = list(columns)
    assert [(names[a], names[b]) for a, b in pairs if abs(ranks[a, b]) > largest] == []


@pytest.mark.parametrize(
    ("height", "width", "crop"),
    [
        (64, 64, CropSettings()),
        (20, 20, CropSettings(scale=(0.2, 1.0))),
        (96, 48, CropSettings()),  # often drawn again, and at times central
        (40, 90, CropSettings(scale=(0.3, 0.9), ratio=(0.5, 3.0))),
    ],
    ids=["square", "small", "tall", "wide"],
)
def test_crops_are_distributed_as_torchvisions(height: int, width: int, crop: CropSettings) -> None:
    ours = draw_crops(COUNT, height, width, crop, generator(1))
    assert (ours[:, :2] >= 0).all() and (ours[:, 2:] >= 1).all()
    assert (ours[:, :2] + ours[:, 2:] <= [height, width]).all()
    theirs = _torchvisions(4000, height, width, crop)
    for quantity in (_area, _log_aspect, _top, _left, _rows, _columns):
        assert stats.ks_2samp(quantity(ours), quantity(theirs)).pvalue > ERROR_RATE, quantity.__name__


def test_area_and_log_aspect_are_even_where_every_box_fits() -> None:
    """On a large image rounding to pixels is nothing, and at most half of the area no box of these ratios is too long."""
    crop = CropSettings(scale=(0.08, 0.5))
    boxes = draw_crops(COUNT, 10_000, 10_000, crop, generator(2))
    assert stats.kstest(_area(boxes) / 1e8, stats.uniform(0.08, 0.42).cdf).pvalue > ERROR_RATE
    half = numpy.log(4 / 3)
    assert stats.kstest(_log_aspect(boxes), stats.uniform(-half, 2 * half).cdf).pvalue > ERROR_RATE


@pytest.mark.parametrize(
    ("height", "width", "ratio"),
    [(10, 40, (1.0, 1.0)), (41, 10, (0.75, 4 / 3)), (10, 41, (0.75, 4 / 3)), (9, 9, (3.0, 3.0))],
)
def test_the_central_box_is_torchvisions_where_none_fits(height: int, width: int, ratio: tuple[float, float]) -> None:
    crop = CropSettings(scale=(1.0, 1.0), ratio=ratio)
    expected = RandomResizedCrop.get_params(torch.empty(3, height, width), [1.0, 1.0], list(ratio))
    assert (draw_crops(5, height, width, crop, generator()) == list(expected)).all()


@pytest.mark.parametrize("name", OWN_FIELDS)
def test_switching_one_transformation_off_leaves_the_others_parameters(name: str) -> None:
    off = EVERYTHING.model_copy(update={name: 0.0 if name in ("flip", "grey") else None})
    one, other = generator(3), generator(3)
    on_drawn, off_drawn = draw_parameters(500, 32, 24, EVERYTHING, one), draw_parameters(500, 32, 24, off, other)
    changed = [f.name for f in fields(Parameters) if (getattr(on_drawn, f.name) != getattr(off_drawn, f.name)).any()]
    assert sorted(changed) == sorted(OWN_FIELDS[name])
    assert one.random() == other.random()  # and what is drawn next


def test_an_images_parameters_depend_on_its_row_alone() -> None:
    few = draw_parameters(7, 32, 32, EVERYTHING, generator(4))
    many = draw_parameters(30, 32, 32, EVERYTHING, generator(4)).rows(slice(7))
    for field in fields(Parameters):
        assert (getattr(few, field.name) == getattr(many, field.name)).all(), field.name


def test_without_a_crop_the_box_is_the_image() -> None:
    drawn = draw_parameters(3, 12, 17, AugmentationSettings(crop=None), generator())
    assert (drawn.crop == [0, 0, 12, 17]).all()


def _torchvisions(count: int, height: int, width: int, crop: CropSettings) -> ndarray:
    image = torch.empty(3, height, width)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        scale, ratio = list(crop.scale), list(crop.ratio)
        return numpy.array([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(count)])


def _area(boxes: ndarray) -> ndarray:
    return boxes[:, 2] * boxes[:, 3]


def _log_aspect(boxes: ndarray) -> ndarray:
    return numpy.log(boxes[:, 3] / boxes[:, 2])


def _top(boxes: ndarray) -> ndarray:
    return boxes[:, 0]


def _left(boxes: ndarray) -> ndarray:
    return boxes[:, 1]


def _rows(boxes: ndarray) -> ndarray:
    return boxes[:, 2]


def _columns(boxes: ndarray) -> ndarray:
    return boxes[:, 3]
