"""``make pictures``: three small pictures of a report for the README, none of them empty."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from browser.headless import require_browser
from browser.make_pictures import LARGEST, small
from PIL import Image
from support import Workplace

TESTS = Path(__file__).parents[1]
NAMES = ("report-claims.png", "report-claim.png", "report-pictures.png")


def make_pictures(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the program as make does, in a process of its own: Playwright's loop runs in this one already."""
    return subprocess.run(
        [sys.executable, "-m", "browser.make_pictures", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )


@pytest.mark.slow
def test_three_pictures_are_made(reported: Workplace, tmp_path: Path) -> None:
    found = make_pictures(str(reported.folder / "site"), str(tmp_path), "--claim", "timed.ratio")
    assert found.returncode == 0, found.stderr
    for name in NAMES:
        assert 5_000 < (tmp_path / name).stat().st_size <= LARGEST
        # White where nothing was drawn: no part of a picture is.
        image = Image.open(tmp_path / name).convert("L")
        halves = [image.crop((0, top, image.width, top + image.height // 2)) for top in (0, image.height // 2)]
        assert all(half.getextrema()[0] < 128 for half in halves), name


def test_a_report_that_is_not_there(tmp_path: Path) -> None:
    require_browser()
    found = make_pictures(str(tmp_path), str(tmp_path))
    assert found.returncode == 1 and found.stderr.startswith("make pictures: there is no ")


def test_the_readme_shows_pictures_that_are_there() -> None:
    readme = (TESTS.parent / "README.md").read_text()
    for name in NAMES:
        assert f"](docs/{name})" in readme
        assert (TESTS.parent / "docs" / name).stat().st_size <= LARGEST


@pytest.mark.parametrize("sizes", [[(10, 20)], [(10, 20), (30, 5)]])
def test_pictures_stand_one_below_the_other(sizes: list[tuple[int, int]], tmp_path: Path) -> None:
    shots = []
    for width, height in sizes:
        Image.new("RGB", (width, height), "black").save(tmp_path / "one.png")
        shots.append((tmp_path / "one.png").read_bytes())
    (tmp_path / "whole.png").write_bytes(small(shots))
    assert Image.open(tmp_path / "whole.png").size == (max(w for w, _ in sizes), sum(h for _, h in sizes))
