"""A run of the benchmarks as tables: what was compared, and what grows how with the number of trials."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from reports.bench.growth import Grown, grown
from reports.bench.judging import Judged
from reports.bench.measured import Side
from reports.bench.runs import BenchRun
from reports.cells import Cell, Heading, Table
from reports.pictures.numbers import count, number, word

COMPARISONS = "Ours beside others' and beside floors"
GROWTH = "How it grows with the number of trials"
MILLION = 1e6


def comparison_table(run: BenchRun) -> Table:
    """Return a row a comparison: medians of a call's milliseconds, the ratio, what was accepted, the judgement."""
    headings = [
        Heading("comparison"), Heading("ours", "ms"), Heading("beside"), Heading("theirs", "ms"),
        Heading("ours / theirs"), Heading("accepted"), Heading("judged"), Heading("rounds"),
    ]  # fmt: skip
    caption = (
        "Medians of a call in milliseconds; the ratio is that of rounds, with its 95 % interval. Times belong to the "
        f"machine, ratios travel, if roughly. {run.machine}; commit {run.code}."
    )
    return Table(COMPARISONS, caption, headings, [_row(judged) for judged in run.verdicts.comparisons])


def growth_table(run: BenchRun) -> Table | None:
    """Return a row a thing that is done with a number of trials and a size; None where the run has none."""
    found = grown(run.measured)
    if not found:
        return None
    headings = [
        Heading("what"), Heading("trials"), Heading("time", "s"), Heading("a trial", "µs"), Heading("beside"),
        Heading("ours / theirs"), Heading("growth"), Heading("growth / theirs"), Heading("so it grows"),
    ]  # fmt: skip
    caption = (
        f"Geometric means over rounds with 95 % intervals, one process. {run.machine}; commit {run.code}. "
        "Growth is how many times as long one trial takes as at the size before: 1 is linear. Behind it stands "
        "the same over the growth of what it is measured beside."
    )
    return Table(GROWTH, caption, headings, [_growth_row(entry) for entry in found])


def _row(judged: Judged) -> list[Cell]:
    measured, accepted = judged.measured, judged.accepted
    return [
        word(measured.name),
        _milliseconds(measured.ours),
        word(measured.rival.name),
        _milliseconds(measured.rival),
        ratio(judged.ratio, judged.low, judged.high),
        ratio(accepted.ratio, accepted.low, accepted.high) if accepted else word(""),
        word(judged.outcome),
        count(measured.rounds),
    ]


def _milliseconds(side: Side) -> Cell:
    value = 1e3 * statistics.median(side.seconds)
    return Cell(value, unit="ms", text=three_digits(value), faint=True)


def ratio(value: float, low: float, high: float) -> Cell:
    """Return a ratio with its interval to three digits: they reach over many powers of ten."""
    return Cell(value, low, high, text=f"{three_digits(value)} [{three_digits(low)}, {three_digits(high)}]")


def three_digits(value: float) -> str:
    """Return a number to three digits, one from a thousand on without any after the point."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _growth_row(entry: Grown) -> list[Cell]:
    grows = [ratio(one.effect, *one.interval()) if one else word("") for one in (entry.growth, entry.beside)]
    return [
        word(entry.what),
        count(entry.trials),
        Cell(entry.seconds, unit="s", text=f"{entry.seconds:.3g}", faint=True),
        number(MILLION * entry.seconds / entry.trials, "µs"),
        word(entry.rival),
        ratio(entry.ratio, *entry.ratio_interval),
        *grows,
        word(entry.sentence),
    ]


def all_tables(run: BenchRun) -> Sequence[Table]:
    """Return the tables of a run."""
    grows = growth_table(run)
    return [comparison_table(run), *([grows] if grows else [])]
