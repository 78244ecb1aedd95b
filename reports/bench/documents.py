"""The tables of a run in a page of Markdown, between two markers; all else on the page stays as it is."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UserError
from harness.store.atomic import write_bytes
from reports.bench.runs import BenchRun
from reports.bench.tables import all_tables
from reports.rendering.markdown import tables_markdown
from reports.templating import moment

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def write_tables(path: Path, run: BenchRun) -> None:
    """Put the tables of a run between the markers of a page.

    Raises:
        UserError: the page cannot be read or written, or does not have each marker once, in order.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before or END in after:
        raise UserError(f"{path}: needs '{BEGIN}' and '{END}', each once and in that order; the tables go between")
    try:
        write_bytes(path, f"{before}{BEGIN}\n\n{page_part(run)}\n{END}{after}".encode())
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def page_part(run: BenchRun) -> str:
    """Return the tables of a run as Markdown, the machine and the day above them."""
    return f"Measured {moment(run.made)} by `make bench`.\n\n{tables_markdown(all_tables(run))}"
