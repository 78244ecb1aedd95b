"""Pictures as they were drawn, before they become text."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure

from reports.collect import Results
from reports.pictures.declared import draw


def axes_of(monkeypatch: pytest.MonkeyPatch, module: Any, results: Results, index: int) -> list[Any]:
    """Draw a declared picture, and return the axes that it was drawn on by a module of reports."""
    seen: list[Figure] = []
    keep = module.canvas

    def canvas(*arguments: Any, **options: Any) -> Any:
        figure, axes = keep(*arguments, **options)
        seen.append(figure)
        return figure, axes

    monkeypatch.setattr(module, "canvas", canvas)
    picture = draw(results.declaration.pictures[index], results)
    assert picture is not None and picture.svg.startswith("<svg")
    return list(seen[0].axes)
