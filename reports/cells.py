"""Tables as data: typed cells that know their value, interval, unit, direction and the trials they came from.

Declared tables (``reports.tables``), the numbers behind pictures (``reports.pictures``) and the list of claims
(``reports.overview``) are all of these; ``reports.rendering`` writes them as HTML, Markdown, LaTeX and CSV.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

NOTHING = "–"
Better = Literal["greater", "less", ""]
"""Which way a figure is better; empty where neither is."""


@dataclass(frozen=True)
class Cell:
    """One value with its interval, in ``unit``.

    ``text`` stands for cells that are words; ``published`` marks the paper's own figures, ``faint`` what does not
    travel between machines; ``trials`` are the ids of those that the value came from.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    digits: int = 1
    text: str = ""
    published: bool = False
    approximate: bool = False
    signed: bool = False
    faint: bool = False
    trials: tuple[str, ...] = ()

    @property
    def has_value(self) -> bool:
        return self.value is not None and math.isfinite(self.value)

    @property
    def has_interval(self) -> bool:
        return self.low is not None and self.high is not None and math.isfinite(self.low) and math.isfinite(self.high)

    def shown(self) -> str:
        """Return the cell as people read it; a dash where there is no finite value."""
        if self.text:
            return self.text
        if self.value is None or not math.isfinite(self.value):
            return NOTHING
        interval = f" [{self._number(self.low)}, {self._number(self.high)}]" if self.has_interval else ""
        sign = "+" if self.signed and self.value > 0 else ""
        return f"{'~' if self.approximate else ''}{sign}{self._number(self.value)}{interval}"

    def _number(self, value: float | None) -> str:
        assert value is not None
        return f"{value:,.{self.digits}f}"


@dataclass(frozen=True)
class Heading:
    """A column's heading: label, unit, which way is better, and whether it holds the paper's own figures."""

    label: str
    unit: str = ""
    published: bool = False
    better: Better = ""

    def shown(self) -> str:
        """Return the heading as people read it, with an arrow where one way is better."""
        arrow = {"greater": " ↑", "less": " ↓", "": ""}[self.better]
        return f"{self.label} ({self.unit}){arrow}" if self.unit else f"{self.label}{arrow}"


@dataclass(frozen=True)
class Table:
    """A titled table: a heading a column, a cell a heading in every row. The first column names the row."""

    title: str
    caption: str
    headings: Sequence[Heading]
    rows: Sequence[Sequence[Cell]]
