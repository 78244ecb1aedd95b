"""A table as Markdown, in GitHub's form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reports.cells import Cell, Table
from reports.rendering.text import numeric_columns, one_line

# A bracket is one of a link, or of a link's target, by what follows it.
_SPECIAL = re.compile(r"[\\`*_<>&|~#$]|\](?=[(\[:])")
# At the start of a paragraph these would make it a list.
_LIST = re.compile(r"^(\d*)([-+.)])")


def escape(text: str) -> str:
    """Return text, on one line, that Markdown shows as it is, within a cell or a paragraph."""
    return _SPECIAL.sub(lambda match: "\\" + match[0], one_line(text))


def tables_markdown(tables: Sequence[Table]) -> str:
    """Return tables one after another, each with its title and caption."""
    return "\n".join(table_markdown(table) for table in tables)


def table_markdown(table: Table) -> str:
    """Return a table under a heading with its title; its caption is a paragraph below the heading."""
    rules = ["---:" if number else "---" for number in numeric_columns(table)]
    lines = [f"### {escape(table.title)}".rstrip(), ""]
    if caption := escape(table.caption):
        lines += [_LIST.sub(r"\1\\\2", caption), ""]
    lines += [
        _row(escape(heading.shown()) for heading in table.headings),
        _row(rules),
        *(_row(map(_cell, row)) for row in table.rows),
    ]
    return "\n".join(lines) + "\n"


def _cell(cell: Cell) -> str:
    # Numbers hold nothing that Markdown reads within one cell, and '[1, 2]' is easier on the eye than '\[1, 2\]'.
    return escape(cell.text) if cell.text else cell.shown()


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
