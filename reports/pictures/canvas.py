"""What all pictures share: a canvas in one style, its colours, and legends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.pictures.inks import INK, LINE, SERIES, SOFT, STYLE, SURFACE, palette
from reports.pictures.svg import to_svg
from reports.pictures.words import LABEL_WIDTH, plain, spoken, with_unit, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "INK",
    "LABEL_WIDTH",
    "LINE",
    "MARKERS",
    "SERIES",
    "SOFT",
    "STYLE",
    "STYLES",
    "SURFACE",
    "canvas",
    "legend_below",
    "palette",
    "plain",
    "spoken",
    "to_svg",
    "with_unit",
    "wrapped",
]

MARKERS = ("o", "s", "^", "v", "P", "X", "D", "*")
LEGEND_TOP = 0.06
"""Of a legend below all panels, in inches above the figure's lower edge: within the margin of its layout."""
STYLES = ("-", "--", "-.", ":")
"""Of marks and lines: colours are never all that tells two series apart."""


def canvas(
    rows: float, columns: int = 1, width: float = 10.0, *, share: bool = True, rows_of_panels: int = 1
) -> tuple[Figure, Any]:
    """Return a figure and its panels, [rows_of_panels][columns]; ``rows`` is how much stands below each other."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(STYLE)
    # Not by pyplot, which keeps every figure.
    figure = Figure(figsize=(width, 1.5 + 0.5 * rows))
    panels = figure.subplots(rows_of_panels, columns, sharey=share and columns > 1, squeeze=False)
    return figure, panels


def legend_below(figure: Figure, axis: Any, columns: int) -> None:
    """Name what stands in a panel below all panels, in so many columns."""
    handles, labels = axis.get_legend_handles_labels()
    top = LEGEND_TOP / figure.get_figheight()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, top), ncols=max(1, columns))
