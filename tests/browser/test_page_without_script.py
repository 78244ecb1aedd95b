"""Without JavaScript the claims stand in their table, the sections can be read, and links lead to the trials."""

from __future__ import annotations

import json

from browser.conftest import Open
from playwright.sync_api import expect
from support import Workplace


def test_all_is_there_to_read(opening: Open, reported: Workplace) -> None:
    page = opening(java_script_enabled=False).page
    claims = json.loads((reported.folder / "site" / "claims.json").read_text())
    rows = page.locator("#overview tr.claim")
    assert rows.count() == len(claims)
    for row in rows.all():
        expect(row).to_be_visible()
    for section in page.locator("section.experiment").all():
        expect(section.locator("h2")).to_be_visible()
    for card in page.locator("article.card").all():
        expect(card.locator("h4")).to_be_visible()
    expect(page.locator("dialog")).to_be_hidden()


def test_links_work(opening: Open) -> None:
    page = opening(java_script_enabled=False).page
    link = page.locator("#overview tr.claim td a.verdict").first
    target = link.get_attribute("href")
    link.click()
    assert page.url.endswith(str(target))
    expect(page.locator(f"[id='{str(target)[1:]}']")).to_be_in_viewport()


def test_a_number_leads_to_the_list_of_trials(opening: Open) -> None:
    page = opening(java_script_enabled=False).page
    link = page.get_by_role("region", name="Accuracy by head", exact=True).locator("a[data-trials]").first
    link.click()
    assert page.url.endswith("#trials-heads-laptop")
    expect(page.locator("#trials-heads-laptop > summary")).to_be_in_viewport()


def test_filters_that_would_do_nothing_are_not_offered(opening: Open) -> None:
    page = opening(java_script_enabled=False).page
    expect(page.locator("form.filters select")).to_be_hidden()
