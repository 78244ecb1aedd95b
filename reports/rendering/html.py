"""A table as HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from reports.cells import Cell, Heading, Table
from reports.rendering.text import after_title, clean, numeric_columns

Link = Callable[[Sequence[str]], tuple[str, str] | None]
"""From the ids of trials to where they are listed, and which of those listed they are (``0-7,9``)."""

DIRECTIONS = {"greater": ("↑", "higher is better"), "less": ("↓", "lower is better")}

DOCUMENT = Markup("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 1.5rem; }}
table {{ border-collapse: collapse; margin-bottom: 2rem; }}
caption {{ text-align: left; padding: .3rem 0; }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #d0d7de; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
.paper, .faint {{ font-style: italic; color: #57606a; }}
.hidden {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }}
</style>
</head>
<body>
{tables}
</body>
</html>
""")


def table_html(table: Table, link: Link | None = None, *, titled: bool = False) -> Markup:
    """Return a table as HTML: its headings name the columns, its first cells the rows.

    ``link`` says where the trials of a cell are listed. ``titled`` puts the title before the caption, for a table that
    stands under no heading of its own.
    """
    numeric = numeric_columns(table)
    headings = Markup("").join(
        _heading(heading, number) for heading, number in zip(table.headings, numeric, strict=True)
    )
    rows = Markup("\n").join(_row(row, numeric, link) for row in table.rows)
    return Markup("<table>\n{}\n<thead><tr>{}</tr></thead>\n<tbody>\n{}\n</tbody>\n</table>").format(
        _caption(table, titled), headings, rows
    )


def tables_html(tables: Sequence[Table]) -> str:
    """Return tables one after another, each with its title."""
    return "\n".join(table_html(table, titled=True) for table in tables) + "\n"


def document_html(tables: Sequence[Table]) -> str:
    """Return a whole page of tables."""
    title = clean(tables[0].title) if len(tables) == 1 else "Tables"
    return str(DOCUMENT.format(title=title, tables=Markup(tables_html(tables))))


def _caption(table: Table, titled: bool) -> Markup:
    title = clean(table.title)
    if titled:
        return Markup("<caption><strong>{}</strong>{}</caption>").format(title, clean(after_title(table)))
    if table.caption:
        return Markup("<caption>{}</caption>").format(clean(table.caption))
    # Those who see the heading above need no caption; those who hear the table still need its name.
    return Markup('<caption class="hidden">{}</caption>').format(title)


def _heading(heading: Heading, number: bool) -> Markup:
    unit = f" ({heading.unit})" if heading.unit else ""
    arrow = Markup("")
    if heading.better:
        arrow = Markup(' <span aria-hidden="true">{}</span><span class="hidden">{}</span>').format(
            *DIRECTIONS[heading.better]
        )
    classes = _classes(number=number, paper=heading.published)
    return Markup('<th scope="col"{}>{}{}</th>').format(classes, clean(heading.label + unit), arrow)


def _row(row: Sequence[Cell], numeric: Sequence[bool], link: Link | None) -> Markup:
    first, *others = row
    cells = [Markup('<th scope="row"{}>{}</th>').format(_classes_of(first, False), _content(first, link))]
    cells += [
        Markup("<td{}>{}</td>").format(_classes_of(cell, number), _content(cell, link))
        for cell, number in zip(others, numeric[1:], strict=True)
    ]
    return Markup("<tr>{}</tr>").format(Markup("").join(cells))


def _content(cell: Cell, link: Link | None) -> Markup:
    text = clean(cell.shown())
    target = link(cell.trials) if link is not None and cell.trials else None
    if target is None:
        return escape(text)
    return Markup('<a href="{}" data-trials="{}">{}</a>').format(*map(clean, target), text)


def _classes_of(cell: Cell, number: bool) -> Markup:
    return _classes(number=number, paper=cell.published, faint=cell.faint)


def _classes(**given: bool) -> Markup:
    """Return a class attribute with those names that are true; nothing where none is."""
    names = " ".join(name for name, is_given in given.items() if is_given)
    return Markup(' class="{}"').format(names) if names else Markup("")
