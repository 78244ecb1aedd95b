"""A table as LaTeX, ruled by booktabs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from reports.cells import Table
from reports.rendering.latex_text import LONGEST_WORD, breakable, latex_text
from reports.rendering.text import after_title, file_names, numeric_columns

WIDEST = 40
"""Characters of a cell beyond which its column is set as paragraphs."""

NARROWEST = 9
"""Characters that any heading has room for on one line."""

CHARACTERS_A_LINE = 30
"""About how many characters go into a line of such a paragraph."""

CHARACTER = 0.55
"""About how wide a character is, in em."""

MOST_LINES = 25
"""Beyond them a table breaks over pages."""

LONGEST_CAPTION = 400
"""Characters of a caption beyond which its paragraph is set by ourselves."""

NEEDED = ("array", "booktabs", "longtable")

DOCUMENT = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{textcomp}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
%s
\usepackage[landscape, margin=1cm]{geometry}
\begin{document}
\footnotesize
%s\end{document}
"""


def tables_latex(tables: Sequence[Table]) -> str:
    """Return tables one after another, each with a label of its own."""
    names = file_names(table.title for table in tables)
    needed = f"% needs \\usepackage{{{','.join(NEEDED)}}} and \\usepackage[T1]{{fontenc}}\n"
    return needed + "\n".join(table_latex(table, name) for table, name in zip(tables, names, strict=True))


def document_latex(tables: Sequence[Table]) -> str:
    """Return a document of tables that compiles by itself."""
    packages = "\n".join(f"\\usepackage{{{name}}}" for name in NEEDED)
    return DOCUMENT % (packages, tables_latex(tables))


def table_latex(table: Table, name: str) -> str:
    """Return a table with the label ``tab:name``: a float, or, where it is long, a table that breaks over pages.

    The caption is the table's title and its caption.
    """
    rows = [[cell.shown() for cell in row] for row in table.rows]
    widths = [max([0, *(len(row[index]) for row in rows)]) for index in range(len(table.headings))]
    numeric = numeric_columns(table)
    columns = "".join(map(_column, numeric, widths))
    headings = map(_heading, [heading.shown() for heading in table.headings], numeric, widths)
    head = [r"\toprule", _row(headings), r"\midrule"]
    body = [_row(_text(cell) for cell in row) for row in rows]
    caption = _caption(table.title + after_title(table))
    label = f"\\label{{tab:{name}}}"
    if sum(max(1, *(_lines(len(cell)) for cell in row)) for row in rows) > MOST_LINES:
        lines = [
            rf"\begin{{longtable}}{{{columns}}}",
            rf"{caption}{label}\\",
            *head,
            r"\endfirsthead",
            *head,
            r"\endhead",
            r"\bottomrule",
            r"\endfoot",
            *body,
            r"\end{longtable}",
        ]
    else:
        lines = [
            r"\begin{table}[htbp]",
            r"\centering",
            r"\footnotesize",
            caption + label,
            r"\smallskip",
            "",
            rf"\begin{{tabular}}{{{columns}}}",
            *head,
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    return "\n".join(lines) + "\n"


def _caption(text: str) -> str:
    if len(text) <= LONGEST_CAPTION:
        return rf"\caption{{{_text(text)}}}"
    # LaTeX first sets a caption on one line to see whether it fits, and TeX knows no line of several metres.
    return rf"\caption[]{{\parbox[t]{{0.6\linewidth}}{{{_text(text)}}}}}"


def _lines(length: int) -> int:
    """Return about how many lines a cell takes of its column."""
    return 1 if length <= WIDEST else math.ceil(length / CHARACTERS_A_LINE)


def _column(number: bool, width: int) -> str:
    if width <= WIDEST:
        return "r" if number else "l"
    return rf">{{{_ragged(number)}\arraybackslash}}p{{4.5cm}}"


def _heading(text: str, number: bool, width: int) -> str:
    """Return a heading, on several lines where it is longer than what stands below it."""
    longest_word = max(map(len, text.split()), default=0)
    room = max(width, min(longest_word, LONGEST_WORD), NARROWEST)
    if len(text) <= room or width > WIDEST:
        return _text(text)
    return rf"\parbox[b]{{{CHARACTER * room:.1f}em}}{{{_ragged(number)} {_text(text)}}}"


def _ragged(number: bool) -> str:
    return r"\raggedleft" if number else r"\raggedright"


def _text(text: str) -> str:
    return latex_text(breakable(text))


def _row(cells: Iterable[str]) -> str:
    row = " & ".join(cells)
    # After a rule or the end of a row, a bracket or a star would be read as an argument of it.
    return ("{}" if row.startswith(("[", "*")) else "") + row + r" \\"
