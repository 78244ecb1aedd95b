"""Debian's Chromium without a window, and what a page did while it was open."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = "apt-get install chromium"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESKTOP, PHONE = (1280, 900), (390, 844)
"""Width and height of a window, in CSS pixels."""


MISSING = f"no browser is installed here: none of {', '.join(NAMES)} (Debian: {INSTALL})"


def find_browser() -> str | None:
    """Return the path of the first browser that is installed; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name)) is not None), None)


def require_browser() -> str:
    """Return the browser's path. Skip the calling test where there is none; with REQUIRE_BROWSER=1, fail it."""
    if (found := find_browser()) is not None:
        return found
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(MISSING, pytrace=False)
    pytest.skip(MISSING)


@dataclass
class Opened:
    """A page that was opened from a file, and what it said and asked for since."""

    page: Page
    address: str
    messages: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, context: BrowserContext, file: Path, fragment: str = "") -> Opened:
        """Open a file in a new tab and keep a record of it."""
        page, address = context.new_page(), file.absolute().as_uri()
        opened = cls(page, address)
        page.on("console", opened._said)
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        page.on("request", lambda request: opened.requests.append(request.url))
        page.goto(address + fragment)
        return opened

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.messages.append(f"{message.type}: {message.text}")

    def require_quiet(self) -> None:
        """Fail where the page complained, broke, or asked for anything but itself."""
        assert not self.messages
        assert not self.errors
        assert {request.partition("#")[0] for request in self.requests} == {self.address}
