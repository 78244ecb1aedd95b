"""Pictures of a report for the README: ``python -m browser.make_pictures SITE FOLDER``, run by ``make pictures``."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from browser.headless import FLAGS, MISSING, find_browser
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

LARGEST = 150_000
"""Bytes of one file."""
COLOURS = 256
CLAIMS = ("vilt.speed.region", "clip.prompts.template", "vilt.cost.ratio")
"""Whose card is shown: the first of them that the report has, else the first card with a picture."""
PICTURES = ("How many times slower than ViLT", "Accuracy by the number of templates", "Operations against parameters")
"""Which pictures are shown, by what their titles begin with; the first ones of the report where it has none of them."""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path, help="the folder of a report")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--claim", action="append", default=[], help="the id of the claim that is shown")
    parser.add_argument("--picture", action="append", default=[], help="the beginning of a picture's title")
    asked = parser.parse_args(arguments)
    page, path = asked.site / "index.html", find_browser()
    if path is None:
        sys.exit(f"make pictures: {MISSING}")
    if not page.is_file():
        sys.exit(f"make pictures: there is no {page}; make a report first, or name its folder with SITE=DIR")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        shots = {
            "report-claims.png": first_screen(opened(browser, page, 1280, 800)),
            "report-claim.png": claim_card(opened(browser, page, 1280, 1600), [*asked.claim, *CLAIMS]),
            "report-pictures.png": pictures(opened(browser, page, 860, 1600), [*asked.picture, *PICTURES]),
        }
        browser.close()
    for name, shot in shots.items():
        data = small(shot)
        if len(data) > LARGEST:
            sys.exit(f"make pictures: {name} has {len(data):,} bytes, more than {LARGEST:,}; choose a smaller part")
        (asked.folder / name).write_bytes(data)
        print(f"{asked.folder / name}: {len(data):,} bytes")


def opened(browser: Browser, file: Path, width: int, height: int) -> Page:
    """Return the page in the light, in a window of its own."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
    page.goto(file.absolute().as_uri())
    return page


def first_screen(page: Page) -> list[bytes]:
    return [page.screenshot()]


def claim_card(page: Page, claims: Sequence[str]) -> list[bytes]:
    """Return the card of the first claim that there is, with its picture."""
    cards = page.locator("article.card:has(figure)")
    named = (cards.filter(has=page.locator(f"dd > code:text-is('{claim}')")) for claim in claims)
    found = next((card for card in named if card.count()), cards)
    return [found.first.screenshot()]


def pictures(page: Page, titles: Sequence[str], most: int = 2) -> list[bytes]:
    """Return the pictures whose titles begin as is asked, at most two; else the first ones of the report."""
    figures = page.locator(".pictures figure")
    found: list[Locator] = []
    for title in titles:
        named = figures.filter(has=page.get_by_role("heading", name=title))
        found += named.all()[:1]
    return [figure.screenshot() for figure in (found or figures.all())[:most]]


def small(shots: Sequence[bytes]) -> bytes:
    """Return screenshots one below the other as one PNG of few colours."""
    images = [Image.open(io.BytesIO(shot)).convert("RGB") for shot in shots]
    whole = Image.new("RGB", (max(i.width for i in images), sum(i.height for i in images)), "white")
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    target = io.BytesIO()
    whole.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(target, "PNG", optimize=True)
    return target.getvalue()


if __name__ == "__main__":
    main(sys.argv[1:])
