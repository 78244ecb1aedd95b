"""Pictures as they were drawn, before they become text."""

from __future__ import annotations

from typing import Any

from reports.cells import Table
from reports.collect import Results
from reports.declarations import PictureDeclaration
from reports.pictures.declared import KINDS, draw
from reports.pictures.picture import Drawing


def drawing_of(declaration: PictureDeclaration, results: Results) -> Drawing:
    """Draw a picture, see that it becomes text with the same numbers, and return it as it was drawn."""
    picture = draw(declaration, results)
    assert picture is not None and picture.svg.startswith("<svg")
    drawing = KINDS[declaration.kind](declaration, results)
    assert drawing is not None and shown(drawing.numbers) == shown(picture.numbers)
    width = len(drawing.numbers.headings)
    assert all(len(row) == width for row in drawing.numbers.rows)
    return drawing


def axes_of(results: Results, index: int) -> list[Any]:
    """Return the axes that a declared picture is drawn on."""
    return list(drawing_of(results.declaration.pictures[index], results).figure.axes)


def shown(table: Table) -> list[list[str]]:
    """Return a table as people read it, its headings first."""
    return [[heading.shown() for heading in table.headings], *([cell.shown() for cell in row] for row in table.rows)]
