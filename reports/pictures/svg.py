"""Figures as SVG text that stands in a page: small, in the page's colours, the same bytes each time."""

from __future__ import annotations

import base64
import hashlib
import io
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

from reports.pictures.compaction import compact
from reports.pictures.inks import STYLE
from reports.pictures.words import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS_PER_INCH = 72
MARGIN_INCHES = 0.08
METADATA = ("Creator", "Date", "Format", "Type")
KEY_BYTES = 5
"""Of what sets a picture's names apart from others on its page; short, for names are written for every letter."""


def to_svg(figure: Figure, title: str, salt: str = "") -> str:
    """Return a figure as inline SVG: the same bytes for the same figure, and a title for those who do not see it.

    ``salt`` sets the names inside apart from those of another picture of that title on the same page. The figure is
    laid out here: its texts are made drawable first.
    """
    import matplotlib

    digest = hashlib.sha256(f"{salt}\n{title}".encode(errors="replace")).digest()[:KEY_BYTES]
    # A letter first, as names need one.
    key = "p" + base64.b32encode(digest).decode().lower()
    clean_texts(figure)
    target = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": key}), warnings.catch_warnings():
        # A character that the font lacks is drawn as a box, and a label that leaves no room for its axis as it comes.
        warnings.simplefilter("ignore")
        figure.set_dpi(POINTS_PER_INCH)
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
        elif figure.axes:
            figure.tight_layout()
        # With a layout, and with "tight", everything would be drawn twice.
        figure.set_layout_engine(None)
        box = figure.get_tightbbox().padded(MARGIN_INCHES)
        figure.savefig(target, format="svg", bbox_inches=box, metadata=dict.fromkeys(METADATA))
    return compact(target.getvalue(), plain(title), key)


def clean_texts(figure: Figure) -> None:
    """Make every text of a figure drawable, those of ticks too."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    for text in figure.findobj(Text):
        text.set_text(plain(text.get_text()))
        text.set_parse_math(False)
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, FixedFormatter | FuncFormatter):
                axis.set_major_formatter(FuncFormatter(partial(_plain_tick, formatter)))


def _plain_tick(formatter: Any, value: float, position: int | None) -> str:
    return plain(formatter(value, position))
