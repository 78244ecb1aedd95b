"""Every link lands on something that is seen then, and every number leads to the trials that it came from."""

from __future__ import annotations

import csv
import io
import json

import pytest
from browser.conftest import Open
from playwright.sync_api import Locator, Page, expect
from support import Workplace

HEADS, DIMENSIONS = ("none", "linear", "nonlinear"), ("8", "32", "128")
LABELS = {"none": "no head", "linear": "a linear head", "nonlinear": "a nonlinear head"}


@pytest.fixture(scope="module")
def records(reported: Workplace) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(reported.harness("export", "heads.yaml").out)))


def unfold_around(link: Locator) -> None:
    """Unfold what a link lies in, as a reader would."""
    link.evaluate(
        "(link) => { for (let p = link; p; p = p.parentElement) if (p.tagName === 'DETAILS') p.open = true; }"
    )


def test_every_link_lands_on_what_is_seen_then(page: Page) -> None:
    targets = page.locator("a[href]:not([data-trials])").evaluate_all("(all) => all.map((a) => a.getAttribute('href'))")
    assert targets and all(target.startswith("#") and len(target) > 1 for target in targets)
    opened_at_first = page.evaluate("[...document.querySelectorAll('details')].map((part) => part.open)")
    for target in dict.fromkeys(targets):
        found = page.locator(f"[id='{target[1:]}']")
        assert found.count() == 1, target
        link = page.locator(f"a[href='{target}']:not([data-trials])").first
        unfold_around(link)
        link.focus()
        page.keyboard.press("Enter")
        expect(found).to_be_in_viewport()
        assert page.evaluate("location.hash") == target
        page.evaluate(
            "(open) => document.querySelectorAll('details').forEach((part, place) => { part.open = open[place]; })",
            opened_at_first,
        )


def test_ids_are_there_once(page: Page) -> None:
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((found) => found.id)")
    assert len(ids) == len(set(ids))


def test_a_link_from_outside_unfolds_what_it_means(opening: Open) -> None:
    page = opening("#trials-heads-laptop").page
    expect(page.locator("#trials-heads-laptop tbody tr").first).to_be_in_viewport()
    assert page.locator("#trials-heads-laptop").evaluate("(part) => part.open")


def open_dialog(page: Page, link: Locator) -> list[str]:
    """Press a number with the keyboard; return the trials in the dialog, which is closed again."""
    dialog = page.locator("#trials-dialog")
    expect(dialog).to_be_hidden()
    unfold_around(link)
    link.focus()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    assert page.evaluate("document.getElementById('trials-dialog').contains(document.activeElement)")
    trials = page.locator("#trials-dialog-rows tr th").all_inner_texts()
    number = f"{len(trials)} {'trial' if len(trials) == 1 else 'trials'}"
    assert page.locator("#trials-dialog-title").inner_text() == f"{(link.text_content() or '').strip()}: {number}"
    assert page.locator("#trials-dialog-head th").first.inner_text() == "Trial"
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert link.evaluate("(link) => document.activeElement === link")
    return trials


def trials_of(records: list[dict[str, str]], **levels: str) -> list[str]:
    return [row["trial"] for row in records if all(row[name] == level for name, level in levels.items())]


def row_of(page: Page, table: str, label: str) -> Locator:
    return page.get_by_role("region", name=table, exact=True).get_by_role("row").filter(
        has=page.get_by_role("rowheader", name=label, exact=True)
    )  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
def test_a_number_leads_to_the_trials_of_its_level(page: Page, records: list[dict[str, str]], head: str) -> None:
    links = row_of(page, "Accuracy by head", LABELS[head]).locator("a[data-trials]").all()
    assert len(links) >= 2
    for link in links:
        assert sorted(open_dialog(page, link)) == sorted(trials_of(records, head=head))


def test_a_number_leads_to_the_trials_of_its_combination(page: Page, records: list[dict[str, str]]) -> None:
    for dimension in DIMENSIONS:
        row = row_of(page, "Accuracy by head and dimension", f"a linear head, {dimension}")
        expected = trials_of(records, head="linear", dimension=dimension)
        assert len(expected) >= 2
        assert sorted(open_dialog(page, row.locator("a[data-trials]").first)) == sorted(expected)


def test_a_claim_leads_to_its_trials(page: Page, reported: Workplace) -> None:
    claims = json.loads((reported.folder / "site" / "claims.json").read_text())
    for row in claims:
        card = page.locator("article.card").filter(
            has=page.locator(f"dt:text-is('Stands in') + dd code:text-is('{row['claim']}')")
        )
        assert card.count() == 1
        links = card.locator("a[data-trials]")
        if row["trials"]:
            assert sorted(open_dialog(page, links.first)) == sorted(row["trials"])
        else:
            assert links.count() == 0


def test_the_dialog_closes_with_its_button(page: Page) -> None:
    link = row_of(page, "Accuracy by head", "a linear head").locator("a[data-trials]").first
    link.click()
    page.locator("#trials-dialog button").click()
    expect(page.locator("#trials-dialog")).to_be_hidden()
    assert link.evaluate("(link) => document.activeElement === link")
