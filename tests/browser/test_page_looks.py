"""Dark and light, on paper, on a phone: the page stays readable. Screenshots lie in the test's folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser.colours import contrast
from browser.conftest import Open
from browser.headless import DESKTOP, PHONE
from playwright.sync_api import Page, expect

UNFOLD = "for (const part of document.querySelectorAll('details')) part.open = true"
SMALLEST_TEXT = 12
"""In pixels, on a phone."""

INKS = """() => {
  // Everything in a picture that is filled with the page's ink, and so is text or a mark that must be read as text is.
  const found = [];
  for (const part of document.querySelectorAll('svg *')) {
    const style = part.getAttribute('style') ?? '', fill = part.getAttribute('fill') ?? '';
    const ink = /fill:\\s*var\\(--(ink|soft)/.test(style) || /^var\\(--(ink|soft)/.test(fill) || part.tagName === 'text';
    if (ink) found.push(getComputedStyle(part).fill);
  }
  return [...new Set(found)];
}"""

SERIES = """() => [...Array(8).keys()].map((place) => {
  const probe = document.createElement('span');
  probe.style.color = `var(--series-${place + 1})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
})"""

SIZES = """() => {
  const found = [];
  for (const part of document.querySelectorAll('body *')) {
    const own = [...part.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!own || !part.checkVisibility() || part.closest('.hidden, script, style, dialog')) continue;
    let size = parseFloat(getComputedStyle(part).fontSize);
    const drawing = part.closest('svg');
    if (drawing && drawing.viewBox.baseVal.width) size *= drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width;
    found.push([size, part.tagName, part.textContent.trim().slice(0, 40)]);
  }
  return found.sort((one, other) => one[0] - other[0]).slice(0, 5);
}"""


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def seen_brightness(page: Page, screenshot: Path) -> float:
    """Keep what the window shows as a picture, and return how bright it is: 0 is black, 1 is white."""
    from PIL import Image, ImageStat

    page.screenshot(path=screenshot)
    return float(ImageStat.Stat(Image.open(screenshot).convert("L")).mean[0]) / 255


def test_dark_and_light(opening: Open, tmp_path: Path) -> None:
    seen, brightness = {}, {}
    for scheme in ("light", "dark"):
        page = opening(color_scheme=scheme).page
        page.evaluate(UNFOLD)
        seen[scheme] = background(page)
        inks = page.evaluate(INKS)
        assert len(inks) >= 2
        assert not [ink for ink in inks if contrast(ink, seen[scheme]) < 4.5]
        # Lines and areas need less than text.
        assert not [colour for colour in page.evaluate(SERIES) if contrast(colour, seen[scheme]) < 3]
        brightness[scheme] = seen_brightness(page, tmp_path / f"{scheme}.png")
    assert brightness["dark"] < 0.25 and brightness["light"] > 0.75
    assert seen["light"] != seen["dark"]
    assert contrast(seen["light"], seen["dark"]) > 12


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_page_never_scrolls_sideways(opening: Open, tmp_path: Path, size: tuple[int, int]) -> None:
    page = opening(size=size).page
    page.screenshot(path=tmp_path / "first.png")
    for state in ("as it opens", "unfolded"):
        assert page.evaluate("document.scrollingElement.scrollWidth") <= size[0], state
        page.evaluate(UNFOLD)
        page.wait_for_timeout(100)


def test_no_text_is_too_small_on_a_phone(opening: Open) -> None:
    page = opening(size=PHONE, device_scale_factor=2).page
    page.evaluate(UNFOLD)
    too_small = [found for found in page.evaluate(SIZES) if found[0] < SMALLEST_TEXT]
    assert not too_small


def test_pictures_are_not_shrunk_beyond_reading_on_a_phone(opening: Open) -> None:
    page = opening(size=PHONE).page
    # Their texts are paths of ten points and more. A claim's picture is shown whole, however small.
    for place, smallest in ((".pictures .drawing > svg", SMALLEST_TEXT), (".card .drawing > svg", 7)):
        scales = page.locator(place).evaluate_all(
            "(all) => all.map((svg) => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)"
        )
        assert scales and min(scales) * 10 >= smallest, place


def test_every_picture_is_inside_its_frame(opening: Open) -> None:
    for size in (PHONE, DESKTOP):
        page = opening(size=size).page
        page.evaluate(UNFOLD)
        outside = page.evaluate(
            """() => [...document.querySelectorAll('figure')].filter((figure) => {
              const own = figure.getBoundingClientRect(), around = figure.parentElement.getBoundingClientRect();
              return own.right > around.right + 1 || own.left < around.left - 1;
            }).map((figure) => figure.getAttribute('aria-label'))"""
        )
        assert not outside


def test_on_paper(opening: Open, tmp_path: Path) -> None:
    page = opening().page
    folded = page.locator("details:not([open], [id^='trials-'], .numbers)").count()
    assert folded > 0
    page.evaluate(
        "addEventListener('beforeprint', () => { window.printed = document.querySelectorAll('details:not([open], [id^=\"trials-\"], .numbers)').length })"
    )
    paper = page.pdf(path=tmp_path / "paper.pdf", format="A4")
    assert page.evaluate("window.printed") == 0
    # What was unfolded for the printer is folded again.
    assert page.locator("details:not([open], [id^='trials-'], .numbers)").count() == folded
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) >= 4

    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator("form.filters")).to_be_hidden()
    expect(page.locator("nav")).to_be_hidden()
    expect(page.locator("#overview")).to_be_visible()
    ink = str(page.evaluate("getComputedStyle(document.body).color"))
    # Ink on paper, though the reader's screen is dark.
    assert contrast(ink, "rgb(255, 255, 255)") > 12
    assert not [found for found in page.evaluate(INKS) if contrast(found, "rgb(255, 255, 255)") < 4.5]
    assert not [found for found in page.evaluate(SERIES) if contrast(found, "rgb(255, 255, 255)") < 3]
    assert seen_brightness(page, tmp_path / "paper.png") > 0.75


def test_tables_fit_on_paper(opening: Open) -> None:
    # A4 at 96 pixels an inch, less the page's own margins.
    width = 688
    page = opening(size=(width, 1047)).page
    page.emulate_media(media="print")
    assert page.locator("#overview").evaluate("(table) => getComputedStyle(table).display") == "table"
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    cut = page.evaluate(
        """() => [...document.querySelectorAll('table')].filter((part) => part.checkVisibility())
          .map((part) => [part.caption?.textContent ?? '', Math.round(part.getBoundingClientRect().right)])"""
    )
    assert len(cut) >= 3
    assert not [found for found in cut if found[1] > width]


def test_a_mark_that_turns_text_around_turns_only_its_own(page: Page) -> None:
    """The locator of one claim has a right-to-left override in it, and the claim's id stands behind it."""
    found = page.evaluate(
        """() => [...document.querySelectorAll('bdi')].filter((part) => part.textContent.includes('\u202e')).map((part) => {
          const next = part.parentElement.querySelector('code');
          return [part.getBoundingClientRect().right, next.getBoundingClientRect().left];
        }).filter(([right, left]) => right > 0)"""
    )
    assert len(found) >= 2
    assert all(right <= left for right, left in found)
