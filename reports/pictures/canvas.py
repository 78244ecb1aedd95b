"""What all pictures share: a canvas in one style, and figures as SVG text that stands on its own in a page."""

from __future__ import annotations

import io
import re
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABEL_WIDTH = 34


def to_svg(figure: Figure, title: str) -> str:
    """Return a figure as inline SVG: the same bytes for the same figure, and a title for those who do not see it."""
    import html

    import matplotlib
    from matplotlib import pyplot

    target = io.StringIO()
    salt = re.sub(r"\W+", "-", title)
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "path"}):
        figure.savefig(target, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    text = target.getvalue()
    text = text[text.index("<svg") :]
    # Several pictures share one page, so the names inside each must be its own.
    text = re.sub(r'\bid="', f'id="{salt}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\1{salt}-", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title, quote=True)}" ', 1)


def canvas(
    rows: float, columns: int = 1, width: float = 10.0, *, share: bool = True, rows_of_panels: int = 1
) -> tuple[Figure, Any]:
    """Return a figure and its panels, [rows_of_panels][columns]; ``rows`` is how much stands below each other."""
    import matplotlib

    matplotlib.use("svg")
    import seaborn
    from matplotlib import pyplot

    seaborn.set_theme(style="whitegrid", context="notebook", palette="colorblind", font="DejaVu Sans")
    return pyplot.subplots(  # type: ignore[no-any-return]
        rows_of_panels,
        columns,
        figsize=(width, 1.5 + 0.5 * rows),
        sharey=share and columns > 1,
        squeeze=False,
    )


def legend_below(figure: Figure, axis: Any, columns: int) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=columns, frameon=False)


def wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, LABEL_WIDTH))
