"""The example of docs/data.md runs and prints what it says; its tables name the settings there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from experiments.data import settings as module

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text()


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/data.md", "exec"), names)
    promised = re.findall(r"print\(.*\)  # (.*)\n", code)
    assert capsys.readouterr().out.splitlines()[: len(promised)] == promised and len(promised) == 2
    assert names["picture"].size == (20, 20) and names["picture"].mode == "RGB"


@pytest.mark.parametrize(
    "settings",
    [module.DigitsSettings(), module.ColouredDigitsSettings(), module.ScenesSettings(), module.GlyphsSettings()],
)
def test_the_table_has_every_knob_with_its_default(settings: Any) -> None:
    (row,) = re.findall(rf"^\| `{settings.source}` .*$", PAGE, re.MULTILINE)
    knobs = row.split("|")[-2]
    for name, value in settings.model_dump().items():
        if name in ("source", "train", "validation", "test"):
            continue
        found = re.search(rf"`{name}`[^(]*\(`?([\w.]+)", knobs)
        assert found, name
        assert found[1] == (value if isinstance(value, str) else f"{value:g}"), name
