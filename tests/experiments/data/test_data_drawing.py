"""The drawing tools against references: torch's grid sampling, SciPy's filters, matplotlib's outlines, colorsys."""

from __future__ import annotations

import colorsys
import math

import numpy
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath

from experiments.data import colours, masks, shapes
from experiments.data.draws import Draws, quantised, sine_cosine
from experiments.data.letters import letter_edges, letter_masks, text_fonts
from experiments.data.poses import Pose

fractions = st.floats(0, 1, allow_nan=False)


def column(*values: float) -> numpy.ndarray:
    return numpy.array(values, dtype=float)


def test_sine_and_cosine() -> None:
    degrees = numpy.linspace(-180, 180, 1001)
    sine, cosine = sine_cosine(degrees)
    assert numpy.abs(sine - numpy.sin(numpy.radians(degrees))).max() < 1e-13
    assert numpy.abs(cosine - numpy.cos(numpy.radians(degrees))).max() < 1e-13


def test_quantised() -> None:
    assert quantised(column(-0.1, 0, 0.5 / 255, 0.4999 / 255, 1, 1.5)).tolist() == [0, 0, 1, 0, 255, 255]


def test_streams_have_their_own_numbers_and_more_of_them_change_none() -> None:
    draws = Draws("glyphs", 3, "train")
    first = draws.uniform("hue", 0, 1, 50)
    assert (first[:20] == Draws("glyphs", 3, "train").uniform("hue", 0, 1, 20)).all()
    others = [Draws("scenes", 3, "train"), Draws("glyphs", 4, "train"), Draws("glyphs", 3, "test")]
    streams = [draws.uniform("noise", 0, 1, 50), *(other.uniform("hue", 0, 1, 50) for other in others)]
    assert all((first != stream).all() for stream in streams)
    counts = numpy.bincount(draws.integers("letter", 6, 60_000), minlength=6)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 30  # chi-square with 5 degrees: one in 70,000 above
    assert (numpy.sort(draws.permutation("cells", 100, 4), axis=1) == numpy.arange(4)).all()


@settings(max_examples=40)
@given(
    x=st.floats(-0.2, 1.2),
    y=st.floats(-0.2, 1.2),
    scale=st.floats(0.3, 1.5),
    rotation=st.floats(-180, 180),
    size=st.integers(8, 24),
)
def test_placing_is_torchs_bilinear_sampling(x: float, y: float, scale: float, rotation: float, size: int) -> None:
    mask = numpy.random.default_rng(0).random((3, 12, 12))
    # No filter: as many mask pixels as image pixels, or fewer.
    stamps = masks.Bank(numpy.pad(mask[None], ((0, 0), (0, 0), (1, 1), (1, 1))), numpy.empty(0), 1.5)
    found = masks.place(stamps, numpy.array([2]), Pose(column(x), column(y), column(scale), column(rotation)), size)
    pixels = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    right, up = pixels[None, :] - x, -(pixels[:, None] - y)
    angle = math.radians(rotation)
    # Turn the pixel back, clockwise, in a system with its y axis up.
    along = (right * math.cos(angle) + up * math.sin(angle)) / scale
    above = (-right * math.sin(angle) + up * math.cos(angle)) / scale
    grid = torch.stack([along, -above], dim=-1)[None] * 2 / 1.5
    theirs = torch.nn.functional.grid_sample(
        torch.from_numpy(mask[2])[None, None], grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    assert numpy.abs(found[0] - theirs[0, 0].numpy()).max() < 1e-9


def test_the_filter_is_a_box_as_wide_as_a_pixel() -> None:
    mask = numpy.random.default_rng(1).random((2, 30, 30))
    # 30 mask pixels over 1.5 frames, a frame 4 pixels: 5 mask pixels a pixel, at the middle of the only level.
    found = masks.bank(mask, 1.5, 8, 0.5 / masks.HALF_RATIO, 0.5)
    assert found.masks.shape == (1, 2, 32, 32) and found.boundaries.size == 0
    theirs = scipy.ndimage.uniform_filter(mask, (0, 5, 5), mode="constant")
    assert numpy.abs(found.masks[0, :, 1:-1, 1:-1] - theirs).max() < 1e-12


@given(low=st.floats(0.1, 1), ratio=st.floats(1, 5))
def test_every_scale_has_a_filter_of_about_its_pixels(low: float, ratio: float) -> None:
    found = masks.bank(numpy.zeros((1, 4, 4)), 1.4, 16, low, low * ratio)
    edges = [low, *found.boundaries.tolist(), low * ratio]
    assert len(found.masks) == len(found.boundaries) + 1
    assert all(first <= second * (1 + 1e-9) for first, second in zip(edges[:-1], edges[1:], strict=True))
    assert all(second / first <= 1.2 + 1e-9 for first, second in zip(edges[:-1], edges[1:], strict=True))


def test_smooth_fields_are_interpolated_linearly() -> None:
    lattice = numpy.random.default_rng(2).random((2, 5, 5))
    found = masks.smooth_field(lattice, 11)
    at = (numpy.arange(11) + 0.5) / 11 * 4
    rows = numpy.stack([[numpy.interp(at, range(5), row) for row in one] for one in lattice])
    theirs = numpy.stack([numpy.stack([numpy.interp(at, range(5), line) for line in one.T], axis=1) for one in rows])
    assert numpy.abs(found - theirs).max() < 1e-12


AREAS = {  # closed forms, in squared frames
    "circle": math.pi / 4,
    "square": 0.88**2,
    "triangle": 0.88 / 2,
    # Ten triangles from the centre, with radii 0.5 and 0.5 cos 72 / cos 36 and 36 degrees between them.
    "star": 10 * 0.5 * 0.5 * 0.5 * math.cos(math.radians(72)) / math.cos(math.radians(36)) * math.sin(math.radians(36)),
    "cross": 2 * 0.3 - 0.3**2,
    "ring": math.pi * (0.25 - 0.28**2),
    "hexagon": 1.5 * math.sqrt(3) * 0.25,
    "arrow": 0.84 * 0.5 / 2 + 0.3 * 0.5,
}


def test_shapes_have_their_areas_and_fill_their_frames() -> None:
    found = shapes.shape_masks(10, 100)
    assert len(shapes.SHAPES) == 10
    for name, mask in zip(shapes.SHAPES, found, strict=True):
        if name in AREAS:
            assert mask.sum() / 100**2 == pytest.approx(AREAS[name], abs=0.002), name
        rows, columns = numpy.nonzero(mask > 0.5)
        longer = max(numpy.ptp(rows), numpy.ptp(columns)) + 1
        assert 0.85 <= longer / 100 <= 1.05, name
        assert not mask[0].any() and not mask[-1].any() and not mask[:, 0].any() and not mask[:, -1].any()
    inked = [int(mask.sum()) for mask in found]
    assert len(set(inked)) == 10


def test_text_fonts_are_those_with_all_letters() -> None:
    assert [path.name for path in text_fonts()] == sorted(path.name for path in text_fonts())
    names = [path.stem for path in text_fonts()]
    assert {"DejaVuSans", "DejaVuSerif-BoldItalic", "STIXGeneral", "cmr10", "cmtt10"} <= set(names)
    assert not {"cmsy10", "cmex10", "STIXSizOneSymReg", "STIXNonUni", "LastResortHE-Regular"} & set(names)


@pytest.mark.parametrize("letter", ["A", "B", "G", "Q", "W"])
@pytest.mark.parametrize("font", ["DejaVuSans", "DejaVuSerif-BoldItalic", "STIXGeneralItalic", "cmr10"])
def test_letter_masks_are_matplotlibs_outlines(font: str, letter: str) -> None:
    path = {path.stem: path for path in text_fonts()}[font]
    resolution = 40
    mask = masks.rasterised(letter_edges(path, letter), resolution)
    outline = TextPath((0, 0), letter, size=100, prop=FontProperties(fname=str(path)))
    box = outline.get_extents()
    longer = max(box.width, box.height)
    position = (numpy.arange(len(mask) * 4) + 0.5) / 4 - len(mask) / 2
    x, y = numpy.meshgrid(position / resolution * longer, -position / resolution * longer)
    points = numpy.stack([x.ravel() + (box.x0 + box.x1) / 2, y.ravel() + (box.y0 + box.y1) / 2], axis=1)
    polygons = [Outline(polygon) for polygon in outline.to_polygons(closed_only=True)]
    # A hole is wound the other way: the signed sum over contours is the winding number.
    winding = sum(
        polygon.contains_points(points).astype(int) * (1 if _signed_area(polygon.vertices) > 0 else -1)
        for polygon in polygons
    )
    theirs = (numpy.asarray(winding) != 0).reshape(len(mask), 4, len(mask), 4).mean(axis=(1, 3))
    assert numpy.abs(mask - theirs).max() <= 0.3 and numpy.abs(mask - theirs).mean() < 0.003


def _signed_area(vertices: numpy.ndarray) -> float:
    x, y = vertices.T
    return float((x * numpy.roll(y, -1) - numpy.roll(x, -1) * y).sum())


def test_every_font_has_every_capital_and_they_differ() -> None:
    found = letter_masks(26, 24).reshape(len(text_fonts()), 26, -1)
    assert (found.sum(axis=-1) > 25).all()
    for font in found:
        distances = numpy.abs(font[:, None] - font[None]).sum(axis=-1) + 1000 * numpy.eye(26)
        assert distances.min() > 10


@given(hue=st.floats(0, 360, exclude_max=True), lightness=st.floats(0.05, 0.95), saturation=st.floats(0.1, 1))
def test_colours_have_their_hue_and_lightness(hue: float, lightness: float, saturation: float) -> None:
    pure = colours.of_hue(column(hue))
    assert pure[0] == pytest.approx(colorsys.hsv_to_rgb(hue / 360, 1, 1), abs=1e-9)
    found = colours.saturated(colours.at_luma(pure, column(lightness)), column(saturation))
    assert (found >= -1e-12).all() and (found <= 1 + 1e-12).all()
    assert colours.luma(found)[0] == pytest.approx(lightness, abs=1e-9)
    theirs = colorsys.rgb_to_hsv(*found[0])[0] * 360
    assert abs((theirs - hue + 180) % 360 - 180) < 1e-3


@given(lightness=st.floats(0, 1), side=fractions, amount=fractions)
def test_backgrounds_stand_out(lightness: float, side: float, amount: float) -> None:
    found = colours.contrasting_luma(column(lightness), column(side), column(amount))[0]
    assert colours.DARKEST - 1e-9 <= found <= colours.LIGHTEST + 1e-9
    assert abs(found - lightness) >= colours.LEAST_CONTRAST - 1e-9
