"""``harness export``: records and tables for other programs, plugged into the engine's command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import Selection, design_options, select
from harness.errors import UserError, nearest

if TYPE_CHECKING:
    from reports.cells import Table

RECORDS = ("csv", "parquet")
ENDINGS = {"csv": "csv", "markdown": "md", "latex": "tex", "html": "html"}
STANDALONE = ("latex", "html")
CLAIMS = "claims"


@click.command("export")
@design_options
@click.option(
    "--format", "form", type=click.Choice(list(dict.fromkeys((*RECORDS, *ENDINGS)))), default="csv", show_default=True
)
@click.option("--output", type=click.Path(path_type=Path), help="A file, or a folder (default: standard output).")
@click.option("--stale", is_flag=True, help="Include stale trials, marked in a column of their own.")
@click.option("--table", "wanted", metavar="NAME", help="A table of the report: its title, its number, or 'claims'.")
@click.option("--tables", "every", is_flag=True, help="All tables of the report, and its claims.")
@click.option("--standalone", is_flag=True, help="Tables as a whole document, in LaTeX or HTML.")
def export_command(
    form: str, output: Path | None, stale: bool, wanted: str | None, every: bool, standalone: bool, **options: Any
) -> None:
    """Write a row for each record of SPEC: experiment, profile, trial, attempt, replicate, factors, metrics.

    With --table or --tables, write tables as the report shows them, as CSV, Markdown, LaTeX or HTML. Several tables are
    written one after another, or into a folder that --output names, a file each.
    """
    asked_for = f"--table {wanted}" if wanted is not None else "--tables" if every else ""
    if wanted is not None and every:
        raise UserError("export: give either --table NAME or --tables, not both")
    _check(form, output, stale, asked_for, several=every, standalone=standalone)
    selection = select(**options)
    if asked_for:
        _write_tables(_tables(selection, wanted), form, output, several=every, standalone=standalone)
    else:
        _write_records(selection, form, output, stale)
    done, planned = selection.state.count("done"), len(selection.state.states)
    if done < planned:
        click.echo(f"{selection.design.name}: {done} of {planned} planned trials are done", err=True)


def _check(form: str, output: Path | None, stale: bool, asked_for: str, *, several: bool, standalone: bool) -> None:
    """Refuse what does not go together, before anything is read.

    Raises:
        UserError: always where it raises.
    """
    if asked_for and form not in ENDINGS:
        raise UserError(f"export {asked_for}: tables come as {', '.join(ENDINGS)}; {form} is for the records")
    if asked_for and stale:
        raise UserError(f"export {asked_for}: tables show no stale trials; --stale is for the records")
    if not asked_for and form not in RECORDS:
        raise UserError(f"export --format {form}: is for tables; name one with --table, or all of them with --tables")
    if standalone and (not asked_for or form not in STANDALONE):
        raise UserError(f"export --standalone: is for tables with --format {' or '.join(STANDALONE)}")
    if form == "parquet" and output is None:
        raise UserError("export --format parquet: name a file with --output")
    if several and form == "csv" and output is None:
        raise UserError("export --tables --format csv: name a folder for them with --output")
    if output is None:
        return
    if not output.absolute().parent.is_dir():
        raise UserError(f"export --output {output}: there is no folder {output.absolute().parent}")
    if output.is_dir() and not several:
        raise UserError(f"export --output {output}: is a folder; name a file")
    if several and form == "csv" and output.exists() and not output.is_dir():
        raise UserError(f"export --output {output}: is a file; tables as CSV need a folder")


def _write_records(selection: Selection, form: str, output: Path | None, stale: bool) -> None:
    from harness.store.table import long_table
    from reports.rendering.csv import records_csv

    design = selection.design
    factors = [factor.name for factor in design.factors]
    records = long_table(design.name, design.profile_name, factors, selection.state.states, stale=stale)
    _write(records.to_parquet(index=False) if form == "parquet" else records_csv(records), output)


def _tables(selection: Selection, wanted: str | None) -> list[Table]:
    """Return one table, or all and the claims, as the report shows them.

    Raises:
        UserError: the report has no such table, or two of that title.
    """
    from reports.collect import results_of
    from reports.default_tables import table_declarations
    from reports.overview_table import claims_table
    from reports.profiles.tables import profile_tables
    from reports.tables import build_table

    results = results_of(selection.state, selection.store, judged=False)
    known = [build_table(declared, results) for declared in table_declarations(results)] + profile_tables(results).all
    chosen = list(range(len(known))) if wanted is None else _places(wanted, [table.title for table in known])
    tables = [known[place] for place in chosen]
    if wanted is None or not chosen:
        tables.append(claims_table(results_of(selection.state, selection.store).judgements))
    return tables


def _places(wanted: str, titles: Sequence[str]) -> list[int]:
    """Return the place of the table that is wanted, by its title or its number; none where it is the claims."""
    places = [place for place, title in enumerate(titles) if title == wanted]
    if len(places) > 1:
        numbers = " or ".join(str(place + 1) for place in places)
        raise UserError(f"export --table {wanted}: {len(places)} tables have this title; give a number: {numbers}")
    if places or wanted == CLAIMS:
        return places
    if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted[:9]) <= len(titles):
        return [int(wanted) - 1]
    known = ", ".join([*(f"{number} '{title}'" for number, title in enumerate(titles, 1)), CLAIMS])
    raise UserError(f"export --table {wanted}: no such table{nearest(wanted, [*titles, CLAIMS])} (known: {known})")


def _write_tables(tables: Sequence[Table], form: str, output: Path | None, *, several: bool, standalone: bool) -> None:
    """Write tables one after another, or, where the output is a folder, a file each."""
    from reports.rendering.text import file_names

    if output is None or not several or not (form == "csv" or output.is_dir()):
        _write(_rendered(tables, form, standalone), output)
        return
    try:
        output.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"export --output {output}: cannot be written: {error.strerror}") from error
    for name, table in zip(file_names(table.title for table in tables), tables, strict=True):
        _write(_rendered([table], form, standalone), output / f"{name}.{ENDINGS[form]}")


def _rendered(tables: Sequence[Table], form: str, standalone: bool) -> bytes:
    """Return tables one after another; as CSV there is one."""
    from reports.rendering.csv import table_csv
    from reports.rendering.html import document_html, tables_html
    from reports.rendering.latex import document_latex, tables_latex
    from reports.rendering.markdown import tables_markdown

    if form == "csv":
        (table,) = tables
        return table_csv(table).encode()
    if form == "markdown":
        return tables_markdown(tables).encode()
    fragment, document = (tables_latex, document_latex) if form == "latex" else (tables_html, document_html)
    return (document if standalone else fragment)(tables).encode()


def _write(data: bytes, output: Path | None) -> None:
    if output is None:
        click.echo(data, nl=False)
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise UserError(f"export --output {output}: cannot be written: {error.strerror}") from error
