"""The page opens from disk without a complaint, fetches nothing, and runs no script but its own."""

from __future__ import annotations

import re

from browser.conftest import Open
from playwright.sync_api import Page
from support import Workplace


def test_nothing_is_fetched_and_nothing_is_complained_of(opening: Open) -> None:
    opened = opening()
    # Everything is laid out and unfolded once, so that whatever would be fetched late has had its chance.
    opened.page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    opened.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    opened.page.wait_for_timeout(200)
    assert opened.requests == [opened.address]
    assert not opened.messages and not opened.errors


def test_the_page_names_no_other_address(reported: Workplace) -> None:
    text = (reported.folder / "site" / "index.html").read_text()
    found = set(re.findall(r"""(?:src|href|srcset|action|data|poster)\s*=\s*["']([^"'#][^"']*)""", text))
    assert not found
    assert not re.search(r"url\((?!#|&#39;#|'#)", text) and "@import" not in text


def test_text_from_specs_ran_nothing(page: Page) -> None:
    assert page.title() == "Do the papers' claims hold?"
    assert page.locator("img, iframe, object, embed, link").count() == 0
    assert page.locator("script").count() == 1


def test_the_policy_refuses_other_scripts_and_requests(opening: Open) -> None:
    opened = opening()
    ran = opened.page.evaluate(
        """() => {
          const script = document.createElement('script');
          script.textContent = 'window.intruder = true';
          document.body.append(script);
          const button = document.createElement('button');
          button.setAttribute('onclick', 'window.intruder = true');
          document.body.append(button);
          button.click();
          return window.intruder === true;
        }"""
    )
    assert not ran
    refused = opened.page.evaluate("fetch('https://example.org/').then(() => false, () => true)")
    assert refused
    assert any("Content Security Policy" in message for message in opened.messages)
    opened.messages.clear()
