"""A table as CSV: numbers with all their digits, intervals in columns of their own."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from reports.cells import NOTHING, Cell, Heading, Table
from reports.rendering.text import clean

if TYPE_CHECKING:
    import pandas

LARGEST_WHOLE = 2**53
"""Up to here every whole number is told from its neighbours."""

# What a spreadsheet takes for the start of a formula, full-width forms included, and what no formula is.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")
_NUMBER = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?%?", re.IGNORECASE)


def table_csv(table: Table) -> str:
    """Return a table as CSV with a column a heading, and two more for the ends of intervals where any cell has one.

    Words are text; what is not a finite number is empty. Text that a spreadsheet would run as a formula gets an
    apostrophe before it.
    """
    intervals = [any(row[index].has_interval for row in table.rows) for index in range(len(table.headings))]
    names = [
        name for heading, interval in zip(table.headings, intervals, strict=True) for name in _names(heading, interval)
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_unique(names))
    for row in table.rows:
        writer.writerow(
            [field for cell, interval in zip(row, intervals, strict=True) for field in _fields(cell, interval)]
        )
    return text.getvalue()


def records_csv(records: pandas.DataFrame) -> bytes:
    """Return the long table as ``harness export`` writes it."""
    return records.to_csv(index=False, lineterminator="\n").encode(errors="replace")


def harmless(text: str) -> str:
    """Return clean text with an apostrophe before it where a spreadsheet would take it for a formula."""
    found = clean(text)
    return f"'{found}" if _FORMULA.match(found) and not _NUMBER.fullmatch(found) else found


def _names(heading: Heading, interval: bool) -> Iterator[str]:
    unit = f" ({heading.unit})" if heading.unit else ""
    for part in ("", " low", " high") if interval else ("",):
        name = harmless(f"{heading.label}{part}{unit}")
        # A line of nothing but white space is none to whoever reads it; one of nothing is written with its quotes.
        yield name if name.strip() else ""


def _unique(names: list[str]) -> list[str]:
    """Return names with a number behind those that came before."""
    found: list[str] = []
    for name in names:
        unique, number = name, 1
        while unique in found:
            number += 1
            unique = f"{name} {number}"
        found.append(unique)
    return found


def _fields(cell: Cell, interval: bool) -> Iterator[str]:
    yield _number(cell.value) if cell.has_value else _words(cell)
    if interval:
        yield from (_number(end) if cell.has_interval else "" for end in (cell.low, cell.high))


def _number(value: float | None) -> str:
    """Return a number with all its digits, and a whole one, such as a count, without a point."""
    assert value is not None
    return str(int(value)) if float(value).is_integer() and abs(value) < LARGEST_WHOLE else repr(float(value))


def _words(cell: Cell) -> str:
    return "" if cell.text.strip() in ("", NOTHING) else harmless(cell.text)
