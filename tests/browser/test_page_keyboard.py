"""Filter and sort of the claims with the keyboard alone: what is focused is seen, what is counted is right."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support import Workplace

FOCUSED = "(selector) => document.activeElement !== null && document.activeElement.matches(selector)"
OUTLINE = """() => {
  const style = getComputedStyle(document.activeElement);
  return document.activeElement.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
}"""


@pytest.fixture(scope="module")
def claims(reported: Workplace) -> list[dict[str, Any]]:
    return list(json.loads((reported.folder / "site" / "claims.json").read_text()))


def tab_to(page: Page, selector: str, most: int = 60) -> None:
    """Press Tab until an element has the focus, which must be seen."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED, selector):
            assert page.evaluate(OUTLINE), f"the focus on {selector} is not seen"
            return
    raise AssertionError(f"{most} times Tab do not lead to {selector}")


def shown(page: Page) -> list[str]:
    """Return the claims that are seen, from the top."""
    rows = page.locator("#overview tr.claim")
    return [row.get_attribute("data-claim") or "" for row in rows.all() if row.is_visible()]


def count(page: Page) -> str:
    return page.locator("#shown").inner_text()


def test_all_claims_are_shown_at_first(page: Page, claims: list[dict[str, Any]]) -> None:
    assert sorted(shown(page)) == sorted(str(row["claim"]) for row in claims)
    assert count(page) == f"{len(claims)} claims"


def test_the_skip_link_comes_first_and_leads_to_the_claims(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED, "a.skip")
    expect(page.locator("a.skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#claims-title")).to_be_in_viewport()


def test_verdicts_are_filtered_with_space(page: Page, claims: list[dict[str, Any]]) -> None:
    verdicts = Counter(str(row["verdict"]) for row in claims)
    assert len(verdicts) >= 4, verdicts
    for verdict, number in verdicts.items():
        chip = page.locator(f"label.chip:has(input[value='{verdict}'])")
        assert chip.locator("strong").inner_text() == str(number)
    for verdict in ("contradicted", "not run"):
        page.evaluate("document.activeElement.blur()")
        tab_to(page, f"input[value='{verdict}']")
        page.keyboard.press("Space")
    wanted = [str(row["claim"]) for row in claims if row["verdict"] not in ("contradicted", "not run")]
    assert sorted(shown(page)) == sorted(wanted)
    assert count(page) == f"{len(wanted)} of {len(claims)} claims"
    page.keyboard.press("Space")
    assert len(shown(page)) == len(wanted) + verdicts["not run"]


def test_a_paper_is_chosen_with_the_arrow_keys(page: Page, claims: list[dict[str, Any]]) -> None:
    tab_to(page, "select[name=paper]")
    papers = list(dict.fromkeys(str(row["paper"]) for row in claims))
    assert page.locator("select[name=paper] option").all_inner_texts() == ["all", *papers]
    for paper in papers:
        page.keyboard.press("ArrowDown")
        wanted = [str(row["claim"]) for row in claims if row["paper"] == paper]
        assert sorted(shown(page)) == sorted(wanted)
        assert count(page) == f"{len(wanted)} of {len(claims)} claims"
        # A paper without a claim that is shown has no heading either.
        assert page.locator("#overview tr.paper:visible").count() == 1


def test_words_are_searched_in_ids_sentences_and_places(page: Page, claims: list[dict[str, Any]]) -> None:
    tab_to(page, "input[name=words]")
    page.keyboard.type("SLOW table 6")
    assert shown(page) == ["timed.ratio"]
    assert count(page) == f"1 of {len(claims)} claims"
    for _ in range(len("SLOW table 6")):
        page.keyboard.press("Backspace")
    assert len(shown(page)) == len(claims)
    page.keyboard.type("nothing has this word")
    assert shown(page) == [] and count(page) == f"0 of {len(claims)} claims"
    # Enter sends nothing anywhere.
    page.keyboard.press("Enter")
    assert count(page) == f"0 of {len(claims)} claims"


@pytest.mark.parametrize("key", ["claim", "order", "effect", "fidelity", "n"])
def test_a_column_is_sorted_with_enter_and_space(page: Page, key: str) -> None:
    button = f"button[data-sort='{key}']"
    tab_to(page, button)
    before = page.locator(f"#overview th:has({button})")
    assert before.get_attribute("aria-sort") is None
    for press, order in (("Enter", "ascending"), ("Space", "descending")):
        page.keyboard.press(press)
        assert before.get_attribute("aria-sort") == order
        assert page.locator("#overview th[aria-sort]").count() == 1
        for body in page.locator("#overview tbody").all():
            values = [row.get_attribute(f"data-{key}") or "" for row in body.locator("tr.claim").all()]
            given = [value for value in values if value]
            # What has no value stands last, whichever way the rest is sorted.
            assert values == given + [""] * (len(values) - len(given))
            numeric = key in ("order", "effect", "n")
            expected = sorted(given, key=float if numeric else str, reverse=order == "descending")
            assert [float(v) for v in given] == [float(v) for v in expected] if numeric else given == expected
            assert body.locator("tr").first.get_attribute("class") == "paper"


def test_a_filter_stays_while_rows_are_sorted(page: Page) -> None:
    tab_to(page, "input[name=words]")
    page.keyboard.type("heads.")
    some = shown(page)
    tab_to(page, "button[data-sort='claim']")
    page.keyboard.press("Enter")
    assert shown(page) == sorted(some)
