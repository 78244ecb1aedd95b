"""How fast the harness itself is, as a part of the page."""

from __future__ import annotations

from reports.bench.files import BenchFiles
from reports.bench.judging import check_lines
from reports.bench.tables import all_tables
from reports.pictures.bench_history import draw_histories
from reports.templating import environment, moment

ANCHOR = "bench"


def bench_html(files: BenchFiles) -> str:
    """Return the part of the page about kept runs of the benchmarks; empty where there are none."""
    if not files.files:
        return ""
    runs = list(files.runs.values())
    newest = runs[-1] if runs else None
    return environment().get_template("bench.html").render(
        anchor=ANCHOR,
        newest=newest,
        made=moment(newest.made) if newest else "",
        runs=len(runs),
        tables=all_tables(newest) if newest else [],
        checks=list(check_lines(newest.verdicts.checks)) if newest else [],
        pictures=draw_histories(runs) if runs else [],
        damaged=files.damaged,
    )  # fmt: skip
