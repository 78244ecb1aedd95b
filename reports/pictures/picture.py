"""What a picture is: a figure with the numbers that it draws, and then SVG that stands in a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.cells import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure as it was drawn, and the numbers in it as a table, for those who do not see it."""

    figure: Figure
    numbers: Table


@dataclass(frozen=True)
class Picture:
    """A titled picture with its caption, as SVG that stands in a page, and its numbers as a table."""

    title: str
    caption: str
    svg: str
    numbers: Table
