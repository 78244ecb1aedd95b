"""``harness bench``: plugged into the engine's command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import UserError

if TYPE_CHECKING:
    from reports.bench.runs import BenchRun

SOME_SLOWER = 3
"""The exit status where a comparison is slower than accepted."""


@click.command("bench")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--store", metavar="DIR", help="Where results live (or HARNESS_STORE; default: results).")
@click.option("--accept", "accepting", is_flag=True, help="From now on judge by the ratios of this run.")
@click.option(
    "--accepted", metavar="JSON", help="The file of accepted ratios (default: tests/benchmarks/accepted.json)."
)
@click.option("--docs", metavar="MARKDOWN", help="Write the tables between the markers of this page.")
def bench_command(
    files: tuple[str, ...], store: str | None, accepting: bool, accepted: str | None, docs: str | None
) -> int:
    """Keep what 'make bench' measured, FILE being the JSON of pytest-benchmark, and show how fast the harness is.

    Each comparison is ours beside a rival or a floor; where its whole interval lies beyond the accepted one by half as
    much again, it is called slower or faster. Without FILE the newest run in the store is shown, as it was judged then.
    Exit status 3 where anything is slower than accepted.
    """
    from harness.store.store import Store
    from reports.bench.accepted import ACCEPTED, accept, read_accepted
    from reports.bench.documents import write_tables
    from reports.bench.kept import keep_run, latest_run

    place, known = Store.at(store), Path(accepted) if accepted is not None else ACCEPTED
    if accepted is not None and not accepting and not known.is_file():
        raise UserError(f"--accepted {accepted}: there is no such file")
    if files:
        kept = [keep_run(Path(name), place, read_accepted(known)) for name in files]
        runs = [run for _, run in kept]
    else:
        kept, runs = [], [latest_run(place)]
    for run in runs:
        for line in lines(run):
            click.echo(line)
    for path, _ in kept:
        click.echo(f"kept: {path}")
    if docs is not None:
        write_tables(Path(docs), runs[-1])
        click.echo(f"written: {docs}")
    if accepting:
        found = {judged.measured.key: judged for judged in runs[-1].verdicts.comparisons}
        click.echo(f"accepted: {accept(known, found, runs[-1])} ratios, in {known}")
        return 0
    return SOME_SLOWER if any(run.verdicts.slower for run in runs) else 0


def lines(run: BenchRun) -> Iterator[str]:
    """Yield what the command prints of a run: its tables, its checks of itself, and what was found slower."""
    from reports.bench.judging import MARGIN, check_lines
    from reports.bench.tables import all_tables, ratio
    from reports.rendering.columns import table_lines
    from reports.templating import moment

    for table in all_tables(run):
        yield f"{table.title}:"
        yield from table_lines(table)
        yield ""
    verdicts = run.verdicts
    yield f"Measured {moment(run.made)} at commit {run.code} on {run.machine}."
    elsewhere = {judged.accepted.machine for judged in verdicts.comparisons if judged.accepted} - {run.machine, ""}
    yield from (f"Accepted on another machine: {machine}." for machine in sorted(elsewhere))
    if verdicts.known:
        found = len(verdicts.known) - len(verdicts.blind)
        yield f"Had ours become twice as slow, {found} of {len(verdicts.known)} would be flagged (margin {MARGIN:g})."
        yield from (f"  not: {one.measured.key}" for one in verdicts.blind)
    yield from (f"Check of the judging. {line}." for line in check_lines(verdicts.checks))
    if verdicts.missing and verdicts.known:
        yield f"Accepted, and not in this run: {len(verdicts.missing)} comparisons."
    new = sum(one.outcome == "new" for one in verdicts.comparisons)
    if new:
        yield f"New, so not judged: {new} comparisons; 'harness bench --accept' accepts them."
    for one in verdicts.slower:
        assert one.accepted is not None
        yield (
            f"SLOWER: {one.measured.key}: {ratio(one.ratio, one.low, one.high).text}, and "
            f"{ratio(one.accepted.ratio, one.accepted.low, one.accepted.high).text} is accepted"
        )
