"""The doors between rooms stay shut: who may import whom, read from the source, imports inside functions too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("harness", "experiments", "reports", "baselines")
PAPERS = sorted(
    p.name for p in (ROOT / "experiments").iterdir() if p.is_dir() and p.name not in ("data", "__pycache__")
)


def imported(path: Path) -> set[str]:
    """Return every module that a file imports, by full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides which door it goes through"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(room: str) -> list[Path]:
    found = [path for path in (ROOT / room).rglob("*.py")]
    assert found, f"the room {room} is empty"
    return found


def strangers(path: Path, allowed: set[str]) -> set[str]:
    return {name for name in imported(path) if name.split(".")[0] in set(ROOMS) - allowed}


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        ("harness", {"harness"}),
        ("baselines", {"baselines"}),
        ("reports", {"reports", "harness"}),
        ("experiments", {"experiments", "harness", "baselines"}),
    ],
)
def test_rooms_import_only_what_they_may(room: str, allowed: set[str]) -> None:
    wrong = {str(path.relative_to(ROOT)): strangers(path, allowed) for path in files(room)}
    assert not {path: names for path, names in wrong.items() if names}


def test_one_paper_does_not_import_another() -> None:
    for paper in PAPERS:
        for path in files(f"experiments/{paper}"):
            others = {name for name in imported(path) for other in PAPERS if name.startswith(f"experiments.{other}")}
            assert all(name.startswith(f"experiments.{paper}") for name in others), path


def test_reports_run_no_model() -> None:
    for path in files("reports"):
        names = {name.split(".")[0] for name in imported(path)}
        assert not names & {"torch", "torchvision", "transformers", "submitit"}, path


def test_the_measuring_room_stands_alone() -> None:
    for path in files("harness/measure"):
        ours = {name for name in imported(path) if name.startswith("harness.")}
        assert all(name.startswith("harness.measure") for name in ours), path
