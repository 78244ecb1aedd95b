"""Pictures that a spec declares, from the records and samples: a function a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.errors import UserError
from reports.cells import Cell, Heading, Table
from reports.collect import Results
from reports.declarations import PictureDeclaration
from reports.pictures.bars import draw_bars
from reports.pictures.beside import draw_beside_published
from reports.pictures.canvas import to_svg
from reports.pictures.charts import draw_curves, draw_effects
from reports.pictures.courses import draw_course
from reports.pictures.functions import draw_by_function
from reports.pictures.grids import draw_grid
from reports.pictures.latency import draw_latency
from reports.pictures.picture import Drawing, Picture
from reports.pictures.rounds import draw_round_ratios
from reports.pictures.scatters import draw_scatter
from reports.pictures.stages import draw_stages

KINDS: Mapping[str, Callable[[Any, Results], Drawing | None]] = {
    "stages": draw_stages,
    "round-ratios": draw_round_ratios,
    "beside-published": draw_beside_published,
    "curves": draw_curves,
    "bars": draw_bars,
    "effects": draw_effects,
    "grid": draw_grid,
    "course": draw_course,
    "latency": draw_latency,
    "scatter": draw_scatter,
    "function": draw_by_function,
}


def draw(declaration: PictureDeclaration, results: Results) -> Picture | None:
    """Return a declared picture; None where the records hold nothing to draw.

    Where a function of the spec's author fails there is a picture without SVG, whose caption says what happened.
    """
    try:
        drawing = KINDS[declaration.kind](declaration, results)
        if drawing is None:
            return None
        # The whole declaration: an experiment may have two pictures of one title.
        svg = to_svg(drawing.figure, declaration.title, salt=f"{results.key} {declaration!r}")
    except UserError as error:
        return _not_drawn(declaration.title, str(error))
    return Picture(declaration.title, declaration.caption, svg, drawing.numbers)


def _not_drawn(title: str, problem: str) -> Picture:
    numbers = Table(title, "", [Heading("numbers")], [[Cell(text="not drawn")]])
    return Picture(title, f"Not drawn: {problem}", "", numbers)
