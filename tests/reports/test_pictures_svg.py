"""Pictures as text: any label is drawn as text, names are a picture's own, and colours are those of the page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reports.page import TEMPLATES
from reports.pictures.canvas import canvas, legend_below, palette, plain, to_svg, wrapped
from reports.pictures.inks import INK, LINE, SERIES, SOFT, SURFACE, VARIABLES

AWKWARD = [
    "<script>alert(1)</script>", "\"quoted' & <b>", "$x^{2$ and $\\alpha$", "\\frac{1}{", "\u202eright to left\u200f",
    "x" * 10_000, "two\nlines\r\n", "\x00\x07\x1b[31m", "\ud800 alone", "😀 👩‍👩‍👧", "_hidden", "", "%s {} %(x)d", "--> <!--",
]  # fmt: skip
ANYTHING = st.one_of(st.sampled_from(AWKWARD), st.text(st.characters(codec=None), max_size=60))


def svg_with(text: str, title: str = "T", salt: str = "") -> str:
    figure, axes = canvas(2, width=4.0)
    axis = axes[0][0]
    axis.plot([1, 2], [1, 2], color=palette(1)[0], label=wrapped(text))
    axis.set_xticks([1, 2], [text, wrapped(text)])
    axis.set_xlabel(text)
    axis.set_title(text)
    legend_below(figure, axis, 2)
    return to_svg(figure, title, salt)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=ANYTHING, title=ANYTHING)
def test_any_text_is_drawn_as_text(text: str, title: str) -> None:
    svg = svg_with(text, title)
    svg.encode()
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-label"] == plain(title)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {"svg", "g", "path", "use", "defs", "clipPath", "rect"}  # fmt: skip
    assert len(svg) < 60_000


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_texts_are_drawn_as_text(text: str) -> None:
    assert svg_with(text, title=text).startswith("<svg")


@given(ANYTHING, st.integers(2, 200))
def test_plain_text_is_short_and_can_be_drawn(text: str, longest: int) -> None:
    found = plain(text, longest)
    assert len(found) <= longest
    found.encode()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u200f\u202e]", found)
    assert plain(found, longest) == found


@given(ANYTHING, st.integers(4, 40), st.integers(1, 4))
def test_wrapped_text_fits_its_place(text: str, width: int, lines: int) -> None:
    found = wrapped(text, width, lines).split("\n")
    assert len(found) <= lines and all(len(line) <= width for line in found)


def test_long_texts_end_in_an_ellipsis_and_dollars_stay() -> None:
    assert plain("x" * 10_000).endswith("x…") and wrapped("many words " * 100).endswith("…")
    assert plain("$5 or $6") == "$5 or $6" and plain("a\x00b") == "a b" and plain("\ud800") == "\ufffd"


def names(svg: str) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', svg))


def test_names_are_a_pictures_own_and_all_uses_are_of_them() -> None:
    one, other, third = svg_with("a", "T", "spec-a"), svg_with("a", "T", "spec-b"), svg_with("a", "T!", "spec-a")
    assert not names(one) & names(other) and not names(one) & names(third)
    for svg in (one, other, third):
        assert len(re.findall(r'\bid="', svg)) == len(names(svg)) > 0
        assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)) <= {(n, "") for n in names(svg)} | {("", n) for n in names(svg)}  # fmt: skip


def test_the_same_picture_is_the_same_bytes() -> None:
    assert svg_with("a", "T", "s") == svg_with("a", "T", "s")


def test_nothing_of_a_picture_reaches_the_page_around_it() -> None:
    svg = svg_with("a")
    assert "<style" not in svg and "<!--" not in svg and "<metadata" not in svg and "http" not in svg.replace("http://www.w3.org/2000/svg", "")  # fmt: skip
    assert not re.search(r"\d\.\d{3,}(?![^\"]*\)\")", re.sub(r'transform="[^"]*"', "", svg))


def test_colours_are_variables_with_fallbacks() -> None:
    svg = svg_with("a")
    for colour in (INK, LINE, SERIES[0]):
        assert f"var({VARIABLES[colour]},{colour})" in svg
    assert not re.findall(r"(?<!,)#[0-9a-f]{6}\b", re.sub(r'href="#[^"]*"|url\(#[^)]*\)', "", svg))


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_data_can_be_told_from_the_page_in_light_and_in_dark() -> None:
    css = (TEMPLATES / "pictures.css").read_text()
    light, dark = css.split("@media")
    for mode, page in ((light, "#ffffff"), (dark, "#0d1117")):
        found = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", mode))
        assert found["--surface"] == page
        series = [found[VARIABLES[colour]] for colour in SERIES]
        assert len(set(series)) == len(SERIES) and all(contrast(colour, page) >= 3 for colour in series)
    assert [re.search(rf"{VARIABLES[c]}: (\S+);", light)[1] for c in SERIES] == list(SERIES)  # type: ignore[index]
    assert all(contrast(colour, SURFACE) >= 4.5 for colour in (INK, SOFT))
