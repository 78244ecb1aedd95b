"""One report page for this folder's tests, and a browser to open it in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.headless import DESKTOP, FLAGS, Opened, require_browser
from drawn_profile import write_drawn_profile
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from small_report import SPECS, make_small_report
from support import Workplace

from harness.plan.design import make_design
from harness.spec.find import find_experiment
from harness.store.store import Store

Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = require_browser()
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield found
        found.close()


@pytest.fixture(scope="session")
def reported(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A small store, profiles of two arms in it, and its report in ``site``.

    Nothing is made where there is no browser.
    """
    workplace = Workplace(tmp_path_factory.mktemp("reported"))
    make_small_report(workplace)
    add_profiles(workplace)
    found = workplace.harness("report", *SPECS)
    assert found.status == 0, found
    return workplace


def add_profiles(workplace: Workplace) -> None:
    """Profile one system with the code that its trials ran with, and one with other code."""
    store = Store(workplace.folder / "results")
    (first, *_) = store.root.glob("timed/attempts/*/*/attempt.json")
    code = json.loads(first.read_text())["code"]
    design = make_design(find_experiment(str(workplace.folder / "timed.yaml")))
    stages = {"eye": 0.8, "mouth": 0.2}
    write_drawn_profile(store, design, {"fast": 1.0}, stages, code=code, number=1)
    write_drawn_profile(store, design, {"slow": 10.0}, stages, code="another", number=2)


@pytest.fixture
def opening(browser: Browser, reported: Workplace) -> Iterator[Open]:
    """Return what opens the page, with options of Playwright's contexts; it must have stayed quiet in the end."""
    contexts: list[BrowserContext] = []
    opened: list[Opened] = []

    def open_page(
        fragment: str = "", file: Path | None = None, size: tuple[int, int] = DESKTOP, **options: Any
    ) -> Opened:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        opened.append(Opened.at(context, file or reported.folder / "site" / "index.html", fragment))
        return opened[-1]

    yield open_page
    for one in opened:
        one.require_quiet()
    for context in contexts:
        context.close()


@pytest.fixture
def page(opening: Open) -> Page:
    """The page in a desktop's window, in the light."""
    return opening().page
