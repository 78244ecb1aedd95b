"""``harness export``: the long table, for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from harness.cli.options import design_options, select
from harness.errors import UserError
from harness.store.table import long_table


@click.command("export")
@design_options
@click.option("--format", "form", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file (default: standard output).")
@click.option("--stale", is_flag=True, help="Include stale trials, marked in a column of their own.")
def export_command(form: str, output: Path | None, stale: bool, **options: Any) -> None:
    """Write a row for each record of SPEC: experiment, profile, trial, attempt, replicate, factors, metrics."""
    selection = select(**options)
    state = selection.state
    factors = [factor.name for factor in selection.design.factors]
    table = long_table(selection.design.name, selection.design.profile_name, factors, state.states, stale=stale)
    if form == "parquet" and output is None:
        raise UserError("export --format parquet: name a file with --output")
    if output is not None and not output.absolute().parent.is_dir():
        raise UserError(f"export --output {output}: there is no folder {output.absolute().parent}")
    if form == "parquet":
        table.to_parquet(output, index=False)
    else:
        table.to_csv(output if output is not None else sys.stdout, index=False)
    done = state.count("done")
    if done < len(state.states):
        click.echo(f"{selection.design.name}: {done} of {len(state.states)} planned trials are done", err=True)
