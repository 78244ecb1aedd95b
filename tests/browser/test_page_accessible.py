"""axe-core finds nothing serious or critical: in light, in dark, on a phone, unfolded, and with the dialog open."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.conftest import Open
from browser.headless import DESKTOP, PHONE
from browser.test_page_looks import UNFOLD
from playwright.sync_api import Page, expect

GRAVE = ("serious", "critical")
"""What breaks a page for somebody. A drawing is one picture with a name: of its lines axe-core has nothing to say."""


def violations(page: Page, where: str = "html") -> list[str]:
    """Return what axe-core finds that is serious or critical: rule, what it says, and where."""
    context = {"include": [[where]], "exclude": [[".drawing > svg > *"]]}
    found = Axe().run(page, context=context).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: "
        + "; ".join(f"{node['target']} {node['html'][:120]}" for node in rule["nodes"][:5])
        for rule in found
        if rule["impact"] in GRAVE
    ]


def test_as_it_opens(page: Page) -> None:
    assert not violations(page)


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        pytest.param(DESKTOP, "light", id="light"),
        pytest.param(DESKTOP, "dark", id="dark", marks=pytest.mark.slow),
        pytest.param(PHONE, "light", id="phone", marks=pytest.mark.slow),
    ],
)
def test_unfolded(opening: Open, scheme: str, size: tuple[int, int]) -> None:
    page = opening(size=size, color_scheme=scheme).page
    page.evaluate(UNFOLD)
    assert not violations(page)


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_with_the_dialog_open(opening: Open, scheme: str) -> None:
    page = opening(color_scheme=scheme).page
    page.evaluate("document.querySelector('table:not(#overview) td.number a[data-trials]').click()")
    expect(page.locator("#trials-dialog")).to_be_visible()
    assert not violations(page, "dialog")


def test_with_everything_filtered_away(page: Page) -> None:
    page.locator("input[name=words]").fill("nothing has this word")
    assert page.locator("#overview tr.claim:visible").count() == 0
    assert not violations(page, "#claims")


def test_axe_finds_what_is_wrong(page: Page) -> None:
    page.evaluate("document.querySelector('h1').style.color = '#eee'")
    assert "color-contrast" in " ".join(violations(page, "header"))


def test_headings_form_an_outline(page: Page) -> None:
    levels = page.locator("h1, h2, h3, h4, h5, h6").evaluate_all(
        "(all) => all.map((found) => Number(found.tagName[1]))"
    )
    assert levels[0] == 1 and levels.count(1) == 1
    assert not [(one, other) for one, other in zip(levels, levels[1:], strict=False) if other > one + 1]


def test_every_picture_has_a_name_and_its_numbers(page: Page) -> None:
    figures = page.locator("figure").all()
    assert len(figures) >= 12
    for figure in figures:
        drawing = figure.locator(".drawing svg").first
        assert drawing.get_attribute("role") == "img" and drawing.get_attribute("aria-label")
        assert figure.locator("details.numbers table tbody tr").count() >= 1
    assert all(caption.strip() for caption in page.locator("figcaption").all_text_contents())
    for strip in page.locator("svg.strip[role=img]").all():
        assert strip.get_attribute("aria-label")
