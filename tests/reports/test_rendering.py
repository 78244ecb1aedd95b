"""Tables as HTML, Markdown, LaTeX and CSV: read back by parsers of other people, the cells say what they said."""

from __future__ import annotations

import io
import math
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import lxml.html
import pandas
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec, get_default_latex_context_db
from pylatexenc.latexwalker import LatexEnvironmentNode, LatexWalker

from reports.cells import Cell, Heading, Table
from reports.rendering.csv import harmless, table_csv
from reports.rendering.html import document_html, table_html, tables_html
from reports.rendering.latex import document_latex, table_latex, tables_latex
from reports.rendering.latex_text import latex_text
from reports.rendering.markdown import table_markdown, tables_markdown
from reports.rendering.text import clean, file_name, file_names, folder_name, numeric_columns, one_line

HOSTILE = (
    "<script>alert(1)</script>",
    "</caption></table>\"'><img src=x onerror=alert(1)>",
    "a | b \\| c \\",
    "`code` *bold* _x_ ~~gone~~ [a](javascript:b) [a]: c ![d][e] &amp; <b> # $x$ {y}",
    "\\end{tabular}\\input{/etc/passwd} % & # $ ~ ^ {",
    "[3pt] first",
    "*",
    "=1+1",
    "\u202eright to left\u2066",
    "two\nlines\r\nor\rthree\ttabs",
    "nul \x00 bell \x07 escape \x1b[31m \x85",
    "lone \ud800 surrogate \udfff",
    "-- --- '' `` ,, << >> ?` !`",
    "± × ≥ µ ² ₂ ↑ – — “q” é ł 漢 א \ufeff",
    "x" * 10_000,
    "word " * 2_000,
    "",
    "–",
)
words = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30))
numbers = st.floats(allow_nan=True, allow_infinity=True)
intervals = st.one_of(st.just((None, None)), st.tuples(numbers, numbers))


@st.composite
def numeric_cells(draw: st.DrawFn) -> Cell:
    low, high = draw(intervals)
    return Cell(draw(numbers), low, high, digits=draw(st.integers(0, 8)), published=draw(st.booleans()))


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """A table whose first column is words; others are numbers, words, or both."""
    columns = draw(st.integers(0, 3))
    better = st.sampled_from(("", "greater", "less"))
    headings = [Heading(draw(words), draw(words), draw(st.booleans()), draw(better)) for _ in range(columns + 1)]
    cell = st.one_of(numeric_cells(), words.map(lambda text: Cell(text=text)))
    rows = [[Cell(text=draw(words)), *(draw(cell) for _ in range(columns))] for _ in range(draw(st.integers(0, 4)))]
    return Table(draw(words), draw(words), headings, rows)


def spaced(text: str) -> str:
    """Return text as it looks whatever spaces are in it."""
    return " ".join(text.split())


def shown(table: Table) -> list[list[str]]:
    return [[one_line(cell.shown()) for cell in row] for row in table.rows]


def sample() -> Table:
    return Table(
        "Time of a request",
        "Medians.",
        [Heading("system"), Heading("median", "ms", better="less"), Heading("paper", "ms", published=True)],
        [
            [Cell(text="fast"), Cell(1.25, 1.0, 1.5, "ms", 2, trials=("a", "b")), Cell(15.0, published=True, digits=0)],
            [Cell(text="slow"), Cell(math.nan, trials=("c",)), Cell(text="–")],
        ],
    )


# HTML


@given(tables())
def test_html_read_back_has_the_cells_and_no_tags_of_the_texts(table: Table) -> None:
    found = lxml.html.fragment_fromstring(str(table_html(table, titled=True)))
    assert [[spaced(cell.text_content()) for cell in row] for row in found.findall("tbody/tr")] == shown(table)
    assert len(found.findall("thead/tr/th[@scope='col']")) == len(table.headings)
    assert spaced(found.findtext("caption/strong") or "") == one_line(table.title)
    tags = {element.tag for element in found.iter()}
    assert tags <= {"table", "caption", "strong", "thead", "tbody", "tr", "th", "td", "span"}


def test_html_says_what_names_rows_and_columns_and_which_way_is_better() -> None:
    html = str(table_html(sample()))
    assert '<th scope="row">fast</th>' in html
    assert '<th scope="col" class="number">median (ms) <span aria-hidden="true">↓</span>' in html
    assert '<span class="hidden">lower is better</span></th>' in html
    assert '<td class="number paper">15</td>' in html
    assert "<caption>Medians.</caption>" in html
    untold = Table("Name", "", sample().headings, [])
    assert '<caption class="hidden">Name</caption>' in table_html(untold)


def test_html_links_cells_to_their_trials() -> None:
    def link(trials: Sequence[str]) -> tuple[str, str] | None:
        return ('#t"', f"0-{len(trials)}") if "a" in trials else None

    html = table_html(sample(), link)
    assert html.count("<a ") == 1
    assert '<a href="#t&#34;" data-trials="0-2">1.25 [1.00, 1.50]</a>' in html


def test_html_marks_what_does_not_travel() -> None:
    table = Table("t", "", [Heading("a"), Heading("b")], [[Cell(text="x"), Cell(1.0, faint=True)]])
    assert '<td class="number faint">1.0</td>' in table_html(table)


def test_a_page_of_tables_is_whole() -> None:
    page = document_html([sample(), sample()])
    found = lxml.html.document_fromstring(page)
    assert len(found.findall(".//table")) == 2 and 'charset="utf-8"' in page
    assert tables_html([sample()]) in document_html([sample()])


# Markdown


@given(tables())
@example(Table("#", "1. no list", [Heading("|")], [[Cell(text="\\")], [Cell(text="|")], [Cell(text="\\|")]]))
@example(Table("a #", "- no list", [Heading("[a]: b")], [[Cell(text="[a]")], [Cell(text="| --- |")]]))
def test_markdown_read_back_has_the_cells(table: Table) -> None:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found = lxml.html.fragment_fromstring(parser.render(table_markdown(table)), create_parent="div")
    (written,) = found.findall("table")
    assert [spaced(cell.text_content()) for cell in written.findall("thead/tr/th")] == [
        one_line(heading.shown()) for heading in table.headings
    ]
    assert [[spaced(cell.text_content()) for cell in row] for row in written.findall("tbody/tr")] == shown(table)
    assert spaced(found.findtext("h3") or "") == one_line(table.title)
    assert spaced(found.findtext("p") or "") == one_line(table.caption)
    assert {element.tag for element in found.iter()} <= {"div", "h3", "p", "table", "thead", "tbody", "tr", "th", "td"}


def test_markdown_is_as_one_would_write_it() -> None:
    assert tables_markdown([sample()]) == (
        "### Time of a request\n\nMedians.\n\n"
        "| system | median (ms) ↓ | paper (ms) |\n"
        "| --- | ---: | ---: |\n"
        "| fast | 1.25 [1.00, 1.50] | 15 |\n"
        "| slow | – | – |\n"
    )


# LaTeX

KNOWN = st.text(
    st.one_of(st.characters(min_codepoint=32, max_codepoint=126), st.sampled_from("±×≥≤µ²₂↑↓→–—−∞≈éłőαβ½°…“”‘’€"))
)


def as_text(latex: str) -> str:
    """Return what LaTeX shows, by a parser that knows nothing of us."""
    context = get_default_latex_context_db()
    unknown_to_it = {"textless": "<", "textgreater": ">", "textbar": "|", "textquotedbl": '"'}
    context.add_context_category("missing", [MacroTextSpec(name, text) for name, text in unknown_to_it.items()])
    return LatexNodes2Text(context, strict_latex_spaces=False).latex_to_text(latex)


@given(KNOWN)
@example("-- --- '' `` ,, << >> - -1 [-2, 3]")
@example("~15 ms")
def test_latex_read_back_has_the_text(text: str) -> None:
    same = str.maketrans("−∼ˆμ²₂", "-~^µ22")
    assert spaced(as_text(latex_text(text)).translate(same)) == spaced(text.translate(same))


@given(words)
def test_latex_is_of_plain_characters_with_its_groups_closed(text: str) -> None:
    latex = latex_text(text)
    LatexWalker(latex, tolerant_parsing=False).get_latex_nodes()
    assert all(" " <= character <= "~" or "À" <= character <= "ž" for character in latex)


def test_what_latex_has_no_command_for_is_named() -> None:
    assert latex_text("a\u202eb 漢") == "a[U+202E]b [U+6F22]"
    assert latex_text("e\u0301 ﬁ 10⁻³ x₁") == (
        r"é fi 10\textsuperscript{\ensuremath{-}}\textsuperscript{3} x\textsubscript{1}"
    )


def tabular(latex: str) -> LatexEnvironmentNode:
    """Return the innermost table of a LaTeX text that must be right."""
    nodes = LatexWalker(latex, tolerant_parsing=False).get_latex_nodes()[0]
    while True:
        (node,) = (node for node in nodes if isinstance(node, LatexEnvironmentNode))
        if node.environmentname in ("tabular", "longtable"):
            return node
        nodes = node.nodelist


@settings(max_examples=40)
@given(tables())
def test_latex_tables_have_their_rows_and_columns(table: Table) -> None:
    found = tabular(table_latex(table, "name"))
    body = found.latex_verbatim()
    # A row ends in a space and two backslashes, and nothing else does: texts have no bare backslash.
    rows = [line for line in body.split("\n") if line.endswith(r" \\")]
    heads = 2 if found.environmentname == "longtable" else 1
    assert len(rows) == heads + len(table.rows)
    for row in rows:
        assert len(re.findall(r"(?<!\\)&", row)) == len(table.headings) - 1
        assert not row.startswith(("[", "*"))
    assert body.count(r"\toprule") == heads and body.count(r"\bottomrule") == 1


def test_long_tables_break_over_pages() -> None:
    rows = [[Cell(text=f"row {number}"), Cell(float(number))] for number in range(40)]
    assert tabular(table_latex(Table("t", "", [Heading("a"), Heading("b")], rows), "n")).environmentname == "longtable"
    assert (
        tabular(table_latex(Table("t", "", [Heading("a"), Heading("b")], rows[:9]), "n")).environmentname == "tabular"
    )


def test_latex_is_as_one_would_write_it() -> None:
    latex = table_latex(sample(), "time")
    assert r"\caption{Time of a request: Medians.}\label{tab:time}" in latex
    assert r"\begin{tabular}{lrr}" in latex
    assert "fast & 1.25 [1.00, 1.50] & 15 \\\\\nslow & \\textendash{} & \\textendash{} \\\\\n\\bottomrule" in latex
    assert "{tab:time-of-a-request}" in tables_latex([sample()]) and "-request-2}" in tables_latex([sample(), sample()])


def test_a_document_of_hostile_tables_compiles(tmp_path: Path) -> None:
    """By a real TeX where there is one, and else by the parser that has read the tables above."""
    every = "".join(map(chr, (*range(32, 127), *range(0xA0, 0x180), *range(0x2010, 0x2040), *range(0x2190, 0x22FF))))
    headings = [Heading(text, "%", better="less") for text in HOSTILE[:8]]
    rows = [
        [Cell(text=text), Cell(-1.5, -2, 3e9), *(Cell(text=every if number == 3 else text) for number in range(6))]
        for text in HOSTILE
    ]
    hostile = [Table(text, text, headings, rows) for text in HOSTILE]
    source = document_latex([*hostile, sample(), Table(every, "", headings, [])])
    (tmp_path / "tables.tex").write_text(source, encoding="utf-8")
    command = {
        "pdflatex": ["-halt-on-error", "-interaction=nonstopmode", "tables.tex"],
        "tectonic": ["--untrusted", "tables.tex"],
    }
    compiler = next(filter(shutil.which, command), None)
    if compiler is None:
        # It takes its time with long texts, which single tables above have had.
        short = [row for row in rows if len(row[0].text) < 1000]
        LatexWalker(document_latex([Table("t", every, headings, short)]), tolerant_parsing=False).get_latex_nodes()
        return
    found = subprocess.run(
        [compiler, *command[compiler]], cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=240
    )
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 1000


# CSV


def read(text: str) -> pandas.DataFrame:
    return pandas.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


@given(tables())
@example(Table("", "", [Heading("a"), Heading("a"), Heading("a 2")], []))
@example(Table("", "", [Heading("\t")], [[Cell(1.5)]]))
@example(Table("", "", [Heading("\t")], []))
def test_csv_read_back_has_every_number_exactly(table: Table) -> None:
    found = read(table_csv(table))
    assert len(set(found.columns)) == len(found.columns) and len(found) == len(table.rows)
    column = 0
    for index, _ in enumerate(table.headings):
        cells = [row[index] for row in table.rows]
        with_interval = any(cell.has_interval for cell in cells)
        for place, cell in enumerate(cells):
            value, *ends = (found.iloc[place, column + part] for part in range(3 if with_interval else 1))
            if cell.has_value:
                assert float(value) == cell.value
            else:
                assert value == ("" if cell.text.strip() in ("", "–") else harmless(cell.text))
            assert [float(end) for end in ends if end] == ([cell.low, cell.high] if cell.has_interval else [])
        column += 3 if with_interval else 1
    assert column == len(found.columns)


def test_csv_is_as_one_would_write_it() -> None:
    assert table_csv(sample()) == (
        "system,median (ms),median low (ms),median high (ms),paper (ms)\nfast,1.25,1,1.5,15\nslow,,,,\n"
    )


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@sum", "\t=1", " =1", "\r=1", "＝1"])
def test_no_text_is_a_formula(text: str) -> None:
    assert harmless(text) == "'" + clean(text)


@pytest.mark.parametrize("text", ["-1", "+3.5", "-1e-3", "5 %", "a=b", "–", "", "-2%"])
def test_what_is_no_formula_stays(text: str) -> None:
    assert harmless(text) == text


# What all share


@given(words)
def test_clean_text_can_be_encoded_and_loses_no_characters_that_can(text: str) -> None:
    clean(text).encode()
    assert clean(clean(text)) == clean(text)
    if text.isprintable() and not re.search("[\ufdd0-\ufdef\ufffe\uffff]", text):
        assert clean(text) == text


@given(st.lists(words, max_size=6))
def test_every_title_gets_a_file_of_its_own(titles: list[str]) -> None:
    names = file_names(titles, taken=["claims"])
    assert len({*names, "claims"}) == len(titles) + 1
    assert all(re.fullmatch("[a-z0-9][a-z0-9-]{0,63}", name) for name in names)


def test_names_of_files_say_what_they_hold() -> None:
    assert file_name("Table 6, counted & published (é)") == "table-6-counted-published-e"
    assert file_name("漢字", "other") == "other"
    assert file_names(["a b", "A, b", "a b 2"]) == ["a-b", "a-b-2", "a-b-2-2"]


@given(words, words)
def test_folders_of_different_texts_differ(one: str, other: str) -> None:
    assert re.fullmatch("[A-Za-z0-9_-]+", folder_name(one))
    assert (folder_name(one) == folder_name(other)) == (clean(one) == clean(other))
    assert folder_name("vilt_speed-1") == "vilt_speed-1"


def test_columns_of_dashes_stand_with_the_numbers_and_words_do_not() -> None:
    row = [Cell(text="1"), Cell(1.0), Cell(text="–"), Cell(text="word"), Cell(math.nan, text="beyond")]
    table = Table("", "", [Heading("")] * 5, [row])
    assert numeric_columns(table) == [False, True, True, False, True]
