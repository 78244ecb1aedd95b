"""A table as aligned text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from reports.cells import Table
from reports.rendering.text import numeric_columns, one_line

GAP = "  "


def table_lines(table: Table) -> Iterator[str]:
    """Yield a line of headings and a line a row, numbers to the right; title and caption are left to the caller."""
    numeric = numeric_columns(table)
    rows = [[one_line(heading.shown()) for heading in table.headings]]
    rows += [[one_line(cell.shown()) for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(row, widths, numeric, strict=True)
        ]
        yield GAP.join(cells).rstrip()
