"""Shifts against closed forms."""

from __future__ import annotations

import colorsys
import math
from typing import Any

import numpy
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from experiments.clip import shifts
from experiments.clip.shift_settings import ShiftSettings
from experiments.clip.shifts import shifted
from harness.execution.streams import Stream

ADAPTER: TypeAdapter[Any] = TypeAdapter(ShiftSettings)
KINDS = ("noise", "blur", "grey", "invert", "rotate", "contrast", "occlude", "shift-colours")
SIDE = 16


def images(count: int = 20, channels: int = 3) -> Tensor:
    return torch.randint(0, 256, (count, channels, SIDE, SIDE), generator=torch.Generator().manual_seed(3)).to(
        torch.uint8
    )


def applied(given: Tensor, kind: str, stream: str = "shift", **more: Any) -> Tensor:
    return shifted(given, ADAPTER.validate_python({"kind": kind, **more}), Stream(stream))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_bytes_in_bytes_out_and_the_same_again(kind: str, channels: int) -> None:
    given = images(channels=channels)
    before = given.clone()
    found = applied(given, kind)
    assert found.dtype == torch.uint8 and found.shape == given.shape and torch.equal(given, before)
    torch.rand(3)
    assert torch.equal(applied(given, kind), found)
    if channels == 3:
        assert not torch.equal(found, given)


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_drawn_depends_on_the_stream(kind: str) -> None:
    same = torch.equal(applied(images(), kind), applied(images(), kind, "another"))
    assert same == (kind not in ("noise", "rotate", "occlude"))


@pytest.mark.parametrize("kind", KINDS)
def test_torchs_own_generator_is_left_where_it_was(kind: str) -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    applied(images(), kind)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("kind", ["blur", "grey", "invert", "contrast", "shift-colours"])
def test_what_is_not_drawn_is_the_same_in_chunks(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = applied(images(), kind)
    monkeypatch.setattr(shifts, "CHUNK", 7)
    assert torch.equal(applied(images(), kind), whole)


def test_chunks_draw_each_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shifts, "CHUNK", 5)
    found = applied(torch.full((10, 3, SIDE, SIDE), 100, dtype=torch.uint8), "noise")
    assert not torch.equal(found[:5], found[5:])


def test_noise_has_its_deviation_and_no_bias() -> None:
    middle = torch.full((200, 3, SIDE, SIDE), 128, dtype=torch.uint8)
    for deviation in (0.02, 0.1):
        noise = applied(middle, "noise", deviation=deviation).double() - 128
        assert float(noise.std()) == pytest.approx(255 * deviation, rel=0.01)
        assert abs(float(noise.mean())) < 4 * 255 * deviation / math.sqrt(noise.numel()) + 0.01
    ends = applied(torch.zeros_like(middle), "noise", deviation=0.5)
    assert float((ends == 0).double().mean()) == pytest.approx(0.5, abs=0.01)


def test_strengths_of_one_kind_draw_the_same() -> None:
    middle = torch.full((4, 3, SIDE, SIDE), 128, dtype=torch.uint8)
    one, two = (applied(middle, "noise", deviation=each).double() - 128 for each in (0.05, 0.1))
    assert float((two - 2 * one).abs().max()) <= 1.5


def test_blur_keeps_the_mean_and_spreads_a_point_as_a_gaussian() -> None:
    flat = torch.full((2, 3, SIDE, SIDE), 77, dtype=torch.uint8)
    assert torch.equal(applied(flat, "blur", sigma=2.0), flat)
    point = torch.zeros(1, 1, 33, 33, dtype=torch.uint8)
    point[0, 0, 16, 16] = 255
    weights = numpy.exp(-0.5 * numpy.arange(-3, 4) ** 2 / 0.8**2)
    expected = 255 * numpy.outer(weights, weights) / weights.sum() ** 2
    found = applied(point, "blur", sigma=0.8)[0, 0, 13:20, 13:20].numpy().astype(float)
    assert numpy.abs(found - expected).max() < 0.6
    assert applied(images(2), "blur", sigma=30.0).double().std() < images(2).double().std() / 4


def test_grey_has_equal_channels_of_the_luma() -> None:
    found = applied(images(), "grey")
    assert torch.equal(found[:, 0], found[:, 1]) and torch.equal(found[:, 0], found[:, 2])
    red, green, blue = images().double().unbind(1)
    assert float((found[:, 0].double() - (0.299 * red + 0.587 * green + 0.114 * blue)).abs().max()) < 0.6
    assert torch.equal(applied(found, "grey"), found)


def test_invert_twice_is_nothing() -> None:
    once = applied(images(), "invert")
    assert torch.equal(once, 255 - images()) and torch.equal(applied(once, "invert"), images())


def test_every_image_is_turned_to_one_side_or_the_other() -> None:
    given = torch.zeros(60, 3, 32, 32, dtype=torch.uint8)
    given[:, :, :, 16:] = 200
    quarter = applied(given, "rotate", degrees=90)
    up = [bool(each[0, 4, 16] > each[0, 28, 16]) for each in quarter]
    assert 15 < sum(up) < 45
    for each, above in zip(quarter, up, strict=True):
        expected = torch.rot90(given[0], 1 if above else -1, dims=(-2, -1))
        assert float((each.double() - expected.double()).abs().mean()) < 1
    half = applied(images(), "rotate", degrees=180).double()
    assert float((half - torch.rot90(images(), 2, dims=(-2, -1)).double()).abs().mean()) < 3


def test_turning_brings_no_black_corners() -> None:
    flat = torch.full((6, 3, SIDE, SIDE), 200, dtype=torch.uint8)
    for degrees in (10.0, 45.0, 130.0):
        assert torch.equal(applied(flat, "rotate", degrees=degrees), flat)


def test_one_image_can_be_turned() -> None:
    assert applied(images(1), "rotate").shape == (1, 3, SIDE, SIDE)


def test_contrast_scales_distances_to_the_mean() -> None:
    given = (images() // 2 + 60).to(torch.uint8)
    grey = applied(given, "grey").double().mean((1, 2, 3), keepdim=True)
    assert float((applied(given, "contrast", factor=0.0).double() - grey).abs().max()) <= 1
    assert float((applied(given, "contrast", factor=0.5).double() - (given.double() + grey) / 2).abs().max()) <= 1.5
    assert torch.equal(applied(given, "contrast", factor=1.0), given)
    assert applied(given, "contrast", factor=2.0).double().std() > given.double().std()


@pytest.mark.parametrize("side", [0.25, 0.4, 1.0, 0.01])
def test_a_square_of_its_size_is_covered_anywhere(side: float) -> None:
    given = torch.full((300, 3, SIDE, SIDE), 9, dtype=torch.uint8)
    covered = applied(given, "occlude", side=side) == 128
    square = max(1, round(side * SIDE))
    assert (covered.sum((1, 2, 3)) == 3 * square**2).all()
    rows, columns = covered[:, 0].any(2), covered[:, 0].any(1)
    assert (rows.sum(1) == square).all() and (columns.sum(1) == square).all()
    places = SIDE - square + 1
    for lines in (rows, columns):
        first = lines.int().argmax(1)
        assert len(first.unique()) == places if places < 14 else len(first.unique()) > 10
    uncovered = applied(given, "occlude", side=side)[~covered]
    assert (uncovered == 9).all()


def test_hues_turn_on_their_circle() -> None:
    found = applied(images(2), "shift-colours", degrees=120)
    for old, new in zip(
        images(2).permute(0, 2, 3, 1).reshape(-1, 3), found.permute(0, 2, 3, 1).reshape(-1, 3), strict=True
    ):
        hue, saturation, value = colorsys.rgb_to_hsv(*(old.double() / 255).tolist())
        expected = colorsys.hsv_to_rgb((hue + 1 / 3) % 1, saturation, value)
        assert numpy.abs(255 * numpy.array(expected) - new.numpy()).max() < 1.5
    back = applied(applied(images(), "shift-colours", degrees=120), "shift-colours", degrees=-120)
    assert float((back.double() - images().double()).abs().max()) <= 4


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "noise", "deviation": 0}, {"kind": "blur", "sigma": 0}, {"kind": "rotate", "degrees": 181},
        {"kind": "occlude", "side": 1.1}, {"kind": "contrast", "factor": -1}, {"kind": "shift-colours", "degrees": 200},
        {"kind": "snow"}, {"kind": "grey", "strength": 1}, {},
    ],
)  # fmt: skip
def test_strengths_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(given)
