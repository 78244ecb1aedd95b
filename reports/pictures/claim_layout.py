"""Where the panels of a claim's picture stand, in inches: set by hand, since measuring every text takes too long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.pictures.canvas import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 7.0
ROW = 0.29
TOP, BOTTOM = 0.32, 0.6
"""The whole width, the height of a row, and what stands above and below the panels."""
ALONE = ((1.55, 6.9),)
ARMS = ((1.55, 3.4), (3.65, 5.7))
CURVE = ((0.85, 6.9),)
CURVES = ((0.85, 3.75), (4.0, 5.75))
CROSSING = ((1.2, 6.9),)
"""From where to where panels reach: an effect alone, arms or a curve beside it. Labels stand left, and right of it."""


def laid_out(columns: tuple[tuple[float, float], ...], heights: tuple[float, ...]) -> tuple[Figure, list[Any]]:
    """Return a figure with a panel for each column, or for each of several heights below each other."""
    from matplotlib.layout_engine import PlaceHolderLayoutEngine

    gap = 0.12
    whole = TOP + sum(heights) + gap * (len(heights) - 1) + BOTTOM
    figure, panels = canvas((whole - 1.5) / 0.5, len(columns), WIDTH, share=False, rows_of_panels=len(heights))
    figure.set_layout_engine(PlaceHolderLayoutEngine(adjust_compatible=True, colorbar_gridspec=True))
    found = []
    top = whole - TOP
    for line, height in zip(panels, heights, strict=True):
        for axis, (left, right) in zip(line, columns, strict=True):
            axis.set_position(((left / WIDTH), (top - height) / whole, (right - left) / WIDTH, height / whole))
            found.append(axis)
        top -= height + gap
    return figure, found
